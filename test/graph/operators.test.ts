/** @file Every operator of the graph against its oracle: PyTorch's values, and central differences. */

import { afterAll, beforeAll, describe, it } from "vitest";
import { Device } from "#src/runtime/index.js";
import { checkAgainstTorch, checkDifferencesOf } from "./operator-oracle.js";
import { spatialEntries } from "./oracle-spatial.js";

const entries = [...spatialEntries];

let device: Device;
beforeAll(async () => {
  device = await Device.open();
});
afterAll(() => device.close());

describe.each(entries)("$operator", ({ torch, differences }) => {
  it.each(Object.entries(torch))("agrees with PyTorch: %s", (name, build) =>
    checkAgainstTorch(device, name, build),
  );

  if (typeof differences === "string") it.skip(`central differences: ${differences}`);
  else it("agrees with central differences", () => checkDifferencesOf(device, differences));
});
