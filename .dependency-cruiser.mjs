/**
 * @file The import law of `src/`: who may import whom. Data flows down the table; a folder imports from the folders
 * named for it, from itself, and from the leaf modules `src/random.ts` and `src/records.ts` (all) and `src/files.ts`
 * (all that may use Node). `ARCHITECTURE.md` describes the folders.
 */

/** Folders of `src/`, in processing order, and the folders each may import from. */
const allowed = {
  pickle: [],
  graph: [],
  runtime: ["graph"],
  nn: ["graph"],
  transforms: ["graph"],
  models: ["graph", "nn"],
  methods: ["graph", "nn", "models", "transforms"],
  data: ["pickle"],
  weights: ["pickle", "graph", "nn", "transforms", "models"],
  training: ["graph", "runtime", "nn", "transforms", "models", "methods", "data", "weights"],
  evaluation: ["graph", "runtime", "nn", "transforms", "models", "methods", "data", "weights"],
  reports: [],
  cli: [
    "graph",
    "runtime",
    "nn",
    "transforms",
    "models",
    "methods",
    "data",
    "weights",
    "training",
    "evaluation",
    "reports",
  ],
};

/** Folders that must run in a browser: no `node:*`, hence no `src/files.ts` either. */
const browserFolders = ["graph", "nn", "transforms", "models", "methods"];

/** The pretraining methods. They do not import each other; `inbetween` wraps any of them. */
const methods = [
  "vicreg",
  "sie",
  "cross-attention",
  "simclr",
  "dino",
  "ibot",
  "dinov2",
  "mocov2",
  "mocov3",
  "mae",
  "ijepa",
];

/** A rule that forbids what `to` matches, for the files that `from` matches. */
const forbid = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });

const folderRules = Object.entries(allowed).map(([folder, imports]) => {
  const leaves = browserFolders.includes(folder) ? "random|records" : "random|records|files";
  return forbid(
    `${folder}-imports`,
    `src/${folder}/ may import from: ${imports.join(", ") || "no other folder"} (and src/{${leaves}}.ts).`,
    { path: `^src/${folder}/` },
    {
      dependencyTypes: ["local"],
      pathNot: [`^src/(${[folder, ...imports].join("|")})/`, `^src/(${leaves})\\.ts$`],
    },
  );
});

export default {
  forbidden: [
    ...folderRules,
    forbid(
      "known-places",
      "src/ holds the folders of the table and the leaf modules: add a new folder to the table first.",
      {
        path: "^src/",
        pathNot: [`^src/(${Object.keys(allowed).join("|")})/`, "^src/(random|records|files)\\.ts$"],
      },
      {},
    ),
    forbid(
      "leaves-import-nothing",
      "src/random.ts and src/records.ts import nothing: every folder uses them, in browsers too.",
      { path: "^src/(random|records)\\.ts$" },
      {},
    ),
    forbid(
      "files-is-a-leaf",
      "src/files.ts imports no module of this package.",
      { path: "^src/files\\.ts$" },
      { dependencyTypes: ["local"] },
    ),
    forbid(
      "no-node-in-browser-folders",
      "This folder must run in a browser: no node:* modules.",
      { path: `^src/(${browserFolders.join("|")})/` },
      { dependencyTypes: ["core"] },
    ),
    forbid(
      "onnxruntime-in-runtime-only",
      "ONNX Runtime is imported in src/runtime/ only.",
      { pathNot: "^src/runtime/" },
      { path: "(^|node_modules/)onnxruntime-" },
    ),
    forbid(
      "sharp-in-data-only",
      "sharp is imported in src/data/ only.",
      { pathNot: "^src/data/" },
      { path: "(^|node_modules/)sharp($|/)" },
    ),
    forbid(
      "methods-stand-alone",
      "Methods do not import each other: move what they share into a file of its own.",
      { path: `^src/methods/(${methods.join("|")})[./]` },
      { path: `^src/methods/(${[...methods, "inbetween"].join("|")})[./]`, pathNot: "^src/methods/$1[./]" },
    ),
    forbid("no-cycles", "Import cycles (of types too) are forbidden.", {}, { circular: true }),
    forbid("no-unresolved", "The imported module does not exist.", {}, { couldNotResolve: true }),
    forbid(
      "runtime-dependencies-only",
      "Code that ships imports what package.json lists under dependencies, nothing else.",
      { path: "^src/" },
      {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"],
        dependencyTypesNot: ["type-only"],
      },
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    moduleSystems: ["es6"],
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
      mainFields: ["module", "main", "types"],
    },
  },
};
