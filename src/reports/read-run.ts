/** @file A run folder as one plain value for the report. */

import { existsSync, readFileSync } from "node:fs";
import { basename, join, relative, resolve, sep } from "node:path";
import type { ClassificationRecord, EvaluationRecord, MetricsRow, PictureEvent, RunInfo } from "./events.js";
import { METRICS_FILE, readClassifications, readEvaluations, readMetrics, readPictures } from "./run-log.js";

export const RUN_FILE = "run.json";
export const CONFIG_FILE = "config.json";

/** A picture with its bytes; `null` where the file is missing, which the report says. */
export interface Picture extends PictureEvent {
  bytes: Uint8Array | null;
}

/** Everything the report knows about one run, or about an encoder without its run. */
export interface RunData {
  /** As it was named. */
  folder: string;
  /** True of an exported or imported encoder: it has evaluations, but nothing of its pretraining. */
  isEncoder?: boolean;
  info: RunInfo;
  /** The resolved configuration, shown as it is; `null` when there is none. */
  config: unknown;
  metrics: MetricsRow[];
  pictures: Picture[];
  evaluations: EvaluationRecord[];
  classifications: ClassificationRecord[];
}

/** Steps shown of each picture series: enough to see it change, few enough to look at. */
const PICTURE_STEPS = 4;

/** At most `count` elements, evenly spread, the first and the last always among them. */
export function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  const chosen = Array.from({ length: count }, (_, index) =>
    Math.round((index * (items.length - 1)) / (count - 1)),
  );
  return items.filter((_, index) => chosen.includes(index));
}

function selectPictures(events: readonly PictureEvent[]): PictureEvent[] {
  const series = new Map<string, PictureEvent[]>();
  for (const event of events) {
    const key = JSON.stringify([event.kind, event.title]);
    series.set(key, [...(series.get(key) ?? []), event]);
  }
  return [...series.values()].flatMap((members) => spread(members, PICTURE_STEPS));
}

function readJson(path: string): unknown {
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(
      `${path}: expected JSON, got ${(error as Error).message}. Restore the file or delete it.`,
    );
  }
}

/** Bytes of a picture inside the run folder; a path that leads out of it is not followed. */
function readPicture(folder: string, event: PictureEvent): Picture {
  const path = resolve(folder, event.png);
  const inside = !relative(folder, path).split(sep).includes("..");
  return { ...event, bytes: inside && existsSync(path) ? readFileSync(path) : null };
}

/**
 * Reads what is in a run folder; pictures are thinned to a few steps of each series.
 *
 * @throws Error when the folder is no run, or when a file in it is damaged (the message names it).
 */
export function readRun(folder: string): RunData {
  const absolute = resolve(folder);
  if (![METRICS_FILE, RUN_FILE, CONFIG_FILE].some((file) => existsSync(join(absolute, file)))) {
    throw new Error(
      `${folder} is not a run folder: expected ${RUN_FILE}, ${CONFIG_FILE} or ${METRICS_FILE} in it. ` +
        "Name the folder that was given to --out.",
    );
  }
  const info = readJson(join(absolute, RUN_FILE)) as RunInfo | null;
  return {
    folder,
    info: { ...info, name: info?.name ?? basename(absolute) },
    config: readJson(join(absolute, CONFIG_FILE)),
    metrics: readMetrics(absolute),
    pictures: selectPictures(readPictures(absolute)).map((event) => readPicture(absolute, event)),
    evaluations: readEvaluations(absolute),
    classifications: readClassifications(absolute),
  };
}

/**
 * The evaluations in an encoder's folder. @param info What is known of the encoder; its name is the folder's.
 * @throws Error when a file of records is damaged (the message names it).
 */
export function readEncoderRecords(folder: string, info: Omit<RunInfo, "name">): RunData {
  const absolute = resolve(folder);
  return {
    folder,
    isEncoder: true,
    info: { ...info, name: basename(absolute) },
    config: null,
    metrics: [],
    pictures: [],
    evaluations: readEvaluations(absolute),
    classifications: readClassifications(absolute),
  };
}
