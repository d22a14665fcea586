/** @file Nearest neighbours and maps of features whose answer is known. */

import { describe, expect, it } from "vitest";
import { EvaluationError, matrix, nearestNeighbors, projectFeatures } from "#src/evaluation/index.js";
import { randomStream } from "#src/random.js";

const degrees = (...angles: readonly number[]) =>
  matrix(
    angles.length,
    2,
    // Lengths must not matter.
    Float32Array.from(
      angles.flatMap((angle, i) => {
        const radians = (angle * Math.PI) / 180;
        return [Math.cos(radians) * (i + 1), Math.sin(radians) * (i + 1)];
      }),
    ),
  );

describe("nearestNeighbors", () => {
  it("orders by the angle between features, whatever their length", () => {
    const [first, second] = nearestNeighbors(degrees(90, 10, 0, 180, 60), degrees(5, 95), 3);
    expect(first?.map(({ index }) => index)).toEqual([1, 2, 4]);
    expect(second?.map(({ index }) => index)).toEqual([0, 4, 3]);
    expect(second?.[1]?.similarity).toBeCloseTo(Math.cos((35 * Math.PI) / 180), 6);
  });

  it("gives all where fewer are there, and the first of equals", () => {
    expect(nearestNeighbors(degrees(0, 0), degrees(20), 5)[0]?.map(({ index }) => index)).toEqual([0, 1]);
  });

  it("refuses other features", () => {
    expect(() => nearestNeighbors(degrees(0), matrix(1, 3, new Float32Array(3)), 1)).toThrow(
      /the images to search have 2 features, the queries 3/,
    );
  });
});

/** Two groups of 20 rows in 5 dimensions, far apart. */
function groups() {
  const random = randomStream(3, "groups");
  const data = Float32Array.from({ length: 40 * 5 }, (_, i) => random.normal() + (i < 100 ? 0 : 20));
  return matrix(40, 5, data);
}

describe("projectFeatures", () => {
  it("finds the plane in which features lie", () => {
    // 3 u + 1 v with u, v orthogonal: x is the longer, y the shorter part.
    const random = randomStream(1, "plane");
    const [u, v] = [
      [0.6, 0.8, 0],
      [0, 0, 1],
    ] as const;
    const rows = Array.from({ length: 50 }, () => [3 * random.normal(), random.normal()] as const);
    const data = Float32Array.from(
      rows.flatMap(([a, b]) => u.map((value, i) => a * value + b * (v[i] ?? 0))),
    );
    const places = projectFeatures(matrix(50, 3, data), { method: "pca" });
    const distance = (p: readonly number[], q: readonly number[]) =>
      Math.hypot((p[0] ?? 0) - (q[0] ?? 0), (p[1] ?? 0) - (q[1] ?? 0));
    for (let i = 1; i < 50; i++) {
      expect(distance(places[i] ?? [], places[0] ?? [])).toBeCloseTo(
        distance(rows[i] ?? [], rows[0] ?? []),
        4,
      );
    }
  });

  it("keeps groups apart by UMAP, and draws the same with the same seed", () => {
    const places = projectFeatures(groups(), { method: "umap", neighbors: 5, seed: 1 });
    const centre = (part: readonly [number, number][]) =>
      [0, 1].map((axis) => part.reduce((sum, place) => sum + (place[axis as 0 | 1] ?? 0), 0) / part.length);
    const centres = [centre(places.slice(0, 20)), centre(places.slice(20))];
    places.forEach(([x, y], i) => {
      const [own, other] = (i < 20 ? centres : [...centres].reverse()).map(([cx = 0, cy = 0]) =>
        Math.hypot(x - cx, y - cy),
      );
      expect(own).toBeLessThan(other ?? 0);
    });
    expect(projectFeatures(groups(), { method: "umap", neighbors: 5, seed: 1 })).toEqual(places);
    expect(projectFeatures(groups(), { method: "umap", neighbors: 5, seed: 2 })).not.toEqual(places);
  });

  it("refuses too few images", () => {
    expect(() => projectFeatures(degrees(0, 1), { method: "pca" })).toThrow(EvaluationError);
    expect(() => projectFeatures(degrees(0, 1, 2, 3), { method: "umap" })).toThrow(
      /UMAP with 15 neighbours needs more than 15 images, got 4/,
    );
  });
});
