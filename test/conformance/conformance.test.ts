/** @file Every provider that starts on this machine computes what the CPU computes exactly as traced; every operator is covered. */

import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as graph from "#src/graph/index.js";
import {
  type ConformanceCase,
  conformanceCases,
  differences,
  programOf,
  runCase,
  trainThreeSteps,
  unsupported,
} from "#src/runtime/conformance/index.js";
import { Device, float32, type ProgramDefinition, type ProviderName } from "#src/runtime/index.js";
import { compileProgram, traceProgram } from "#src/runtime/program.js";
import { targets } from "#src/runtime/providers.js";
import { prepareWebGpu } from "../runtime/webgpu.js";

/** Exports of the operator files that compute nothing by themselves. */
const notOperators = ["constantOf", "input", "inputName", "resampleMatrix", "toTensor"];

/**
 * ONNX operators that WebGPU leaves to the CPU in the cases, with the reason: results are right, but operands are copied
 * in every run. `index` is for cases with integers, where the runtime computes small integers on the CPU.
 */
const leftToCpu: Readonly<Record<"float" | "index", Readonly<Record<string, string>>>> = {
  float: { Round: "no kernel" },
  index: {
    Add: "no kernel for int64",
    Mul: "no kernel for int64",
    Sub: "no kernel for int64",
    Equal: "no kernel for int64",
    Less: "no kernel for int64",
    LessOrEqual: "no kernel for int64",
    Greater: "no kernel for int64",
    GreaterOrEqual: "no kernel for int64",
    Cast: "no kernel from int64 to bool",
    Reshape: "no kernel for int64",
    GridSample: "no kernel",
    Round: "no kernel",
  },
};

const operators = graph as Readonly<Record<string, unknown>>;

/** The names that the public interface takes from the operator files. */
async function exportedOperators(): Promise<string[]> {
  const folder = new URL("../../dist/graph/operators/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".js"));
  const modules = await Promise.all(
    files.map((name) => import(new URL(name, folder).href) as Promise<object>),
  );
  return modules
    .flatMap((module) => Object.entries(module))
    .filter(([name, value]) => typeof value === "function" && operators[name] === value)
    .map(([name]) => name)
    .filter((name) => !notOperators.includes(name));
}

/** The graph module's names that the cases use while they are traced. */
function usedByCases(): Set<string> {
  const used = new Set<string>();
  const watched = new Proxy(graph, {
    get(target, name: string) {
      used.add(name);
      return (target as Record<string, unknown>)[name];
    },
  });
  for (const item of conformanceCases) compileProgram(programOf(item, watched), targets.cpu);
  return used;
}

/** Whether a case computes with indices or other whole numbers. */
function kindOf(item: ConformanceCase): "float" | "index" {
  const { graph: traced } = traceProgram(programOf(item));
  const types = graph
    .nodesOf(traced)
    .flatMap(({ operator, outputs }) => (operator === "constant" ? [] : outputs));
  const isIndexed = types.some(({ dtype }) => dtype === "int64" || dtype === "int32");
  return isIndexed || item.name.startsWith("gridSample") ? "index" : "float";
}

/** One program of many cases: to ask where its nodes run costs a process. */
function allOf(cases: readonly ConformanceCase[]): ProgramDefinition {
  return {
    name: "all cases",
    inputs: Object.fromEntries(
      cases.flatMap((item) =>
        Object.entries(item.inputs).map(([name, { dtype, shape }]) => [
          `${item.name}/${name}`,
          { dtype, shape },
        ]),
      ),
    ),
    trace: (inputs) => {
      const outputs = cases.flatMap((item) => {
        const own = Object.keys(item.inputs).map((name) => [
          name,
          inputs[`${item.name}/${name}`] as graph.Tensor,
        ]);
        const traced = programOf(item).trace(Object.fromEntries(own) as Record<string, graph.Tensor>, {});
        return Object.entries(traced.outputs ?? {}).map(([name, tensor]) => [`${item.name}/${name}`, tensor]);
      });
      return { outputs: Object.fromEntries(outputs) as Record<string, graph.Tensor> };
    },
  };
}

test("every operator that the graph exports is in a case", async () => {
  const used = usedByCases();
  const exported = await exportedOperators();
  expect(exported.length).toBeGreaterThan(50);
  expect(exported.filter((name) => !used.has(name))).toEqual([]);
});

test("cases have distinct names, and what is named as unsupported exists", () => {
  const names = conformanceCases.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const missing of Object.values(unsupported)) {
    for (const name of Object.keys(missing)) expect(names).toContain(name);
  }
});

test("the comparison finds a wrong value, shape and NaN", () => {
  const value = (...items: number[]) => ({ y: float32(Float32Array.from(items), [items.length]) });
  expect(differences(value(1, 2), value(1, 2.0001))).toEqual([]);
  expect(differences(value(1, 2), value(1, 2.001))).toEqual([
    expect.stringMatching(/^y\[1\] is 2, expected 2.00/),
  ]);
  expect(differences(value(1, Number.NaN), value(1, 2))).toEqual(["y[1] is NaN, expected 2"]);
  expect(differences(value(1), value(1, 2))).toEqual(["y is float32[1], not float32[2]"]);
  expect(differences({}, value(1))).toEqual(["y is missing"]);
});

const webgpu = await prepareWebGpu();
const skipped: Partial<Record<ProviderName, string>> = "missing" in webgpu ? { webgpu: webgpu.missing } : {};
for (const [provider, reason] of Object.entries(skipped))
  console.warn(`provider "${provider}" skipped: ${reason}`);
if (!("missing" in webgpu))
  console.info(`provider "webgpu" on ${webgpu.adapter?.name ?? "an unnamed adapter"}`);

for (const provider of Object.keys(targets) as ProviderName[]) {
  describe.skipIf(skipped[provider] !== undefined)(`on ${provider}`, async () => {
    const isThere = skipped[provider] === undefined;
    const device = isThere ? await Device.open({ provider }) : undefined;
    const reference = isThere ? await Device.open({ provider: "cpu" }) : undefined;

    for (const item of conformanceCases) {
      const reason = unsupported[provider][item.name];
      test.skipIf(reason !== undefined)(
        reason === undefined ? item.name : `${item.name} (${reason})`,
        async () => {
          if (!device || !reference) throw new Error("the provider did not start");
          const expected = await runCase(reference, item, { exact: true });
          expect(differences(await runCase(device, item), expected, item.tolerance)).toEqual([]);
        },
      );
    }

    test("three training steps of a transformer", async () => {
      if (!device || !reference) throw new Error("the provider did not start");
      const expected = await trainThreeSteps(reference);
      expect(differences(await trainThreeSteps(device), expected)).toEqual([]);
      const losses = ["loss 1", "loss 2", "loss 3"].map((name) => Number(expected[name]?.data[0]));
      expect(losses).toEqual(losses.toSorted((a, b) => b - a));
    });

    for (const kind of ["float", "index"] as const) {
      test(`only the named operators are left to the CPU in ${kind} cases`, async () => {
        if (!device) throw new Error("the provider did not start");
        const cases = conformanceCases.filter(
          (item) => !(item.name in unsupported[provider]) && kindOf(item) === kind,
        );
        const program = await device.compile(allOf(cases));
        const left = (await device.nodesOnCpu(program)).map((node) => node.replace(/ .*/, ""));
        const named = provider === "cpu" ? [] : Object.keys(leftToCpu[kind]);
        expect([...new Set(left)].sort()).toEqual(named.sort());
        await program.release();
      });
    }

    test("close", async () => {
      await device?.close();
      await reference?.close();
    });
  });
}
