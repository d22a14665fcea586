/** @file Stored models: weights, inputs, outputs and gradients made by test/fixtures/models/make_*.py. */

import { join } from "node:path";
import { grad, mul, sum, type Tensor } from "#src/graph/index.js";
import { flattenTree, type ParameterSpec, type TreeOf, treeLike } from "#src/nn/index.js";
import { Device, type HostValue, hostValue } from "#src/runtime/index.js";
import { openSafetensors, toFloat32 } from "#src/weights/index.js";
import { expectClose, largestOf, type Stored } from "../nn/helpers.js";

export class StoredModel {
  private constructor(
    /** What the script says of the model. */
    readonly config: Readonly<Record<string, unknown>>,
    private readonly tensors: ReadonlyMap<string, HostValue<"float32">>,
  ) {}

  static async open(name: string, folder = "models"): Promise<StoredModel> {
    await using file = await openSafetensors(
      join(import.meta.dirname, "../fixtures", folder, `${name}.safetensors`),
    );
    const tensors = new Map<string, HostValue<"float32">>();
    for (const [key, tensor] of await file.readAll()) {
      tensors.set(key, hostValue("float32", toFloat32(tensor), tensor.shape));
    }
    return new StoredModel(JSON.parse(file.metadata.get("config") ?? "{}"), tensors);
  }

  get(name: string): HostValue<"float32"> {
    const value = this.tensors.get(name);
    if (!value) throw new Error(`the fixture has no "${name}"`);
    return value;
  }

  stored(name: string): Stored {
    const { shape, data } = this.get(name);
    return { shape, data: [...data] };
  }

  /** All tensors whose names start with `prefix`, by the rest of the name. */
  under(prefix: string): Record<string, HostValue<"float32">> {
    return Object.fromEntries(
      [...this.tensors].flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
      ),
    );
  }
}

/** What a model's trace gives: named outputs, and the one that the loss weighs. */
export interface TracedModel {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly weighed: Tensor;
}

/**
 * Expects the outputs to 1e-5, and to 1e-4 the gradients of `sum(weighed * outputWeights)` by every parameter and by
 * the input. The specification's names and shapes must be those of the stored parameters.
 */
export async function expectParity<Specs extends object>(
  model: StoredModel,
  specs: Specs,
  inputName: string,
  trace: (parameters: TreeOf<Specs, Tensor>, input: Tensor) => TracedModel,
): Promise<void> {
  const parameters = model.under("parameters.");
  const types = flattenTree(specs) as Record<string, ParameterSpec>;
  const shapes = (record: Readonly<Record<string, { readonly shape: readonly number[] }>>) =>
    Object.entries(record)
      .map(([name, { shape }]) => `${name} [${shape.join(", ")}]`)
      .sort();
  if (shapes(types).join("\n") !== shapes(parameters).join("\n")) {
    throw new Error(`parameters differ:\n${shapes(types).join("\n")}\n---\n${shapes(parameters).join("\n")}`);
  }
  const names = Object.keys(parameters);
  const fed = { ...parameters, "the input": model.get(inputName), "the weights": model.get("outputWeights") };
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile({
    name: "parity",
    inputs: fed,
    trace: (inputs) => {
      const given = inputs["the input"] as Tensor;
      const { outputs, weighed } = trace(treeLike(specs, inputs), given);
      const loss = sum(mul(weighed, inputs["the weights"] as Tensor));
      const found = grad(loss, [...names.map((name) => inputs[name] as Tensor), given]);
      const gradients = [...names, "the input"].map((name, i) => [`gradient of ${name}`, found[i] as Tensor]);
      return { outputs: { ...outputs, ...Object.fromEntries(gradients) } };
    },
  });
  const results = await program.run(fed);
  for (const [name, value] of Object.entries(results)) {
    if (!name.startsWith("gradient of ")) expectClose(value, model.stored(name), 1e-5, name);
  }
  const expected = names.map((name) => model.stored(`gradients.${name}`));
  const overall = Math.max(...expected.map(({ data }) => largestOf(data)));
  names.forEach((name, i) => {
    const stored = expected[i] as Stored;
    // A gradient that is zero but for rounding (of a bias before a batch norm) is compared with the others' size.
    const floor = largestOf(stored.data) < 1e-6 * overall ? 1e-2 * overall : 0;
    expectClose(results[`gradient of ${name}`], stored, 1e-4, `gradient of ${name}`, floor);
  });
  const ofInput = results["gradient of the input"];
  expectClose(ofInput, model.stored(`${inputName}Gradient`), 1e-4, `gradient of ${inputName}`);
}
