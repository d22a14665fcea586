/** @file Colours for terminals: none where the output goes to a file or a pipe, or where NO_COLOR is set. */

import pc from "picocolors";

const colorsOf = ({ isTTY }: { readonly isTTY?: boolean }) =>
  pc.createColors(pc.isColorSupported && isTTY === true);

/** For results. */
export const stdoutColors = colorsOf(process.stdout);
/** For errors and warnings. */
export const stderrColors = colorsOf(process.stderr);
