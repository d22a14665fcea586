/** @file Exponential moving averages of parameters: the teacher of self-distillation. */

import { add, mul, sub, type Tensor } from "../../graph/index.js";
import { entry, type Tensors } from "./optimizer.js";

/**
 * average <- momentum average + (1 - momentum) value, for every average.
 * @param momentum Shape []; a scalar input, as it usually follows a schedule.
 * @throws TypeError when an average has no value.
 */
export function movingAverage(averages: Tensors, values: Tensors, momentum: Tensor): Record<string, Tensor> {
  const rest = sub(1, momentum);
  return Object.fromEntries(
    Object.entries(averages).map(([name, average]) => [
      name,
      add(mul(average, momentum), mul(entry(values, name, "value for the average"), rest)),
    ]),
  );
}
