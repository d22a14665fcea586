/**
 * @file Runs and encoders side by side: runs that differ by their seed alone are one row, with mean and deviation over
 * seeds. An encoder, of whose pretraining nothing is there, is a row of its own.
 */

import {
  type ClassificationRecord,
  type EvaluationRecord,
  isRandomEncoder,
  knnShare,
  type PretrainingKnnRecord,
  SCORES,
  type Score,
  usualAccuracy,
} from "./events.js";
import type { RunData } from "./read-run.js";
import { protocolsOf } from "./tables.js";

/** A figure over runs, or over the probes of the only run. */
export interface Summary {
  readonly mean: number;
  readonly std: number;
  /** Runs (seeds), or probes of one run. */
  readonly count: number;
  readonly over: "seeds" | "probes";
}

/** Runs with the same configuration but for the seed, or an encoder. */
export interface ComparedGroup {
  /** The method, and the values that tell it from other groups of the method: `Ours(VICReg, all, se2), count=1`. */
  readonly label: string;
  readonly method: string;
  /** Values of keys that differ among the groups of this method. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly runs: readonly RunData[];
  readonly scores: Readonly<Record<string, Readonly<Record<Score, Summary>>>>;
  /** k-NN accuracy at the end of pretraining, on images held out from those trained on. */
  readonly knn: Summary | undefined;
  /** k-NN accuracy of `evaluate knn`, where every run has it. */
  readonly classified: Summary | undefined;
}

export interface Comparison {
  readonly groups: readonly ComparedGroup[];
  /** Of encoders with random weights: what they scored stands in their runs, their own scores are left out. */
  readonly random: readonly ComparedGroup[];
  readonly protocols: readonly EvaluationRecord["protocol"][];
}

/** Keys that tell no method from another. */
const ignored = /^(name|description|seed|table|log)(\.|$)/;

/** Groups runs by what they are, in the order in which they came. */
export function compareRuns(runs: readonly RunData[]): Comparison {
  const described = runs.map((run) => ({
    run,
    values: run.isEncoder ? { encoder: run.folder } : { ...flattened(configOf(run)), ...conditionsOf(run) },
  }));
  const byConfig = new Map<string, typeof described>();
  for (const entry of described) {
    const key = JSON.stringify([entry.run.info.method, Object.entries(entry.values).sort()]);
    byConfig.set(key, [...(byConfig.get(key) ?? []), entry]);
  }
  const kinds = [...byConfig.values()];
  const methodOf = ([first]: typeof described) => first?.run.info.method ?? first?.run.info.name ?? "run";
  const groups = kinds.map((members): ComparedGroup => {
    const method = methodOf(members);
    const isEncoder = (kind: typeof described) => kind[0]?.run.isEncoder === true;
    const alike = kinds.filter((other) => methodOf(other) === method);
    // A run is told from other runs by its settings, an encoder from all others by its folder.
    const peers = isEncoder(members) ? alike : alike.filter((other) => !isEncoder(other));
    const settings = differing(
      members[0]?.values ?? {},
      peers.map(([first]) => first?.values ?? {}),
    );
    const named = Object.entries(settings).map(([key, value]) => `${shortKey(key)}=${shown(value)}`);
    const own = members.map(({ run }) => run);
    const records = own.map((run) => run.evaluations.filter(({ encoder }) => !isRandomEncoder(encoder)));
    return {
      label: [method, ...named].join(", "),
      method,
      settings,
      runs: own,
      scores: Object.fromEntries(
        protocolsOf(records.flat()).map((protocol) => [protocol, scoresOf(records, protocol)]),
      ),
      knn: knnOf(own),
      classified: classifiedOf(own),
    };
  });
  return {
    groups,
    random: randomGroups(runs),
    protocols: protocolsOf(runs.flatMap(({ evaluations }) => evaluations)),
  };
}

/**
 * The random-initialised encoders that were measured beside others, a group for each architecture and a member for each seed:
 * the same one stands in the folder of every encoder that it was measured beside.
 */
function randomGroups(runs: readonly RunData[]): ComparedGroup[] {
  const byKind = new Map<string, RunData>();
  const isRandom = ({ encoder }: { readonly encoder: string }) => isRandomEncoder(encoder);
  const keyOf = (record: EvaluationRecord | ClassificationRecord) => {
    return JSON.stringify([record.architecture ?? "", record.seed ?? 0]);
  };
  const memberOf = (record: EvaluationRecord | ClassificationRecord): RunData => {
    const known = byKind.get(keyOf(record));
    if (known) return known;
    const member: RunData = {
      folder: "random",
      isEncoder: true,
      info: { name: "random", method: "random" },
      config: null,
      metrics: [],
      pictures: [],
      evaluations: [],
      classifications: [],
    };
    byKind.set(keyOf(record), member);
    return member;
  };
  for (const run of runs) {
    for (const record of run.evaluations.filter(isRandom)) memberOf(record).evaluations.push(record);
    for (const record of run.classifications.filter(isRandom)) memberOf(record).classifications.push(record);
  }
  const architectures = new Map<string, RunData[]>();
  for (const [key, member] of byKind) {
    const [architecture] = JSON.parse(key) as [string, number];
    architectures.set(architecture, [...(architectures.get(architecture) ?? []), member]);
  }
  return [...architectures].map(([architecture, members]) => ({
    label: architectures.size === 1 || architecture === "" ? "random" : `random, ${architecture}`,
    method: "random",
    settings: {},
    runs: members,
    scores: {},
    knn: undefined,
    classified: undefined,
  }));
}

/** The configuration itself, which a run folder keeps beside its recipe's name. */
function configOf({ config }: RunData): unknown {
  return typeof config === "object" && config !== null && "config" in config ? config.config : config;
}

/** What beside the configuration makes runs differ: the images they saw, and those they were evaluated on. */
function conditionsOf({ info, evaluations }: RunData): Record<string, unknown> {
  const measured = evaluations.filter(({ encoder }) => !isRandomEncoder(encoder));
  return {
    ...(info.data === undefined ? {} : { data: info.data }),
    ...(info.steps === undefined ? {} : { "steps done": info.steps }),
    "evaluated on": [...new Set(measured.map(({ data }) => data))].sort().join(", "),
  };
}

/** The last word of a key, which is what people call it. */
export function shortKey(key: string): string {
  return key.split(".").at(-1) ?? key;
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A configuration's values by their full key. Lists are values. */
function flattened(config: unknown, path = ""): Record<string, unknown> {
  if (typeof config !== "object" || config === null || Array.isArray(config)) return { [path]: config };
  return Object.assign(
    {},
    ...Object.entries(config)
      .map(([key, value]): [string, unknown] => [path === "" ? key : `${path}.${key}`, value])
      .filter(([key]) => !ignored.test(key))
      .map(([key, value]) => flattened(value, key)),
  ) as Record<string, unknown>;
}

/** The values of `own` that are not the same in all of `others`. */
function differing(
  own: Readonly<Record<string, unknown>>,
  others: readonly Readonly<Record<string, unknown>>[],
): Record<string, unknown> {
  const isSame = (key: string) =>
    others.every((other) => JSON.stringify(other[key]) === JSON.stringify(own[key]));
  return Object.fromEntries(Object.entries(own).filter(([key]) => !isSame(key)));
}

/**
 * Each run's last record of the features that most of the runs have records of, the first measured of those: figures of
 * different features have no mean.
 */
function lastOfOneFeature<Record extends { readonly features: string }>(
  records: readonly (readonly Record[])[],
): Record[] {
  const runsOf = new Map<string, number>();
  for (const ofRun of records) {
    for (const feature of new Set(ofRun.map(({ features }) => features)))
      runsOf.set(feature, (runsOf.get(feature) ?? 0) + 1);
  }
  const most = Math.max(...runsOf.values());
  const chosen = [...runsOf].find(([, runs]) => runs === most)?.[0];
  return records.flatMap((ofRun) => ofRun.filter(({ features }) => features === chosen).slice(-1));
}

/** R² of a group's runs under a protocol. @param records Of each run. */
function scoresOf(
  records: readonly (readonly EvaluationRecord[])[],
  protocol: EvaluationRecord["protocol"],
): Record<Score, Summary> {
  const last = lastOfOneFeature(
    records.map((ofRun) => ofRun.filter((record) => record.protocol === protocol)),
  );
  const entries = SCORES.map((score): [Score, Summary] => {
    const [only] = last;
    if (only && last.length === 1) {
      const { mean, std } = only.r2[score];
      return [score, { mean, std, count: only.repeats, over: "probes" }];
    }
    return [score, overSeeds(last.map(({ r2 }) => r2[score].mean))];
  });
  return Object.fromEntries(entries) as Record<Score, Summary>;
}

/** A run's last k-NN probe of pretraining; none where it made no such probe. */
export function pretrainingKnn({ folder, info, metrics }: RunData): PretrainingKnnRecord[] {
  const row = metrics.findLast(({ knn }) => knn);
  if (!row?.knn) return [];
  const { step, epoch, seconds, time, knn } = row;
  return [
    {
      kind: "pretraining-knn",
      name: folder,
      encoder: info.method ?? info.name,
      ...(info.seed === undefined ? {} : { seed: info.seed }),
      ...(info.data === undefined ? {} : { data: info.data }),
      ...(info.model === undefined ? {} : { architecture: info.model.name }),
      ...(info.command === undefined ? {} : { command: info.command }),
      writtenAt: time,
      step,
      epoch,
      seconds,
      knn,
    },
  ];
}

function knnOf(runs: readonly RunData[]): Summary | undefined {
  const last = runs.flatMap(pretrainingKnn).map(({ knn }) => knn.accuracy);
  return last.length === 0 ? undefined : overSeeds(last);
}

function classifiedOf(runs: readonly RunData[]): Summary | undefined {
  const last = lastOfOneFeature(
    runs.map(({ classifications }) =>
      classifications.flatMap((record) =>
        record.kind === "knn" && !isRandomEncoder(record.encoder) ? [record] : [],
      ),
    ),
  ).map((record) => knnShare(usualAccuracy(record), record.test.metric));
  return last.length === 0 || last.length < runs.length ? undefined : overSeeds(last);
}

/** Mean and sample standard deviation. */
export function overSeeds(values: readonly number[]): Summary {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const std = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0;
  return { mean, std, count: values.length, over: "seeds" };
}
