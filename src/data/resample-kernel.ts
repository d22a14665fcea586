/**
 * @file The inner loops of resample.ts, in WebAssembly for its vector instructions: six times as fast as the same loops
 * in TypeScript. resample-kernel.wat is their source and says what they do; scripts/assemble.mjs makes the code of it.
 */

import { RESAMPLE_KERNEL_CODE } from "./resample-kernel-code.js";

/** What is used of the global, which TypeScript declares for browsers alone. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
};

/** The passes over one row, and the memory they work in: see resample-kernel.wat. Addresses and strides in bytes. */
export interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  across(row: number, taps: number, tapStride: number, columns: number, out: number): void;
  down(rows: number, columns: number, taps: number, out: number, planeStride: number): void;
}

export const kernel = new WebAssembly.Instance(
  new WebAssembly.Module(Buffer.from(RESAMPLE_KERNEL_CODE, "base64")),
).exports as Kernel;

const PAGE_BYTES = 2 ** 16;

/** What the kernel reads or writes too much. */
export const SLACK_BYTES = 16;

/** The kernel's memory, with room for areas of these sizes, and where each begins. */
export function reserve<const Sizes extends readonly number[]>(
  sizes: Sizes,
): { memory: Uint8Array; addresses: { [I in keyof Sizes]: number } } {
  let end = 0;
  const addresses = sizes.map((size) => {
    const address = end;
    end = Math.ceil((end + size + SLACK_BYTES) / SLACK_BYTES) * SLACK_BYTES;
    return address;
  });
  const missing = end - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
  return {
    memory: new Uint8Array(kernel.memory.buffer),
    addresses: addresses as { [I in keyof Sizes]: number },
  };
}
