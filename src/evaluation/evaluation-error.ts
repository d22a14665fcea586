/** @file The error that evaluation/ throws for what a user gave. Its message says what to do. */

export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
}
