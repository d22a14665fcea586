/** @file TensorBoard files: checksum vectors of RFC 3720, and byte equality with TensorBoard's own writer. */

import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { crc32c } from "#src/reports/crc32c.js";
import { metricsScalars, TensorBoardWriter } from "#src/reports/index.js";
import { metricsRow } from "./samples.js";

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/reports/tensorboard.json", import.meta.url), "utf8"),
) as { wallTime: number; png: string; file: string };

describe("crc32c", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);
  it.each([
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["ascending", ascending, 0x46dd794e],
    ["descending", ascending.toReversed(), 0x113fdb5c],
    // The check value of the CRC catalogue.
    ["123456789", new TextEncoder().encode("123456789"), 0xe3069283],
  ])("%s", (_name, bytes, expected) => expect(crc32c(bytes)).toBe(expected));
});

describe("TensorBoardWriter", () => {
  const folder = mkdtempSync(join(tmpdir(), "inbetween-tensorboard-"));
  const png = Buffer.from(fixture.png, "base64");

  it("writes the bytes that TensorBoard's own writer writes", () => {
    const writer = new TensorBoardWriter(folder, { resumedStep: 40, now: () => fixture.wallTime });
    writer.scalars(3_000_000_000, {
      "loss/total": 9.3125,
      "schedule/learningRate": 1e-3,
      "loss/höhe": -0.1,
      "loss/inf": Number.POSITIVE_INFINITY,
    });
    writer.image(42, "inbetween/0", png);
    writer.close();
    expect(readFileSync(writer.path).toString("base64")).toBe(fixture.file);
    expect(writer.path).toMatch(/events\.out\.tfevents\.1790000000\./);
  });

  it("opens a new file each time and refuses what is no PNG", () => {
    const [first, second] = [new TensorBoardWriter(folder), new TensorBoardWriter(folder)];
    expect(first.path).not.toBe(second.path);
    expect(() => first.image(1, "picture", png.subarray(1))).toThrow(/PNG signature/);
    first.close();
    second.close();
  });

  it("stores numbers beyond float32 as infinity", () => {
    const writer = new TensorBoardWriter(folder);
    writer.scalars(1, { huge: 1e300 });
    writer.close();
    const infinity = Buffer.from([0x15, 0x00, 0x00, 0x80, 0x7f]);
    expect(readFileSync(writer.path).includes(infinity)).toBe(true);
  });
});

it("names a curve for every number of a metrics row", () => {
  const scalars = metricsScalars(
    metricsRow(5, {
      health: { featureStd: 0.5, effectiveRank: 30 },
      knn: { accuracy: 0.4, k: 20, classes: 10 },
    }),
  );
  expect(scalars).toMatchObject({
    "loss/total": 1.8,
    "loss/variance": 0.5,
    "schedule/learningRate": 0.001,
    "health/effectiveRank": 30,
    "probe/knnAccuracy": 0.4,
  });
  expect(scalars).not.toHaveProperty("health/teacherEntropy");
});
