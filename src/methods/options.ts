/** @file Options that several methods have, with the bounds that make sense. */

import { z } from "zod";

/** Which token the loss sees. */
export const poolOption = z.enum(["mean", "cls"]);

/** T: similarities are divided by it. */
export const temperatureOption = z
  .number()
  .positive("similarities are divided by the temperature: it must be above 0, such as 0.1");

const momentumAdvice = "a teacher's momentum is the share it keeps: it must be from 0 to 1, such as 0.99";

/** The share of its old value that a teacher keeps in a step. */
export const momentumOption = z.number().min(0, momentumAdvice).max(1, momentumAdvice);
