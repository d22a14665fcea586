/** @file Named tensors somewhere on disk, read one by one: what every weight file and every folder of them is. */

import type { HostTensor, TensorDType } from "./host-tensor.js";

/** A tensor without its values. `dtype` names one that cannot be read as it is in the file. */
export interface SourceTensor {
  readonly dtype: TensorDType | (string & {});
  readonly shape: readonly number[];
}

/** Close it after use. */
export interface TensorSource {
  /** What was opened, for messages. */
  readonly path: string;
  /** What kind of file it is: `safetensors`, `PyTorch (zip)`. */
  readonly format: string;
  readonly names: readonly string[];
  has(name: string): boolean;
  /** @throws an error that names the file when there is no such tensor. */
  info(name: string): SourceTensor;
  /** @throws an error that names the file and the tensor when it cannot be read. */
  read(name: string): Promise<HostTensor>;
  close(): Promise<void>;
}
