/** @file What a run writes while it trains: progress line, metrics, TensorBoard events, pictures, probes. */

import { existsSync, readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { contactSheet, type Raster } from "../data/index.js";
import { writeFileAtomic } from "../files.js";
import { flattenTree } from "../nn/index.js";
import {
  type MetricsRow,
  metricsScalars,
  Progress,
  RUN_FILE,
  type RunInfo,
  RunLog,
  TensorBoardWriter,
} from "../reports/index.js";
import { peakMemory } from "../runtime/index.js";
import {
  PictureMaker,
  type PretrainResult,
  type RunContext,
  type RunObserver,
  type StepReport,
} from "../training/index.js";
import { commandLine } from "./output.js";
import { createProbe, type Probe } from "./probe.js";
import { version } from "./version.js";

export interface ObserveOptions {
  /** What the user named as data. */
  readonly data: string;
  /** Put before the progress line. */
  readonly label?: string;
  readonly silent?: boolean;
}

/** The steps (counted from 1) at which something is done `times` times over a run, the last step among them. */
export function spreadSteps(total: number, times: number): Set<number> {
  return new Set(Array.from({ length: times }, (_, i) => Math.max(1, Math.round((total * (i + 1)) / times))));
}

/** Writes everything a run leaves behind besides its checkpoints. */
export async function observeRun(
  context: RunContext,
  { data, label, silent = false }: ObserveOptions,
): Promise<RunObserver> {
  const { config, method, dataset, device, folder, length, startStep } = context;
  const { totalSteps } = length;
  const file = join(folder.path, RUN_FILE);
  const command = commandLine();
  const now = new Date().toISOString();
  const begun =
    startStep > 0 && existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as RunInfo) : undefined;
  const origin = begun
    ? {
        command: begun.command,
        startedAt: begun.startedAt,
        resumed: [...(begun.resumed ?? []), { command, step: startStep, startedAt: now }],
      }
    : { command, startedAt: now };
  // Also at step 0: a process that was killed before its first checkpoint has left rows.
  const log = new RunLog(folder.path, { resumedStep: startStep });
  const board = new TensorBoardWriter(folder.path, { resumedStep: startStep });
  const progress = new Progress({ total: totalSteps, startStep, silent, label: label ?? method.title });
  const pictures =
    config.log.pictures > 0
      ? await PictureMaker.create(device, method, dataset, { seed: config.seed, length })
      : undefined;
  const probe: Probe | undefined = config.log.probes > 0 ? await createProbe(context) : undefined;
  const pictureSteps = spreadSteps(totalSteps, config.log.pictures);
  const probeSteps = spreadSteps(totalSteps, config.log.probes);
  const writeInfo = (outcome: PretrainResult | undefined): void => {
    const parameters = Object.values(
      flattenTree(method.parameters) as Record<string, { shape: readonly number[] }>,
    );
    const [cpu] = cpus();
    const info = {
      name: config.name,
      method: method.title,
      ...origin,
      seed: config.seed,
      ...(outcome ? { finishedAt: new Date().toISOString(), steps: outcome.step } : {}),
      batchSize: config.batchSize,
      imageSize: config.imageSize,
      data,
      images: dataset.length,
      model: {
        name: `ViT ${context.encoder.embedDim}x${context.encoder.depth}/${context.encoder.patchSize}`,
        parameters: parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      },
      hardware: {
        cpu: cpu?.model ?? "unknown",
        cores: cpus().length,
        memoryGB: Math.round(totalmem() / 2 ** 30),
        device: device.settings.provider,
        os: `${process.platform}/${process.arch}`,
      },
      software: { node: process.versions.node, inbetween: version },
    };
    writeFileAtomic(file, `${JSON.stringify(info, null, 2)}\n`);
  };
  writeInfo(undefined);

  const keepPicture = async (
    step: number,
    kind: string,
    title: string,
    rasters: readonly Raster[],
    columns?: readonly string[],
  ): Promise<void> => {
    const zoom = Math.max(1, Math.floor(96 / config.imageSize));
    // A report holds many of them.
    const shrink = Math.max(1, Math.floor(config.imageSize / 96));
    const png = await contactSheet(rasters, { columns: columns?.length ?? rasters.length, zoom, shrink });
    const name = `${kind}-${String(step).padStart(8, "0")}.png`;
    writeFileAtomic(join(folder.pictures, name), png);
    log.picture({
      step,
      kind,
      title,
      png: `pictures/${name}`,
      ...(columns ? { columns: [...columns] } : {}),
    });
    board.image(step, kind, png);
  };

  let interval = { step: startStep, seconds: 0, waitSeconds: 0 };
  const row = (report: StepReport): MetricsRow => {
    const { step, epoch, gradients, learningRate, weightDecay, gradientNorm, seconds, waitSeconds } = report;
    const elapsed = Math.max(1e-9, seconds - interval.seconds);
    const rate = ((step - interval.step) * config.batchSize) / elapsed;
    const waiting = (waitSeconds - interval.waitSeconds) / elapsed;
    interval = { step, seconds, waitSeconds };
    return {
      step,
      epoch,
      time: new Date().toISOString(),
      seconds,
      loss: { ...gradients.losses },
      metrics: { ...gradients.metrics },
      learningRate,
      weightDecay,
      gradientNorm,
      imagesPerSecond: rate,
      dataWaitFraction: waiting,
      hostToDeviceBytes: gradients.bytesToDevice,
      peakMemoryMB: peakMemory() / 1e6,
    };
  };

  return {
    async step(report) {
      const { step } = report;
      const isProbed = probe !== undefined && probeSteps.has(step);
      const isDrawn = pictures !== undefined && pictureSteps.has(step);
      if (step % config.log.every !== 0 && step !== totalSteps && !isProbed && !isDrawn) return;
      const metrics = row(report);
      if (isDrawn) {
        const { titles, rows, baselines } = await pictures.draw();
        metrics.baselines = baselines;
        const kind = config.method.name === "inbetween" ? "inbetween" : "reconstruction";
        const title =
          kind === "inbetween"
            ? "In-between images and their reconstructions"
            : "Images and their reconstructions";
        await keepPicture(step, kind, title, rows.flat(), titles);
      }
      if (isProbed) {
        const { knn, health, patches } = await probe.run(report.gradients.metrics.featureStd ?? 0);
        const { teacherEntropy } = report.gradients.metrics;
        metrics.health = { ...health, ...(teacherEntropy === undefined ? {} : { teacherEntropy }) };
        if (knn) metrics.knn = knn;
        await keepPicture(
          step,
          "patchPca",
          "Patch features: their first three principal components",
          patches,
        );
        for (const warning of health.warnings ?? []) progress.message(`warning: ${warning}`);
      }
      log.append(metrics);
      board.scalars(step, metricsScalars(metrics));
      progress.update({
        step,
        imagesPerSecond: metrics.imagesPerSecond,
        dataWaitFraction: metrics.dataWaitFraction,
        loss: metrics.loss,
      });
    },
    checkpoint: () => log.sync(),
    async close(outcome) {
      progress.stop();
      writeInfo(outcome);
      log.close();
      board.close();
      await probe?.close();
    },
  };
}
