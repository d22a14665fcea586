/** @file Numbers and durations as people read them, the same in terminal, tables, charts and report. */

/** What stands where there is no number. */
export const MISSING = "–";

/** Fixed decimals with a real minus sign; `MISSING` for NaN. */
export function formatNumber(value: number, digits = 3): string {
  if (Number.isNaN(value)) return MISSING;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = value.toFixed(digits);
  // Rounding a small negative number to zero must not leave "-0.000".
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** "0.227 ± 0.024"; the deviation is left out where there is none to speak of (a single repeat). */
export function formatMeanStd(mean: number, std: number, repeats: number, digits = 3): string {
  const text = formatNumber(mean, digits);
  return repeats > 1 && Number.isFinite(std) && Number.isFinite(mean)
    ? `${text} ± ${formatNumber(std, digits)}`
    : text;
}

/** "43 s", "5 min 12 s", "3 h 07 min", "2 d 4 h". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return MISSING;
  const whole = Math.round(seconds);
  const pad = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** 21,665,664 */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** Three significant digits without an exponent where that stays short: "4.13", "0.0825", "12,400", "3.2e-7". */
export function formatCompact(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : formatNumber(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7))
    return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  if (size >= 1000) return formatCount(value);
  return String(Number(value.toPrecision(3)));
}

/** "1.02 billion", "21.7 million", "40,960" */
export function formatLargeCount(value: number): string {
  if (value >= 1e9) return `${Number((value / 1e9).toPrecision(3))} billion`;
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} million`;
  return formatCount(value);
}

/** "2026-11-23 20:11 UTC"; text that is no date stays as it is. */
export function formatMoment(iso: string): string {
  const moment = new Date(iso);
  return Number.isNaN(moment.getTime()) ? iso : `${moment.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

export function formatPercent(fraction: number, digits = 1): string {
  return Number.isFinite(fraction) ? `${formatNumber(fraction * 100, digits)} %` : MISSING;
}
