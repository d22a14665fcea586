/** @file A map of images: their pictures where their features lie, as one SVG file or a page that holds it. */

import { PALETTE } from "./charts.js";
import { Html, html } from "./html.js";

export interface MapPoint {
  readonly x: number;
  readonly y: number;
  readonly name: string;
  /** Class, which gives the colour. */
  readonly label?: string | undefined;
  /** PNG file of a small square picture; a dot is drawn without it. */
  readonly picture?: Uint8Array | undefined;
}

export interface EmbeddingMapOptions {
  readonly title: string;
  /** Side of a picture in the map, in pixels. */
  readonly pictureSize: number;
}

const SIDE = 960;
const MARGIN = 28;
const HEAD = 40;
const ROW = 18;
/** Width of an entry of the legend. */
const LEGEND_COLUMN = 180;

/** The palette, then lighter and lighter versions of it. */
function colorOf(index: number): string {
  const color = PALETTE[index % PALETTE.length] as string;
  const share = 0.55 ** Math.floor(index / PALETTE.length);
  const parts = [1, 3, 5].map((start) => Number.parseInt(color.slice(start, start + 2), 16));
  const lighter = parts.map((part) => Math.round(255 - (255 - part) * share));
  return `#${lighter.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** An SVG file. @throws RangeError without points. */
export function embeddingMapSvg(points: readonly MapPoint[], options: EmbeddingMapOptions): string {
  const { title, pictureSize } = options;
  if (points.length === 0) throw new RangeError("embedding map: no point given, expected at least one");
  const labels = [...new Set(points.flatMap(({ label }) => (label === undefined ? [] : [label])))].sort();
  const colors = new Map(labels.map((label, i) => [label, colorOf(i)]));
  const range = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
  const [left, right] = range(points.map(({ x }) => x));
  const [bottom, top] = range(points.map(({ y }) => y));
  // One scale for both axes: distances are what a map shows.
  const inside = SIDE - 2 * MARGIN - pictureSize;
  const scale = inside / (Math.max(right - left, top - bottom) || 1);
  const height = Math.ceil((top - bottom) * scale + pictureSize + 2 * MARGIN);
  const columns = Math.floor((SIDE - 2 * MARGIN) / LEGEND_COLUMN);
  const legendHeight = labels.length === 0 ? 0 : Math.ceil(labels.length / columns) * ROW + 8;
  const begin = HEAD + legendHeight;
  const marks = points.map(({ x, y, name, label, picture }) => {
    const px = (
      MARGIN +
      (x - left) * scale +
      (SIDE - 2 * MARGIN - pictureSize - (right - left) * scale) / 2
    ).toFixed(1);
    const py = (begin + MARGIN + (top - y) * scale).toFixed(1);
    const color = label === undefined ? "#1c1f24" : (colors.get(label) as string);
    const tip = html`<title>${label === undefined ? name : `${name} (${label})`}</title>`;
    if (!picture) {
      const half = pictureSize / 2;
      return html`<circle cx="${(Number(px) + half).toFixed(1)}" cy="${(Number(py) + half).toFixed(1)}" r="4" fill="${color}" fill-opacity="0.7">${tip}</circle>`;
    }
    const source = `data:image/png;base64,${Buffer.from(picture).toString("base64")}`;
    const box = html`x="${px}" y="${py}" width="${pictureSize}" height="${pictureSize}"`;
    return html`<g>${tip}<image ${box} href="${source}"/><rect ${box} fill="none" stroke="${color}" stroke-width="2"/></g>`;
  });
  const legend = labels.map((label, i) => {
    const x = MARGIN + (i % columns) * LEGEND_COLUMN;
    const y = HEAD + Math.floor(i / columns) * ROW;
    return html`<rect x="${x}" y="${y}" width="12" height="12" fill="${colors.get(label) as string}"/><text x="${x + 18}" y="${y + 10}">${label}</text>`;
  });
  const svg = html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIDE} ${begin + height}" width="${SIDE}" height="${begin + height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="#1c1f24" role="img" aria-label="${title}">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${MARGIN}" y="24" font-size="16" font-weight="600">${title}</text>
${legend}
${marks.map((mark) => html`${mark}\n`)}</svg>`;
  return `${svg}\n`;
}

/** A page of its own. */
export function embeddingMapPage(points: readonly MapPoint[], options: EmbeddingMapOptions): string {
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${options.title}</title><style>body { margin: 0; background: #fff; } svg { display: block; margin: 0 auto; max-width: 100%; height: auto; }</style></head>
<body>${new Html(embeddingMapSvg(points, options))}</body></html>`;
  return `${page}\n`;
}
