/** @file The pretraining methods by name: their options, and how each is made for an encoder. */

import { z } from "zod";
import type { VisionTransformerConfig, VisionTransformerOptions } from "../models/index.js";
import { transformation } from "../transforms/index.js";
import { dino, dinoOptions } from "./dino.js";
import { dinov2, dinov2Options } from "./dinov2.js";
import { ibot, ibotOptions } from "./ibot.js";
import { type BaseMethod, inbetween, inbetweenOptions } from "./inbetween.js";
import type { Method, MethodViews } from "./method.js";
import { vicreg, vicregOptions } from "./vicreg.js";

export * from "./dino.js";
export * from "./dinov2.js";
export * from "./ibot.js";
export * from "./inbetween.js";
export * from "./method.js";
export * from "./vicreg.js";

const vicregSchema = vicregOptions.extend({ name: z.literal("vicreg") });
const dinoSchema = dinoOptions.extend({ name: z.literal("dino") });
const ibotSchema = ibotOptions.extend({ name: z.literal("ibot") });
const dinov2Schema = dinov2Options.extend({ name: z.literal("dinov2") });

/** Methods that the in-between task can be put on. */
const baseSchema = z.discriminatedUnion("name", [vicregSchema, ibotSchema, dinov2Schema]);
type BaseOptions = z.output<typeof baseSchema>;

const inbetweenSchema = inbetweenOptions.extend({ name: z.literal("inbetween"), base: baseSchema });

export const methodSchema = z.discriminatedUnion("name", [
  vicregSchema,
  dinoSchema,
  ibotSchema,
  dinov2Schema,
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
      return {};
    case "dino":
      return {};
    case "ibot":
      return { maskToken: true };
    case "dinov2":
      return { maskToken: true, initialization: "dinov2", layerScale: 1e-5, dropPathGrowth: "uniform" };
    case "inbetween":
      return encoderNeeds(options.base);
  }
}

/** Makes the method that the options describe. @throws RangeError when its widths do not fit. */
export function makeMethod(options: MethodOptions, { encoder, views, augmentation }: MethodSetting): Method {
  switch (options.name) {
    case "vicreg":
      return vicreg(encoder, views, options);
    case "dino":
      return dino(encoder, views, options);
    case "ibot":
      return ibot(encoder, views, options);
    case "dinov2":
      return dinov2(encoder, views, options);
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
      case "ibot":
        return ibot(encoder, views, options, reserved);
      case "dinov2":
        return dinov2(encoder, views, options, reserved);
    }
  };
}
