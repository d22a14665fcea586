/** @file Counts what a Vitest JSON report says, including the failures that are not tests. */

/**
 * @param report Vitest's JSON report, or undefined when it wrote none (it crashed).
 * @param succeeded Whether Vitest exited with 0.
 * @returns Counts of tests. A test file that does not load counts as one failure; so does a run that failed without
 * a failed test (an unhandled rejection, a crash, no tests found).
 */
export function countTests(report, succeeded) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed++;
      else if (test.status === "failed") counts.failed++;
      else counts.skipped++;
    }
    // A failing hook or import fails the file without failing a test of it.
    if (file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"))
      counts.failed++;
  }
  if (!succeeded && counts.failed === 0) counts.failed++;
  return counts;
}
