/** @file Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), with the arithmetic of PyTorch's. */

import { add, div, mul, sqrt, square, sub } from "../../graph/index.js";
import { entry, type Optimizer, scaled, slotName, slotTypes, trained, type Updated } from "./optimizer.js";

export interface AdamOptions {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
}

/**
 * Weight decay acts on the parameter, not through the gradient:
 *
 *   p <- p (1 - lr wd) - lr m̂ / (sqrt(v̂) + epsilon)
 */
export function adamW(options: AdamOptions = {}): Optimizer {
  return adamWith(options, true);
}

/** Weight decay is added to the gradient (an L2 penalty). */
export function adam(options: AdamOptions = {}): Optimizer {
  return adamWith(options, false);
}

/**
 * The state holds the sums m / (1 - beta1) and v / (1 - beta2), i.e. M <- beta1 M + g and V <- beta2 V + g²: two
 * passes over each tensor fewer. What was divided out goes, with the bias correction, into two scalars:
 *
 *   lr m̂ / (sqrt(v̂) + epsilon) = rate M / (sqrt(V) + floor)
 *   spread = sqrt((1 - beta2^t) / (1 - beta2)),  rate = lr (1 - beta1) / (1 - beta1^t) spread,  floor = epsilon spread
 */
function adamWith(
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions,
  decoupled: boolean,
): Optimizer {
  return {
    state: (parameters) => slotTypes(parameters, ["m", "v"]),

    scalars: ({ step, learningRate, weightDecay = 0 }) => {
      const spread = Math.sqrt((1 - beta2 ** (step + 1)) / (1 - beta2));
      return {
        rate: ((learningRate * (1 - beta1)) / (1 - beta1 ** (step + 1))) * spread,
        floor: epsilon * spread,
        decay: decoupled ? learningRate * weightDecay : weightDecay,
        beta1,
        beta2,
      };
    },

    idle: { rate: 0, decay: 0, beta1: 1, beta2: 1 },

    update: (input) => {
      const scalar = (name: string) => entry(input.scalars, name, "scalar");
      const [rate, floor, decay] = [scalar("rate"), scalar("floor"), scalar("decay")];
      const updated: Updated = { parameters: {}, state: {} };
      for (const { name, gradient, parameter, scale } of trained(input)) {
        const decays = scale.weightDecay !== 0;
        const g =
          decays && !decoupled ? add(gradient, mul(parameter, scaled(decay, scale.weightDecay))) : gradient;
        const [mName, vName] = [slotName("m", name), slotName("v", name)];
        const m = add(mul(entry(input.state, mName, "state"), scalar("beta1")), g);
        const v = add(mul(entry(input.state, vName, "state"), scalar("beta2")), square(g));
        const change = mul(div(m, add(sqrt(v), floor)), scaled(rate, scale.learningRate));
        const kept =
          decays && decoupled
            ? mul(parameter, sub(1, scaled(decay, scale.learningRate * scale.weightDecay)))
            : parameter;
        updated.parameters[name] = sub(kept, change);
        updated.state[mName] = m;
        updated.state[vName] = v;
      }
      return updated;
    },
  };
}
