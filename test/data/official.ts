/** @file Tiny data sets in their official layouts, from fixtures that torchvision has read too. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { picture, put, temporaryFolder } from "./helpers.js";

/** What torchvision says of a split. */
export interface ExpectedSplit {
  readonly classes: readonly string[];
  readonly samples: readonly (readonly [name: string, label: number])[];
}

export interface OfficialFixture {
  /** Base64. */
  readonly files: Readonly<Record<string, string>>;
  readonly pictures: readonly string[];
  readonly splits: Readonly<Record<string, ExpectedSplit>>;
}

export interface CifarFixture {
  /** Base64 of zlib. */
  readonly files: Readonly<Record<string, string>>;
  readonly splits: Readonly<
    Record<string, { classes: readonly string[]; labels: readonly number[]; pixels: readonly number[][][] }>
  >;
}

export interface Fixtures {
  readonly layouts: Readonly<Record<string, OfficialFixture>>;
  readonly mat: Readonly<
    Record<string, { bytes: string; numeric: Record<string, { shape: number[]; values: number[] }> }>
  >;
  readonly tar: Readonly<
    Record<string, { deflated: string; members: Record<string, readonly [length: number, start: string]> }>
  >;
}

const read = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures/data", name), "utf8"));

export const fixtures: Fixtures = read("datasets.json");
export const cifarFixtures: Readonly<Record<string, CifarFixture>> = read("cifar_python.json");

export const base64 = (text: string) => Uint8Array.from(Buffer.from(text, "base64"));
export const inflated = (text: string) => new Uint8Array(inflateSync(Buffer.from(text, "base64")));

/** Writes a layout into a new folder, a picture of its own for each name. */
export async function makeOfficial(name: string): Promise<{ folder: string; fixture: OfficialFixture }> {
  const fixture = fixtures.layouts[name];
  if (!fixture) throw new Error(`no fixture ${name}`);
  const folder = temporaryFolder();
  for (const [file, content] of Object.entries(fixture.files)) put(folder, file, base64(content));
  await Promise.all(
    fixture.pictures.map(async (file, i) =>
      put(
        folder,
        file,
        await picture(i + 1, 12, 10)
          .jpeg()
          .toBuffer(),
      ),
    ),
  );
  return { folder, fixture };
}

export function makeCifarPython(name: string): { folder: string; fixture: CifarFixture } {
  const fixture = cifarFixtures[name];
  if (!fixture) throw new Error(`no fixture ${name}`);
  const folder = temporaryFolder();
  for (const [file, content] of Object.entries(fixture.files)) put(folder, file, inflated(content));
  return { folder, fixture };
}

/** A ustar archive; the tests of the reader use Python's. */
export function tarOf(members: Readonly<Record<string, Uint8Array | string>>): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, content] of Object.entries(members)) {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(512);
    header.write(name, 0, 100);
    header.write("0000644\0", 100);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0", 136);
    header.write("        0", 148);
    header.write("ustar\x0000", 257);
    const sum = header.reduce((a, b) => a + b, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
