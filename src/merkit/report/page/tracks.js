// Drawing what stands beside the probabilities: the ruler, shot changes, speech, measured signals.

/** Hairlines at the shot changes, left out where they would stand closer than a finger's breadth. */
function drawShots(pen, view, width, height) {
  const inView = lastAtMost(DATA.shots, view.to) - lastAtMost(DATA.shots, view.from);
  if (inView > width / 30) return;
  pen.strokeStyle = theme.ink;
  pen.globalAlpha = 0.6;
  pen.lineWidth = 1;
  pen.setLineDash([1, 3]);
  for (const cut of DATA.shots) {
    if (cut <= view.from || cut >= view.to) continue;
    const x = Math.round(((cut - view.from) / (view.to - view.from)) * width) + 0.5;
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, height);
    pen.stroke();
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

/** Seconds between ticks so that they stand at least `least` pixels apart. */
function tickStep(perPixel, least) {
  for (const step of [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]) {
    if (step / perPixel >= least) return step;
  }
  return 7200;
}

function drawRuler(canvas, view) {
  const { pen, width, height } = sheet(canvas, 24);
  const perPixel = (view.to - view.from) / width;
  const step = tickStep(perPixel, 74);
  font(pen, 11.5);
  pen.fillStyle = theme.soft;
  pen.strokeStyle = theme["strong-line"];
  pen.textBaseline = "middle";
  pen.lineWidth = 1;
  for (let n = Math.ceil(view.from / step - 1e-6); n * step <= view.to + 1e-6; n++) {
    const x = (n * step - view.from) / perPixel;
    const text = timeText(n * step, step < 1 ? 1 : 0);
    const wide = pen.measureText(text).width;
    pen.textAlign = "left";
    pen.fillText(text, Math.min(Math.max(x - wide / 2, 0), width - wide), 9);
    pen.beginPath();
    pen.moveTo(Math.round(x) + 0.5, height - 6);
    pen.lineTo(Math.round(x) + 0.5, height);
    pen.stroke();
  }
  line(pen, 0, width, height - 0.5);
}

/** Speech: the level of the sound where it is known, and each segment in the colour of its most likely label. */
function drawSpeech(canvas, view) {
  const { pen, width, height } = sheet(canvas, 34);
  const perPixel = width / (view.to - view.from);
  if (levels) {
    pen.fillStyle = theme["strong-line"];
    for (let x = 0; x < width; x += 2) {
      const a = Math.floor(((view.from + x / perPixel) / DURATION) * levels.length);
      const b = Math.max(a + 1, Math.ceil(((view.from + (x + 2) / perPixel) / DURATION) * levels.length));
      let peak = 0;
      for (let i = a; i < b && i < levels.length; i++) peak = Math.max(peak, levels[i]);
      pen.fillRect(x, height / 2 - (peak * height) / 2, 1.25, Math.max(0.75, peak * height));
    }
  }
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  font(pen, 12);
  for (const segment of DATA.segments) {
    if (segment.end_s < view.from || segment.start_s > view.to) continue;
    const x = Math.max((segment.start_s - view.from) * perPixel, -4);
    const wide = Math.max(Math.min((segment.end_s - view.from) * perPixel, width + 4) - x, 1.5);
    const top = segmentTop(segment);
    pen.fillStyle = top < 0 ? faded(theme["strong-line"], levels ? 0.55 : 1) : levels ? faded(colours[top].fill, 0.82) : colours[top].fill;
    pen.beginPath();
    pen.roundRect(x, 5, wide, height - 10, Math.min(5, wide / 2));
    pen.fill();
    if (wide < 64 || !segment.text) continue;
    pen.save();
    pen.clip();
    pen.fillStyle = top < 0 ? theme.ink : colours[top].on;
    const room = wide - 14;
    pen.fillText(cutTo(pen, segment.text, room), Math.max(x, 0) + 7, height / 2 + 0.5);
    pen.restore();
  }
  drawShots(pen, view, width, height);
}

/** A signal as a line between the least and the greatest value in view, which it returns. */
function drawTrace(canvas, trace, view) {
  const { pen, width, height } = sheet(canvas, 58);
  const perPixel = width / (view.to - view.from);
  const begin = Math.max(0, lastAtMost(trace.t, view.from));
  const end = Math.min(trace.t.length, lastAtMost(trace.t, view.to) + 2);
  const measured = Array.from(trace.v.subarray(begin, end)).filter(Number.isFinite);
  if (!measured.length) {
    sayNothing(pen, width, height);
    return null;
  }
  const low = measured.reduce((a, b) => Math.min(a, b));
  const high = measured.reduce((a, b) => Math.max(a, b));
  const level = (value) => height - 6 - ((value - low) / (high - low || 1)) * (height - 12);
  const usual = trace.t.length > 1 ? (trace.t[trace.t.length - 1] - trace.t[0]) / (trace.t.length - 1) : 1;
  pen.strokeStyle = theme.ink;
  pen.lineWidth = 1.25;
  pen.lineJoin = "round";
  pen.beginPath();
  let joined = false;
  for (let i = begin; i < end; i++) {
    if (!Number.isFinite(trace.v[i])) {
      joined = false;
      continue;
    }
    const x = (trace.t[i] - view.from) * perPixel;
    if (joined && trace.t[i] - trace.t[i - 1] < 5 * usual) pen.lineTo(x, level(trace.v[i]));
    else pen.moveTo(x, level(trace.v[i]));
    joined = true;
  }
  pen.stroke();
  drawShots(pen, view, width, height);
  return [low, high];
}

function cutTo(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let length = Math.min(text.length, Math.ceil(room / 4));
  while (length > 1 && pen.measureText(`${text.slice(0, length)}…`).width > room) length--;
  return `${text.slice(0, length).trimEnd()}…`;
}

/** The label that a segment's own answer puts first, or -1 where it has none. */
function segmentTop(segment) {
  const prob = segment.prob.fused || segment.prob.text || Object.values(segment.prob)[0];
  return prob ? highest(prob) : -1;
}
