/** @file What the sections of a report share. */

import type { EvaluationRecord } from "./events.js";
import { type Html, html } from "./html.js";
import type { RunData } from "./read-run.js";

/** What every section gets: the runs with their distinct labels, all evaluations, one colour per label. */
export interface ReportContext {
  runs: { run: RunData; label: string; color: string }[];
  evaluations: EvaluationRecord[];
  colors: Map<string, string>;
}

/** A titled section, or `null` when none of its parts has anything to show. */
export function section(title: string, ...content: (Html | null)[]): Html | null {
  const shown = content.filter((part): part is Html => part !== null);
  return shown.length === 0 ? null : html`<section><h2>${title}</h2>${shown}</section>`;
}
