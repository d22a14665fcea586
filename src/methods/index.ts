/** @file The pretraining methods by name: their options, and how each is made for an encoder. */

import { z } from "zod";
import type { VisionTransformerConfig, VisionTransformerOptions } from "../models/index.js";
import { transformation } from "../transforms/index.js";
import { ijepa, ijepaEncoder, ijepaOptions } from "./ijepa.js";
import { inbetween, inbetweenOptions } from "./inbetween.js";
import { mae, maeEncoder, maeOptions } from "./mae.js";
import type { Method, MethodViews } from "./method.js";
import { vicreg, vicregOptions } from "./vicreg.js";

export * from "./ijepa.js";
export * from "./inbetween.js";
export * from "./mae.js";
export * from "./method.js";
export * from "./vicreg.js";

const vicregSchema = vicregOptions.extend({ name: z.literal("vicreg") });

/** Methods that the in-between task can be put on. */
const baseSchema = z.discriminatedUnion("name", [vicregSchema]);

const inbetweenSchema = inbetweenOptions.extend({ name: z.literal("inbetween"), base: baseSchema });

const maeSchema = maeOptions.extend({ name: z.literal("mae") });

const ijepaSchema = ijepaOptions.extend({ name: z.literal("ijepa") });

export const methodSchema = z.discriminatedUnion("name", [
  vicregSchema,
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
      return {};
    case "mae":
      return maeEncoder;
    case "ijepa":
      return ijepaEncoder;
    case "inbetween":
      return encoderNeeds(options.base);
  }
}

/** Makes the method that the options describe. @throws RangeError when its widths do not fit. */
export function makeMethod(options: MethodOptions, { encoder, views, augmentation }: MethodSetting): Method {
  switch (options.name) {
    case "vicreg":
      return vicreg(encoder, views, options);
    case "mae":
      return mae(encoder, views, options);
    case "ijepa":
      return ijepa(encoder, views, options);
    case "inbetween":
      return inbetween(
        (baseViews, reserved) => vicreg(encoder, baseViews, options.base, reserved),
        views,
        transformation(options.transformation),
        { patchSize: encoder.patchSize, augmentation },
        options,
      );
  }
}
