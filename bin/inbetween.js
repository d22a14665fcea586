#!/usr/bin/env node
/** @file Launcher of the command line: hands over to the built `dist/cli/main.js`. */
import { existsSync } from "node:fs";

const entry = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(entry)) {
  const { main } = await import(entry.href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write(
    "inbetween: dist/cli/main.js is missing, the package is not built. Run `npm start` (installs, builds and runs the demo) or `npm run build`.\n",
  );
  process.exitCode = 1;
}
