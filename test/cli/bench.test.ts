/** @file `inbetween bench step`: rows, the peer's turns and ratios, bad input. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { BenchRow, Overhead, PeerResult } from "#src/cli/bench/compare.js";
import { type BenchMethod, makeWorkload, peerStep } from "#src/cli/bench/workload.js";
import { parameterCount } from "#src/nn/index.js";
import { inbetween, inbetweenJson, temporaryFolder } from "./helpers.js";

const folder = temporaryFolder();
const fakePeer = fileURLToPath(new URL("./fake-peer.mjs", import.meta.url));
const small = ["--model", "vit-tiny-16@32", "--batch", "2", "--threads", "1"];

/** ViT-Ti/16 at 32 px (timm's formula): 12 blocks of 444,864, embedding, class token, positions, norm; and the head. */
const parameters = 12 * 444_864 + (768 * 192 + 192) + 192 + 5 * 192 + 2 * 192 + (192 * 512 + 512);
const tokens = 5;
/** Layer norms' shifts through the weights of qkv and fc1, once a step whatever the batch. */
const shifts = 12 * 2 * (3 + 4) * 192 ** 2;
const forward =
  2 * 2 * 4 * 768 * 192 +
  2 * 12 * (24 * tokens * 192 ** 2 + 4 * tokens ** 2 * 192) +
  shifts +
  2 * 2 * 192 * 512;
/** Three products for each of the forward's but the embedding, whose images need no gradient. */
const flops = 3 * forward - 2 * 2 * 4 * 768 * 192;

describe("bench step", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("measures a plain step", async () => {
    const { rows, peer } = (await inbetweenJson("bench", "step", ...small, "--steps", "3")) as unknown as {
      rows: BenchRow[];
      peer: null;
    };
    expect(peer).toBeNull();
    expect(rows).toHaveLength(1);
    const [row] = rows as [BenchRow];
    expect(row).toMatchObject({ name: "vit-tiny-16@32", method: "plain", batch: 2, parameters });
    expect(row.milliseconds).toBeGreaterThan(0);
    expect(row.imagesPerSecond).toBeCloseTo(2000 / row.milliseconds, 6);
    expect(row.gflops).toBeCloseTo(flops / row.milliseconds / 1e6, 6);
    expect(row.gemmFraction).toBeGreaterThan(0.02);
    expect(row.gemmFraction).toBeLessThan(1);
    // More than the weights, gradients and moments; less than a machine.
    expect(row.peakMemoryMB).toBeGreaterThan((4 * 4 * parameters) / 2 ** 20);
    expect(row.peakMemoryMB).toBeLessThan(4000);
  });

  it("measures whole steps of the methods, augmentation included", async () => {
    const args = [
      "--model",
      "vit-tiny-16@32",
      "--batch",
      "2",
      "--steps",
      "1",
      "--method",
      "inbetween-vicreg",
    ];
    const { rows } = (await inbetweenJson("bench", "step", ...args)) as unknown as { rows: BenchRow[] };
    expect(rows[0]).toMatchObject({ method: "inbetween-vicreg", batch: 2 });
    expect(rows[0]?.millisecondsByOperator).toHaveProperty("GridSample");
  });

  it("lets methods take turns, says what the in-between task adds, and leaves peers out where there are none", async () => {
    const log = join(folder, "turns.log");
    vi.stubEnv("PEER_LOG", log);
    // ViT-Ti/16 at 64 px with iBOT's mask token, and a head of 192-2048-2048-256-8192 whose prototypes have lengths.
    const ibot =
      12 * 444_864 +
      (768 * 192 + 192) +
      3 * 192 +
      16 * 192 +
      2 * 192 +
      (192 * 2048 + 2048) +
      (2048 * 2048 + 2048) +
      (2048 * 256 + 256) +
      8192 * 257;
    vi.stubEnv("PEER_PARAMETERS", `${ibot}`);
    const result = (await inbetweenJson(
      ...["bench", "step", "--model", "vit-tiny-16@64", "--batch", "1", "--threads", "1", "--steps", "1"],
      ...["--method", "inbetween-ibot", "--method", "ibot", "--peer", fakePeer],
    )) as unknown as { rows: [BenchRow, BenchRow]; overheads: Overhead[]; peer: PeerResult };
    const [task, base] = result.rows;
    expect([task.method, base.method]).toEqual(["inbetween-ibot", "ibot"]);
    expect(base.parameters).toBe(ibot);
    // Views come as the loader gives them: nothing is warped but the second view and the targets.
    expect(base.millisecondsByOperator).not.toHaveProperty("GridSample");
    expect(task.millisecondsByOperator).toHaveProperty("GridSample");
    expect(result.overheads).toEqual([
      {
        name: "vit-tiny-16@64",
        method: "inbetween-ibot",
        base: "ibot",
        time: task.milliseconds / base.milliseconds - 1,
        memory: task.peakMemoryMB / base.peakMemoryMB - 1,
      },
    ]);
    expect(result.peer.failures).toEqual([]);
    expect(result.peer.ratios.map(({ method, against }) => [method, against])).toEqual([["ibot", "eager"]]);
    const [start, ...asked] = readFileSync(log, "utf8").trim().split("\n");
    expect(start).toMatch(/ibot_step\.py .*--image 64 .*--batch 1 --locals 8 --local-size 32 --mode eager/);
    expect(asked).toEqual(["eager: run 1", "eager: quit"]);
  });

  it("builds the steps of DINOv2 and MAE with the official sizes, and asks the peers for the same", () => {
    const workload = (method: BenchMethod) => ({ model: "vit-small-16@224", method, batch: 4 });
    const count = (method: BenchMethod) => parameterCount(makeWorkload(workload(method)).method.parameters);
    const block = (width: number) => 12 * width ** 2 + 13 * width;
    const encoder = 12 * block(384) + (768 * 384 + 384) + 384 + 2 * 384;
    const head = 384 * 2048 + 2048 + (2048 * 2048 + 2048) + (2048 * 256 + 256) + 65536 * 257;
    // LayerScale, positions, a mask token.
    expect(count("dinov2")).toBe(encoder + 24 * 384 + 197 * 384 + 384 + head);
    expect(count("mae")).toBe(encoder + 8 * block(512) + 385 * 512 + 512 + 2 * 512 + 513 * 768);
    expect(peerStep(workload("dinov2"))).toMatchObject({ script: "dinov2_step.py", modes: ["eager"] });
    expect(peerStep(workload("dinov2"))?.flags.join(" ")).toMatch(/--batch 4 --locals 8 --local-size 96$/);
    expect(peerStep(workload("mae"))?.flags.join(" ")).toMatch(/--batch 4$/);
    expect(peerStep(workload("inbetween-dinov2"))).toBeUndefined();
  });

  it("takes turns with a peer and compares with its better mode", async () => {
    const log = join(folder, "peer.log");
    vi.stubEnv("PEER_LOG", log);
    vi.stubEnv("PEER_PARAMETERS", `${parameters}`);
    const result = (await inbetweenJson(
      "bench",
      "step",
      ...small,
      "--steps",
      "4",
      "--peer",
      fakePeer,
    )) as unknown as {
      rows: [BenchRow];
      peer: PeerResult;
    };
    const [{ milliseconds, peakMemoryMB }] = result.rows;
    expect(result.peer.failures).toEqual([]);
    expect(result.peer.rows.map(({ mode, milliseconds }) => [mode, milliseconds])).toEqual([
      ["eager", 4000],
      ["compile", 2000],
    ]);
    expect(result.peer.ratios).toEqual([
      {
        name: "vit-tiny-16@32",
        method: "plain",
        against: "compile",
        speed: 2000 / milliseconds,
        memory: peakMemoryMB / 200,
      },
    ]);
    const asked = readFileSync(log, "utf8").trim().split("\n");
    expect(asked[0]).toMatch(
      /step\.py .*--image 32 --patch 16 --dim 192 --depth 12 --heads 3 --batch 2 --mode eager/,
    );
    expect(asked.slice(2)).toEqual([
      "eager: run 2",
      "compile: run 2",
      "eager: run 2",
      "compile: run 2",
      "eager: quit",
      "compile: quit",
    ]);
  });

  it("goes on with the mode that runs, and says when the peer's step is another", async () => {
    vi.stubEnv("PEER_LOG", join(folder, "other.log"));
    vi.stubEnv("PEER_PARAMETERS", "7");
    vi.stubEnv("PEER_FAILS", "compile");
    const { peer } = (await inbetweenJson(
      "bench",
      "step",
      ...small,
      "--steps",
      "1",
      "--peer",
      fakePeer,
    )) as unknown as {
      peer: PeerResult;
    };
    expect(peer.ratios.map(({ against }) => against)).toEqual(["eager"]);
    expect(peer.failures.join("\n")).toMatch(
      /\(compile\) ended \(exit code 1\).*\n.*No module named 'torch'/,
    );
    expect(peer.failures.join("\n")).toMatch(/the peer trains 7 numbers, we \d+: not the same step/);
  });

  it.each([
    [
      "a model that is none",
      ["--model", "vit-tny-4@32"],
      /no model "vit-tny-4@32"; did you mean "vit-tiny-4@32"\?/,
    ],
    [
      "a patch that does not fit",
      ["--model", "vit-tiny-5@32"],
      /"imageSize" 32 is not a multiple of .* 5; use 30/,
    ],
    ["a batch of 0", ["--batch", "0"], /--batch.*expected a whole number from 1/],
    [
      "a method that is none",
      ["--method", "dinov3"],
      /--method.*there is no such method; did you mean "dinov2"\?/,
    ],
    [
      "a peer for a method without one",
      ["--method", "inbetween-ibot", "--peer", "x"],
      /--peer: PyTorch has no step for inbetween-ibot; leave it out/,
    ],
    [
      "DINOv2 on one image",
      ["--model", "vit-tiny-16@64", "--method", "dinov2", "--batch", "1"],
      /"batchSize" 1 is too small.*DINOv2/,
    ],
    ["a wrong option", ["--stepps", "3"], /unknown option '--stepps'\n\(Did you mean --steps\?\)/],
    [
      "a peer on another device",
      ["--device", "webgpu", "--peer", "x"],
      /--peer runs on the CPU, --device is webgpu/,
    ],
    [
      "a Python that is not there",
      [...small, "--peer", "/no/python"],
      /the peer \/no\/python \(eager\).*ENOENT/,
    ],
  ])("rejects %s", async (_, args, message) => {
    const { code, stdout, stderr } = await inbetween("bench", "step", ...args);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
    expect(code).not.toBe(0);
  });

  it("shows examples in its help, and rejects other benchmarks", async () => {
    const help = await inbetween("bench", "step", "--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(/Examples:\n {2}inbetween bench step/);
    const other = await inbetween("bench", "stp");
    expect(other.code).not.toBe(0);
    expect(other.stderr).toMatch(/unknown command 'stp'\n\(Did you mean step\?\)/);
  });

  it("rejects a peer that does not speak the protocol", async () => {
    const script = join(folder, "chatty");
    writeFileSync(script, "#!/bin/sh\necho hello\n", { mode: 0o755 });
    const { code, stderr } = await inbetween("bench", "step", ...small, "--peer", script);
    expect(code).toBe(1);
    expect(stderr).toMatch(/answered "hello", expected one JSON object/);
  });
});
