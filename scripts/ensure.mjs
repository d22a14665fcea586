/**
 * @file Brings the checkout into a state that runs: checks Node's version, installs the dependencies of
 * `package-lock.json` when they are missing or different, and builds `dist/` when `src/` is newer. Does nothing
 * (in a few milliseconds) when all of it is done. Plain Node, no dependencies; writes to stderr only, so the
 * stdout of the command that follows stays its own.
 *
 *     node scripts/ensure.mjs            install and build
 *     node scripts/ensure.mjs --install  install only
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const repository = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Written after a build without errors, with the time at which it started: sources are compared with that. */
const STAMP = join("dist", ".built");

/** An error whose message is all that the user needs. */
class EnsureError extends Error {}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Runs a program with its output on stderr; true when it succeeded. */
function run(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: repository, stdio: ["ignore", 2, 2], ...options });
  if (result.error) throw new EnsureError(`Could not start ${program}: ${result.error.message}`);
  return result.status === 0;
}

/** True when version `found` ("20.20.2") is at least `wanted` ("20.19"). */
export function isAtLeast(found, wanted) {
  const [a, b] = [found, wanted].map((version) => version.split(".").map(Number));
  for (let i = 0; i < b.length; i++) {
    if ((a[i] ?? 0) !== b[i]) return (a[i] ?? 0) > b[i];
  }
  return true;
}

/**
 * Why the dependencies under `root` have to be installed, or undefined when they are in place. Compares the lock file
 * with npm's own record of what it installed, not their times: a fresh `git checkout` alone does not reinstall.
 */
export function whyInstall(root) {
  const record = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return "no dependencies are installed yet";
  const installed = readJson(record).packages;
  for (const [path, wanted] of Object.entries(readJson(join(root, "package-lock.json")).packages)) {
    if (path === "" || wanted.link) continue;
    const found = installed[path];
    // Packages of other platforms are optional, and rightly absent.
    if (!found && !wanted.optional) return `${path} is missing`;
    if (found && found.version !== wanted.version) {
      return `${path} is ${found.version}, package-lock.json wants ${wanted.version}`;
    }
  }
  return undefined;
}

/** Time of the last change under `path`, in ms; a folder's own time tells of removed files. 0 when absent. */
function newest(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return 0;
  let time = stats.mtimeMs;
  if (stats.isDirectory()) {
    for (const entry of readdirSync(path)) time = Math.max(time, newest(join(path, entry)));
  }
  return time;
}

/** True when `dist/` under `root` is missing or older than what it is built from. */
export function needsBuild(root) {
  const built = statSync(join(root, STAMP), { throwIfNoEntry: false });
  if (!built) return true;
  return ["src", "tsconfig.json", "package-lock.json"].some(
    (path) => newest(join(root, path)) > built.mtimeMs,
  );
}

function checkNode() {
  const wanted = readJson(join(repository, "package.json")).engines.node.replace(/[^\d.]/g, "");
  const found = process.versions.node;
  if (!isAtLeast(found, wanted)) {
    throw new EnsureError(
      `Node ${wanted} or newer is needed, this is Node ${found} (${process.execPath}). Install a current one from https://nodejs.org.`,
    );
  }
}

function install() {
  const why = whyInstall(repository);
  if (!why) return;
  say(`Installing dependencies (${why}) …`);
  const args = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  // npm names its own script when it started us; on Windows a bare `npm` is a shell script.
  const npm = process.env.npm_execpath;
  const ok = npm?.endsWith("npm-cli.js")
    ? run(process.execPath, [npm, ...args])
    : run("npm", args, { shell: process.platform === "win32" });
  if (!ok) {
    throw new EnsureError(
      "`npm ci` failed, its message is above. Is the npm registry reachable, and does package-lock.json match package.json?",
    );
  }
}

/** Builds `dist/` anew with TypeScript, so that no file outlives its source; true when there were no errors. */
export function build() {
  rmSync(join(repository, "dist"), { recursive: true, force: true });
  // Taken before the build: a file saved while it runs counts as newer.
  const started = new Date();
  if (!run(process.execPath, [join("node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.json"]))
    return false;
  mkdirSync(join(repository, "dist"), { recursive: true });
  const stamp = join(repository, STAMP);
  writeFileSync(stamp, `${started.toISOString()}\n`);
  utimesSync(stamp, started, started);
  return true;
}

function ensure() {
  checkNode();
  install();
  if (process.argv.includes("--install") || !needsBuild(repository)) return;
  say("Building …");
  if (!build()) throw new EnsureError("The build failed: TypeScript's errors are above.");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    ensure();
  } catch (error) {
    if (!(error instanceof EnsureError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
