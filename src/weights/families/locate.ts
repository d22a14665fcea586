/** @file Which family a file of weights is from, and where in it the encoder is. */

import { EncoderError } from "../encoder.js";
import { namesBack } from "../name-maps.js";
import type { TensorSource } from "../tensor-source.js";
import type { Family, FamilyName, Found, SourceConfig } from "./family.js";
import { families } from "./index.js";

/** One of ours, and the tensors it is made of, one after the other along their first dimension. */
export type Ingredients = ReadonlyMap<string, readonly string[]>;

export interface LocatedEncoder {
  readonly family: Family;
  /** Others whose files look the same; they differ in heads or in the interpolation of positions. */
  readonly alternatives: readonly FamilyName[];
  readonly part: string;
  /** Of the encoder's tensors in the file. */
  readonly prefix: string;
  /** By our names. */
  readonly ingredients: Ingredients;
  /** Tensors of the file that are not the encoder's. */
  readonly leftOver: readonly string[];
}

export interface LocateOptions {
  readonly family?: FamilyName | undefined;
  readonly part?: string | undefined;
}

/** Tensors beside an encoder's own that do not change its features: heads, decoders, tokens of masked training. */
const harmless =
  /^(head|heads|head_dist|fc|pre_logits|pooler|classifier|decoder\w*|predictor|projector|mask_token|masked_embed|embeddings\.mask_token|dino_head|ibot_head|optimizer|scaler|queue\w*)(\.|$)/;

/**
 * Finds the encoder.
 * @throws EncoderError when there is none, when it is not of the family or part asked for, or when it has tensors that
 *   no architecture here uses; each message says what is there.
 */
export function locateEncoder(
  source: TensorSource,
  config: SourceConfig | undefined,
  { family: wanted, part }: LocateOptions = {},
): LocatedEncoder {
  const matching = families.filter((family) => places(source, family).length > 0);
  const recognised = families.filter((family) => family.recognises(foundBy(source, family, config)));
  const [first] = recognised;
  const family = wanted === undefined ? first : families.find(({ name }) => name === wanted);
  if (!family) throw new EncoderError(`${source.path}: ${whatIsThere(source, config)}`);
  const found = places(source, family);
  if (found.length === 0) {
    const hint = first ? `it looks like ${first.title}: --family ${first.name}` : whatIsThere(source, config);
    throw new EncoderError(
      `${source.path}: it holds no encoder as ${family.title} (${family.name}) stores it, expected ` +
        `${family.layout.anchor} in ${Object.keys(family.parts).join(", ")}; ${hint}`,
    );
  }
  const place = part === undefined ? found[0] : found.find((each) => each.part === part);
  if (!place) {
    const parts = found.map((each) => each.part).join(", ");
    throw new EncoderError(
      `${source.path}: ${family.title} has no part "${part}" in this file, expected one of: ${parts}`,
    );
  }
  const alternatives = matching.filter(({ name, layout }) => {
    return name !== family.name && layout.anchor === family.layout.anchor && family.epsilon !== undefined;
  });
  return {
    family,
    alternatives: alternatives.map(({ name }) => name),
    ...place,
    ...ingredients(source, family, place.prefix, first),
  };
}

/** Where encoders of a layout are: what comes before the anchor's name. */
function prefixesOf({ names }: TensorSource, anchor: string): string[] {
  return names
    .filter((name) => name === anchor || name.endsWith(`.${anchor}`))
    .map((name) => name.slice(0, -anchor.length));
}

/** The family's parts that a file has, in the order of preference. */
function places(source: TensorSource, { layout, parts }: Family) {
  const prefixes = prefixesOf(source, layout.anchor);
  return Object.entries(parts).flatMap(([part, pattern]) =>
    prefixes.filter((prefix) => pattern.test(prefix)).map((prefix) => ({ part, prefix })),
  );
}

function foundBy(source: TensorSource, family: Family, config: SourceConfig | undefined): Found {
  return {
    has: (name) => source.has(name),
    some: (pattern) => source.names.some((name) => pattern.test(name)),
    prefixes: places(source, family).map(({ prefix }) => prefix),
    isSafetensors: source.format.startsWith("safetensors"),
    config,
  };
}

function whatIsThere(source: TensorSource, config: SourceConfig | undefined): string {
  const anchors = [...new Set(families.map(({ layout }) => layout.anchor))];
  const types = families.flatMap(({ modelType }) => (modelType === undefined ? [] : [modelType]));
  const prefixes = anchors.flatMap((anchor) => prefixesOf(source, anchor).map((prefix) => prefix + anchor));
  if (prefixes.length > 0 && config?.model_type !== undefined) {
    return `its config.json has the model_type ${JSON.stringify(config.model_type)}, expected one of: ${types.join(", ")}`;
  }
  if (prefixes.length > 0) {
    return `it has ${prefixes.join(", ")}, where no family here keeps its encoder; name the family with --family`;
  }
  if (source.names.some((name) => /patch_embed\.proj\.\d+\.weight$/.test(name))) {
    return "its patches are embedded by several convolutions (MoCo v3's ViT with a convolutional stem), expected one";
  }
  const some = source.names.slice(0, 3).join(", ");
  return (
    `it holds no vision transformer: expected a tensor ${anchors.join(" or ")}, and it has ` +
    `${source.names.length} tensors${some === "" ? "" : ` (${some}, …)`}`
  );
}

/** Sorts a file's tensors into ours and others. */
function ingredients(source: TensorSource, family: Family, prefix: string, recognised: Family | undefined) {
  const ourName = namesBack(family.layout.names);
  const found = new Map<string, string[]>();
  const wholes = new Map<string, number>();
  const leftOver: string[] = [];
  const unknown: string[] = [];
  for (const name of source.names) {
    if (!name.startsWith(prefix)) {
      leftOver.push(name);
      continue;
    }
    const bare = name.slice(prefix.length);
    const ours = ourName(family.rename?.(bare) ?? bare);
    if (!ours) {
      const isOfOthers = prefix === "" && bare.startsWith("decoder.");
      (harmless.test(bare) || isOfOthers ? leftOver : unknown).push(name);
      continue;
    }
    const parts = found.get(ours.name) ?? [];
    if (parts[ours.part] !== undefined || (wholes.get(ours.name) ?? ours.parts) !== ours.parts) {
      throw new EncoderError(
        `${source.path}: both "${parts.find((each) => each !== undefined)}" and "${name}" are ${ours.name}, ` +
          "expected one of them",
      );
    }
    parts[ours.part] = name;
    found.set(ours.name, parts);
    wholes.set(ours.name, ours.parts);
  }
  if (unknown.length > 0) {
    const other = recognised && recognised !== family ? recognised : undefined;
    throw new EncoderError(
      `${source.path}: the encoder has tensors that change what it computes and that ${family.title} (${family.name}) ` +
        `as it is read here does not have: ${listed(unknown)}` +
        (other ? `; it looks like ${other.title}: --family ${other.name}` : ""),
    );
  }
  for (const [name, parts] of found) {
    const count = wholes.get(name) ?? 1;
    if (Array.from({ length: count }, (_, i) => parts[i]).includes(undefined)) {
      throw new EncoderError(
        `${source.path}: ${name} is made of ${count} tensors, and only ${parts.filter(Boolean).join(", ")} is there`,
      );
    }
  }
  return { ingredients: found as Ingredients, leftOver };
}

/** The first few names, and how many there are. */
export function listed(names: readonly string[]): string {
  const more = names.length > 3 ? `, … (${names.length} in all)` : "";
  return names.slice(0, 3).join(", ") + more;
}
