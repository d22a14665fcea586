/** @file The operator oracle's stored PyTorch values on WebGPU (on the CPU the graph's own tests check them). */

import { describe, test } from "vitest";
import { unsupported } from "#src/runtime/conformance/index.js";
import { Device } from "#src/runtime/index.js";
import { checkAgainstTorch } from "../graph/operator-oracle.js";
import { elementwiseEntries } from "../graph/oracle-elementwise.js";
import { indexingEntries } from "../graph/oracle-indexing.js";
import { shapeEntries } from "../graph/oracle-shape.js";
import { spatialEntries } from "../graph/oracle-spatial.js";
import { prepareWebGpu } from "../runtime/webgpu.js";

const webgpu = await prepareWebGpu();
if ("missing" in webgpu) console.warn(`provider "webgpu" skipped: ${webgpu.missing}`);

/** WGSL promises sin and cos to 2⁻¹¹ (5e-4) only, and pow as exp2(y log2(x)). */
const inexact = ["sin", "cos", "pow"];

const entries = [...elementwiseEntries, ...shapeEntries, ...indexingEntries, ...spatialEntries];

describe.skipIf("missing" in webgpu)("WebGPU agrees with PyTorch", async () => {
  const device = "missing" in webgpu ? undefined : await Device.open({ provider: "webgpu" });

  for (const { operator, torch } of entries) {
    const reason = unsupported.webgpu[operator];
    for (const [name, build] of Object.entries(torch)) {
      test.skipIf(reason !== undefined)(reason === undefined ? name : `${name} (${reason})`, async () => {
        if (!device) throw new Error("the provider did not start");
        await checkAgainstTorch(device, name, build, inexact.includes(operator) ? 50 : 1);
      });
    }
  }

  test("close", async () => device?.close());
});
