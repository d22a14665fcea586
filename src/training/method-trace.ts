/** @file Traces a method's two stages from a program's named inputs and state. */

import { stopGradient, type Tensor } from "../graph/index.js";
import type { Encoded, Method, Objective } from "../methods/index.js";
import { treeLike } from "../nn/index.js";
import { mapValues, unprefixed } from "../records.js";
import { toUnitRange } from "../transforms/index.js";
import { BUFFER, PARAMETER, TEACHER, trainedOnes } from "./state.js";
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

  /** Parameters that are trained. */
  get trained(): Tensors {
    return trainedOnes(this.method, this.parameters);
  }

  /** What both stages are given. */
  #shared() {
    const { method } = this;
    return {
      parameters: treeLike(method.parameters, this.parameters),
      teacher: treeLike(
        method.teacher?.parameters ?? {},
        mapValues(unprefixed(this.state, TEACHER), stopGradient),
      ),
      buffers: unprefixed(this.state, BUFFER),
      scalars: this.#scalars(),
    };
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
        const drawn = unprefixed(inputs, drawName(`augment.${name}`, ""));
        return [name, augment.apply(toUnitRange(inputs[viewName(name)] as Tensor), drawn)];
      }),
    );
    const draws = mapValues(method.draws, (_, draw) => unprefixed(inputs, drawName(draw, "")));
    return method.encode({ ...this.#shared(), views, draws });
  }

  objective(features: Tensors): Objective {
    return this.method.objective({ ...this.#shared(), features });
  }
}
