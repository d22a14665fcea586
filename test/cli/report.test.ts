/** @file `inbetween report` and `inbetween recipes`: what they write and list, bad input. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { inbetween, inbetweenJson, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();
const at = (...parts: readonly string[]): string => join(folder, ...parts);

describe("report", () => {
  beforeAll(async () => {
    for (const [run, seed] of [
      ["one", "1"],
      ["two", "2"],
    ] as const) {
      const recipe = ["--recipe", tinyRecipe(folder), "--set", `name=run ${run}`];
      await inbetweenJson(
        "pretrain",
        "synthetic:16",
        ...recipe,
        "--steps",
        "2",
        "--seed",
        seed,
        "--out",
        at(run),
      );
    }
  });

  it("writes the report of a run into its folder", async () => {
    const { code, stdout } = await inbetween("report", at("one"));
    expect(code).toBe(0);
    const file = at("one", "report", "report.html");
    expect(stdout.trim()).toBe(resolve(file));
    const page = readFileSync(file, "utf8");
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).toContain("run one");
    // The in-between pictures are inside, nothing is loaded.
    expect(page).toContain("data:image/png;base64,");
    expect(page).not.toMatch(/(src|href)="https?:/);
  });

  it("compares several runs in a file of their own", async () => {
    const runs = [at("one"), at("two")];
    expect(await inbetweenJson("report", ...runs, "--out", at("both.html"))).toEqual({
      report: at("both.html"),
      runs,
    });
    const page = readFileSync(at("both.html"), "utf8");
    expect(page).toContain("2 pretraining runs compared");
    expect(page).toContain("run one");
    expect(page).toContain("run two");
  });

  it.each([
    ["no run", [], /missing required argument 'run'/],
    ["a folder that is none", [at("none")], /none is no folder; name the folder that was given to --out/],
    [
      "a folder without a run",
      [at("empty")],
      /empty is not a run folder: expected run\.json, config\.json or/,
    ],
    ["several runs without a file", [at("one"), at("two")], /a report of 2 runs .* --out FILE\.html/],
    [
      "a file that is no page",
      [at("one"), "--out", at("report.pdf")],
      /report\.pdf: .*a name that ends in \.html/,
    ],
    [
      "a file below a file",
      [at("one"), "--out", at("tiny.yaml", "x.html")],
      /x\.html could not be written: /,
    ],
    ["a wrong option", [at("one"), "--oot", "x"], /unknown option '--oot'\n\(Did you mean --out\?\)/],
  ])("rejects %s", async (_, args, message) => {
    mkdirSync(at("empty"), { recursive: true });
    const { code, stdout, stderr } = await inbetween("report", ...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stdout).toBe("");
    expect(code).not.toBe(0);
  });

  it("names a damaged file", async () => {
    mkdirSync(at("damaged"));
    writeFileSync(at("damaged", "run.json"), "{");
    const { code, stderr } = await inbetween("report", at("damaged"));
    expect(code).toBe(1);
    expect(stderr).toMatch(/damaged\/run\.json: expected JSON/);
    expect(existsSync(at("damaged", "report"))).toBe(false);
  });
});

describe("recipes", () => {
  const recipes = fileURLToPath(new URL("../../recipes/", import.meta.url));

  it("lists every file of recipes/ with its description and its row in the paper", async () => {
    const files = readdirSync(recipes, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".yaml"),
    );
    const expected = files.map((file) => {
      const { description, table } = parse(readFileSync(join(recipes, file), "utf8")) as {
        description: string;
        table?: { numbers?: number[]; row: string };
      };
      expect(description).not.toBe("");
      return {
        name: file.slice(0, -".yaml".length),
        description,
        ...(table ? { table: { numbers: [], ...table } } : {}),
      };
    });
    expected.sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(expected.map(({ name }) => name)).toContain("quick/inbetween");
    expect(await inbetweenJson("recipes")).toEqual({ recipes: expected });
    const { stdout } = await inbetween("recipes");
    const rows = stdout.trimEnd().split("\n");
    expect(rows.map((row) => row.split(/ {2,}/).slice(0, 2))).toEqual(
      expected.map(({ name, description }) => [name, description]),
    );
    const rowOf = (recipe: string) => rows.find((row) => row.startsWith(`${recipe} `));
    expect(rowOf("paper/inbetween-dinov2")).toMatch(/\[Tables 2, 3, 4, 6: Ours\(DINOv2, all, se2\)\]$/);
    expect(rowOf("quick/vicreg")).not.toContain("[");
  });
});

describe("every command", () => {
  it("has help with examples, and names the nearest command when one is mistyped", async () => {
    const { stdout } = await inbetween("--help");
    const listed = [...stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name as string);
    const commands = listed.filter((name) => name !== "help");
    expect(commands).toEqual(
      expect.arrayContaining([
        "bench",
        "demo",
        "doctor",
        "embed",
        "evaluate",
        "export",
        "pretrain",
        "recipes",
      ]),
    );
    for (const command of commands) {
      const help = await inbetween(command, "--help");
      expect(help.code).toBe(0);
      const isGroup = /^Commands:/m.test(help.stdout);
      if (!isGroup) expect(help.stdout, command).toMatch(/Examples:\n {2}inbetween /);
    }
    const { code, stderr } = await inbetween("pretain");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/unknown command 'pretain'\n\(Did you mean pretrain\?\)/);
  });
});
