/** @file Traces a method's two stages from a program's named inputs and state. */

import type { Tensor } from "../graph/index.js";
import type { Encoded, Method, Objective } from "../methods/index.js";
import { treeLike } from "../nn/index.js";
import { unprefixed } from "../records.js";
import { toUnitRange } from "../transforms/index.js";
import { BUFFER, PARAMETER } from "./state.js";
import { drawName, scalarName, viewName } from "./step-inputs.js";

type Tensors = Readonly<Record<string, Tensor>>;

/** A method on the inputs (`step-inputs.ts`) and state (`state.ts`) of one program. */
export class MethodTrace {
  constructor(
    private readonly method: Method,
    private readonly inputs: Tensors,
    private readonly state: Tensors,
  ) {}

  get parameters(): Tensors {
    return unprefixed(this.state, PARAMETER);
  }

  #scalars(): Tensors {
    return Object.fromEntries(
      Object.keys(this.method.schedules).map((name) => [name, this.inputs[scalarName(name)] as Tensor]),
    );
  }

  encode(): Encoded {
    const { method, inputs } = this;
    const views = Object.fromEntries(
      method.views.map(({ name, augment }) => {
        const drawn = pick(inputs, Object.keys(augment.parameters), (key) =>
          drawName(`augment.${name}`, key),
        );
        return [name, augment.apply(toUnitRange(inputs[viewName(name)] as Tensor), drawn)];
      }),
    );
    const draws = Object.fromEntries(
      Object.entries(method.draws).map(([draw, { parameters }]) => [
        draw,
        pick(inputs, Object.keys(parameters), (key) => drawName(draw, key)),
      ]),
    );
    return method.encode({
      parameters: treeLike(method.parameters, this.parameters),
      views,
      draws,
      scalars: this.#scalars(),
    });
  }

  objective(features: Tensors): Objective {
    return this.method.objective({
      parameters: treeLike(this.method.parameters, this.parameters),
      features,
      buffers: unprefixed(this.state, BUFFER),
      scalars: this.#scalars(),
    });
  }
}

/** `names` of `record`, found under other names. */
function pick(
  record: Tensors,
  names: readonly string[],
  find: (name: string) => string,
): Record<string, Tensor> {
  return Object.fromEntries(names.map((name) => [name, record[find(name)] as Tensor]));
}
