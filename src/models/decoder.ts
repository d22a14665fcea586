/**
 * @file The decoder of in-between images (arXiv 2503.18753, section 3.2): one linear layer per token, then four
 * convolutions that bring the grid of patches to the image.
 */

import { at, GraphError, gelu, reshape, type Tensor, transpose } from "../graph/index.js";
import {
  type Conv2d,
  conv2d,
  conv2dParameters,
  convTranspose2d,
  convTranspose2dParameters,
  type Grid,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
} from "../nn/index.js";

export interface Decoder<Leaf> {
  /** `[C0, in]` */
  readonly linear: Linear<Leaf>;
  /** Four stages; a transposed convolution enlarges, a 3x3 convolution keeps the size. */
  readonly stages: readonly Conv2d<Leaf>[];
}

export interface DecoderOptions {
  /** Features of a token: twice the equivariant channels. */
  readonly inputDim: number;
  /** Channels after the linear layer and after the first three stages. Default [256, 128, 64, 32]. */
  readonly widths?: readonly number[];
  readonly patchSize: number;
  /** Channels of the image (default 3). */
  readonly channels?: number;
}

const STAGES = 4;

/**
 * The factor by which each stage enlarges. Stages that keep the size come first: a convolution costs as much as
 * its grid is large, so the same layers are up to 256 times cheaper before the enlarging than after. Odd factors (patch 14
 * is 7 times 2) come before the doublings.
 * @throws RangeError when the patch size has more than four prime factors.
 */
export function decoderFactors(patchSize: number): number[] {
  const primes: number[] = [];
  let rest = patchSize;
  for (let factor = 2; factor <= rest; ) {
    if (rest % factor === 0) {
      primes.push(factor);
      rest /= factor;
    } else factor++;
  }
  if (!Number.isInteger(patchSize) || patchSize < 1 || primes.length > STAGES) {
    throw new RangeError(
      `decoder: ${STAGES} stages cannot bring a token to ${patchSize} pixels by whole factors; ` +
        "use a patch size with at most four prime factors, such as 4, 8, 14 or 16",
    );
  }
  return [...Array.from({ length: STAGES - primes.length }, () => 1), ...primes.reverse()];
}

/** Side of the kernel that enlarges by `factor`: two taps a pixel and axis; 4 for a doubling. */
function kernelFor(factor: number): number {
  return factor === 1 ? 3 : 2 * factor - (factor % 2);
}

/** @throws RangeError when the widths are not four or the patch size does not fit. */
export function decoderParameters(options: DecoderOptions): Decoder<ParameterSpec> {
  const { inputDim, widths = [256, 128, 64, 32], patchSize, channels = 3 } = options;
  if (widths.length !== STAGES) {
    throw new RangeError(`decoder: expected ${STAGES} widths, got [${widths.join(", ")}]`);
  }
  const outputs = [...widths.slice(1), channels];
  return {
    linear: linearParameters(inputDim, at(widths, 0)),
    stages: decoderFactors(patchSize).map((factor, i) => {
      const make = factor === 1 ? conv2dParameters : convTranspose2dParameters;
      return make(at(widths, i), at(outputs, i), kernelFor(factor));
    }),
  };
}

/**
 * GELU between the layers, no normalisation, no final activation.
 * @param tokens `[B, N, in]` in raster order
 * @param grid The patches' rows and columns; a square when omitted.
 * @returns `[B, 3, H, W]` in the units of the target
 * @throws GraphError when N is not the grid's size.
 */
export function decoder(p: Decoder<Tensor>, tokens: Tensor, grid?: Grid): Tensor {
  const [batch, count] = tokens.shape as [number, number];
  const side = Math.sqrt(count);
  const { rows, columns } = grid ?? { rows: side, columns: side };
  if (tokens.rank !== 3 || !Number.isInteger(rows) || rows * columns !== count) {
    throw new GraphError(
      `decoder: expected tokens [B, N, D] of a ${rows}x${columns} grid, got ${tokens}; give the grid`,
    );
  }
  const hidden = linear(p.linear, tokens);
  let x = transpose(reshape(hidden, [batch, rows, columns, at(hidden.shape, 2)]), [0, 3, 1, 2]);
  for (const stage of p.stages) x = enlarge(stage, gelu(x));
  return x;
}

/** A stage's factor is known from its kernel. */
function enlarge(stage: Conv2d<Tensor>, x: Tensor): Tensor {
  const kernel = at(stage.weight.shape, 2);
  if (kernel === 3) return conv2d(stage, x, { padding: 1 });
  const factor = Math.ceil(kernel / 2);
  return convTranspose2d(stage, x, { stride: factor, padding: Math.floor(factor / 2) });
}
