/** @file Whether a run's state fits this machine, asked before anything is allocated. */

import { totalmem } from "node:os";
import { sizeOf } from "../graph/index.js";
import type { Method } from "../methods/index.js";
import { ConfigError, type RunConfig } from "./config.js";
import { parameterSpecs, teacherSpecs } from "./state.js";

const FLOAT = 4;
const GIGABYTE = 1e9;

/**
 * @param available Bytes of memory.
 * @throws ConfigError when weights, gradients, moments and teacher alone take more than that, naming the largest.
 */
export function checkMemory(method: Method, { name, optimizer }: RunConfig, available = totalmem()): void {
  const bytes: Record<string, number> = {};
  const count = (specs: ReturnType<typeof parameterSpecs>, times: number): void => {
    for (const [parameter, { shape }] of Object.entries(specs)) {
      bytes[parameter] = (bytes[parameter] ?? 0) + FLOAT * times * sizeOf(shape);
    }
  };
  // Value, gradient, and the optimiser's moments: Adam has two, the others one.
  count(parameterSpecs(method), optimizer.name.startsWith("adam") ? 4 : 3);
  count(teacherSpecs(method), 1);
  const total = Object.values(bytes).reduce((a, b) => a + b, 0);
  if (total <= available) return;
  const [largest, own] = Object.entries(bytes).reduce((a, b) => (b[1] > a[1] ? b : a));
  const shape = parameterSpecs(method)[largest]?.shape ?? [];
  const gigabytes = (value: number): string => `${(value / GIGABYTE).toPrecision(3)} GB`;
  throw new ConfigError(
    `${name}: weights, gradients, moments and teacher of ${method.title} take ${gigabytes(total)}, and this machine ` +
      `has ${gigabytes(available)} of memory. ${gigabytes(own)} of it is "${largest}" [${shape.join(", ")}]: use ` +
      `${largest.includes("last_layer") ? 'fewer prototypes ("outputDim")' : "a smaller encoder or narrower heads"}`,
  );
}
