/** @file A run as a library call: the same course however often it is interrupted, and what it refuses to do. */

import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  CheckpointError,
  ConfigError,
  findCheckpoint,
  NonFiniteError,
  type PretrainOptions,
  pretrain,
  RunFolder,
  readDump,
} from "#src/training/index.js";
import { temporaryFolder } from "./helpers.js";
import { tensorsOf, tinyConfig, tinyMethods, tinyRun } from "./tiny.js";

/** The error of a run that must fail. */
async function failure(options: PretrainOptions): Promise<Error> {
  return pretrain({ threads: 1, ...options }).then(
    () => Promise.reject(new Error("the run succeeded")),
    (error: unknown) => error as Error,
  );
}

test.each([1, 2])(
  "six steps, and three and three after a resume, are the same (accumulate %i)",
  async (accumulate) => {
    const folder = temporaryFolder();
    const config = tinyConfig({ accumulate });
    const straight = await tinyRun({ config, out: join(folder, "straight") });
    const out = join(folder, "resumed");
    const first = await tinyRun({ config, out, stopAfter: 3 });
    expect(readdirSync(join(out, "checkpoints")).sort()).toEqual(["latest", "step-00000003"]);
    const second = await tinyRun({ out, resume: true });
    expect(straight.steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...first.steps, ...second.steps]).toEqual(straight.steps);
    expect(new Set(straight.steps.map(({ loss }) => loss.total)).size).toBe(6);
    const [a, b] = [await tensorsOf(join(folder, "straight")), await tensorsOf(out)];
    expect(b).toEqual(a);
    // Moments as well as weights: they decide how it goes on.
    expect([...a.keys()].some((name) => name.startsWith("optimizer/"))).toBe(true);
    expect([...first.warnings, ...second.warnings]).toEqual([]);
  },
);

test("an interrupt between checkpoints makes one, and a run that is done does nothing more", async () => {
  const out = join(temporaryFolder(), "run");
  await tinyRun({ config: tinyConfig(), out, stopAfter: 2 });
  expect((await findCheckpoint(out)).step).toBe(2);
  await tinyRun({ out, resume: true });
  const done = await pretrain({ data: "synthetic:20", out, resume: true, threads: 1 });
  expect(done).toMatchObject({ step: 6, totalSteps: 6, interrupted: false, loss: {} });
});

test("an interrupt before the first step leaves a run that can be resumed", async () => {
  const folder = temporaryFolder();
  const config = tinyConfig();
  const straight = await tinyRun({ config, out: join(folder, "straight") });
  const out = join(folder, "run");
  const result = await pretrain({
    config,
    data: "synthetic:20",
    out,
    threads: 1,
    signal: AbortSignal.abort(),
  });
  expect(result).toMatchObject({ step: 0, interrupted: true });
  expect((await tinyRun({ out, resume: true })).steps).toEqual(straight.steps);
});

test("a damaged newest checkpoint: the one before is taken, and the course is the same", async () => {
  const folder = temporaryFolder();
  const config = tinyConfig({ log: { every: 1, pictures: 0, probes: 0, checkpointEvery: 2 } });
  const straight = await tinyRun({ config, out: join(folder, "straight") });
  const out = join(folder, "run");
  await tinyRun({ config, out, stopAfter: 5 });
  truncateSync(join(out, "checkpoints/step-00000005/state.safetensors"), 1000);
  const resumed = await tinyRun({ out, resume: true });
  expect(resumed.warnings).toHaveLength(1);
  expect(resumed.warnings[0]).toMatch(/step-00000005 is damaged: .* Using step-00000004 instead/);
  expect(resumed.steps).toEqual(straight.steps.slice(4));
});

test("a resumed run keeps its configuration: the same may be given again, another is refused by key", async () => {
  const out = join(temporaryFolder(), "run");
  const config = tinyConfig();
  await tinyRun({ config, out, stopAfter: 1 });
  const changed = tinyConfig({ steps: 9, optimizer: { baseLearningRate: 0.5 } });
  const error = await failure({ config: changed, data: "synthetic:20", out, resume: true });
  expect(error).toBeInstanceOf(ConfigError);
  expect(error.message).toMatch(
    /config\.json: .* begun with another "optimizer\.baseLearningRate", "steps"; .*--init-from/,
  );
  await tinyRun({ config, out, resume: true });
  expect((await findCheckpoint(out)).step).toBe(6);
});

test("a checkpoint saved under another configuration is not taken", async () => {
  const out = join(temporaryFolder(), "run");
  await tinyRun({ config: tinyConfig(), out, stopAfter: 1 });
  const file = join(out, "config.json");
  writeFileSync(file, readFileSync(file, "utf8").replace('"seed": 0', '"seed": 1'));
  const error = await failure({ data: "synthetic:20", out, resume: true });
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.message).toMatch(
    /step-00000001 was saved under another configuration .*config\.json; put the old/,
  );
  expect(existsSync(join(out, "run.lock"))).toBe(false);
});

test("other images than the run was begun on are told", async () => {
  const out = join(temporaryFolder(), "run");
  await tinyRun({ config: tinyConfig(), out, stopAfter: 1 });
  const { warnings } = await tinyRun({ out, resume: true, data: "synthetic:24" });
  expect(warnings).toEqual([expect.stringMatching(/^the images are not those that this run was begun on/)]);
});

test("a new run starts from another's encoder; heads that do not fit start anew, and are named", async () => {
  const folder = temporaryFolder();
  const source = join(folder, "source");
  await tinyRun({ config: tinyConfig({ method: tinyMethods.vicreg }), out: source });
  const trained = await tensorsOf(source);
  const start = async (name: string, options: Partial<PretrainOptions>) => {
    const out = join(folder, name);
    const { warnings } = await tinyRun({
      config: tinyConfig(),
      out,
      signal: AbortSignal.abort(),
      ...options,
    });
    return { warnings, tensors: await tensorsOf(out) };
  };
  const anew = await start("anew", {});
  const { tensors, warnings } = await start("from", { initFrom: source });
  expect(warnings).toEqual([
    expect.stringMatching(/no weights that fit the expander and the decoders: these start/),
  ]);
  for (const [name, value] of tensors) {
    const isTaken = name.startsWith("param/encoder.") || name.startsWith("param/head.");
    expect(value, name).toEqual((isTaken ? trained : anew.tensors).get(name));
  }
  const other = tinyConfig({ encoder: { patchSize: 4, embedDim: 32, depth: 1, numHeads: 2 } });
  const out = join(folder, "other");
  const error = await failure({ config: other, data: "synthetic:20", out, initFrom: source });
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.message).toMatch(/does not fit this configuration: .*param\/encoder\..*\[.*\]/);
  expect(existsSync(out)).toBe(false);
});

test("a run begun with --init-from keeps its first weights, so that a kill before the first checkpoint loses nothing", async () => {
  const folder = temporaryFolder();
  const source = join(folder, "source");
  await tinyRun({ config: tinyConfig(), out: source });
  const out = join(folder, "from");
  // An observer that fails at the first step stands for the kill: no later checkpoint is saved.
  await failure({
    config: tinyConfig(),
    data: "synthetic:20",
    out,
    initFrom: join(source, "checkpoints", "step-00000006"),
    observe: () => ({ step: () => Promise.reject(new Error("killed")) }),
  });
  const checkpoint = await findCheckpoint(out);
  expect(checkpoint.step).toBe(0);
  const encoder = (tensors: ReadonlyMap<string, unknown>) =>
    [...tensors].filter(([name]) => name.startsWith("param/encoder."));
  expect(encoder(await tensorsOf(out))).toEqual(encoder(await tensorsOf(source)));
});

test("a step that is not finite: said, kept to look at, the last checkpoint whole, the folder free", async () => {
  const out = join(temporaryFolder(), "run");
  const config = tinyConfig({
    optimizer: { baseLearningRate: 1e30, warmup: 0 },
    log: { every: 1, pictures: 0, probes: 0, checkpointEvery: 1 },
  });
  const error = await failure({ config, data: "synthetic:20", out });
  expect(error).toBeInstanceOf(NonFiniteError);
  const { step, gradients, inputs } = error as NonFiniteError;
  expect(error.message).toMatch(
    /^step \d: .*(NaN|Infinity|not finite).*left as they were before it\. The step is kept in .*--init-from/,
  );
  expect(Object.values(gradients.losses).every(Number.isFinite)).toBe(false);
  const [path = ""] = /\S+dumps\/step-\d{8}/.exec(error.message) ?? [];
  const dump = await readDump(path);
  expect(Object.keys(dump.inputs).sort()).toEqual(Object.keys(inputs).sort());
  expect(dump.inputs["view/v1"]).toEqual(inputs["view/v1"]);
  const checkpoint = await findCheckpoint(out);
  expect(checkpoint.step).toBe(step);
  for (const [name, { data }] of await tensorsOf(out)) {
    expect((data as Float32Array).every(Number.isFinite), name).toBe(true);
    expect(dump.state[name]?.data, name).toEqual(data);
  }
  RunFolder.open(out).release();
});

test("a state that the update has spoilt is not saved over a good one", async () => {
  const out = join(temporaryFolder(), "run");
  const config = tinyConfig({
    // The update of the first step is beyond float32.
    optimizer: { baseLearningRate: 1e42, warmup: 0 },
    log: { every: 1, pictures: 0, probes: 0, checkpointEvery: 1 },
  });
  const error = await failure({ config, data: "synthetic:20", out });
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.message).toMatch(
    /^step 1: param\/\S+ is not finite after the update, so no checkpoint was written/,
  );
  expect(readdirSync(join(out, "checkpoints"))).toEqual([]);
});

test("what cannot begin leaves the folder as it was, also with --overwrite", async () => {
  const folder = temporaryFolder();
  const out = join(folder, "run");
  await tinyRun({ config: tinyConfig(), out, stopAfter: 1 });
  const before = readdirSync(out, { recursive: true }).sort();
  const config = tinyConfig();
  const refused: [Partial<PretrainOptions>, RegExp][] = [
    [{ config, data: join(folder, "absent"), overwrite: true }, /absent does not exist/],
    [{ config: tinyConfig({ batchSize: 64 }), overwrite: true }, /more than the 20 images/],
    [{ config: tinyConfig({ batchSize: 1 }), overwrite: true }, /"batchSize" 1 is too small/],
    [{ config, out: join(folder, "new"), data: join(folder, "absent") }, /absent does not exist/],
    [{ config, out: join(folder, "new"), initFrom: join(folder, "absent") }, /absent holds no checkpoint/],
    [{ config }, /already holds a run/],
    [{ config, out: join(folder, "new"), resume: true }, /there is no run to resume/],
    [{ out: join(folder, "new") }, /a new run needs a configuration/],
  ];
  for (const [options, message] of refused) {
    expect((await failure({ data: "synthetic:20", out, ...options })).message).toMatch(message);
    expect(readdirSync(out, { recursive: true }).sort()).toEqual(before);
    expect(readdirSync(folder)).toEqual(["run"]);
  }
});

test("an observer that fails does not lock the folder, nor hide why the run failed", async () => {
  const out = join(temporaryFolder(), "run");
  const warnings: string[] = [];
  const error = await failure({
    config: tinyConfig(),
    data: "synthetic:20",
    out,
    warn: (message) => warnings.push(message),
    observe: () => ({
      step: () => {
        throw Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
      },
      close: () => {
        throw new Error("closing failed too");
      },
    }),
  });
  expect(error.message).toMatch(
    /run cannot be written any more: no space left on the device .* with --resume/,
  );
  expect(warnings).toEqual([expect.stringMatching(/closing failed too/)]);
  RunFolder.open(out).release();
});
