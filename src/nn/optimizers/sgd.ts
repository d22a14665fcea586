/** @file Stochastic gradient descent with momentum, with the arithmetic of PyTorch's. */

import { add, mul, sub } from "../../graph/index.js";
import { entry, type Optimizer, scaled, slotName, slotTypes, trained, type Updated } from "./optimizer.js";

export interface SgdOptions {
  /** Default 0: no state is kept. */
  readonly momentum?: number;
  /** Look ahead along the new velocity (default false). */
  readonly nesterov?: boolean;
}

/**
 * g <- g + wd p,  u <- momentum u + g,  p <- p - lr u (Nesterov: p - lr (g + momentum u)).
 * @throws RangeError for Nesterov without momentum.
 */
export function sgd({ momentum = 0, nesterov = false }: SgdOptions = {}): Optimizer {
  if (nesterov && momentum === 0) throw new RangeError("sgd: Nesterov needs a momentum above 0");
  return {
    state: (parameters) => (momentum === 0 ? {} : slotTypes(parameters, ["velocity"])),

    scalars: ({ learningRate, weightDecay = 0 }) => ({ rate: learningRate, decay: weightDecay, momentum }),

    idle: { rate: 0, decay: 0, momentum: 1 },

    update: (input) => {
      const scalar = (name: string) => entry(input.scalars, name, "scalar");
      const updated: Updated = { parameters: {}, state: {} };
      for (const { name, gradient, parameter, scale } of trained(input)) {
        const decay = scaled(scalar("decay"), scale.weightDecay);
        const g = scale.weightDecay === 0 ? gradient : add(gradient, mul(parameter, decay));
        let direction = g;
        if (momentum !== 0) {
          const slot = slotName("velocity", name);
          const velocity = add(mul(entry(input.state, slot, "state"), scalar("momentum")), g);
          updated.state[slot] = velocity;
          direction = nesterov ? add(g, mul(velocity, scalar("momentum"))) : velocity;
        }
        updated.parameters[name] = sub(parameter, mul(direction, scaled(scalar("rate"), scale.learningRate)));
      }
      return updated;
    },
  };
}
