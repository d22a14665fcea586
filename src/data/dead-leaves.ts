/**
 * @file Procedural images: dead leaves. Opaque shapes of a power-law size distribution occlude each other, which
 * gives natural images' scale invariance and edges (Lee, Mumford, Huang, "Occlusion models for natural images",
 * IJCV 2001), and is enough to pretrain on (Baradad et al., "Learning to see by looking at noise", NeurIPS 2021).
 * Leaves carry oriented gratings, so that a rotation, a colour change, a blur and a shift all show. One leaf in
 * front, the subject, is of a known class, position, angle and scale.
 */

import { type RandomStream, randomStream } from "../random.js";
import type { Raster } from "./image.js";

/** Classes of the subject, by label. */
export const SUBJECTS = ["disk", "square", "triangle", "bar", "cross", "ring", "half-disk", "star"] as const;

/** True where (u, v), in units of the shape's radius, lies in the shape. */
const INSIDE: readonly ((u: number, v: number) => boolean)[] = [
  (u, v) => u * u + v * v < 0.8,
  (u, v) => Math.abs(u) < 0.75 && Math.abs(v) < 0.75,
  (u, v) => v < 0.6 && v > 1.7 * Math.abs(u) - 0.95,
  (u, v) => Math.abs(u) < 0.98 && Math.abs(v) < 0.34,
  (u, v) => (Math.abs(u) < 0.28 && v < 0.95 && v > -0.95) || (Math.abs(v) < 0.28 && u < 0.95 && u > -0.6),
  (u, v) => {
    const r = u * u + v * v;
    return r < 0.9 && r > 0.3;
  },
  (u, v) => v > -0.25 && u * u + (v + 0.25) * (v + 0.25) < 0.95,
  (u, v) => Math.sqrt(u * u + v * v) < 0.62 + 0.36 * Math.cos(5 * Math.atan2(u, v)),
];

export interface Subject {
  /** Index into `SUBJECTS`. */
  readonly class: number;
  /** Centre as a fraction of the image's side, from the left and the top. */
  readonly x: number;
  readonly y: number;
  /** Radians, from x towards y (clockwise on the screen), in [-pi, pi). */
  readonly angle: number;
  /** Radius as a fraction of the image's side. */
  readonly scale: number;
}

/** What image `index` shows in front. */
export function deadLeavesSubject(seed: number, index: number): Subject {
  const draw = randomStream(seed, "dead-leaves-subject", index);
  return {
    class: draw.integer(SUBJECTS.length),
    x: draw.uniform(0.3, 0.7),
    y: draw.uniform(0.3, 0.7),
    angle: draw.uniform(-Math.PI, Math.PI),
    scale: draw.uniform(0.18, 0.32),
  };
}

type Colour = readonly [number, number, number];

interface Leaf {
  readonly shape: number;
  /** Centre and radius in pixels. */
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly angle: number;
  /** Width over height of the shape. */
  readonly stretch: number;
  readonly base: Colour;
  /** Added to the base times the grating, which runs from -1 to 1. */
  readonly amplitude: Colour;
  /** Grating: angle in radians, radians per pixel, phase. */
  readonly grain: number;
  readonly frequency: number;
  readonly phase: number;
}

/** Samples per pixel along each axis: edges are antialiased. */
const SUPERSAMPLE = 2;
/** Radii as fractions of the image's side; density proportional to r^-3, the scale-invariant case. */
const SMALLEST = 0.045;
const LARGEST = 0.5;
/** Leaves after which what is still bare gets the background colour. */
const MAX_LEAVES = 120;

/** A colour near one of the image's few hues: pictures have palettes, not uniform noise. */
function drawColour(draw: RandomStream, palette: readonly Colour[]): Colour {
  const [r, g, b] = palette[draw.integer(palette.length)] ?? [128, 128, 128];
  const light = draw.uniform(-45, 45);
  return [
    r + light + draw.uniform(-18, 18),
    g + light + draw.uniform(-18, 18),
    b + light + draw.uniform(-18, 18),
  ];
}

function drawLeaf(draw: RandomStream, size: number, palette: readonly Colour[], subject?: Subject): Leaf {
  // Inverse of the cumulative distribution of r^-3 between the two radii.
  const near = SMALLEST ** -2;
  const radius = (near + draw.uniform() * (LARGEST ** -2 - near)) ** -0.5;
  const angle = draw.uniform(-Math.PI, Math.PI);
  const contrast = draw.uniform(12, 60);
  // Wave lengths from 3.5 pixels at 32 px: a blur of one pixel is visible, and shrinking does not alias.
  const wave = size * draw.uniform(0.11, 0.35);
  return {
    shape: subject?.class ?? draw.integer(4),
    x: (subject?.x ?? draw.uniform(-0.1, 1.1)) * size,
    y: (subject?.y ?? draw.uniform(-0.1, 1.1)) * size,
    radius: (subject?.scale ?? radius) * size,
    angle: subject?.angle ?? angle,
    stretch: subject ? 1 : draw.uniform(0.5, 1),
    base: drawColour(draw, palette),
    amplitude: [
      contrast * draw.uniform(0.5, 1),
      contrast * draw.uniform(0.5, 1),
      contrast * draw.uniform(0.5, 1),
    ],
    grain: (subject?.angle ?? angle) + draw.uniform(-0.2, 0.2),
    frequency: (2 * Math.PI) / wave,
    phase: draw.uniform(0, 2 * Math.PI),
  };
}

/** Paints a leaf on the samples that are still bare; returns how many it covered. */
function paint(leaf: Leaf, side: number, samples: Int16Array, covered: Uint8Array): number {
  const scale = SUPERSAMPLE;
  const cx = leaf.x * scale;
  const cy = leaf.y * scale;
  const radius = leaf.radius * scale;
  const left = Math.max(0, Math.floor(cx - radius));
  const right = Math.min(side - 1, Math.ceil(cx + radius));
  const top = Math.max(0, Math.floor(cy - radius));
  const bottom = Math.min(side - 1, Math.ceil(cy + radius));
  const inside = INSIDE[leaf.shape] as (u: number, v: number) => boolean;
  const cos = Math.cos(leaf.angle) / radius;
  const sin = Math.sin(leaf.angle) / radius;
  const waveX = (Math.cos(leaf.grain) * leaf.frequency) / scale;
  const waveY = (Math.sin(leaf.grain) * leaf.frequency) / scale;
  let count = 0;
  for (let y = top; y <= bottom; y++) {
    const dy = y + 0.5 - cy;
    for (let x = left; x <= right; x++) {
      const at = y * side + x;
      if (covered[at]) continue;
      const dx = x + 0.5 - cx;
      if (!inside(dx * cos + dy * sin, (dy * cos - dx * sin) / leaf.stretch)) continue;
      const wave = Math.sin(waveX * dx + waveY * dy + leaf.phase);
      covered[at] = 1;
      count++;
      samples[3 * at] = leaf.base[0] + leaf.amplitude[0] * wave;
      samples[3 * at + 1] = leaf.base[1] + leaf.amplitude[1] * wave;
      samples[3 * at + 2] = leaf.base[2] + leaf.amplitude[2] * wave;
    }
  }
  return count;
}

/** Means over the samples of each pixel, clamped to 8 bits. */
function reduceSamples(samples: Int16Array, size: number): Uint8Array {
  const side = size * SUPERSAMPLE;
  const data = new Uint8ClampedArray(size * size * 3);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let v = 0; v < SUPERSAMPLE; v++) {
          const row = (y * SUPERSAMPLE + v) * side + x * SUPERSAMPLE;
          for (let u = 0; u < SUPERSAMPLE; u++) sum += samples[3 * (row + u) + c] as number;
        }
        data[3 * (y * size + x) + c] = sum / SUPERSAMPLE ** 2;
      }
    }
  }
  return new Uint8Array(data.buffer);
}

/** Image `index` of the endless set under `seed`: [size, size, 3]. A pure function of its arguments. */
export function renderDeadLeaves(seed: number, index: number, size: number): Raster {
  const draw = randomStream(seed, "dead-leaves", index);
  const palette = Array.from(
    { length: 4 },
    (): Colour => [draw.uniform(40, 215), draw.uniform(40, 215), draw.uniform(40, 215)],
  );
  const side = size * SUPERSAMPLE;
  const samples = new Int16Array(side * side * 3);
  const covered = new Uint8Array(side * side);
  // From front to back: what is covered stays.
  let bare = side * side;
  bare -= paint(drawLeaf(draw, size, palette, deadLeavesSubject(seed, index)), side, samples, covered);
  for (let leaf = 0; leaf < MAX_LEAVES && bare > 0; leaf++) {
    bare -= paint(drawLeaf(draw, size, palette), side, samples, covered);
  }
  const ground = drawColour(draw, palette);
  if (bare > 0) {
    for (let at = 0; at < covered.length; at++) {
      if (!covered[at]) samples.set(ground, 3 * at);
    }
  }
  return { width: size, height: size, channels: 3, data: reduceSamples(samples, size) };
}
