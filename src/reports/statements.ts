/** @file Plain sentences on what a set of runs shows and what it cannot show, derived from their numbers alone. */

import { type EvaluationRecord, isRandomEncoder, type MetricsRow, TASKS } from "./events.js";
import { formatCompact, formatCount, formatLargeCount, formatNumber } from "./format.js";
import { PUBLISHED_SCALE } from "./published.js";
import type { RunData } from "./read-run.js";
import { protocolsOf, protocolTitle, SCORE_TITLES } from "./tables.js";

export interface Statements {
  can: string[];
  cannot: string[];
}

/** Training seeds per method and probes per encoder below which a difference is not to be claimed. */
const SEEDS_NEEDED = 3;
const REPEATS_NEEDED = 3;
/** VICReg's variance hinge above this says that many channels vary less than the method asks for. */
const HINGE_NEAR_ZERO = 0.1;

/** Method as shown: what the run calls itself, else its name. */
export function runLabel(run: RunData): string {
  return run.info.method ?? run.info.name;
}

/** Labels of all runs, made distinct by seed or name where a method ran several times. */
export function runLabels(runs: readonly RunData[]): string[] {
  const plain = runs.map(runLabel);
  const repeated = (label: string, labels: string[]) => labels.filter((other) => other === label).length > 1;
  const seeded = runs.map((run, index) => {
    const label = plain[index] ?? run.info.name;
    return repeated(label, plain) && run.info.seed !== undefined ? `${label}, seed ${run.info.seed}` : label;
  });
  return seeded.map((label, index) =>
    repeated(label, seeded) ? `${label} (${runs[index]?.info.name ?? index})` : label,
  );
}

function lastRow(run: RunData): MetricsRow | undefined {
  return run.metrics.at(-1);
}

/** Images that went through the encoder's loss: steps times batch. */
export function presentations(run: RunData): number | null {
  const steps = lastRow(run)?.step ?? run.info.steps;
  const { batchSize } = run.info;
  return steps === undefined || batchSize === undefined ? null : steps * batchSize;
}

/** How much smaller than the paper's pretraining each run is, in plain words. */
export function scaleStatements(runs: readonly RunData[]): string[] {
  const { architecture, parameters, data, images, imageSize, epochs, batchSize, hardware } = PUBLISHED_SCALE;
  const published = images * epochs;
  const paper =
    `The published VICReg-family rows are ${architecture} (${formatLargeCount(parameters)} parameters) trained on ` +
    `${data} for ${epochs} epochs at ${imageSize} px, batch ${formatCount(batchSize)}: ` +
    `${formatLargeCount(published)} images seen, on ${hardware}.`;
  const labels = runLabels(runs);
  const scales = new Map<string, string[]>();
  runs.forEach((run, index) => {
    const seen = presentations(run);
    const { info } = run;
    if (seen === null || seen === 0) return;
    const facts = [
      info.model?.parameters && `${formatLargeCount(info.model.parameters)} parameters`,
      info.imageSize && `${info.imageSize} px`,
      info.images && `${formatLargeCount(info.images)} different images`,
    ].filter(Boolean);
    const ratio = published / seen;
    const share = ratio >= 1.5 ? `1/${formatCount(Number(ratio.toPrecision(2)))} of that` : "as many or more";
    const scale = `${formatLargeCount(seen)} images seen, ${share} (${facts.join(", ") || "scale not recorded"})`;
    scales.set(scale, [...(scales.get(scale) ?? []), labels[index] ?? info.name]);
  });
  const ours = [...scales].map(
    ([scale, names]) => `${list(names)} here: ${scale}${names.length > 1 ? ", each" : ""}.`,
  );
  return [paper, ...ours, "The two groups of rows stand side by side for orientation, not as a competition."];
}

/** Mean of the last tenth of a loss part, or `null` if it was not logged. */
export function finalLoss(metrics: readonly MetricsRow[], part: string): number | null {
  const values = metrics
    .map((row) => row.loss[part])
    .filter((value): value is number => Number.isFinite(value));
  const tail = values.slice(-Math.max(1, Math.floor(values.length / 10)));
  return tail.length === 0 ? null : tail.reduce((sum, value) => sum + value, 0) / tail.length;
}

function list(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function againstRandom(
  records: readonly EvaluationRecord[],
  protocol: EvaluationRecord["protocol"],
): Statements {
  const title = protocolTitle(protocol);
  const random = records.find((record) => isRandomEncoder(record.encoder));
  const trained = records.filter((record) => !isRandomEncoder(record.encoder));
  if (!random) {
    const text = `${title}: no random-initialised encoder was evaluated, so nothing shows what training added.`;
    return { can: [], cannot: trained.length > 0 ? [text] : [] };
  }
  const can = trained.map((record) => {
    const name = (better: boolean) =>
      TASKS.filter((task) => record.r2[task].mean > random.r2[task].mean === better).map((task) =>
        SCORE_TITLES[task].toLowerCase(),
      );
    const [above, below] = [name(true), name(false)];
    return (
      `${title}: ${record.encoder} is ` +
      [
        above.length > 0 && `above the random encoder in ${list(above)}`,
        below.length > 0 && `not above it in ${list(below)}`,
      ]
        .filter(Boolean)
        .join(", ") +
      "."
    );
  });
  return { can, cannot: [] };
}

/** Differences to the first trained encoder, in units of the probe's own spread where repeats give one. */
function betweenTrained(
  records: readonly EvaluationRecord[],
  protocol: EvaluationRecord["protocol"],
): string[] {
  const trained = records.filter((record) => !isRandomEncoder(record.encoder));
  const baseline = trained.find((record) => !/^ours\b/i.test(record.encoder)) ?? trained[0];
  return trained
    .filter((record) => record !== baseline && record.encoder !== baseline?.encoder)
    .map((record) => {
      const parts = TASKS.map((task) => {
        const [ours, theirs] = [record.r2[task], baseline?.r2[task] ?? record.r2[task]];
        const difference = ours.mean - theirs.mean;
        const spread = Math.hypot(ours.std, theirs.std);
        const judged = record.repeats > 1 && (baseline?.repeats ?? 0) > 1;
        const within = judged && Math.abs(difference) <= 2 * spread ? " (within probe noise)" : "";
        return `${SCORE_TITLES[task].toLowerCase()} ${difference >= 0 ? "+" : ""}${formatNumber(difference)}${within}`;
      });
      return `${protocolTitle(protocol)}: R² of ${record.encoder} minus ${baseline?.encoder}: ${parts.join(", ")}.`;
    });
}

function trainingStatements(run: RunData, label: string): Statements {
  const can: string[] = [];
  const cannot: string[] = [];
  const broken = run.metrics.find((row) => !Number.isFinite(row.loss.total));
  const first = run.metrics[0];
  const final = finalLoss(run.metrics, "total");
  if (broken)
    cannot.push(`${label}: the loss was not finite at step ${broken.step}; what follows it says nothing.`);
  else if (first && final !== null) {
    const [from, to] = [formatCompact(first.loss.total), formatCompact(final)];
    can.push(
      `${label}: training ran to step ${formatCount(lastRow(run)?.step ?? 0)}, loss ${from} at its start, ${to} at its end.`,
    );
  }
  const hinge = finalLoss(run.metrics, "variance");
  if (hinge !== null && hinge > HINGE_NEAR_ZERO) {
    cannot.push(
      `${label}: the variance hinge ended at ${formatNumber(hinge, 2)} (0 is ideal): the encoder is not trained out, so a ` +
        "weak or missing effect may be due to that.",
    );
  }
  const reconstruction = finalLoss(run.metrics, "reconstruction");
  if (reconstruction !== null) {
    const baselines = Object.entries(
      run.metrics.findLast((row) => row.baselines?.reconstruction)?.baselines?.reconstruction ?? {},
    );
    const compared = baselines.map(([name, value]) => `${name} ${formatCompact(value)}`);
    if (baselines.length === 0) {
      cannot.push(
        `${label}: the reconstruction loss (${formatCompact(reconstruction)} at the end) stands alone, without the error of ` +
          "trivial answers such as a copy of view 2 or the mean image: that it falls proves little.",
      );
    } else if (baselines.every(([, value]) => reconstruction < value)) {
      can.push(
        `${label}: reconstructions (${formatCompact(reconstruction)}) beat the trivial answers (${compared.join(", ")}).`,
      );
    } else {
      cannot.push(
        `${label}: reconstructions (${formatCompact(reconstruction)}) do not beat every trivial answer (${compared.join(", ")}): ` +
          "the decoders need not use the transformation yet.",
      );
    }
  }
  return { can, cannot };
}

function seedStatement(runs: readonly RunData[], evaluations: readonly EvaluationRecord[]): string[] {
  const seeds = new Map<string, Set<number | undefined>>();
  for (const run of runs)
    seeds.set(runLabel(run), (seeds.get(runLabel(run)) ?? new Set()).add(run.info.seed));
  const fewest = Math.min(...[...seeds.values()].map((set) => set.size));
  const statements: string[] = [];
  if (seeds.size > 0 && fewest < SEEDS_NEEDED) {
    statements.push(
      `Whether one method is better than another: there ${fewest === 1 ? "is one training seed" : `are ${fewest} training seeds`} ` +
        `per method. “±” is over probes on one checkpoint, not over trainings; claim a difference from ${SEEDS_NEEDED} seeds on.`,
    );
  }
  if (evaluations.some((record) => record.repeats < REPEATS_NEEDED)) {
    statements.push(
      `How far the probe itself scatters: some rows rest on fewer than ${REPEATS_NEEDED} probe repeats.`,
    );
  }
  return statements;
}

function leakStatement(evaluations: readonly EvaluationRecord[]): string[] {
  const protocols = protocolsOf(evaluations);
  if (!protocols.includes("paper-zero-fill")) return [];
  const hasLeakFree = protocols.some((protocol) => protocol !== "paper-zero-fill");
  return [
    "Rotation under the paper's protocol is not only knowledge of the content: rotating with black fill leaves black " +
      "corners that give the angle away, even to a random encoder. " +
      (hasLeakFree
        ? "Read it beside the leak-free table."
        : "No leak-free evaluation was made here; make one before relying on it."),
  ];
}

/** What the runs show and what they cannot, each as sentences for the reader. */
export function statementsOf(runs: readonly RunData[], evaluations: readonly EvaluationRecord[]): Statements {
  const labels = runLabels(runs);
  const training = runs.map((run, index) => trainingStatements(run, labels[index] ?? run.info.name));
  const perProtocol = protocolsOf(evaluations).map((protocol) => {
    const records = evaluations.filter((record) => record.protocol === protocol);
    const { can, cannot } = againstRandom(records, protocol);
    return { can: [...can, ...betweenTrained(records, protocol)], cannot };
  });
  const small = runs.filter(
    (run) => (presentations(run) ?? 0) < (PUBLISHED_SCALE.images * PUBLISHED_SCALE.epochs) / 10,
  );
  const scale =
    small.length > 0
      ? [
          "Whether the paper's claim holds: these runs see a small fraction of the paper's images. Agreement would not " +
            "confirm it and disagreement would not refute it.",
        ]
      : [];
  return {
    can: [...training, ...perProtocol].flatMap((part) => part.can),
    cannot: [
      ...scale,
      ...seedStatement(runs, evaluations),
      ...leakStatement(evaluations),
      ...[...training, ...perProtocol].flatMap((part) => part.cannot),
    ],
  };
}
