/** @file `inbetween replay`: dumps of steps that are not finite, spoilt at a known place or by training too fast. */

import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadRecipe } from "#src/cli/recipes.js";
import { randomStream } from "#src/random.js";
import { Device, float32, type HostValue } from "#src/runtime/index.js";
import {
  buildMethod,
  cropsOf,
  type Gradients,
  initializeState,
  makeOptimizer,
  NonFiniteError,
  RunFolder,
  savedTypes,
  stepInputs,
  writeDump,
} from "#src/training/index.js";
import { inbetween, inbetweenJson, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();

/** A run folder with the dump of a step before which one element of a state was set. Returns the dump. */
async function spoiltStep(
  name: string,
  state: string,
  value: number,
  set: readonly string[] = [],
): Promise<string> {
  const config = loadRecipe(tinyRecipe(folder), { set });
  const run = RunFolder.create(join(folder, name), { recipe: { name: "tiny", hash: "" }, config });
  const { method } = buildMethod(config);
  const optimizer = makeOptimizer(config);
  await using device = await Device.open({ threads: 1 });
  await initializeState(device, method, optimizer, 0);
  const values = await device.getState([state]);
  const { data, shape } = values[state] as HostValue<"float32">;
  const spoilt = data.slice();
  spoilt[0] = value;
  await device.setState({ [state]: float32(spoilt, shape) });
  const random = randomStream(0, "images");
  const batch = {
    step: 0,
    epoch: 0,
    count: config.batchSize,
    indices: Int32Array.from({ length: config.batchSize }, (_, i) => i),
    labels: undefined,
    views: cropsOf(method).map((crop) =>
      Uint8Array.from({ length: config.batchSize * 3 * crop.size ** 2 }, () => random.integer(256)),
    ),
  };
  const gradients: Gradients = { losses: { total: Number.NaN }, metrics: {}, norms: {}, bytesToDevice: 0 };
  const error = new NonFiniteError(
    6,
    gradients,
    stepInputs(method, batch, {
      ...config,
      seed: 0,
      length: { totalSteps: 10, stepsPerEpoch: 5 },
    }),
  );
  const dump = await writeDump(run.dumps, error, device, Object.keys(savedTypes(method, optimizer)));
  run.release();
  return dump;
}

interface Result {
  what: string;
  losses: Record<string, number | string>;
  notFinite: { source: string; nan: number }[];
  first?: {
    operator: string;
    near: string[];
    inputs: { source: string; shape: number[]; min: number; max: number; nan: number; infinite: number }[];
    output: { source: string; shape: number[]; nan: number; infinite: number };
  };
  sources: number;
  affected: number;
}

describe("replay", () => {
  it("finds the product that overflows", async () => {
    // 3e38 times anything above 1.2 exceeds float32, and normalised features reach that.
    const weight = "param/encoder.blocks.0.mlp.fc1.weight";
    const dump = await spoiltStep("overflow", weight, 3e38);
    const { what, losses, notFinite, first, sources, affected } = (await inbetweenJson(
      "replay",
      dump,
    )) as unknown as Result;
    expect(what).toMatch(/loss total = NaN/);
    expect(losses.total).toBe("NaN");
    expect(notFinite).toEqual([]);
    expect(first?.operator).toBe("matmul");
    expect(first?.near).toContain(weight);
    // [B * T, 16] times the transpose of [64, 16], for 2 views of 8 images of 17 tokens.
    expect(first?.inputs.map(({ shape }) => shape)).toEqual([
      [272, 16],
      [64, 16],
    ]);
    // The weight, or what the layer norm before it makes of the weight.
    expect(first?.inputs[1]).toMatchObject({ nan: 0, infinite: 0 });
    expect(first?.inputs[1]?.max).toBeGreaterThan(2e38);
    expect(first?.output).toMatchObject({ source: "matmul", shape: [272, 64] });
    expect(first?.output.infinite).toBeGreaterThan(0);
    // Only the first of 64 hidden units is touched.
    expect((first?.output.infinite ?? 0) + (first?.output.nan ?? 0)).toBeLessThanOrEqual(272);
    expect(sources).toBeGreaterThan(0);
    expect(affected).toBeGreaterThan(sources);
  });

  it("names state that was not finite before the step", async () => {
    const dump = await spoiltStep("nan", "param/decoders.0.linear.bias", Number.NaN, ["accumulate=2"]);
    const result = (await inbetweenJson("replay", dump)) as unknown as Result;
    expect(result.notFinite).toEqual([
      expect.objectContaining({ source: "param/decoders.0.linear.bias", nan: 1 }),
    ]);
    // Everything after it is affected, nothing else makes a NaN of finite numbers.
    expect(result.sources).toBe(0);
    expect(result.affected).toBeGreaterThan(0);
    expect(result.what).toMatch(/reconstruction = NaN/);
    // The other parts of the loss do not see the decoders.
    expect(result.losses.invariance).toEqual(expect.any(Number));
    const { stdout } = await inbetween("replay", dump);
    expect(stdout).toMatch(
      /Not finite before the step began:\n {2}param\/decoders\.0\.linear\.bias \[8\]: .* 1 NaN/,
    );
  });

  it("looks into each micro-batch where these have masks of their own", async () => {
    const dump = await spoiltStep("masks", "param/head.last_layer.weight_g", Number.POSITIVE_INFINITY, [
      "method={name: ibot, outputDim: 16, hiddenDim: 16, bottleneckDim: 8}",
      "accumulate=2",
    ]);
    const result = (await inbetweenJson("replay", dump)) as unknown as Result;
    expect(result.notFinite).toEqual([expect.objectContaining({ source: "param/head.last_layer.weight_g" })]);
    expect(result.what).toMatch(/patch = NaN/);
    expect(result.affected).toBeGreaterThan(0);
  });

  it("says when everything is finite", async () => {
    const dump = await spoiltStep("finite", "param/head.bias", 0.5);
    const result = (await inbetweenJson("replay", dump)) as unknown as Result;
    expect(result).toMatchObject({ what: "all finite", notFinite: [], sources: 0, affected: 0 });
    expect(result.losses.total).toEqual(expect.any(Number));
  });

  it("replays what a pretraining with too high a rate leaves", async () => {
    const run = join(folder, "diverged");
    const settings = ["optimizer.baseLearningRate=1e30", "optimizer.warmup=0"].flatMap((text) => [
      "--set",
      text,
    ]);
    const args = ["pretrain", "synthetic:16", "--recipe", tinyRecipe(folder), "--out", run, ...settings];
    const { code, stderr } = await inbetween(...args);
    expect(code).not.toBe(0);
    const [, dump = ""] = /look at it with `inbetween replay (.*)`/.exec(stderr) ?? [];
    expect(readdirSync(join(run, "dumps")).map((name) => join(run, "dumps", name))).toEqual([dump]);
    const replayed = await inbetween("replay", dump);
    expect(replayed.code).toBe(0);
    expect(replayed.stdout).toMatch(/The operation "\w+" makes it of finite numbers/);
    const { what } = JSON.parse(readFileSync(join(dump, "dump.json"), "utf8")) as { what: string };
    expect(replayed.stdout.split("\n")[0]).toBe(what);
  });

  it("rejects folders that hold no step, or one of another configuration", async () => {
    const dump = await spoiltStep("other", "param/head.bias", 0.5);
    const run = join(folder, "other");
    const none = await inbetween("replay", run);
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(
      /other holds no step: it has no inputs\.safetensors; give the folder .*RUN\/dumps/,
    );

    const alone = join(folder, "alone", "dumps", "step-00000007");
    cpSync(dump, alone, { recursive: true });
    const noRun = await inbetween("replay", alone);
    expect(noRun.code).toBe(1);
    expect(noRun.stderr).toMatch(/alone is no run folder: it has no config\.json/);

    const file = join(run, "config.json");
    writeFileSync(file, readFileSync(file, "utf8").replace('"embedDim": 16', '"embedDim": 32'));
    const changed = await inbetween("replay", dump);
    expect(changed.code).toBe(1);
    expect(changed.stderr).toMatch(
      /is of another configuration than .*config\.json: "param\/.*put the run's own/,
    );

    rmSync(join(dump, "state.safetensors"));
    expect(existsSync(dump)).toBe(true);
    const cut = await inbetween("replay", dump);
    expect(cut.code).toBe(1);
    expect(cut.stderr).toMatch(/state\.safetensors/);
  });
});
