/** @file The page that every report is: self-contained, without script, written as a whole. */

import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { writeFileAtomic } from "../files.js";
import { Html, type HtmlValue, html } from "./html.js";
import { REPORT_STYLE } from "./report-style.js";

/** A page's HTML text. @param body Its header and sections. */
export function renderPage(title: string, body: HtmlValue): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="only light">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Html(REPORT_STYLE)}</style>
</head>
<body><main>
${body}
<footer><p>Written by inbetween. This file is complete in itself: it loads nothing.</p></footer>
</main></body>
</html>
`.markup;
}

/**
 * Writes a page. The file appears as a whole (written aside, flushed, renamed), so a failure leaves an earlier one as it was.
 * @returns The absolute path.
 */
export function writePage(file: string, text: string): string {
  const path = resolve(file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileAtomic(path, text);
  return path;
}
