/** @file Public API of `reports/`: plain data in; tables, charts, progress, `report.html`, TensorBoard files out. */

export * from "./charts.js";
export { type ComparedGroup, type Comparison, compareRuns, type Summary } from "./comparison.js";
export {
  type ComparisonPageOptions,
  findGroup,
  markdownComparison,
  renderComparison,
  terminalComparison,
  writeComparison,
} from "./comparison-page.js";
export * from "./embedding-map.js";
export * from "./events.js";
export type { FigureTable, TableFigure, TableRow } from "./figure-table.js";
export * from "./format.js";
export { type PaperTables, paperTables } from "./paper-tables.js";
export { Progress, type ProgressOptions, type ProgressState } from "./progress.js";
export {
  BENCHMARKS,
  PUBLISHED_ACCURACIES,
  PUBLISHED_ROWS,
  PUBLISHED_SCALE,
  PUBLISHED_SOURCE,
  type PublishedAccuracies,
  type PublishedRow,
} from "./published.js";
export {
  CONFIG_FILE,
  type Picture,
  RUN_FILE,
  type RunData,
  readEncoderRecords,
  readRun,
} from "./read-run.js";
export { type ReportInput, renderReport, writeReport } from "./report.js";
export * from "./run-log.js";
export { r2Tables, terminalR2Tables, terminalTable } from "./tables.js";
export { metricsScalars, pngSize, TensorBoardWriter } from "./tensorboard.js";
