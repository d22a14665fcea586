/** @file LARS (You, Gitman & Ginsburg 2017), with the arithmetic of google-research/simclr, lars_optimizer.py. */

import { add, div, greater, logicalAnd, mul, sqrt, square, sub, sum, where } from "../../graph/index.js";
import { entry, type Optimizer, scaled, slotName, slotTypes, trained, type Updated } from "./optimizer.js";

export interface LarsOptions {
  /** Default 0.9. */
  readonly momentum?: number;
  /** The trust coefficient eta (default 0.001). */
  readonly trust?: number;
}

/**
 * SGD whose rate for each tensor is in proportion to the tensor's norm over its gradient's:
 *
 *   g <- g + wd p,  u <- momentum u + lr eta |p| / |g| g,  p <- p - u
 *
 * The rate is inside the momentum, as in SimCLR. A tensor that is not decayed (its multiplier of weight decay is 0: biases
 * and norms) is not adapted either, and neither is one whose norm or gradient is 0: there eta |p| / |g| is 1.
 */
export function lars({ momentum = 0.9, trust = 0.001 }: LarsOptions = {}): Optimizer {
  return {
    state: (parameters) => slotTypes(parameters, ["velocity"]),

    scalars: ({ learningRate, weightDecay = 0 }) => ({
      rate: learningRate,
      decay: weightDecay,
      momentum,
      trust,
      moves: 1,
    }),

    idle: { rate: 0, decay: 0, momentum: 1, moves: 0 },

    update: (input) => {
      const scalar = (name: string) => entry(input.scalars, name, "scalar");
      const updated: Updated = { parameters: {}, state: {} };
      for (const { name, gradient, parameter, scale } of trained(input)) {
        const slot = slotName("velocity", name);
        const rate = scaled(scalar("rate"), scale.learningRate);
        let step = mul(gradient, rate);
        if (scale.weightDecay !== 0) {
          const g = add(gradient, mul(parameter, scaled(scalar("decay"), scale.weightDecay)));
          const [size, slope] = [sqrt(sum(square(parameter))), sqrt(sum(square(g)))];
          const isAdapted = logicalAnd(greater(size, 0), greater(slope, 0));
          const ratio = where(isAdapted, div(mul(scalar("trust"), size), where(isAdapted, slope, 1)), 1);
          step = mul(g, mul(rate, ratio));
        }
        const velocity = add(mul(entry(input.state, slot, "state"), scalar("momentum")), step);
        updated.state[slot] = velocity;
        updated.parameters[name] = sub(parameter, mul(velocity, scalar("moves")));
      }
      return updated;
    },
  };
}
