/** @file What `inbetween pretrain` cannot do: exit code 1, a message that says why and what to do, and no trace. */

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { findCheckpoint } from "#src/training/index.js";
import { picture, put, putPictures } from "../data/helpers.js";
import { makeReadOnly, smallDisk } from "../training/helpers.js";
import { metricsOf } from "../training/tiny.js";
import { inbetween, inbetweenJson, temporaryFolder } from "./helpers.js";
import { writeRecipe } from "./tiny-recipe.js";

const folder = temporaryFolder();
const recipe = writeRecipe(folder);
const log = { every: 1, pictures: 0, probes: 0, checkpointEvery: 2 };

/** Runs a command that must fail, with this message and nothing on stdout. */
async function refused(args: readonly string[], message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await inbetween(...args);
  expect(stderr).toMatch(message);
  expect(stderr, "a stack trace is for bugs").not.toMatch(/\n\s+at /);
  expect(code).toBe(1);
  expect(stdout).toBe("");
}

interface Attempt {
  readonly data?: string;
  /** Values of the recipe that are replaced. */
  readonly changes?: Readonly<Record<string, unknown>>;
  readonly flags?: readonly string[];
}

let attempts = 0;

/** A new run that must be refused before anything is written. */
async function refusedRun(
  { data = "synthetic:20", changes, flags = [] }: Attempt,
  message: RegExp,
): Promise<void> {
  const number = attempts++;
  const file = changes ? writeRecipe(folder, changes, `recipe-${number}.yaml`) : recipe;
  const out = join(folder, `run-${number}`);
  const chosen = flags.includes("--recipe") ? [] : ["--recipe", file];
  await refused(["pretrain", data, "--out", out, "--threads", "1", ...chosen, ...flags], message);
  expect(existsSync(out), "a run folder is left").toBe(false);
}

describe("data", () => {
  test("a missing folder", () =>
    refusedRun(
      { data: join(folder, "absent") },
      /^error: The folder \S+absent does not exist: check the path/,
    ));

  test("an empty folder", () => {
    put(folder, "empty/.hidden", "");
    return refusedRun(
      { data: join(folder, "empty") },
      /^error: The folder \S+empty holds no image: put JPEG, PNG/,
    );
  });

  test("a file instead of a folder", () => {
    const file = put(folder, "photo.jpg", "");
    return refusedRun(
      { data: file },
      /photo\.jpg is a file, expected a folder of images or a tar archive: give the folder that holds it/,
    );
  });

  test("one image", async () => {
    await putPictures(join(folder, "single"), 1);
    await refusedRun(
      { data: join(folder, "single") },
      /^error: "batchSize" 8 is more than the 1 image of single; add/,
    );
  });

  test("a batch larger than the data", () =>
    refusedRun(
      { data: "synthetic:5" },
      /^error: "batchSize" 8 is more than the 5 images of synthetic; use at most 5, or add images/,
    ));

  test("no image among the files", () => {
    for (const name of ["a.txt", "b.txt"]) put(folder, `texts/${name}`, "text");
    return refusedRun(
      { data: join(folder, "texts") },
      /^error: No image is left in \S+texts: all 2 files are unusable/,
    );
  });

  test("images of 1x1 only, which show when they are decoded", async () => {
    const dots = join(folder, "dots");
    for (let i = 0; i < 9; i++) put(dots, `${i}.png`, await picture(i, 1, 1).png().toBuffer());
    const out = join(folder, "dots-run");
    await refused(
      ["pretrain", dots, "--out", out, "--recipe", recipe],
      /error: \d of 9 files in \S+dots are unusable .*1x1 pixels: too small.*named in \S+skipped\.txt/,
    );
    expect(existsSync(join(out, "run.lock"))).toBe(false);
  });
});

describe("configuration", () => {
  const encoder = { patchSize: 4, embedDim: 16, depth: 1, numHeads: 2 };
  const vicreg = { name: "vicreg", width: 16, expander: [16, 16] };

  test.each<[string, Attempt, RegExp]>([
    [
      "an image size that is no multiple of the patch",
      { flags: ["--set", "imageSize=18"] },
      /"imageSize" 18 is not a multiple of "encoder\.patchSize" 4; use (16|20), or another patch size/,
    ],
    [
      "a head count that does not divide",
      { changes: { encoder: { ...encoder, numHeads: 5 } } },
      /numHeads 5 does not divide embedDim 16; use for example 4 heads/,
    ],
    [
      "equivariant channels above the width",
      { flags: ["--set", "method.equivariantDim=17"] },
      /17 equivariant channels leave nothing of the 16 for the loss; use fewer than 16/,
    ],
    [
      "equivariant channels above the embedding",
      { flags: ["--set", "method.equivariantDim=17", "--set", "method.base={name: vicreg, site: encoder}"] },
      /17 equivariant channels leave nothing of the 16 for the loss; use fewer than 16/,
    ],
    [
      "a negative lambda",
      { flags: ["--set", "method.lambda=-1"] },
      /"method\.lambda": expected number to be >=0 \(got -1\)/,
    ],
    [
      "one image a batch for VICReg",
      { changes: { method: vicreg, batchSize: 1 } },
      /"batchSize" 1 is too small: the loss of VICReg compares the samples of a batch; use at least 2/,
    ],
    [
      "micro-batches that do not divide",
      { flags: ["--accumulate", "3"] },
      /"batchSize" 8 is not a multiple of "accumulate" 3/,
    ],
    [
      "steps and epochs",
      { flags: ["--steps", "3", "--epochs", "2"] },
      /"steps" 3 and "epochs" 2 both set the length; keep one/,
    ],
    ["an unknown key", { changes: { bachSize: 3 } }, /unknown key "bachSize"; did you mean "batchSize"\?/],
    [
      "an unknown key of --set",
      { flags: ["--set", "method.lamda=1"] },
      /unknown key "method\.lamda"; did you mean "lambda"\?/,
    ],
    ["a --set without a value", { flags: ["--set", "steps"] }, /--set steps: expected KEY=VALUE/],
    [
      "a --set that is no YAML",
      { flags: ["--set", "optimizer.betas=[0.9"] },
      /--set optimizer\.betas=\[0\.9: /,
    ],
    [
      "an unknown recipe",
      { flags: ["--recipe", "quick/inbetwen"] },
      /no recipe "quick\/inbetwen".*did you mean "quick\/inbetween"\?/,
    ],
    ["--steps 0", { flags: ["--steps", "0"] }, /expected a whole number from 1/],
  ])("%s", (_, attempt, message) => refusedRun(attempt, message));

  test("a recipe that is no YAML, and an empty one", async () => {
    const broken = put(folder, "broken.yaml", "name: [");
    await refusedRun({ flags: ["--recipe", broken] }, /broken\.yaml: .*line 1/s);
    const empty = put(folder, "nothing.yaml", "");
    await refusedRun(
      { flags: ["--recipe", empty] },
      /nothing\.yaml: expected a mapping of keys to values at the top/,
    );
  });
});

describe("command line", () => {
  test.each<[string, readonly string[], RegExp]>([
    ["an unknown command", ["pretrane", "x"], /unknown command 'pretrane'\s+\(Did you mean pretrain\?\)/],
    [
      "an unknown flag",
      ["pretrain", "x", "--out", "y", "--stpes", "3"],
      /unknown option '--stpes'\s+\(Did you mean --steps\?\)/,
    ],
    ["no --out", ["pretrain", "x"], /required option '--out <run>' not specified/],
    ["no data", ["pretrain", "--out", "y"], /missing required argument 'data'/],
    [
      "an unknown device",
      ["pretrain", "x", "--out", "y", "--device", "gpu"],
      /Allowed choices are cpu, webgpu/,
    ],
    [
      "a number that is none",
      ["pretrain", "x", "--out", "y", "--epochs", "many"],
      /expected a number above 0/,
    ],
    [
      "two ways to start",
      ["pretrain", "x", "--out", "y", "--resume", "--overwrite"],
      /^error: --resume and --overwrite exclude each other, expected at most one of them/,
    ],
    [
      "two other ways to start",
      ["pretrain", "x", "--out", "y", "--init-from", "z", "--overwrite"],
      /^error: --init-from and --overwrite exclude each other/,
    ],
  ])("%s", (_, args, message) => refused(args, message));

  test("every flag is explained, with examples", async () => {
    const { code, stdout } = await inbetween("pretrain", "--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(/--resume .*\n[\s\S]*Examples:\n {2}inbetween pretrain /);
  });
});

test("a GPU that is not there", async ({ skip }) => {
  if (process.platform !== "linux") skip("only Vulkan's driver can be hidden");
  vi.stubEnv("VK_DRIVER_FILES", join(folder, "no-driver.json"));
  vi.stubEnv("VK_ICD_FILENAMES", join(folder, "no-driver.json"));
  onTestFinished(() => void vi.unstubAllEnvs());
  await refusedRun(
    { flags: ["--device", "webgpu"] },
    /^error: the provider "webgpu" does not start on this machine .*--device cpu/,
  );
});

describe("a run that is there", () => {
  const out = join(folder, "there");
  const start = ["pretrain", "synthetic:20", "--out", out, "--threads", "1"];
  const original = join(folder, "original");

  beforeAll(async () => {
    const file = writeRecipe(folder, { log }, "there.yaml");
    await inbetweenJson("pretrain", "synthetic:20", "--out", original, "--recipe", file, "--threads", "1");
  });

  beforeEach(() => {
    rmSync(out, { recursive: true, force: true });
    cpSync(original, out, { recursive: true });
  });

  test("is not begun again, and keeps its configuration", async () => {
    await refused(
      [...start, "--recipe", recipe],
      /already holds a run\. Continue it with --resume, .*--overwrite/,
    );
    await refused(
      [...start, "--resume", "--steps", "9"],
      /config\.json: .* begun with another "steps"; .*--init-from/,
    );
  });

  test("a checkpoint from another configuration", async () => {
    const file = join(out, "config.json");
    const record = JSON.parse(readFileSync(file, "utf8")) as {
      config: { seed: number };
    };
    record.config.seed = 5;
    writeFileSync(file, JSON.stringify(record));
    await refused(
      [...start, "--resume"],
      /step-00000006 was saved under another configuration than the run's config\.json/,
    );
    const other = writeRecipe(
      folder,
      { encoder: { patchSize: 4, embedDim: 32, depth: 1, numHeads: 2 } },
      "other.yaml",
    );
    const more = ["--recipe", other, "--init-from", out];
    await refusedRun({ flags: more }, /step-00000006 does not fit this configuration: .*param\/encoder\./);
  });

  test("a truncated checkpoint: the one before is taken; none whole is an error that names each", async () => {
    const { path } = await findCheckpoint(out);
    truncateSync(join(path, "state.safetensors"), 1000);
    const { code, stderr } = await inbetween(...start, "--resume");
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: \S+step-00000006 is damaged: .* Using step-00000004 instead/);
    for (const name of readdirSync(join(out, "checkpoints"))) {
      if (name !== "latest") truncateSync(join(out, "checkpoints", name, "state.safetensors"), 1000);
    }
    await refused(
      [...start, "--resume"],
      /No checkpoint in \S+ is whole: .*step-00000006 .*step-00000004 .*--overwrite/,
    );
  });
});

test("a read-only disk", async ({ skip }) => {
  const disk = smallDisk(1 << 20) ?? skip("this process may not mount a small disk");
  makeReadOnly(disk);
  await refused(
    ["pretrain", "synthetic:20", "--out", join(disk, "run"), "--recipe", recipe],
    /^error: \S+run cannot be used for a run: the file system is read-only \(EROFS\)\. Choose a folder/,
  );
});

test("a disk that fills up: the last checkpoint is whole, and with more space the run goes on", async ({
  skip,
}) => {
  // Room for the run's files and two checkpoints of 167 kB, not for the third.
  const disk = smallDisk(440 << 10) ?? skip("this process may not mount a small disk");
  const out = join(disk, "run");
  const file = writeRecipe(folder, { steps: 8, log }, "disk.yaml");
  const start = ["pretrain", "synthetic:20", "--threads", "1", "--out"];
  await refused(
    [...start, out, "--recipe", file],
    /error: .*no space left on the device \(ENOSPC\).*--resume/s,
  );
  expect((await findCheckpoint(out)).step).toBe(4);
  expect(existsSync(join(out, "run.lock"))).toBe(false);
  expect(spawnSync("mount", ["-o", "remount,size=4M", disk]).status).toBe(0);
  await inbetweenJson(...start, out, "--resume");
  const straight = join(folder, "straight");
  await inbetweenJson(...start, straight, "--recipe", file);
  const losses = (run: string) => metricsOf(run).map(({ step, loss }) => ({ step, loss }));
  expect(losses(out)).toEqual(losses(straight));
});
