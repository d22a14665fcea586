/** @file The layouts that are recognised, in the order in which they are tried. */

import type { FileTree } from "../file-tree.js";
import { subTree } from "../file-tree.js";
import type { Layout, Recogniser } from "../layout.js";
import { recogniseCifarBinary } from "./cifar-binary.js";
import { recogniseCifarPython } from "./cifar-python.js";
import { recogniseAircraft } from "./fgvc-aircraft.js";
import { recogniseFlowers } from "./flowers-102.js";
import { recogniseFood } from "./food-101.js";
import { recogniseImagenet } from "./imagenet.js";
import { recogniseInaturalist } from "./inaturalist.js";
import { recognisePets } from "./oxford-pets.js";
import { recogniseSplitFolders } from "./split-folders.js";
import { recogniseShards } from "./web-dataset.js";

/** Official layouts before those that only look like a folder with splits. */
const recognisers: readonly Recogniser[] = [
  recogniseCifarBinary,
  recogniseCifarPython,
  recogniseAircraft,
  recognisePets,
  recogniseFood,
  recogniseFlowers,
  recogniseInaturalist,
  recogniseImagenet,
  recogniseShards,
  recogniseSplitFolders,
];

/** The layout of a tree, or of the only folder in it: archives usually hold one. Undefined for any other folder. */
export async function recogniseLayout(
  tree: FileTree,
): Promise<{ readonly layout: Layout; readonly tree: FileTree } | undefined> {
  for (const recognise of recognisers) {
    const layout = await recognise(tree);
    if (layout) return { layout, tree };
  }
  const { files, folders } = tree.list("");
  const [only] = folders;
  if (only === undefined || folders.length > 1 || files.length > 0) return undefined;
  return recogniseLayout(subTree(tree, only));
}
