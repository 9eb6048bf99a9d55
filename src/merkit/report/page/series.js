// From windows to points on the screen: what of a series lies in view, averaged into groups where windows crowd.

const LEAST_POINT_PX = 6; // points closer than this read as noise, whatever they say

/** How many neighbouring windows one point stands for, so that points keep their distance. */
function grainOf(entity, view, width) {
  const step = stepOf(entity);
  return Math.max(1, Math.ceil(LEAST_POINT_PX / ((step / (view.to - view.from)) * width)));
}

/** The usual distance between neighbouring windows, in seconds. */
function stepOf(entity) {
  if (entity.step) return entity.step;
  const steps = Array.from(entity.start.subarray(1), (start, i) => start - entity.start[i]).sort((a, b) => a - b);
  entity.step = steps[steps.length >> 1] || DURATION;
  return entity.step;
}

/**
 * The points of one packed (n, K) series between `view.from` and `view.to` on `width` pixels.
 * Point i spans x0[i] to x1[i] in pixels and has K probabilities with their band; first[i] = 1 where a gap lies before it.
 * A point that stands for several windows shows their mean. A gap ends a point and is never filled in.
 * Groups are cut on the clip's clock, not on the screen, so that they stay the same while the view is moved.
 */
function pointsOf(entity, packed, view, width) {
  const points = { n: 0, x0: [], x1: [], p: [], low: [], high: [], first: [], grain: 1 };
  if (!entity.n) return points;
  const perPixel = width / (view.to - view.from);
  const grain = (points.grain = grainOf(entity, view, width));
  const step = stepOf(entity);
  const group = (i) => (grain > 1 ? Math.floor(Math.round(entity.start[i] / step) / grain) : i);
  const begin = Math.max(0, lastAtMost(entity.lo, view.from) - grain);
  const end = Math.min(entity.n, lastAtMost(entity.lo, view.to) + 1 + grain);
  const banded = packed === entity.fused;
  const sums = { p: new Float64Array(K), low: new Float64Array(K), high: new Float64Array(K) };
  let [held, current, reached] = [0, -1, -Infinity];

  const flush = () => {
    if (!held) return;
    for (const [name, sum] of Object.entries(sums)) {
      for (let k = 0; k < K; k++) points[name].push(sum[k] / held / SCALE);
      sum.fill(0);
    }
    points.n++;
    held = 0;
  };

  for (let i = begin; i < end; i++) {
    if (packed[i * K] === ABSENT) continue;
    const gap = entity.lo[i] - reached > 0.002;
    reached = entity.hi[i];
    if (gap || group(i) !== current) {
      flush();
      points.x0.push((entity.lo[i] - view.from) * perPixel);
      points.first.push(Number(gap));
    }
    current = group(i);
    points.x1[points.n] = (entity.hi[i] - view.from) * perPixel;
    held++;
    for (let k = 0; k < K; k++) {
      const value = packed[i * K + k];
      const band = banded && entity.low[i * K] !== ABSENT;
      sums.p[k] += value;
      sums.low[k] += band ? entity.low[i * K + k] : value;
      sums.high[k] += band ? entity.high[i * K + k] : value;
    }
  }
  flush();
  return points;
}

/** Stretches of points without a gap between them, as [begin, end) pairs. */
function runsOf(points) {
  const runs = [];
  for (let i = 0; i < points.n; i++) {
    if (i === 0 || points.first[i]) runs.push([i, i + 1]);
    else runs[runs.length - 1][1] = i + 1;
  }
  return runs;
}
