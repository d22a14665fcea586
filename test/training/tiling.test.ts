/** @file Whole steps of the small recipes, whose batches are large enough to run in blocks, compute what they do without. */

import { expect, test } from "vitest";
import { loadRecipe } from "#src/cli/recipes.js";
import { nodesOf, tile } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { Device, traceProgram } from "#src/runtime/index.js";
import {
  buildMethod,
  cropsOf,
  gradientProgram,
  initializeState,
  makeOptimizer,
  stepInputs,
} from "#src/training/index.js";

const length = { totalSteps: 100, stepsPerEpoch: 10 };

test.each(["small/inbetween-vicreg", "small/sie-all", "small/inbetween-dinov2"])(
  "%s",
  async (recipe) => {
    const config = loadRecipe(recipe);
    const { method } = buildMethod(config);
    const count = config.batchSize;
    const definition = gradientProgram(method, count);
    const { graph } = traceProgram(definition);
    // Otherwise the test would compare a thing with itself.
    expect(nodesOf(tile(graph)).length).toBeGreaterThan(nodesOf(graph).length);

    const random = randomStream(0, "test");
    const batch = {
      step: 0,
      epoch: 0,
      count,
      indices: Int32Array.from({ length: count }, (_, i) => i),
      labels: undefined,
      views: cropsOf(method).map(({ size }) =>
        Uint8Array.from({ length: count * 3 * size ** 2 }, () => random.integer(256)),
      ),
    };
    const inputs = stepInputs(method, batch, { seed: 0, length });
    await using device = await Device.open();
    await initializeState(device, method, makeOptimizer(config), 0);
    const results = [];
    for (const program of [definition, { ...definition, tile: false as const }]) {
      const compiled = await device.compile(program);
      results.push(await compiled.run(inputs));
      await compiled.release();
    }
    const [blocks, whole] = results as [(typeof results)[0], (typeof results)[0]];
    for (const [name, { data }] of Object.entries(whole)) {
      const values = Array.from(data, Number);
      const scale = Math.max(...values.map(Math.abs), 1e-3);
      const others = Array.from(blocks[name]?.data ?? [], Number);
      expect(others, name).toHaveLength(values.length);
      const error = Math.max(...values.map((value, i) => Math.abs(value - (others[i] as number))));
      expect(error / scale, name).toBeLessThan(1e-4);
    }
  },
  120_000,
);
