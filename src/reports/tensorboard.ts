/** @file TensorBoard event files: scalars and PNG images, in TFRecord framing with masked CRC-32C. */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { maskedCrc32c } from "./crc32c.js";
import type { MetricsRow } from "./events.js";
import { writeAll } from "./json-lines.js";

/** Field numbers of tensorflow's `event.proto` and `summary.proto`. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SUMMARY_VALUE = 1;
const VALUE = { tag: 1, simpleValue: 2, image: 4 } as const;
const IMAGE = { height: 1, width: 2, colorspace: 3, encodedImage: 4 } as const;
const SESSION_STATUS = 1;
const SESSION_START = 1;
const RGB = 3;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Width and height from a PNG's header (IHDR is the first chunk: its numbers stand at bytes 16 and 20).
 *
 * @throws Error when the bytes are not a PNG.
 */
export function pngSize(png: Uint8Array): { width: number; height: number } {
  if (png.length < 24 || PNG_SIGNATURE.some((byte, index) => png[index] !== byte)) {
    throw new Error(
      `Expected PNG bytes, got ${png.length} bytes without a PNG signature. Encode the image first.`,
    );
  }
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** Length, its checksum, the bytes, their checksum (tensorflow, `lib/io/record_writer.h`). */
export function frameRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

function message(writer: BinaryWriter, field: number, fill: (inner: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  fill(writer);
  writer.join();
}

function encodeEvent(step: number, wallTime: number, fill: (event: BinaryWriter) => void): Uint8Array {
  const event = new BinaryWriter();
  event.tag(EVENT.wallTime, WireType.Bit64).double(wallTime);
  if (step !== 0) event.tag(EVENT.step, WireType.Varint).int64(step);
  fill(event);
  return event.finish();
}

/** The curves of one metrics row, by TensorBoard tag. */
export function metricsScalars(row: MetricsRow): Record<string, number> {
  const scalars: Record<string, number> = {};
  const add = (tag: string, value: number | undefined) => {
    if (value !== undefined) scalars[tag] = value;
  };
  for (const [part, value] of Object.entries(row.loss)) add(`loss/${part}`, value);
  for (const [part, baselines] of Object.entries(row.baselines ?? {})) {
    for (const [name, value] of Object.entries(baselines)) add(`baseline/${part}/${name}`, value);
  }
  for (const [name, value] of Object.entries(row.metrics ?? {})) add(`method/${name}`, value);
  add("schedule/learningRate", row.learningRate);
  add("schedule/weightDecay", row.weightDecay);
  add("health/gradientNorm", row.gradientNorm);
  add("health/featureStd", row.health?.featureStd);
  add("health/effectiveRank", row.health?.effectiveRank);
  add("health/teacherEntropy", row.health?.teacherEntropy);
  add("probe/knnAccuracy", row.knn?.accuracy);
  add("speed/imagesPerSecond", row.imagesPerSecond);
  add("speed/dataWaitFraction", row.dataWaitFraction);
  add("speed/hostToDeviceBytes", row.hostToDeviceBytes);
  add("speed/peakMemoryMB", row.peakMemoryMB);
  return scalars;
}

let filesOpened = 0;

/**
 * Writes one event file into a folder. Every writer opens a new file; TensorBoard reads all of a folder's files
 * as one run. After a resume, a session start tells it to forget events at or after the first repeated step.
 */
export class TensorBoardWriter {
  readonly path: string;
  private readonly descriptor: number;
  private readonly now: () => number;

  /**
   * @param options.resumedStep step of the checkpoint being resumed.
   * @param options.now clock in seconds since 1970.
   */
  constructor(folder: string, options: { resumedStep?: number; now?: () => number } = {}) {
    this.now = options.now ?? (() => Date.now() / 1000);
    mkdirSync(folder, { recursive: true });
    const moment = String(Math.floor(this.now())).padStart(10, "0");
    this.path = join(folder, `events.out.tfevents.${moment}.inbetween.${process.pid}.${filesOpened++}`);
    this.descriptor = openSync(this.path, "ax");
    this.write(0, (event) => event.tag(EVENT.fileVersion, WireType.LengthDelimited).string("brain.Event:2"));
    if (options.resumedStep !== undefined) {
      this.write(options.resumedStep + 1, (event) =>
        message(event, EVENT.sessionLog, (log) =>
          log.tag(SESSION_STATUS, WireType.Varint).int32(SESSION_START),
        ),
      );
    }
  }

  /** Adds one point to each named curve; values are stored as float32. */
  scalars(step: number, values: Record<string, number>): void {
    this.write(step, (event) =>
      message(event, EVENT.summary, (summary) => {
        for (const [tag, number] of Object.entries(values)) {
          message(summary, SUMMARY_VALUE, (value) => {
            value.tag(VALUE.tag, WireType.LengthDelimited).string(tag);
            value.tag(VALUE.simpleValue, WireType.Bit32).float(Math.fround(number));
          });
        }
      }),
    );
  }

  /** @throws Error when the bytes are not a PNG. */
  image(step: number, tag: string, png: Uint8Array): void {
    const { width, height } = pngSize(png);
    this.write(step, (event) =>
      message(event, EVENT.summary, (summary) =>
        message(summary, SUMMARY_VALUE, (value) => {
          value.tag(VALUE.tag, WireType.LengthDelimited).string(tag);
          message(value, VALUE.image, (image) => {
            image.tag(IMAGE.height, WireType.Varint).int32(height);
            image.tag(IMAGE.width, WireType.Varint).int32(width);
            image.tag(IMAGE.colorspace, WireType.Varint).int32(RGB);
            image.tag(IMAGE.encodedImage, WireType.LengthDelimited).bytes(png);
          });
        }),
      ),
    );
  }

  close(): void {
    closeSync(this.descriptor);
  }

  private write(step: number, fill: (event: BinaryWriter) => void): void {
    writeAll(this.descriptor, frameRecord(encodeEvent(step, this.now(), fill)));
  }
}
