/** @file Data sets in tar archives and WebDataset shards, read without unpacking. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLoader, createSequentialLoader, type Dataset, openDataset } from "#src/data/index.js";
import { picture, put, temporaryFolder } from "./helpers.js";
import { makeOfficial, tarOf } from "./official.js";

const samplesOf = (dataset: Dataset) =>
  Array.from({ length: dataset.length }, (_, i) => [dataset.sampleName(i), dataset.label(i)]);
const png = (i: number) => picture(i, 16, 16).png().toBuffer();

/** An archive of a layout's files under one folder, as downloads have them. */
async function archiveOf(folder: string, names: readonly string[], top: string): Promise<string> {
  const members = Object.fromEntries(
    names.map((name) => [`${top}/${name}`, readFileSync(join(folder, name))]),
  );
  return put(temporaryFolder(), `${top}.tar`, tarOf(members));
}

describe("an archive of a data set", () => {
  it.each(["fgvc-aircraft", "flowers-102", "imagenet-1k"])("%s is what its folder is", async (name) => {
    const { folder, fixture } = await makeOfficial(name);
    const path = await archiveOf(folder, [...Object.keys(fixture.files), ...fixture.pictures], name);
    for (const split of Object.keys(fixture.splits)) {
      const [packed, unpacked] = [await openDataset(path, { split }), await openDataset(folder, { split })];
      expect(samplesOf(packed)).toEqual(samplesOf(unpacked));
      expect([packed.classes, packed.fingerprint]).toEqual([unpacked.classes, unpacked.fingerprint]);
      expect(await packed.decode(1)).toEqual(await unpacked.decode(1));
    }
  });

  it("CIFAR records and images of class folders lie where the archive has them", async () => {
    const record = (label: number, seed: number) =>
      Uint8Array.from({ length: 3073 }, (_, i) => (i === 0 ? label : (i * seed) & 255));
    const batch = Buffer.concat([record(3, 7), record(9, 11)]);
    const cifar = put(
      temporaryFolder(),
      "cifar.tar",
      tarOf({ "cifar/data_batch_1.bin": batch, "cifar/test_batch.bin": batch }),
    );
    const dataset = await openDataset(cifar, { split: "test" });
    expect(samplesOf(dataset)).toEqual([
      ["test_batch.bin#0", 3],
      ["test_batch.bin#1", 9],
    ]);
    expect((await dataset.decode(1)).data[0]).toBe(11);

    const members = {
      "b/1.png": await png(1),
      "a/1.png": await png(2),
      "._a": "clutter",
      "a/.hidden": "clutter",
    };
    const folders = await openDataset(put(temporaryFolder(), "photos.tar", tarOf(members)));
    expect([folders.name, folders.classes]).toEqual(["photos", ["a", "b"]]);
    expect(samplesOf(folders)).toEqual([
      ["a/1.png", 0],
      ["b/1.png", 1],
    ]);
  });

  it("is refused when it is compressed or cut off", async () => {
    const folder = temporaryFolder();
    await expect(openDataset(put(folder, "x.tar.gz", Buffer.from("1f8b0800", "hex")))).rejects.toThrow(
      /gunzip/,
    );
    const whole = tarOf({ "a.png": await png(1), "b.png": await png(2) });
    await expect(openDataset(put(folder, "x.tar", whole.subarray(0, 700)))).rejects.toThrow(/truncated/);
  });
});

/** Shards of `counts` samples each, labels 0, 1, 2, 0, … over all. */
async function makeShards(folder: string, prefix: string, counts: readonly number[]): Promise<string[]> {
  const paths: string[] = [];
  let number = 0;
  for (const [s, count] of counts.entries()) {
    const members: Record<string, Uint8Array | string> = {};
    for (let i = 0; i < count; i++, number++) {
      const key = String(number).padStart(6, "0");
      // The label before its picture, in every second one after it, in a .json in every third.
      const label =
        number % 3 === 2 ? [`${key}.json`, `{"label":${number % 3}}`] : [`${key}.cls`, `${number % 3}\n`];
      if (number % 2 === 0) members[label[0] as string] = label[1] as string;
      members[`${key}.png`] = await png(number);
      if (number % 2 === 1) members[label[0] as string] = label[1] as string;
      members[`${key}.txt`] = "a caption";
    }
    paths.push(put(folder, `${prefix}${String(s).padStart(3, "0")}.tar`, tarOf(members)));
  }
  return paths;
}

describe("WebDataset shards", () => {
  it("by folder, braces and file; labels from .cls and .json, names from a list", async () => {
    const folder = temporaryFolder();
    const [first = ""] = await makeShards(folder, "shard-", [4, 3]);
    const byFolder = await openDataset(folder);
    const byBraces = await openDataset(join(folder, "shard-{000..001}.tar"));
    expect(samplesOf(byFolder)).toEqual(
      [0, 1, 2, 3, 4, 5, 6].map((i) => [`shard-00${i < 4 ? 0 : 1}.tar/00000${i}.png`, i % 3]),
    );
    expect([byBraces.fingerprint, byBraces.length]).toEqual([byFolder.fingerprint, 7]);
    expect((await openDataset(first)).length).toBe(4);
    expect((await openDataset(join(folder, "shard-{001,000}.tar"))).sampleName(0)).toBe(
      "shard-001.tar/000004.png",
    );
    expect(byFolder.classes).toEqual(["0", "1", "2"]);
    const unpacked = put(temporaryFolder(), "5/x.png", await png(5));
    expect(await byFolder.decode(5)).toEqual(await (await openDataset(join(unpacked, ".."))).decode(0));
    put(folder, "classnames.txt", "ant\nbee\ncat\n");
    expect((await openDataset(folder)).classes).toEqual(["ant", "bee", "cat"]);
    put(folder, "classnames.txt", "ant\nbee\n");
    await expect(openDataset(folder)).rejects.toThrow(
      /shard-000\.tar\/000002\.png has label 2, expected 0 to 1/,
    );
    await expect(openDataset(join(folder, "shard-{000..004}.tar"))).rejects.toThrow(
      /3 of 5 shards are not there, the first .*shard-002\.tar/,
    );
  });

  it("have splits by the names of files or folders", async () => {
    const folder = temporaryFolder();
    await makeShards(folder, "birds-train-", [2, 2]);
    await makeShards(folder, "birds-test-", [3]);
    const test = await openDataset(folder, { split: "test" });
    expect([test.length, test.splits, test.heldOutSplit]).toEqual([3, ["train", "test"], "test"]);
    const folders = temporaryFolder();
    await makeShards(join(folders, "train"), "", [2]);
    await makeShards(join(folders, "validation"), "", [3]);
    expect((await openDataset(folders, { split: "val" })).length).toBe(3);
  });

  it("some without a label, or with one that is none, are an error; all without are unlabelled", async () => {
    const shard = async (members: Record<string, string>) =>
      put(temporaryFolder(), "x.tar", tarOf({ "1.png": await png(1), "2.png": await png(2), ...members }));
    await expect(openDataset(await shard({ "1.cls": "0" }))).rejects.toThrow(/x\.tar\/2\.png has no label/);
    await expect(openDataset(await shard({ "1.cls": "cat", "2.cls": "0" }))).rejects.toThrow(
      /1\.cls in .*x\.tar holds "cat", expected the number of a class/,
    );
    await expect(openDataset(await shard({ "1.json": "{" }))).rejects.toThrow(/1\.json in .* is no JSON/);
    const captioned = await openDataset(await shard({ "1.txt": "a cat", "2.json": '{"caption":"a dog"}' }));
    expect([captioned.length, captioned.classes]).toEqual([2, undefined]);
  });

  it("give the same batches on any number of threads, resumed or not, and skip damaged members by name", async () => {
    const folder = temporaryFolder();
    await makeShards(folder, "", [14, 7]);
    const broken = (await png(3)).subarray(0, 60);
    put(folder, "002.tar", tarOf({ "x.png": broken, "x.cls": "1", "y.png": await png(9), "y.cls": "2" }));
    const views = [
      { kind: "randomResizedCrop", size: 8, scale: [0.3, 1], ratio: [1, 1], interpolation: "bilinear" },
    ] as const;
    const batches = async (workers: number, cacheBytes: number, startStep = 0) => {
      const dataset = await openDataset(folder);
      const loader = createLoader({ dataset, batchSize: 5, views, seed: 3, workers, cacheBytes, startStep });
      const taken: unknown[] = [];
      for await (const { step, indices, labels, views: rows } of loader) {
        taken.push([step, [...indices], labels, rows]);
        if (step === 9) break;
      }
      return taken;
    };
    const expected = await batches(1, 0);
    expect(await batches(3, 1 << 20)).toEqual(expected);
    expect(await batches(2, 0, 6)).toEqual(expected.slice(6));

    const dataset = await openDataset(folder);
    const whole: unknown[] = [];
    const view = { kind: "resizeCenterCrop", resize: 8, size: 8 } as const;
    for await (const { count } of createSequentialLoader({ dataset, batchSize: 10, views: [view] }))
      whole.push(count);
    expect(whole).toEqual([10, 10, 2]);
    expect(dataset.skips.entries.map(({ name }) => name)).toEqual(["002.tar/x.png"]);
  });
});
