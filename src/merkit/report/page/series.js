// From windows to points on the screen: what of a series lies in view, joined into columns where windows outnumber pixels.

const COLUMN = 2; // CSS pixels; narrower columns cannot be told apart

/**
 * The points of one packed (n, K) series between `view.from` and `view.to` on `width` pixels.
 * Each point has edges x0, x1 in pixels and K probabilities; `first[i]` = 1 where a gap lies before point i.
 * Columns that hold several windows show their mean; a column without evidence is a gap, never filled in.
 */
function pointsOf(entity, packed, view, width) {
  const perPixel = width / (view.to - view.from);
  const begin = Math.max(0, lastAtMost(entity.lo, view.from));
  let end = lastAtMost(entity.lo, view.to) + 1;
  if (end <= begin) end = begin;
  const points = { n: 0, x0: [], x1: [], p: [], low: [], high: [], first: [] };
  const crowded = end - begin > width / COLUMN;
  const banded = packed === entity.fused;
  let column = null;
  let reached = -Infinity; // right edge in seconds of the last evidence seen

  const flush = () => {
    if (!column) return;
    points.x0.push(column.x0);
    points.x1.push(column.x1);
    points.first.push(column.first);
    for (let k = 0; k < K; k++) {
      points.p.push(column.p[k] / column.n / SCALE);
      points.low.push(column.low[k] / column.n / SCALE);
      points.high.push(column.high[k] / column.n / SCALE);
    }
    points.n++;
    column = null;
  };

  for (let i = begin; i < end; i++) {
    if (packed[i * K] === ABSENT || entity.hi[i] < view.from) continue;
    const x0 = (entity.lo[i] - view.from) * perPixel;
    const x1 = (entity.hi[i] - view.from) * perPixel;
    const gap = entity.lo[i] - reached > 0.002;
    reached = entity.hi[i];
    const slot = crowded ? Math.floor((x0 + x1) / 2 / COLUMN) : i;
    if (column && column.slot === slot && !(gap && !crowded)) {
      column.x1 = Math.max(column.x1, x1);
    } else {
      const follows = column && crowded && slot - column.slot <= 1 && x0 - column.x1 < COLUMN;
      flush();
      column = { slot, x0, x1, n: 0, first: follows ? 0 : Number(gap), p: new Float64Array(K), low: new Float64Array(K), high: new Float64Array(K) };
    }
    column.n++;
    for (let k = 0; k < K; k++) {
      const value = packed[i * K + k];
      column.p[k] += value;
      column.low[k] += banded && entity.low[i * K] !== ABSENT ? entity.low[i * K + k] : value;
      column.high[k] += banded && entity.high[i * K] !== ABSENT ? entity.high[i * K + k] : value;
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
