/** @file The variants of the projector, and SIE's predictor, against PyTorch: forward, every gradient; bad input. */

import { expect, test } from "vitest";
import { constant, input } from "#src/graph/index.js";
import {
  type EquivariantPredictorOptions,
  equivariantPredictor,
  equivariantPredictorParameters,
  type ProjectorOptions,
  projector,
  projectorParameters,
  projectorStyles,
} from "#src/models/index.js";
import { mapTree } from "#src/nn/index.js";
import { expectParity, StoredModel } from "./helpers.js";

const styles: Readonly<Record<string, ProjectorOptions>> = {
  ...projectorStyles,
  simclr: { outputNorm: "scale" },
};

test.each(["mocov2", "mocov3", "simclr"])("the projector of %s", async (name) => {
  const model = await StoredModel.open(`projector_${name}`);
  const specs = projectorParameters(model.config.widths as number[], styles[name]);
  await expectParity(model, specs, "input", (p, x) => {
    const output = projector(p, x, styles[name]);
    return { outputs: { output }, weighed: output };
  });
});

test.each(["linear", "biased", "shifted", "deep"])("SIE's predictor: %s", async (name) => {
  const model = await StoredModel.open(`predictor_${name}`);
  const { latent, features, ...options } = model.config as unknown as EquivariantPredictorOptions & {
    latent: number;
    features: number;
  };
  const { data, shape } = model.get("z");
  await expectParity(model, equivariantPredictorParameters(latent, features, options), "input", (p, x) => {
    const output = equivariantPredictor(p, x, constant(data, shape));
    return { outputs: { output }, weighed: output };
  });
});

test("features or parameters that do not fit the predictor are an error that names the shapes", () => {
  const p = mapTree(equivariantPredictorParameters(3, 4), (spec, name) => input(name, spec.shape));
  const [x, z] = [input("x", [2, 4]), input("z", [2, 3])];
  expect(equivariantPredictor(p, x, z).shape).toEqual([2, 4]);
  expect(() => equivariantPredictor(p, input("x", [2, 5]), z)).toThrow("expected features [B, 4]");
  expect(() => equivariantPredictor(p, x, input("z", [3, 3]))).toThrow("parameters [B, 3]");
});
