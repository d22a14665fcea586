/** @file Official layouts: splits, classes, labels and their order as torchvision has them, and what can be wrong. */

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Dataset, openDataset } from "#src/data/index.js";
import { picture, put, putPictures, temporaryFolder } from "./helpers.js";
import { base64, cifarFixtures, fixtures, makeCifarPython, makeOfficial } from "./official.js";

const all = <T>(dataset: Dataset, what: (i: number) => T) =>
  Array.from({ length: dataset.length }, (_, i) => what(i));
const samplesOf = (dataset: Dataset) => all(dataset, (i) => [dataset.sampleName(i), dataset.label(i)]);
const byName = (samples: readonly (readonly unknown[])[]) =>
  [...samples].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));

describe("as torchvision reads them", () => {
  const cases = Object.entries(fixtures.layouts).flatMap(([name, { splits }]) =>
    Object.keys(splits).map((split) => [name, split] as const),
  );
  it.each(cases)("%s, %s", async (name, split) => {
    const { folder, fixture } = await makeOfficial(name);
    const expected = fixture.splits[split];
    if (!expected) throw new Error("no such split");
    const dataset = await openDataset(folder, { split });
    expect(dataset.classes).toEqual(expected.classes);
    if (split === "trainval" && name === "fgvc-aircraft") {
      // The official file of this union has an order of its own.
      expect(byName(samplesOf(dataset))).toEqual(byName(expected.samples));
    } else if (name === "imagenet-1k" && split === "val") {
      // torchvision moved them into folders of their classes.
      const flat = expected.samples.map(([path, label]) => [path.replace(/\/n\d+\//, "/"), label]);
      expect(samplesOf(dataset)).toEqual(byName(flat));
    } else expect(samplesOf(dataset)).toEqual(expected.samples);
    expect(dataset.split).toBe(split);
    expect(dataset.name).toBe(`${name}/${split}`);
    expect((await dataset.decode(0)).width).toBe(12);
  });

  it.each(Object.keys(cifarFixtures))("%s: labels, names and pixels of the pickled batches", async (name) => {
    const { folder, fixture } = makeCifarPython(name);
    for (const [split, expected] of Object.entries(fixture.splits)) {
      const dataset = await openDataset(folder, { split });
      expect(dataset.classes).toEqual(expected.classes);
      expect(all(dataset, (i) => dataset.label(i))).toEqual(expected.labels);
      for (const [i, pixels] of expected.pixels.entries()) {
        const { data } = await dataset.decode(i);
        for (const [x = 0, y = 0, ...rgb] of pixels) {
          const at = 3 * (32 * y + x);
          expect([...data.subarray(at, at + 3)]).toEqual(rgb);
        }
      }
    }
  });
});

describe("metrics and splits", () => {
  // Kornblith et al. 2019, table 1; the competition's own for iNaturalist and ImageNet.
  it.each([
    ["fgvc-aircraft", "meanPerClass", "test", ["train", "val", "test", "trainval"]],
    ["oxford-iiit-pet", "meanPerClass", "test", ["trainval", "test", "train"]],
    ["food-101", "top1", "test", ["train", "test"]],
    ["flowers-102", "meanPerClass", "test", ["train", "val", "test", "trainval"]],
    ["inaturalist-2018", "top1", "val", ["train", "val"]],
    ["imagenet-1k", "top1", "val", ["train", "val"]],
  ])("%s: %s on %s", async (name, metric, heldOut, splits) => {
    const { folder } = await makeOfficial(name);
    const dataset = await openDataset(folder);
    expect([dataset.metric, dataset.heldOutSplit, dataset.splits]).toEqual([metric, heldOut, splits]);
    await expect(openDataset(folder, { split: "tset" })).rejects.toThrow(
      /has no split "tset": it has .*; name one of these with --split/,
    );
  });

  it("train is trainval where a set has no other part to train on", async () => {
    const { folder } = await makeOfficial("oxford-iiit-pet");
    const [train, trainval] = [await openDataset(folder), await openDataset(folder, { split: "trainval" })];
    expect([train.split, train.length, train.fingerprint]).toEqual(["trainval", 7, trainval.fingerprint]);
    const placesOf = (set: Dataset) => Array.from({ length: set.length }, (_, i) => set.source(i));
    expect(placesOf(train)).toEqual(placesOf(trainval));
    const tested = placesOf(await openDataset(folder, { split: "test" }));
    for (const place of tested) expect(placesOf(train)).not.toContainEqual(place);
  });

  it("a folder with train/ and validation/ has these splits, with the classes of train/", async () => {
    const folder = temporaryFolder();
    for (const name of ["train/cat/1.png", "train/cow/1.png", "train/dog/1.png", "validation/dog/1.png"]) {
      put(folder, name, await picture(0).png().toBuffer());
    }
    put(folder, "README.txt", "about");
    const [train, val] = [await openDataset(folder), await openDataset(folder, { split: "val" })];
    expect(train.classes).toEqual(["cat", "cow", "dog"]);
    expect([train.splits, train.heldOutSplit]).toEqual([["train", "val"], "val"]);
    expect(samplesOf(val)).toEqual([["validation/dog/1.png", 2]]);
    put(folder, "validation/eel/1.png", await picture(0).png().toBuffer());
    await expect(openDataset(folder, { split: "val" })).rejects.toThrow(
      /validation\/eel\/1\.png is of a class that .*train has not/,
    );
    put(folder, "train/loose.png", await picture(0).png().toBuffer());
    await expect(openDataset(folder)).rejects.toThrow(
      /1 of 4 images in .* have no label, the first train\/loose\.png/,
    );
  });

  it("images in any order are one split", async () => {
    const folder = temporaryFolder();
    await putPictures(folder, 2);
    expect((await openDataset(folder)).splits).toEqual(["train"]);
    await expect(openDataset(folder, { split: "test" })).rejects.toThrow(
      /has no split "test": it is no data set/,
    );
    await expect(openDataset("synthetic:10", { split: "test" })).rejects.toThrow(
      /synthetic:10 has no split "test"/,
    );
  });

  it("a layout is found in the only folder of a folder as well", async () => {
    const folder = temporaryFolder();
    put(folder, "food/meta/train.json", '{"pie":["pie/1"]}');
    put(folder, "food/images/pie/1.jpg", await picture(0).jpeg().toBuffer());
    expect((await openDataset(folder)).name).toBe("food-101/train");
  });
});

describe("bad data sets", () => {
  it("a split that names absent files", async () => {
    const { folder } = await makeOfficial("fgvc-aircraft");
    rmSync(join(folder, "data/images/1025794.jpg"));
    await expect(openDataset(folder)).rejects.toThrow(
      /The train split in .*data\/images_variant_train\.txt names 1 of 5 files that are not there, the first .*1025794\.jpg: unpack the data set again/,
    );
    expect((await openDataset(folder, { split: "test" })).length).toBe(6);
  });

  it("a truncated picture is skipped and counted when it is decoded, an empty one at once", async () => {
    const { folder } = await makeOfficial("food-101");
    const many = Array.from({ length: 20 }, (_, i) => `pie/${i}`);
    put(folder, "meta/train.json", JSON.stringify({ apple_pie: many }));
    for (const [i, name] of many.entries()) {
      const jpeg = await picture(i, 64, 64).jpeg().toBuffer();
      put(folder, `images/${name}.jpg`, i === 3 ? "" : i === 5 ? jpeg.subarray(0, jpeg.length / 2) : jpeg);
    }
    const dataset = await openDataset(folder);
    expect([dataset.length, dataset.skips.entries]).toEqual([
      19,
      [{ name: "images/pie/3.jpg", reason: "empty file (0 bytes)" }],
    ]);
    await expect(dataset.decode(4)).rejects.toThrow(/Cannot decode images\/pie\/5\.jpg of food-101\/train/);
  });

  it("lists that are missing, by what was expected", async () => {
    const { folder } = await makeOfficial("oxford-iiit-pet");
    rmSync(join(folder, "annotations/test.txt"));
    await expect(openDataset(folder, { split: "test" })).rejects.toThrow(
      /annotations\/test\.txt is missing: unpack the data set again/,
    );
  });

  it.each([
    [
      "fgvc-aircraft",
      "data/images_variant_train.txt",
      "1025794 Zeppelin\n",
      /"1025794 Zeppelin" names no variant/,
    ],
    [
      "oxford-iiit-pet",
      "annotations/trainval.txt",
      "Bengal_1 0 1 1\n",
      /trainval\.txt: Bengal_1 has label 0, expected 1 to 1000/,
    ],
    [
      "oxford-iiit-pet",
      "annotations/trainval.txt",
      "Bengal_1 cat 1 1\n",
      /expected "IMAGE CLASS SPECIES BREED"/,
    ],
    [
      "oxford-iiit-pet",
      "annotations/trainval.txt",
      "Bengal_1 6 1 1\n",
      /has the class 6 but no image of the class 5/,
    ],
    [
      "food-101",
      "meta/train.json",
      '{"soup":["soup/1"]}',
      /has the class "soup", which classes\.txt has not/,
    ],
    ["food-101", "meta/train.json", "{", /train\.json is no JSON/],
    ["food-101", "meta/train.json", "[1]", /expected an object from each class/],
    [
      "flowers-102",
      "setid.mat",
      "nonsense",
      /setid\.mat cannot be read: 8 bytes are too few for a MATLAB file/,
    ],
    [
      "inaturalist-2018",
      "train2018.json",
      '{"images":[],"categories":[]}',
      /no list "annotations"\. Labels are missing/,
    ],
    [
      "inaturalist-2018",
      "train2018.json",
      '{"images":[],"categories":[{"id":0}],"annotations":[{"image_id":4,"category_id":9}]}',
      /image 4 is of category 9, which "categories" has not/,
    ],
    [
      "inaturalist-2018",
      "train2018.json",
      '{"images":[{"id":7,"file_name":"a.jpg"}],"categories":[{"id":0}],"annotations":[]}',
      /image 7 has no annotation/,
    ],
  ])("%s: %s = %s", async (name, file, content, message) => {
    const { folder } = await makeOfficial(name);
    writeFileSync(join(folder, file), content);
    await expect(openDataset(folder)).rejects.toThrow(message);
  });

  it("Flowers: a label out of range is named in the file's own counting, from 1", async () => {
    const { folder, fixture } = await makeOfficial("flowers-102");
    const bytes = base64(fixture.files["imagelabels.mat"] ?? "");
    // The array as it is before it is compressed; the first image's label lies at byte 64.
    const array = inflateSync(bytes.subarray(136));
    array[64] = 0;
    writeFileSync(join(folder, "imagelabels.mat"), Buffer.concat([bytes.subarray(0, 128), array]));
    await expect(openDataset(folder)).rejects.toThrow(
      /imagelabels\.mat: image 1 has label 0, expected 1 to 102/,
    );
  });

  it("ImageNet: flat validation images need the kit, and ids that are in it", async () => {
    const { folder } = await makeOfficial("imagenet-1k");
    const truth = join(folder, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt");
    // Id 5 is an inner node of WordNet.
    writeFileSync(truth, "4\n5\n");
    await expect(openDataset(folder, { split: "val" })).rejects.toThrow(
      /line 2: "5" is no id of a class in .*meta\.mat/,
    );
    writeFileSync(truth, "4\n1\n2\n3\n1\n2\n1\n");
    await expect(openDataset(folder, { split: "val" })).rejects.toThrow(
      /names 1 of 7 files that are not there/,
    );
    writeFileSync(truth, "4\n1\n2\n3\n");
    await expect(openDataset(folder, { split: "val" })).rejects.toThrow(
      /ground_truth\.txt has 4 lines, one for each image, and .*val 6 images: labels are missing; download the/,
    );
    rmSync(truth);
    await expect(openDataset(folder, { split: "val" })).rejects.toThrow(
      /val is not sorted into classes, and ILSVRC2012_validation_ground_truth\.txt is missing: put the development kit/,
    );
    // The training images need no kit: their classes are called by their ids.
    rmSync(join(folder, "ILSVRC2012_devkit_t12"), { recursive: true });
    expect((await openDataset(folder)).classes).toEqual(["n01440764", "n02012849", "n02119789", "n03126707"]);
  });

  it("ImageNet: a validation class that was not trained", async () => {
    const { folder } = await makeOfficial("imagenet-1k");
    rmSync(join(folder, "train/n02119789"), { recursive: true });
    await expect(openDataset(folder, { split: "val" })).rejects.toThrow(
      /is of the class n02119789, which .*train has not/,
    );
  });

  it("CIFAR pickles: code is not executed but named, damage is said, labels are counted", async () => {
    const { folder } = makeCifarPython("cifar-10-batches-py");
    const batch = join(folder, "test_batch");
    const test = () => openDataset(folder, { split: "test" });
    writeFileSync(batch, "cos\nsystem\n(S'touch /tmp/never'\ntR.");
    await expect(test()).rejects.toThrow(
      /asks for os\.system, which no CIFAR batch needs: nothing was executed/,
    );
    writeFileSync(batch, Buffer.from("80025d2e", "hex"));
    await expect(test()).rejects.toThrow(/is a pickle but no dictionary/);
    writeFileSync(batch, Buffer.from("8002", "hex"));
    await expect(test()).rejects.toThrow(/test_batch is no CIFAR batch: /);
    writeFileSync(batch, Buffer.from("80027d2e", "hex"));
    await expect(test()).rejects.toThrow(/has no array "data"/);
    rmSync(batch);
    await expect(test()).rejects.toThrow(/none of the test split/);
  });
});
