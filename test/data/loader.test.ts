/** @file Loaders: determinism, resuming, bad files, back-pressure, evaluation order. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  type Batch,
  type CropSpec,
  createLoader,
  createSequentialLoader,
  type Loader,
  type LoaderOptions,
  openDataset,
  type SequentialLoaderOptions,
} from "#src/data/index.js";
import { randomStream } from "#src/random.js";
import { picture, put, putPictures, temporaryFolder } from "./helpers.js";

const CROP: CropSpec = { kind: "randomResizedCrop", size: 16 };

function loaderOf(options: LoaderOptions): Loader {
  const loader = createLoader(options);
  onTestFinished(() => loader.close());
  return loader;
}

function sequential(options: SequentialLoaderOptions): Loader {
  const loader = createSequentialLoader(options);
  onTestFinished(() => loader.close());
  return loader;
}

async function take(loader: Loader, count: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  while (batches.length < count) {
    const { value } = await loader.next();
    if (!value) break;
    batches.push(value);
  }
  return batches;
}

describe("a training loader", () => {
  it("gives the same batches for any number of threads, prefetch and cache, and from any start", async () => {
    const folder = temporaryFolder();
    await putPictures(folder, 14);
    const dataset = await openDataset(folder);
    const common = { dataset, batchSize: 4, seed: 9, views: [CROP, { ...CROP, size: 8 }] };
    const expected = await take(loaderOf(common), 8);
    expect(expected.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(expected.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 1, 1, 1, 2, 2]);
    expect(await take(loaderOf({ ...common, workers: 3, prefetch: 5 }), 8)).toEqual(expected);
    expect(await take(loaderOf({ ...common, cacheBytes: 0, prefetch: 0 }), 8)).toEqual(expected);
    expect(await take(loaderOf({ ...common, startStep: 5 }), 3)).toEqual(expected.slice(5));
    expect(await take(loaderOf({ ...common, seed: 10 }), 8)).not.toEqual(expected);
  });

  it("visits each sample at most once an epoch, in the order of the epoch's permutation", async () => {
    const dataset = await openDataset("synthetic:10");
    const batches = await take(loaderOf({ dataset, batchSize: 5, seed: 3, views: [CROP] }), 4);
    const order = (epoch: number) => [...randomStream(3, "order", epoch).permutation(10)];
    expect(batches.flatMap(({ indices }) => [...indices])).toEqual([...order(0), ...order(1)]);
    for (const { indices, labels } of batches) {
      expect([...(labels ?? [])]).toEqual([...indices].map((i) => dataset.label(i)));
    }
  });

  it("hands over views as transferable planes", async () => {
    const dataset = await openDataset("synthetic:8");
    const views: CropSpec[] = [
      { kind: "resizeCenterCrop", resize: 32, size: 32 },
      { kind: "randomResizedCrop", size: 8 },
    ];
    const [batch] = await take(loaderOf({ dataset, batchSize: 3, views, shuffle: false }), 1);
    expect(batch?.views.map((view) => view.length)).toEqual([3 * 3 * 32 * 32, 3 * 3 * 8 * 8]);
    expect([...(batch?.indices ?? [])]).toEqual([0, 1, 2]);
    const { data } = await dataset.decode(1);
    const planes = batch?.views[0]?.subarray(3 * 1024, 2 * 3 * 1024);
    expect(planes).toEqual(Uint8Array.from(data, (_, i) => data[(i % 1024) * 3 + Math.floor(i / 1024)] ?? 0));
    for (const view of batch?.views ?? []) {
      expect(view.buffer).toBeInstanceOf(ArrayBuffer);
      structuredClone(view, { transfer: [view.buffer] });
      expect(view.length).toBe(0);
    }
  });

  it("gives views of a group the same part of the image, others their own", async () => {
    const dataset = await openDataset("synthetic:4");
    const shared = { ...CROP, group: "shared" };
    const loader = loaderOf({ dataset, batchSize: 4, views: [shared, CROP, shared, CROP] });
    const [batch] = await take(loader, 1);
    const [a, b, c, d] = batch?.views ?? [];
    expect(c).toEqual(a);
    expect(b).not.toEqual(a);
    expect(d).not.toEqual(b);
  });

  it("ends an epoch with a smaller batch when asked to", async () => {
    const dataset = await openDataset("synthetic:10");
    const batches = await take(loaderOf({ dataset, batchSize: 4, views: [CROP], dropLast: false }), 4);
    expect(batches.map(({ count }) => count)).toEqual([4, 4, 2, 4]);
    expect(batches[2]?.views[0]?.length).toBe(2 * 3 * 16 * 16);
    expect(batches[3]?.epoch).toBe(1);
  });

  it("reads no further ahead than prefetch says", async () => {
    const dataset = await openDataset("synthetic:64");
    const asked = new Set<number>();
    const watched = {
      ...dataset,
      source: (index: number) => {
        asked.add(index);
        return dataset.source(index);
      },
    };
    const loader = loaderOf({ dataset: watched, batchSize: 4, views: [CROP], prefetch: 2 });
    await new Promise((resume) => setTimeout(resume, 150));
    expect(asked.size).toBe(8);
    await take(loader, 3);
    expect(asked.size).toBe(4 * 5);
    expect(loader.waitSeconds).toBeGreaterThan(0);
  });

  it("ends when it is closed, also while somebody waits, and when a loop is left", async () => {
    const dataset = await openDataset("synthetic:64");
    const loader = loaderOf({ dataset, batchSize: 64, views: [{ ...CROP, size: 64 }], prefetch: 0 });
    const waiting = loader.next();
    await loader.close();
    expect((await waiting).done).toBe(true);
    expect((await loader.next()).done).toBe(true);
    const second = loaderOf({ dataset, batchSize: 8, views: [CROP] });
    for await (const batch of second) if (batch.step === 1) break;
    expect((await second.next()).done).toBe(true);
  });
});

/** 40 pictures, of which some are damaged behind a good header. */
async function damagedFolder(damaged: readonly number[]): Promise<string> {
  const folder = temporaryFolder();
  await putPictures(folder, 40, 60, 60);
  for (const i of damaged) {
    const path = join(folder, `${String(i).padStart(2, "0")}.png`);
    const data = readFileSync(path);
    writeFileSync(path, data.subarray(0, data.length / 2));
  }
  return folder;
}

describe("files that turn out to be damaged", () => {
  it("are replaced by the next sample, the same way in every run, counted and named once", async () => {
    const folder = await damagedFolder([5, 6, 39]);
    const skippedFile = join(temporaryFolder(), "skipped.txt");
    const runs: Batch[][] = [];
    for (const workers of [1, 2]) {
      const dataset = await openDataset(folder, { skippedFile });
      expect(dataset.length).toBe(40);
      runs.push(await take(loaderOf({ dataset, batchSize: 10, views: [CROP], workers, seed: 2 }), 8));
      expect(dataset.skips.entries.map(({ name }) => name).sort()).toEqual(["05.png", "06.png", "39.png"]);
    }
    expect(runs[1]).toEqual(runs[0]);
    const order = [0, 1].flatMap((epoch) => [...randomStream(2, "order", epoch).permutation(40)]);
    const replaced = order.map((i) => (i === 5 || i === 6 ? 7 : i === 39 ? 0 : i));
    expect(runs[0]?.flatMap(({ indices }) => [...indices])).toEqual(replaced);
    const lines = readFileSync(skippedFile, "utf8").trim().split("\n").sort();
    expect(lines.map((line) => line.split("\t")[0])).toEqual(["05.png", "06.png", "39.png"]);
    expect(lines[0]).toMatch(/libpng read error|the file is damaged/);
    // A resumed run knows nothing of the damage yet and still gives the same batches.
    const dataset = await openDataset(folder);
    const resumed = await take(loaderOf({ dataset, batchSize: 10, views: [CROP], seed: 2, startStep: 6 }), 2);
    expect(resumed).toEqual(runs[0]?.slice(6));
  });

  it("of more than 10 % end the run with a message", async () => {
    const dataset = await openDataset(await damagedFolder([1, 2, 3, 4, 5]));
    const loader = loaderOf({ dataset, batchSize: 40, views: [CROP] });
    await expect(loader.next()).rejects.toThrow(/5 of 40 files in .* are unusable \(12\.5 %, at most 10 %/);
    expect((await loader.next()).done).toBe(true);
  });

  it("are left out when every sample is wanted once", async () => {
    const dataset = await openDataset(await damagedFolder([0, 17]));
    const loader = sequential({ dataset, batchSize: 16, views: [CROP], pad: true });
    const batches = await take(loader, 9);
    expect(batches.map(({ count }) => count)).toEqual([15, 15, 8]);
    const expected = Array.from({ length: 40 }, (_, i) => i).filter((i) => i !== 0 && i !== 17);
    expect(batches.flatMap(({ indices }) => [...indices])).toEqual(expected);
    for (const { views, count } of batches) {
      expect(views[0]?.length).toBe(16 * 3 * 16 * 16);
      expect(views[0]?.subarray(count * 3 * 16 * 16).every((value) => value === 0)).toBe(true);
    }
  });

  it("include images of one pixel", async () => {
    const folder = temporaryFolder();
    await putPictures(folder, 19);
    put(folder, "dot.png", await picture(0, 1, 1).png().toBuffer());
    const dataset = await openDataset(folder);
    await take(loaderOf({ dataset, batchSize: 20, views: [CROP] }), 1);
    expect(dataset.skips.entries).toEqual([
      { name: "dot.png", reason: "1x1 pixels: too small, an image needs at least 2x2" },
    ]);
  });
});

describe("a sequential loader", () => {
  it("gives every sample once, in order, then ends; padding only when asked for", async () => {
    const dataset = await openDataset("synthetic:10");
    const views: CropSpec[] = [{ kind: "resizeCenterCrop", resize: 16, size: 16 }];
    const batches = await take(sequential({ dataset, batchSize: 4, views }), 99);
    expect(batches.map(({ indices }) => [...indices])).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(batches[2]?.views[0]?.length).toBe(2 * 3 * 16 * 16);
    const [padded] = await take(sequential({ dataset, batchSize: 64, views, pad: true }), 1);
    expect([padded?.count, padded?.views[0]?.length]).toEqual([10, 64 * 3 * 16 * 16]);
  });
});

describe("options that cannot be meant", () => {
  it.each([
    [
      { batchSize: 64 },
      /batch size 64 is larger than the data set synthetic \(10 images\): .* at most 10, or add images/,
    ],
    [{ batchSize: 0 }, /batch size is 0, expected a positive integer/],
    [{ views: [] }, /No view was asked for/],
    [{ workers: 0 }, /workers is 0, expected an integer of at least 1/],
    [{ startStep: -1 }, /startStep is -1/],
  ])("%j", async (wrong, message) => {
    const dataset = await openDataset("synthetic:10");
    expect(() => createLoader({ dataset, batchSize: 4, views: [CROP], ...wrong })).toThrow(message);
  });

  it("a batch of two from a single image", async () => {
    const folder = temporaryFolder();
    await putPictures(folder, 1);
    const dataset = await openDataset(folder);
    expect(() => createLoader({ dataset, batchSize: 2, views: [CROP] })).toThrow(/larger than .*\(1 image\)/);
  });
});
