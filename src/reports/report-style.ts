/** @file Style sheet of the report: one light appearance everywhere, legible on a phone and on paper. */

export const REPORT_STYLE = `
:root { color-scheme: only light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f5f7; color: #1c1f24; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 8px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; line-height: 1.3; margin: 0 0 12px; }
h3 { font-size: 16px; margin: 20px 0 8px; overflow-wrap: anywhere; }
p { margin: 0 0 12px; max-width: 75ch; }
a { color: #005a91; }
section, header { background: #fff; border: 1px solid #d8dce2; border-radius: 8px; padding: 20px 24px; margin: 0 0 20px; }
.lead { color: #4a515c; margin-bottom: 16px; }
.runs { display: grid; gap: 20px 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
.runs h3 { margin-top: 0; }
.facts { display: grid; gap: 2px 16px; margin: 0; font-size: 14px; }
.facts > div { display: grid; grid-template-columns: 8.5em minmax(0, 1fr); gap: 12px; border-bottom: 1px solid #eceef1; padding: 3px 0; }
.facts dt { color: #4a515c; }
.facts dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
code, pre { font: 13px/1.45 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
pre { background: #f4f5f7; border-radius: 6px; padding: 12px; overflow-x: auto; margin: 8px 0 16px; }
.scroll { overflow-x: auto; margin: 0 0 20px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; font-size: 15px; padding: 0 0 6px; }
th, td { padding: 6px 10px; border-bottom: 1px solid #d8dce2; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; white-space: normal; min-width: 13em; }
thead th { border-bottom: 2px solid #1c1f24; vertical-align: bottom; white-space: normal; }
tbody th { font-weight: 600; }
th small { display: block; font-weight: 400; color: #4a515c; }
tr.published th, tr.published td { background: #f4f5f7; color: #4a515c; font-style: italic; font-weight: 400; }
tr.measured + tr.published th, tr.measured + tr.published td { border-top: 2px solid #1c1f24; }
.charts { display: grid; gap: 20px 24px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); }
figure { margin: 0; break-inside: avoid; min-width: 0; }
figcaption { font-weight: 600; font-size: 14px; margin: 0 0 4px; overflow-wrap: anywhere; }
.chart { background: #fff; }
.chart svg { width: 100%; max-width: 480px; height: auto; display: block; }
.wide { overflow-x: auto; }
.wide .chart svg { min-width: 560px; max-width: 760px; }
.charts + .scroll, .wide + .scroll { margin-top: 28px; }
td small { display: block; color: #4a515c; font-size: 11px; white-space: normal; }
.records { display: grid; gap: 20px 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
.record { min-width: 0; }
.record h3 { margin-top: 0; }
.record .facts + .facts { margin-top: 14px; }
.record:target { outline: 2px solid #005a91; outline-offset: 8px; border-radius: 2px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 0; margin: 0 0 12px; font-size: 14px; }
.swatch { display: inline-block; width: 20px; height: 4px; border-radius: 2px; margin-right: 7px; vertical-align: middle; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.pictures { display: grid; gap: 16px 24px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); align-items: start; }
.pictures .frame { max-width: 640px; }
.pictures img { width: 100%; display: block; border: 1px solid #d8dce2; image-rendering: pixelated; }
.columns { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); font-size: 12px; line-height: 1.25; text-align: center; color: #4a515c; margin: 0 0 3px; }
.columns span { padding: 0 2px; align-self: end; overflow-wrap: anywhere; }
.claims { display: grid; gap: 8px 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.claims ul, .notes { padding-left: 20px; margin: 0 0 12px; }
.claims li, .notes li { margin: 0 0 6px; }
.notes .warning { border-left: 4px solid #d55e00; padding: 4px 12px; margin-left: -20px; background: #fdf1e9; list-style: none; }
details { margin: 12px 0 0; }
summary { cursor: pointer; font-weight: 600; }
details[open] > summary { margin-bottom: 12px; }
footer { color: #4a515c; font-size: 14px; }
@media (max-width: 600px) { main { padding: 12px 10px 40px; } section, header { padding: 16px 14px; } h1 { font-size: 23px; } .facts > div { grid-template-columns: 7em minmax(0, 1fr); } .r2 { font-size: 12px; } .r2 td, .r2 thead th, .r2 tbody th { padding: 5px 3px; } .r2 td { white-space: normal; } .r2 th:first-child { min-width: 7.5em; } }
@media print {
  @page { margin: 14mm; }
  body { background: #fff; font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section, header { border: 0; padding: 0; margin: 0 0 18pt; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  section > p, .legend { break-after: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; }
  table { font-size: 9pt; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  a { color: inherit; text-decoration: none; }
}
`;
