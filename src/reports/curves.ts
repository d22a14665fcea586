/** @file Preparing long, noisy series for drawing: smoothing, and thinning that keeps the extremes. */

export interface Point {
  x: number;
  y: number;
}

/**
 * Moving average with weights that fall off exponentially to both sides, so that it neither lags behind the
 * points nor is pulled by the first one. Points that are not finite are left out.
 *
 * @param window number of points over which a weight falls to 1/e.
 */
export function smooth(points: readonly Point[], window: number): Point[] {
  const finite = points.filter(isFinitePoint);
  const keep = Math.exp(-1 / Math.max(window, 1e-9));
  const before = decayingSums(finite, keep);
  const after = decayingSums(finite.toReversed(), keep).toReversed();
  return finite.map(({ x, y }, index) => {
    const [left, right] = [before[index], after[index]];
    if (!left || !right) return { x, y };
    // Both sums hold the point itself, with weight 1.
    return { x, y: (left.sum + right.sum - y) / (left.weight + right.weight - 1) };
  });
}

function decayingSums(points: readonly Point[], keep: number): { sum: number; weight: number }[] {
  let sum = 0;
  let weight = 0;
  return points.map(({ y }) => {
    sum = keep * sum + y;
    weight = keep * weight + 1;
    return { sum, weight };
  });
}

/** Thins to at most `limit` points: of each of `limit / 2` slices, the lowest and the highest stay. */
export function thin(points: readonly Point[], limit: number): Point[] {
  const finite = points.filter(isFinitePoint);
  if (finite.length <= limit) return finite;
  const slices = Math.max(1, Math.floor(limit / 2));
  const kept: Point[] = [];
  for (let slice = 0; slice < slices; slice++) {
    const from = Math.floor((slice * finite.length) / slices);
    const members = finite.slice(from, Math.floor(((slice + 1) * finite.length) / slices));
    const [first] = members;
    if (!first) continue;
    let low = first;
    let high = first;
    for (const point of members) {
      if (point.y < low.y) low = point;
      if (point.y > high.y) high = point;
    }
    kept.push(...(low === high ? [low] : low.x < high.x ? [low, high] : [high, low]));
  }
  return kept;
}

function isFinitePoint({ x, y }: Point): boolean {
  return Number.isFinite(x) && Number.isFinite(y);
}
