/** @file `inbetween report --compare`: from what the evaluations leave behind to the page with the paper's tables. */

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "#src/random.js";
import { tinyMethods } from "../training/tiny.js";
import { inbetween, inbetweenJson, temporaryFolder } from "./helpers.js";
import { writeRecipe } from "./tiny-recipe.js";

const folder = temporaryFolder();
const at = (...parts: readonly string[]): string => join(folder, ...parts);

/** Images of three classes, each a colour with noise, as CIFAR-10's binary files hold them. */
function cifarFile(name: string, count: number): void {
  const random = randomStream(0, name);
  const records = Array.from({ length: count }, (_, i) => {
    const label = i % 3;
    const pixel = (j: number) => (Math.floor(j / 1024) === label ? 190 : 60) + 20 * random.normal();
    return [label, ...Array.from({ length: 3072 }, (_, j) => Math.max(0, Math.min(255, pixel(j))))];
  });
  writeFileSync(at("cifar", name), Uint8Array.from(records.flat()));
}

async function run(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await inbetween(...args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
}

const PAIRS = ["--train", "16", "--validation", "4", "--test", "12", "--repeats", "2", "--no-baseline"];
const images = () => ["--train", at("cifar"), "--test", at("cifar")];

beforeAll(async () => {
  mkdirSync(at("cifar"));
  cifarFile("data_batch_1.bin", 36);
  cifarFile("test_batch.bin", 12);
  for (const [name, method] of Object.entries({ plain: tinyMethods.vicreg, ours: tinyMethods.inbetween })) {
    const recipe = writeRecipe(folder, { method, steps: 2 }, `${name}.yaml`);
    await run("pretrain", "synthetic:16", "--recipe", recipe, "--out", at(name));
    await run("export", "--run", at(name), "--out", at("encoders", name), "--onnx", "none");
  }
  const data = ["--data", at("cifar"), "--split", "train", ...PAIRS];
  const linear = [...images(), "--features", "mean", "--epochs", "10"];
  await run("evaluate", "transformations", "--encoder", at("encoders", "ours"), "--hidden", "32", ...data);
  await run("evaluate", "transformations", "--run", at("plain"), "--hidden", "32", ...data);
  await run("evaluate", "linear", "--encoder", at("encoders", "ours"), ...linear);
  await run("evaluate", "linear", "--run", at("plain"), "--no-baseline", ...linear);
  await run("evaluate", "knn", "--encoder", at("encoders", "plain"), "--no-baseline", ...images());
}, 600_000);

const three = () => [at("plain"), at("encoders", "ours"), at("encoders", "plain")];

interface Table {
  readonly id: string;
  readonly columns: Readonly<Record<string, string>>;
  readonly rows: readonly {
    readonly label: string;
    readonly published: boolean;
    readonly figures: Readonly<
      Record<
        string,
        { readonly value: number; readonly text: string; readonly record?: string; note?: string }
      >
    >;
  }[];
}

const lines = (file: string) =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, never>);

describe("evaluations of an encoder's folder", () => {
  it("keep their records beside it, with the command, the architecture and the time", () => {
    const records = lines(at("encoders", "ours", "evaluations.jsonl"));
    expect(records.map(({ encoder, protocol }) => [encoder, protocol])).toEqual([
      ["Ours(VICReg, all, se2)", "paper-zero-fill"],
      ["Ours(VICReg, all, se2)", "leak-free-disc"],
    ]);
    expect(records[0]).toMatchObject({
      architecture: "ViT of 1 blocks, 16 features, 2 heads, patch 4 at 16 px",
      command: expect.stringMatching(/^inbetween evaluate transformations --encoder .*ours .*--data /),
      writtenAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    const classified = lines(at("encoders", "ours", "classifications.jsonl"));
    expect(classified.map(({ encoder }) => encoder)).toEqual(["random", "Ours(VICReg, all, se2)"]);
  });

  it("go when the encoder is replaced: they are of the old weights", async () => {
    await run("export", "--run", at("plain"), "--out", at("replaced"), "--onnx", "none");
    for (const name of ["evaluations.jsonl", "classifications.jsonl"]) {
      copyFileSync(at("encoders", "ours", name), at("replaced", name));
    }
    await run("export", "--run", at("ours"), "--out", at("replaced"), "--onnx", "none", "--overwrite");
    expect(existsSync(at("replaced", "model.safetensors"))).toBe(true);
    expect(existsSync(at("replaced", "evaluations.jsonl"))).toBe(false);
  });

  it("print their figures all the same where a record cannot be kept", async () => {
    mkdirSync(at("sealed"));
    for (const name of ["config.json", "model.safetensors"]) {
      copyFileSync(at("encoders", "ours", name), at("sealed", name));
    }
    mkdirSync(at("sealed", "classifications.jsonl"));
    const sealed = ["--encoder", at("sealed"), "--no-baseline"];
    const { code, stdout, stderr } = await inbetween("evaluate", "knn", ...sealed, ...images(), "--json");
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: the record could not be kept in .*sealed: /);
    expect(JSON.parse(stdout)).toMatchObject({ knn: { 10: expect.any(Number) } });
  });
});

describe("report --compare", () => {
  let document: Document;
  let tables: ReadonlyMap<string, Table>;

  beforeAll(async () => {
    const result = await inbetweenJson("report", "--compare", ...three(), "--out", at("tables.html"));
    expect(result.page).toBe(at("tables.html"));
    tables = new Map((result.tables as Table[]).map((table) => [table.id, table]));
    document = parseHTML(readFileSync(at("tables.html"), "utf8")).document;
  }, 60_000);

  const own = (id: string) => tables.get(id)?.rows.filter(({ published }) => !published) ?? [];

  it("has the paper's tables, and the rows of the run, of both encoders and of the random one", () => {
    expect([...tables.keys()]).toEqual(["table-2", "table-3", "leak-free-disc", "table-4", "table-6", "knn"]);
    expect(own("table-3").map(({ label }) => label)).toEqual(["VICReg", "Ours(VICReg, all, se2)"]);
    expect(own("knn").map(({ label }) => label)).toEqual([`VICReg, encoder=${at("encoders", "plain")}`]);
    expect(own("table-4").map(({ label }) => label)).toEqual(["random", "VICReg", "Ours(VICReg, all, se2)"]);
    // Nothing was tested on Table 6's data sets.
    expect(own("table-6")).toEqual([]);
    expect(document.body.textContent).toContain("Nothing of ours belongs into this table yet");
  });

  it("shows the figures of the records, each a link to its record", () => {
    const record = lines(at("encoders", "ours", "evaluations.jsonl"))[0] as unknown as {
      r2: Record<string, { mean: number; std: number }>;
    };
    const { rotation, color } = record.r2;
    if (!rotation || !color) throw new Error("the record has no R²");
    const [, ours] = own("table-3");
    expect(ours?.figures.rotation?.value).toBe(rotation.mean);
    expect(ours?.figures.rotation?.text.replace("−", "-")).toBe(
      `${rotation.mean.toFixed(3)} ± ${rotation.std.toFixed(3)}`,
    );
    expect(ours?.figures.mean?.value).toBeCloseTo((rotation.mean + color.mean) / 2, 12);

    const place = document.querySelector(`[id="${ours?.figures.rotation?.record}"]`);
    const facts = place?.textContent ?? "";
    const { dataFingerprint } = record as unknown as { dataFingerprint: string };
    expect(facts).toContain("paper-zero-fill");
    expect(facts).toContain(`cifar-10/train, fingerprint ${dataFingerprint}`);
    expect(facts).toContain("16 to fit, 4 to stop early, 12 to report");
    expect(facts).toContain("2 probes");
    expect(facts).toContain("inbetween evaluate transformations --encoder");
    expect(facts).toMatch(/Time\d+ s/);
    expect(facts).toMatch(/Seed0/);
  });

  it("puts a linear probe into its data set's column, and says when that was not all of it", () => {
    const linear = lines(at("encoders", "ours", "classifications.jsonl"))[1] as unknown as {
      chosen: { test: { top1: number } };
    };
    const [, , ours] = own("table-4");
    expect(ours?.figures).toEqual({
      "cifar-10": {
        value: 100 * linear.chosen.test.top1,
        std: 0,
        text: (100 * linear.chosen.test.top1).toFixed(2),
        note: "12 of 10,000 test images",
        record: expect.stringMatching(/^record-\d+$/),
      },
    });
    expect(own("knn")[0]?.figures["cifar-10"]?.text).toMatch(/^\d+\.\d\d$/);
  });

  it("draws differences to the first, and to what is asked for", async () => {
    const captions = (page: Document) =>
      [...page.querySelectorAll("figure.chart figcaption")].map(({ textContent }) => textContent);
    expect(captions(document)).toEqual(
      expect.arrayContaining(["Ours(VICReg, all, se2)", "Published: Ours(iBOT, all, se2)"]),
    );
    expect(captions(document)).not.toContain("VICReg");
    const other = [...three(), "--baseline", at("encoders", "ours"), "--out", at("other.html")];
    await run("report", "--compare", ...other);
    const page = parseHTML(readFileSync(at("other.html"), "utf8")).document;
    expect(page.body.textContent).toContain("Difference to Ours(VICReg, all, se2)");
    expect(captions(page)).toContain("VICReg");
  });

  it("links to places in itself alone, but for the paper, and runs and loads nothing", () => {
    const links = [...document.querySelectorAll("a[href]")].map((link) => link.getAttribute("href") ?? "");
    const inside = links.filter((href) => href.startsWith("#"));
    expect(inside.length).toBeGreaterThan(20);
    for (const href of inside) expect(document.querySelectorAll(`[id="${href.slice(1)}"]`)).toHaveLength(1);
    expect(new Set(links.filter((href) => !href.startsWith("#")))).toEqual(
      new Set(["https://arxiv.org/abs/2503.18753"]),
    );
    expect(document.querySelectorAll("script, link, iframe, object, [src]")).toHaveLength(0);
    expect(readFileSync(at("tables.html"), "utf8")).not.toMatch(/@import|url\(/);
  });

  it("is the page that `compare` writes too", async () => {
    await run("compare", ...three(), "--out", at("compare.html"));
    const text = (file: string) => readFileSync(file, "utf8").replace(/written \S+ \S+ UTC/, "");
    expect(text(at("compare.html"))).toBe(text(at("tables.html")));
  });

  it("names what to run, and what is no run or encoder", async () => {
    mkdirSync(at("empty"), { recursive: true });
    await run("export", "--run", at("plain"), "--out", at("bare"), "--onnx", "none");
    const refused = async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await inbetween("report", ...args);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).not.toMatch(/\n {4}at /);
      return stderr;
    };
    const page = ["--out", at("never.html")];
    const bare = await refused("--compare", at("encoders", "ours"), at("bare"), ...page);
    expect(bare).toContain(`${at("bare")} has not been evaluated; first run one of`);
    expect(bare).toContain(`inbetween evaluate linear --encoder ${at("bare")} --train`);
    expect(await refused("--compare", at("ours"), ...page)).toContain(`--run ${at("ours")} --data IMAGES`);
    expect(await refused("--compare", at("empty"), ...page)).toMatch(/empty is neither a run nor an encoder/);
    expect(await refused("--compare", at("none"), ...page)).toMatch(/none is no folder; name .*`import`/);
    expect(await refused("--compare", at("plain"))).toMatch(/name its file with --out FILE\.html/);
    expect(await refused("--compare", at("plain"), "--baseline", "MoCo", ...page)).toMatch(
      /--baseline: no group is named "MoCo"; there are "VICReg"/,
    );
    expect(await refused(at("plain"), "--baseline", "VICReg")).toMatch(/--compare/);
    expect(await refused(at("bare"))).toMatch(/bare is an encoder.*--compare/);
    expect(existsSync(at("never.html"))).toBe(false);
  });
});
