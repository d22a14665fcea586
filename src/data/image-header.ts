/** @file What a file is, told from its first bytes: quick enough for a million files when a folder is opened. */

/** Bytes that `headerProblem` wants to see. */
export const HEADER_BYTES = 16;

const latin1 = (bytes: Uint8Array, start: number, end: number) =>
  String.fromCharCode(...bytes.subarray(start, end));

function startsWith(bytes: Uint8Array, ...expected: number[]): boolean {
  return expected.every((value, i) => bytes[i] === value);
}

/** ISO base media brands that AVIF files carry first; `mif1` and `msf1` may hold AV1 or HEVC. */
const AVIF_BRANDS = new Set(["avif", "avis", "mif1", "msf1"]);

/**
 * Why a file with this beginning cannot be an image, or undefined when it may be one.
 * @param head The file's first 16 bytes, fewer when it is shorter.
 */
export function headerProblem(head: Uint8Array): string | undefined {
  if (head.length === 0) return "empty file (0 bytes)";
  if (startsWith(head, 0xff, 0xd8, 0xff)) return undefined; // JPEG
  if (startsWith(head, 0x89, 0x50, 0x4e, 0x47)) return undefined; // PNG
  if (/^GIF8[79]a/.test(latin1(head, 0, 6))) return undefined;
  if (latin1(head, 0, 4) === "RIFF" && latin1(head, 8, 12) === "WEBP") return undefined;
  if (startsWith(head, 0x49, 0x49, 0x2a, 0) || startsWith(head, 0x4d, 0x4d, 0, 0x2a)) return undefined; // TIFF
  if (startsWith(head, 0x49, 0x49, 0x2b, 0) || startsWith(head, 0x4d, 0x4d, 0, 0x2b)) return undefined; // BigTIFF
  if (latin1(head, 4, 8) === "ftyp") {
    const brand = latin1(head, 8, 12);
    if (AVIF_BRANDS.has(brand)) return undefined;
    if (/^he[ivm]/.test(brand)) return "HEIC is not supported: convert it to JPEG";
  }
  return "not a JPEG, PNG, WebP, TIFF, AVIF or GIF file";
}
