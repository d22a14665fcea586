/** @file Opening data sets: folders, CIFAR binaries, synthetic images, and everything that a user can get wrong. */

import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openDataset, stepsPerEpoch } from "#src/data/index.js";
import { picture, put, putPictures, temporaryFolder } from "./helpers.js";

const names = (dataset: { length: number; sampleName(i: number): string }) =>
  Array.from({ length: dataset.length }, (_, i) => dataset.sampleName(i));

describe("a folder of images", () => {
  it("is listed deep, sorted, recognised by content, without hidden files", async () => {
    const folder = temporaryFolder();
    const png = await picture(0).png().toBuffer();
    for (const name of [
      "b/2.png",
      "b/10.png",
      "a/x/y/deep.PNG",
      "a/without-extension",
      ".git/x.png",
      "Thumbs.db",
    ]) {
      put(folder, name, png);
    }
    const dataset = await openDataset(folder);
    expect(names(dataset)).toEqual(["a/without-extension", "a/x/y/deep.PNG", "b/10.png", "b/2.png"]);
    expect(dataset.classes).toEqual(["a", "b"]);
    expect([0, 1, 2, 3].map((i) => dataset.label(i))).toEqual([0, 0, 1, 1]);
    expect(dataset.skips.count).toBe(0);
  });

  it.each([
    ["flat", ["1.png", "2.png"]],
    ["with a single class folder", ["cats/1.png", "cats/2.png"]],
    ["with images beside class folders", ["cats/1.png", "dogs/1.png", "1.png"]],
  ])("%s is unlabelled", async (_, files) => {
    const folder = temporaryFolder();
    for (const name of files) put(folder, name, await picture(0).png().toBuffer());
    const dataset = await openDataset(folder);
    expect(dataset.length).toBe(files.length);
    expect(dataset.classes).toBeUndefined();
    expect(dataset.label(0)).toBeUndefined();
  });

  it("has a fingerprint of its list: the same elsewhere, another with one more file", async () => {
    const [one, two] = [temporaryFolder(), temporaryFolder()];
    await putPictures(one, 3);
    await putPictures(two, 3);
    const before = (await openDataset(one)).fingerprint;
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    expect((await openDataset(two)).fingerprint).toBe(before);
    put(two, "more.png", await picture(9).png().toBuffer());
    expect((await openDataset(two)).fingerprint).not.toBe(before);
  });

  it("follows links, but not in circles", async () => {
    const [folder, other] = [temporaryFolder(), temporaryFolder()];
    await putPictures(folder, 2);
    await putPictures(other, 3);
    symlinkSync(other, join(folder, "linked"));
    symlinkSync(folder, join(folder, "circle"));
    expect((await openDataset(folder)).length).toBe(5);
  });

  it("of one image has one sample", async () => {
    const folder = temporaryFolder();
    await putPictures(folder, 1);
    const dataset = await openDataset(folder);
    expect(dataset.length).toBe(1);
    expect((await dataset.decode(0)).width).toBe(40);
    expect(() => dataset.sampleName(1)).toThrow(/Sample 1 of .*: expected an index from 0 to 0/);
  });
});

describe("unusable files", () => {
  it("are skipped, counted, and named once each in skipped.txt, also when opened again", async () => {
    const folder = temporaryFolder();
    const skippedFile = join(temporaryFolder(), "skipped.txt");
    await putPictures(folder, 40);
    put(folder, "empty.jpg", "");
    put(folder, "notes.txt", "nothing to see");
    put(folder, "photo.heic", Buffer.from("\0\0\0\x18ftypheic\0\0\0\0"));
    symlinkSync(join(folder, "gone"), join(folder, "broken.png"));
    for (let i = 0; i < 2; i++) {
      const dataset = await openDataset(folder, { skippedFile });
      expect(dataset.length).toBe(40);
      expect(dataset.skips.count).toBe(4);
    }
    expect(readFileSync(skippedFile, "utf8").trim().split("\n").sort()).toEqual([
      "broken.png\tbroken link",
      "empty.jpg\tempty file (0 bytes)",
      "notes.txt\tnot a JPEG, PNG, WebP, TIFF, AVIF or GIF file",
      "photo.heic\tHEIC is not supported: convert it to JPEG",
    ]);
  });

  it("of exactly 10 % are accepted, of more are an error", async () => {
    const folder = temporaryFolder();
    await putPictures(folder, 9);
    put(folder, "a.txt", "x");
    expect((await openDataset(folder)).length).toBe(9);
    put(folder, "b.txt", "x");
    await expect(openDataset(folder)).rejects.toThrow(
      /2 of 11 files in .* are unusable \(18\.2 %, at most 10 % are skipped\): a\.txt \(not a JPEG.*Repair these files/,
    );
  });

  it("alone are an error", async () => {
    const folder = temporaryFolder();
    put(folder, "a.txt", "x");
    put(folder, "b.png", "");
    await expect(openDataset(folder)).rejects.toThrow(
      /No image is left in .*: all 2 files are unusable: a\.txt/,
    );
  });
});

describe("nothing to open", () => {
  it("a missing folder", async () => {
    await expect(openDataset("/nowhere/at/all")).rejects.toThrow(
      'The folder /nowhere/at/all does not exist: check the path, or give "synthetic".',
    );
  });
  it("an empty folder", async () => {
    await expect(openDataset(temporaryFolder())).rejects.toThrow(/The folder .* holds no image: put JPEG/);
  });
  it("a file", async () => {
    const path = put(temporaryFolder(), "one.png", await picture(0).png().toBuffer());
    await expect(openDataset(path)).rejects.toThrow(/one\.png is a file, expected a folder of images/);
  });
  it("an empty name", async () => {
    await expect(openDataset("")).rejects.toThrow("No data set was named");
  });

  // Root reads everything, so the opening happens in a process of another user where the tests run as root.
  const isRoot = process.getuid?.() === 0;
  const other = { uid: 65534, gid: 65534 };
  const canRun = () => {
    if (process.platform === "win32") return false;
    try {
      const code = `await import(${JSON.stringify(import.meta.resolve("#src/data/index.js"))})`;
      execFileSync(process.execPath, ["--input-type=module", "-e", code], {
        ...(isRoot && other),
        stdio: "ignore",
      });
      return true;
    } catch {
      return false;
    }
  };
  it.skipIf(!canRun())(
    "a folder and a file without permission (needs another user that can read the package)",
    async () => {
      const folder = temporaryFolder();
      await putPictures(folder, 12);
      chmodSync(folder, 0o755);
      mkdirSync(join(folder, "locked"));
      chmodSync(join(folder, "locked"), 0o000);
      chmodSync(join(folder, "03.png"), 0o000);
      const code = `
      const { openDataset } = await import(${JSON.stringify(import.meta.resolve("#src/data/index.js"))});
      const message = (spec) => openDataset(spec).then((d) => d.skips.entries, (error) => error.message);
      const folder = process.argv[1];
      console.log(JSON.stringify([await message(folder + "/locked"), await message(folder)]));`;
      const out = execFileSync(process.execPath, ["--input-type=module", "-e", code, folder], {
        ...(isRoot && other),
        encoding: "utf8",
      });
      const [locked, partly] = JSON.parse(out);
      expect(locked).toMatch(/The folder .*locked cannot be read: permission denied/);
      expect(partly).toMatch(
        /2 of 13 files .*locked \(.*permission denied.*\), 03\.png \(permission denied\)/,
      );
      chmodSync(join(folder, "locked"), 0o755);
    },
  );
});

describe("CIFAR binaries", () => {
  const record = (labels: number[], seed: number) =>
    Uint8Array.from({ length: labels.length + 3072 }, (_, i) => labels[i] ?? (i * seed) & 255);

  it("CIFAR-10: splits, labels, class names, planes", async () => {
    const folder = temporaryFolder();
    put(folder, "data_batch_1.bin", Buffer.concat([record([3], 7), record([9], 11)]));
    put(folder, "data_batch_2.bin", record([0], 13));
    put(folder, "test_batch.bin", record([5], 17));
    put(
      folder,
      "batches.meta.txt",
      "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n",
    );
    const train = await openDataset(folder);
    expect([0, 1, 2].map((i) => train.classes?.[train.label(i) ?? -1])).toEqual(["cat", "truck", "airplane"]);
    expect(names(train)).toEqual(["data_batch_1.bin#0", "data_batch_1.bin#1", "data_batch_2.bin#0"]);
    const { width, height, data } = await train.decode(1);
    expect([width, height]).toEqual([32, 32]);
    // Red, green, blue of pixel (x 5, y 2): planes of 1024 bytes behind one label byte.
    const at = 2 * 32 + 5;
    expect([...data.subarray(3 * at, 3 * at + 3)]).toEqual(
      [0, 1, 2].map((c) => ((1 + c * 1024 + at) * 11) & 255),
    );
    const test = await openDataset(folder, { split: "test" });
    expect([test.length, test.label(0)]).toEqual([1, 5]);
  });

  it("CIFAR-100: the fine label is the class", async () => {
    const folder = temporaryFolder();
    put(folder, "train.bin", Buffer.concat([record([4, 72], 7), record([1, 99], 11)]));
    const dataset = await openDataset(folder);
    expect([dataset.label(0), dataset.label(1), dataset.classes?.length]).toEqual([72, 99, 100]);
    expect((await dataset.decode(1)).data[0]).toBe((2 * 11) & 255);
    await expect(openDataset(folder, { split: "test" })).rejects.toThrow(/none of the test split/);
  });

  it("truncated or foreign files are errors", async () => {
    const folder = temporaryFolder();
    put(folder, "test_batch.bin", record([5], 17).subarray(0, 3000));
    await expect(openDataset(folder, { split: "test" })).rejects.toThrow(
      /test_batch\.bin has 3000 bytes, expected a multiple of 3073 .*download it again/,
    );
    put(folder, "test_batch.bin", record([77], 17));
    await expect(openDataset(folder, { split: "test" })).rejects.toThrow(
      /record 0 has label 77, expected 0 to 9/,
    );
  });
});

describe("synthetic images", () => {
  it("are a pure function of seed and index, with all factors known", async () => {
    const one = await openDataset("synthetic:100");
    const two = await openDataset("synthetic:200");
    const seeded = await openDataset("synthetic:100", { synthetic: { seed: 1 } });
    expect([one.length, one.classes?.length]).toEqual([100, 8]);
    const [a, b, c, d] = await Promise.all([one.decode(7), two.decode(7), seeded.decode(7), one.decode(8)]);
    expect([a.width, a.height, a.data.length]).toEqual([32, 32, 3072]);
    expect(b.data).toEqual(a.data);
    expect(c.data).not.toEqual(a.data);
    expect(d.data).not.toEqual(a.data);
    expect(new Set([one, two, seeded].map((set) => set.fingerprint)).size).toBe(3);
    const factors = one.factors(7);
    expect(factors?.class).toBe(one.label(7));
    expect(factors?.angle).toBeGreaterThanOrEqual(-Math.PI);
    expect(factors?.angle).toBeLessThan(Math.PI);
  });

  it("show all classes about equally often", async () => {
    const dataset = await openDataset("synthetic:1600");
    const counts = new Map<number | undefined, number>();
    for (let i = 0; i < dataset.length; i++)
      counts.set(dataset.label(i), (counts.get(dataset.label(i)) ?? 0) + 1);
    expect(counts.size).toBe(8);
    // Five standard deviations of a binomial around 200.
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(66);
  });

  it("show the subject in front, where its factors say", async () => {
    const dataset = await openDataset("synthetic:400", { synthetic: { size: 64 } });
    const disk = Array.from({ length: 400 }, (_, i) => i).find((i) => dataset.label(i) === 0) ?? -1;
    const { x, y, scale } = dataset.factors(disk) ?? { x: 0, y: 0, scale: 0 };
    const { data } = await dataset.decode(disk);
    // Around the centre a leaf has one base colour with one grating: the ratio of the channels' variations is fixed,
    // so the channels are perfectly correlated there.
    const values: number[][] = [[], []];
    for (let dy = -0.5; dy <= 0.5; dy += 0.1) {
      for (let dx = -0.5; dx <= 0.5; dx += 0.1) {
        const at = 3 * (Math.floor((y + dy * scale) * 64) * 64 + Math.floor((x + dx * scale) * 64));
        values[0]?.push(data[at] ?? 0);
        values[1]?.push(data[at + 1] ?? 0);
      }
    }
    const [red = [], green = []] = values;
    const mean = (v: number[]) => v.reduce((s, n) => s + n, 0) / v.length;
    const covariance = (p: number[], q: number[]) =>
      mean(p.map((v, i) => (v - mean(p)) * ((q[i] ?? 0) - mean(q))));
    expect(
      covariance(red, green) / Math.sqrt(covariance(red, red) * covariance(green, green)),
    ).toBeGreaterThan(0.99);
  });

  it.each(["synthetic:0", "synthetic:many", "synthetic:-5", "synthetic:1.5"])("refuse %s", async (spec) => {
    await expect(openDataset(spec)).rejects.toThrow(`${spec}: expected a number of images`);
  });
  it("refuse a size of 4 px", async () => {
    await expect(openDataset("synthetic", { synthetic: { size: 4 } })).rejects.toThrow(
      "expected a size from 8 to 4096",
    );
  });
});

it("counts steps of an epoch", () => {
  expect([stepsPerEpoch(10, 4, true), stepsPerEpoch(10, 4, false), stepsPerEpoch(8, 4, false)]).toEqual([
    2, 3, 2,
  ]);
});

const cifarFolder = process.env.INBETWEEN_TEST_CIFAR ?? "";
it.skipIf(!existsSync(cifarFolder))(
  "opens real CIFAR-10 JPEGs (INBETWEEN_TEST_CIFAR names no folder)",
  async () => {
    const dataset = await openDataset(join(cifarFolder, "test"));
    expect([dataset.length, dataset.classes?.length, dataset.skips.count]).toEqual([10_000, 10, 0]);
    expect((await dataset.decode(1234)).data.length).toBe(3072);
  },
);
