/** @file `inbetween doctor`: what it finds here, what it makes of it, and that one failing probe leaves the others. */

import { availableParallelism } from "node:os";
import { describe, expect, it } from "vitest";
import { advise } from "#src/cli/doctor/advice.js";
import { examine, type Findings, probes } from "#src/cli/doctor/probes.js";
import { inbetween, inbetweenJson } from "./helpers.js";

const good: Findings = {
  system: { platform: "linux", architecture: "x64" },
  cpu: { model: "test", cores: 16, simd: ["avx2", "fma"], load: 0.2 },
  memory: { total: 64, available: 60 },
  disk: { free: 100 },
  providers: [
    { name: "cpu", starts: true, gflops: 500 },
    { name: "webgpu", starts: true, gflops: 400, adapter: "Test GPU" },
  ],
};

describe("doctor", () => {
  it("tells what works here", async () => {
    const found = (await inbetweenJson("doctor")) as unknown as Findings & {
      failures: object;
      advice: string[];
    };
    expect(found.failures).toEqual({});
    expect(found.versions?.node).toBe(process.versions.node);
    expect(found.versions?.onnxruntime).toMatch(/^\d+\.\d+\.\d+/);
    expect(found.images?.libvips).toMatch(/^\d+\.\d+\.\d+/);
    expect(found.cpu?.cores).toBe(availableParallelism());
    expect(found.memory?.available).toBeGreaterThan(0);
    expect(found.memory?.available).toBeLessThanOrEqual(found.memory?.total ?? 0);
    expect(found.disk?.free).toBeGreaterThan(0);
    const [cpu, webgpu] = found.providers ?? [];
    expect(cpu).toMatchObject({ name: "cpu", starts: true });
    // Any machine of this century, no machine of it.
    expect(cpu?.gflops).toBeGreaterThan(1);
    expect(cpu?.gflops).toBeLessThan(100_000);
    expect(webgpu?.name).toBe("webgpu");
    if (!webgpu?.starts) expect(webgpu?.reason).toMatch(/does not start on this machine \(.*: .{20}/);
  });

  it("prints the same for people", async () => {
    const { code, stdout } = await inbetween("doctor");
    expect(code).toBe(0);
    expect(stdout).toMatch(/--device cpu.* GFLOP\/s in matrix products/);
    expect(stdout).toMatch(/GiB free in this folder/);
  });

  it("goes on when a probe fails", async () => {
    const fail = (): never => {
      throw new Error("no such place");
    };
    const few = { ...probes, disk: fail, images: () => Promise.reject(new Error("libvips is missing")) };
    const { findings, failures } = await examine({ ...few, providers: () => [] });
    expect(failures).toEqual({ disk: "no such place", images: "libvips is missing" });
    expect(findings.versions?.node).toBe(process.versions.node);
    expect(findings.disk).toBeUndefined();
    // Advice needs no more than what was found.
    expect(advise(findings).join("\n")).not.toMatch(/free in this folder|undefined|NaN/);
  });

  it("has nothing to say of a good machine", () => {
    expect(advise(good)).toEqual([]);
    expect(advise({})).toEqual([]);
  });

  it.each<[string, Findings, RegExp]>([
    ["a fast GPU", provider({ starts: true, gflops: 5000 }), /--device webgpu: .* 10\.0 times as fast/],
    [
      "a software GPU",
      provider({ starts: true, gflops: 5, adapter: "SwiftShader Device" }),
      /driver without a GPU/,
    ],
    [
      "a GPU that does not start",
      provider({ starts: false, reason: "no driver" }),
      /make --device webgpu start/,
    ],
    ["a busy machine", { cpu: { model: "", cores: 4, load: 3.3 } }, /3\.3 wanted one of the 4/],
    [
      "a CPU without AVX2",
      { system: good.system, cpu: { model: "", cores: 8, simd: ["avx"] } } as Findings,
      /no AVX2/,
    ],
    ["few cores", { cpu: { model: "", cores: 1 } }, /there are 1 core:/],
    [
      "little memory",
      { memory: { total: 4, available: 1.5 } },
      /1\.5 GiB of memory are available.*--accumulate/,
    ],
    ["a full disk", { disk: { free: 0.25 } }, /0\.3 GiB are free/],
    [
      "no provider at all",
      { providers: [{ name: "cpu", starts: false, reason: "broken" }] },
      /Nothing .*broken/,
    ],
  ])("advises on %s", (_, findings, message) => {
    expect(advise(findings)).toEqual([expect.stringMatching(message)]);
  });

  it("rejects what it does not take", async () => {
    const { code, stderr } = await inbetween("doctor", "--jsn");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/unknown option '--jsn'\n\(Did you mean --json\?\)/);
  });
});

function provider(
  state: Partial<NonNullable<Findings["providers"]>[number]> & { starts: boolean },
): Findings {
  return {
    ...good,
    providers: [
      { name: "cpu", starts: true, gflops: 500 },
      { name: "webgpu", ...state },
    ],
  };
}
