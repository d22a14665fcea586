/** @file The pretraining methods by name: their options, and how each is made for an encoder. */

import { z } from "zod";
import type { VisionTransformerConfig, VisionTransformerOptions } from "../models/index.js";
import { transformation } from "../transforms/index.js";
import { crossAttentionOptions, crossAttentionReconstruction } from "./cross-attention.js";
import { dino, dinoOptions } from "./dino.js";
import { dinov2, dinov2Options } from "./dinov2.js";
import { ibot, ibotOptions } from "./ibot.js";
import { ijepa, ijepaEncoder, ijepaOptions } from "./ijepa.js";
import { type BaseMethod, inbetween, inbetweenOptions } from "./inbetween.js";
import { mae, maeEncoder, maeOptions } from "./mae.js";
import type { Method, MethodViews } from "./method.js";
import { mocov2, mocov2Options } from "./mocov2.js";
import { mocov3, mocov3Needs, mocov3Options } from "./mocov3.js";
import { sie, sieOptions } from "./sie.js";
import { simclr, simclrOptions } from "./simclr.js";
import { vicreg, vicregOptions } from "./vicreg.js";

export * from "./cross-attention.js";
export * from "./dino.js";
export * from "./dinov2.js";
export * from "./ibot.js";
export * from "./ijepa.js";
export * from "./inbetween.js";
export * from "./losses/index.js";
export * from "./mae.js";
export * from "./method.js";
export * from "./mocov2.js";
export * from "./mocov3.js";
export * from "./sie.js";
export * from "./simclr.js";
export * from "./vicreg.js";

const vicregSchema = vicregOptions.extend({ name: z.literal("vicreg") });
const simclrSchema = simclrOptions.extend({ name: z.literal("simclr") });
const mocov2Schema = mocov2Options.extend({ name: z.literal("mocov2") });
const mocov3Schema = mocov3Options.extend({ name: z.literal("mocov3") });
const sieSchema = sieOptions.extend({ name: z.literal("sie") });
const crossAttentionSchema = crossAttentionOptions.extend({ name: z.literal("cross-attention") });

const dinoSchema = dinoOptions.extend({ name: z.literal("dino") });
const ibotSchema = ibotOptions.extend({ name: z.literal("ibot") });
const dinov2Schema = dinov2Options.extend({ name: z.literal("dinov2") });

/** Methods that the in-between task can be put on. */
const baseSchema = z.discriminatedUnion("name", [vicregSchema, simclrSchema, ibotSchema, dinov2Schema]);
type BaseOptions = z.output<typeof baseSchema>;

const inbetweenSchema = inbetweenOptions.extend({ name: z.literal("inbetween"), base: baseSchema });

const maeSchema = maeOptions.extend({ name: z.literal("mae") });
const ijepaSchema = ijepaOptions.extend({ name: z.literal("ijepa") });

export const methodSchema = z.discriminatedUnion("name", [
  vicregSchema,
  simclrSchema,
  mocov2Schema,
  mocov3Schema,
  sieSchema,
  crossAttentionSchema,
  dinoSchema,
  ibotSchema,
  dinov2Schema,
  maeSchema,
  ijepaSchema,
  inbetweenSchema,
]);
export type MethodOptions = z.output<typeof methodSchema>;

/** What a method is made for. */
export interface MethodSetting {
  readonly encoder: VisionTransformerConfig;
  readonly views: MethodViews;
  readonly batchSize: number;
  /** Name of the augmentations that make the views, for titles: `all`, `rot`. */
  readonly augmentation: string;
}

/**
 * What a method asks of its encoder beyond the configured sizes: a mask token, no class token, its positions and
 * initial values. The recipe's own values come first.
 */
export function encoderNeeds(options: MethodOptions): Partial<VisionTransformerOptions> {
  switch (options.name) {
    case "vicreg":
    case "simclr":
    case "mocov2":
    case "sie":
    case "cross-attention":
      return {};
    case "mocov3":
      return mocov3Needs;
    case "dino":
      return {};
    case "ibot":
      return { maskToken: true };
    case "dinov2":
      return { maskToken: true, initialization: "dinov2", layerScale: 1e-5, dropPathGrowth: "uniform" };
    case "mae":
      return maeEncoder;
    case "ijepa":
      return ijepaEncoder;
    case "inbetween":
      return encoderNeeds(options.base);
  }
}

/** Makes the method that the options describe. @throws RangeError when its widths do not fit. */
export function makeMethod(options: MethodOptions, setting: MethodSetting): Method {
  const { encoder, views, batchSize, augmentation } = setting;
  switch (options.name) {
    case "vicreg":
      return vicreg(encoder, views, options);
    case "simclr":
      return simclr(encoder, views, options);
    case "mocov2":
      return mocov2(encoder, views, options, batchSize);
    case "mocov3":
      return mocov3(encoder, views, options);
    case "sie":
      return sie(encoder, views, options);
    case "cross-attention":
      return crossAttentionReconstruction(encoder, views, options);
    case "dino":
      return dino(encoder, views, options);
    case "ibot":
      return ibot(encoder, views, options);
    case "dinov2":
      return dinov2(encoder, views, options);
    case "mae":
      return mae(encoder, views, options);
    case "ijepa":
      return ijepa(encoder, views, options);
    case "inbetween":
      return inbetween(
        baseMethod(options.base, encoder),
        views,
        transformation(options.transformation),
        { patchSize: encoder.patchSize, augmentation },
        options,
      );
  }
}

/** A method that the in-between task is put on. */
function baseMethod(options: BaseOptions, encoder: VisionTransformerConfig): BaseMethod<object, object> {
  return (views, reserved) => {
    switch (options.name) {
      case "vicreg":
        return vicreg(encoder, views, options, reserved);
      case "simclr":
        return simclr(encoder, views, options, reserved);
      case "ibot":
        return ibot(encoder, views, options, reserved);
      case "dinov2":
        return dinov2(encoder, views, options, reserved);
    }
  };
}
