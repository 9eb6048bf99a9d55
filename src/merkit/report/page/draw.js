// Drawing on canvas: stacked probabilities, the most likely label with its band, gaps.

let single = -1; // the label that the legend singles out, or -1
let patternCache = null;

/** Size a canvas to its place on the screen and hand out a pen in CSS pixels. */
function sheet(canvas, height) {
  const width = canvas.parentElement.clientWidth - (canvas.id === "level-big" ? 40 : 0);
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

function font(pen, size, weight = 400) {
  pen.font = `${weight} ${size}px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif`;
}

function hatch(pen, x, y, width, height) {
  if (width < 1) return;
  const colour = faded(theme["strong-line"], 0.6);
  if (patternCache?.colour !== colour) {
    const tile = make("canvas", { width: 7, height: 7 });
    const p = tile.getContext("2d");
    p.strokeStyle = colour;
    p.lineWidth = 1;
    p.beginPath();
    p.moveTo(-1, 8); p.lineTo(8, -1);
    p.stroke();
    patternCache = { colour, pattern: pen.createPattern(tile, "repeat") };
  }
  pen.fillStyle = patternCache.pattern;
  pen.fillRect(x, y, width, height);
}

/** Hatch what lies between the runs. */
function drawGaps(pen, points, runs, width, y, height) {
  let x = 0;
  for (const [begin, end] of runs) {
    hatch(pen, x, y, points.x0[begin] - x, height);
    x = points.x1[end - 1];
  }
  hatch(pen, x, y, width - x, height);
}

const middle = (points, i) => (points.x0[i] + points.x1[i]) / 2;

/** K probabilities stacked to a full height. */
function drawStack(pen, points, width, y, height, labelled = true) {
  const runs = runsOf(points);
  drawGaps(pen, points, runs, width, y, height);
  const base = new Float64Array(points.n);
  const bands = [];
  for (const k of STACK) {
    const lower = Float64Array.from(base, (value) => y + height * (1 - value));
    for (let i = 0; i < points.n; i++) base[i] = Math.min(1, base[i] + points.p[i * K + k]);
    const upper = Float64Array.from(base, (value) => y + height * (1 - value));
    bands.push({ k, lower, upper });
    pen.globalAlpha = single < 0 || single === k ? 1 : 0.16;
    pen.fillStyle = colours[k].fill;
    for (const [begin, end] of runs) {
      pen.beginPath();
      pen.moveTo(points.x0[begin], upper[begin]);
      for (let i = begin; i < end; i++) pen.lineTo(middle(points, i), upper[i]);
      pen.lineTo(points.x1[end - 1], upper[end - 1]);
      pen.lineTo(points.x1[end - 1], lower[end - 1]);
      for (let i = end - 1; i >= begin; i--) pen.lineTo(middle(points, i), lower[i]);
      pen.lineTo(points.x0[begin], lower[begin]);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = theme.card;
  pen.lineWidth = 1;
  for (const { upper } of bands.slice(0, -1)) {
    for (const [begin, end] of runs) {
      pen.beginPath();
      pen.moveTo(points.x0[begin], upper[begin]);
      for (let i = begin; i < end; i++) pen.lineTo(middle(points, i), upper[i]);
      pen.lineTo(points.x1[end - 1], upper[end - 1]);
      pen.stroke();
    }
  }
  if (labelled) for (const band of bands) nameBand(pen, points, runs, band, width);
  return runs;
}

/** Write a label's name into its band wherever the band is high enough over the width of the name. */
function nameBand(pen, points, runs, { k, lower, upper }, width) {
  if (single >= 0 && single !== k) return;
  font(pen, 12, 600);
  const wide = pen.measureText(LABELS[k]).width + 10;
  const spots = [];
  for (const [begin, end] of runs) {
    const stop = Math.min(points.x1[end - 1], width);
    let from = begin;
    for (let x = Math.max(points.x0[begin], 0); x + wide <= stop; x += 6) {
      while (from < end - 1 && points.x1[from] < x) from++;
      let top = -Infinity, bottom = Infinity;
      for (let i = Math.max(begin, from - 1); i < end && points.x0[i] <= x + wide; i++) {
        top = Math.max(top, upper[i]);
        bottom = Math.min(bottom, lower[i]);
      }
      if (bottom - top >= 15) spots.push({ x: x + wide / 2, y: (top + bottom) / 2, room: bottom - top });
    }
  }
  spots.sort((a, b) => b.room - a.room);
  const taken = [];
  pen.fillStyle = colours[k].on;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const spot of spots) {
    if (taken.length >= 4) break;
    if (taken.some((x) => Math.abs(x - spot.x) < Math.max(260, wide * 2))) continue;
    taken.push(spot.x);
    pen.fillText(LABELS[k], spot.x, spot.y + 0.5);
  }
}

/** The most likely label's probability as a line, and its 90 % band as a tint around it. */
function drawTop(pen, points, width, y, height) {
  const runs = runsOf(points);
  drawGaps(pen, points, runs, width, y, height);
  pen.lineWidth = 1;
  for (const [value, dash] of [[0, []], [0.5, [1, 3]], [1, [1, 3]]]) {
    pen.strokeStyle = value ? theme["strong-line"] : theme.line;
    pen.setLineDash(dash);
    line(pen, 0, width, y + height * (1 - value) - 0.5 * Math.sign(0.5 - value));
  }
  pen.setLineDash([]);
  const tops = [];
  for (let i = 0; i < points.n; i++) tops.push(highest(points.p.slice(i * K, i * K + K)));
  const level = (value) => y + height * (1 - value);
  let named = -Infinity;
  for (const [begin, end] of runs) {
    for (let from = begin; from < end; ) {
      const k = tops[from];
      let to = from + 1;
      while (to < end && tops[to] === k) to++;
      const path = (values, back) => {
        const point = (i) => {
          const v = level(values[i * K + k]);
          const ends = [...(i === from ? [points.x0[i]] : []), middle(points, i), ...(i === to - 1 ? [points.x1[i]] : [])];
          for (const x of back ? ends.reverse() : ends) pen.lineTo(x, v);
        };
        if (back) for (let i = to - 1; i >= from; i--) point(i);
        else for (let i = from; i < to; i++) point(i);
      };
      const shown = single < 0 || single === k;
      pen.fillStyle = faded(colours[k].fill, shown ? 0.38 : 0.1);
      pen.beginPath();
      path(points.high, false);
      path(points.low, true);
      pen.fill();
      pen.strokeStyle = faded(colours[k].ink, shown ? 1 : 0.3);
      pen.lineWidth = 1.75;
      pen.lineJoin = "round";
      pen.beginPath();
      path(points.p, false);
      pen.stroke();
      if (shown) named = nameStretch(pen, k, points, from, to, y, height, named);
      from = to;
    }
  }
  return runs;
}

/** The label's name at the start of a stretch that is long enough for it; returns where it ends. */
function nameStretch(pen, k, points, from, to, y, height, named) {
  font(pen, 11, 600);
  const [x0, x1] = [Math.max(points.x0[from], 0) + 4, points.x1[to - 1]];
  const wide = pen.measureText(LABELS[k]).width;
  if (x1 - x0 < wide + 4 || x0 < named + 8) return named;
  let [ceiling, floor] = [0, 1];
  for (let i = from; i < to && points.x0[i] < x0 + wide; i++) {
    ceiling = Math.max(ceiling, points.high[i * K + k]);
    floor = Math.min(floor, points.low[i * K + k]);
  }
  const above = y + height * (1 - ceiling) - 8;
  const below = y + height * (1 - floor) + 9;
  pen.fillStyle = colours[k].ink;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(LABELS[k], x0, above >= y + 5 ? above : Math.min(below, y + height - 6));
  return x0 + wide;
}

function line(pen, x0, x1, y) {
  pen.beginPath();
  pen.moveTo(x0, y);
  pen.lineTo(x1, y);
  pen.stroke();
}
