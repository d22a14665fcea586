/** @file Image files looked at before a data set is made of them: what is there, and what begins like an image. */

import { systemErrorCode } from "../files.js";
import { reasonOf } from "./data-error.js";
import type { FileTree } from "./file-tree.js";
import { HEADER_BYTES, headerProblem } from "./image-header.js";
import type { SkipLog } from "./skip-log.js";

export interface InspectedFiles {
  /** Places in the list of those that begin like an image, and their bytes. */
  readonly usable: readonly number[];
  readonly sizes: readonly number[];
  /** Places in the list of those that are not there. */
  readonly missing: readonly number[];
}

/** Files looked at between two pauses, in which the program can do something else. */
const FILES_AT_A_TIME = 512;

/**
 * Looks at the beginning of each file: damage further inside shows when a loader decodes it.
 * @param skips Where files that are there but no image are named.
 */
export async function inspectFiles(
  tree: FileTree,
  files: readonly string[],
  skips: SkipLog,
): Promise<InspectedFiles> {
  const usable: number[] = [];
  const sizes: number[] = [];
  const missing: number[] = [];
  const head = new Uint8Array(HEADER_BYTES);
  for (const [i, file] of files.entries()) {
    if (i % FILES_AT_A_TIME === FILES_AT_A_TIME - 1) await new Promise((resume) => setImmediate(resume));
    try {
      const found = tree.head(file, head);
      const problem = found && headerProblem(head.subarray(0, found.read));
      if (!found) missing.push(i);
      else if (problem !== undefined) skips.add(file, problem);
      else {
        usable.push(i);
        sizes.push(found.bytes);
      }
    } catch (error) {
      skips.add(file, systemErrorCode(error) === "EACCES" ? "permission denied" : reasonOf(error));
    }
  }
  return { usable, sizes, missing };
}
