// One lane per entity: its heading, its faces along the time axis, its canvas.

const STACK_H = 92;
const TOP_H = 56;
const STRIP_H = 38;
const GAP_H = 14;
const FIRST_LANES = 8;
let mode = "fused";
let shownPersons = FIRST_LANES;
const lanes = []; // of {node, canvas} with an entity, a trace, or neither for speech

/** The clip, then persons: all in order of appearance, or the longest seen where there are many. */
function laneOrder() {
  const [clip, ...others] = entities;
  const alone = others.filter((entity) => entity.n || persons.get(entity.id)?.faces.length);
  if (alone.length > FIRST_LANES) alone.sort((a, b) => b.n - a.n);
  return { clip, others: alone };
}

function buildLanes() {
  const rows = at("rows");
  rows.replaceChildren();
  lanes.length = 0;
  const { clip, others } = laneOrder();
  if (DATA.segments.length) lanes.push(speechLane());
  if (clip.n || !others.length) lanes.push(entityLane(clip));
  for (const entity of others.slice(0, shownPersons)) lanes.push(entityLane(entity));
  lanes.push(...traces.map(traceLane));
  rows.append(...lanes.map((lane) => lane.node));
  root.dataset.lanes = String(lanes.filter((lane) => lane.entity).length);
  const more = at("more");
  const rest = others.length - shownPersons;
  more.hidden = others.length <= FIRST_LANES;
  const button = make("button", { className: "quiet", type: "button" }, `Show ${Math.min(rest, 10)} more`);
  button.addEventListener("click", () => {
    shownPersons += 10;
    buildLanes();
    drawAll();
    showNow(clock.t);
  });
  more.replaceChildren(`${Math.min(shownPersons, others.length)} of ${others.length} persons, those seen longest first. `, ...(rest > 0 ? [button] : []));
}

function frameLane(className, heading, ...plot) {
  const gutter = make("div", { className: "gutter" }, ...heading);
  return { node: make("div", { className: `lane ${className}` }, gutter, make("div", { className: "plot" }, ...plot)), gutter };
}

function speechLane() {
  const canvas = make("canvas", { role: "img" });
  canvas.setAttribute("aria-label", `${DATA.segments.length} stretches of speech; their words are listed below`);
  const { node } = frameLane("speech-lane", [make("div", { className: "who" }, DATA.player === "none" ? "Words" : "Speech")], canvas);
  return { entity: null, node, canvas };
}

/** A measured signal, drawn as it is: no model judges it here. */
function traceLane(trace) {
  const canvas = make("canvas", { role: "img", ariaLabel: `${trace.name} in ${trace.unit || "no unit"}` });
  const sub = make("div", { className: "sub" });
  const range = make("div", { className: "sub" });
  const { node } = frameLane("trace-lane", [make("div", { className: "who" }, trace.name), sub, range], canvas);
  return { entity: null, trace, node, canvas, range, value: sub };
}

/** The signal's value at the playhead stands beside its name. */
function tellTraces(t) {
  for (const lane of lanes) {
    if (!lane.trace) continue;
    const i = lastAtMost(lane.trace.t, t);
    const value = i < 0 ? NaN : lane.trace.v[i];
    lane.value.textContent = Number.isFinite(value) ? `${Number(value.toPrecision(4))} ${lane.trace.unit}` : "not measured here";
  }
}

function entityLane(entity) {
  const canvas = make("canvas", { role: "img" });
  canvas.setAttribute("aria-label", laneDescription(entity));
  const person = persons.get(entity.id);
  const who = make("div", { className: "who" });
  if (person?.faces.length) who.append(make("img", { src: person.faces[0][1], alt: "" }));
  who.append(entity.name);
  const sub = make("div", { className: "sub" }, entity.id === null ? "everything together" : `seen for ${timeText(seenFor(person), DURATION < 60 ? 1 : 0)}`);
  const caps = make("div", { className: "caps", "aria-hidden": "true" });
  const faces = person?.faces.length ? make("div", { className: "faces" }) : null;
  const { node, gutter } = frameLane("", [who, sub, caps], ...(faces ? [faces] : []), canvas);
  if (faces) for (const [time, source] of person.faces) {
    const button = make("button", { type: "button", title: `${entity.name} at ${timeText(time)}` }, make("img", { src: source, alt: `${entity.name} at ${timeText(time)}` }), timeText(time, DURATION < 60 ? 1 : 0));
    button.time = time;
    button.addEventListener("click", () => {
      pickEntity(entity);
      clock.seek(time);
    });
    faces.append(button);
  }
  gutter.dataset.entity = entity.id ?? "clip";
  return { entity, node, canvas, caps, faces, who, sub };
}

/** Seconds in which the face was found: each sighting counts as long as sightings usually lie apart. */
function seenFor(person) {
  if (!person || person.t.length < 2) return 0;
  const steps = Array.from(person.t.subarray(1), (t, i) => t - person.t[i]).sort((a, b) => a - b);
  return Math.min(person.t.length * steps[steps.length >> 1], DURATION);
}

/** One sentence for those who do not see the plot. */
function laneDescription(entity) {
  const tops = new Map();
  for (let i = 0; i < entity.n; i++) {
    const fused = row(entity.fused, i);
    if (fused) tops.set(highest(fused), (tops.get(highest(fused)) || 0) + entity.hi[i] - entity.lo[i]);
  }
  const parts = [...tops].sort((a, b) => b[1] - a[1]).map(([k, time]) => `${LABELS[k]} for ${timeText(time)}`);
  return parts.length ? `${entity.name}: most likely label ${parts.join(", ")}` : `${entity.name}: nothing seen or heard`;
}

function drawLane(lane, view) {
  if (lane.trace) {
    const range = drawTrace(lane.canvas, lane.trace, view);
    lane.range.textContent = range ? `${range.map((value) => Number(value.toPrecision(3))).join(" – ")} in view` : "";
    return;
  }
  if (!lane.entity) return drawSpeech(lane.canvas, view);
  const entity = lane.entity;
  placeFaces(lane, view);
  const strips = mode === "modality" ? [...entity.prob.keys()] : [];
  const height = mode === "fused" || !strips.length ? STACK_H + GAP_H + TOP_H + 2 : strips.length * (STRIP_H + 8) + 2;
  const { pen, width } = sheet(lane.canvas, height);
  lane.caps.replaceChildren();
  lane.sub.hidden = mode === "modality" && !lane.faces && strips.length > 0;
  const above = lane.faces ? 58 : 0;
  if (mode === "fused" || !strips.length) {
    const points = pointsOf(entity, entity.fused, view, width);
    lane.points = points.n;
    lane.grain = points.grain;
    drawStack(pen, points, width, 0, STACK_H);
    drawTop(pen, points, width, STACK_H + GAP_H, TOP_H);
    if (!points.n) sayNothing(pen, width, STACK_H);
    caption(lane, "most likely label, 90 % band", above + STACK_H + GAP_H + TOP_H / 2);
  } else {
    strips.forEach((name, index) => {
      const points = pointsOf(entity, entity.prob.get(name), view, width);
      drawStack(pen, points, width, index * (STRIP_H + 8), STRIP_H);
      lane.grain = points.grain;
      caption(lane, name, above + index * (STRIP_H + 8) + STRIP_H / 2);
      if (innerWidth <= 640) tagStrip(pen, name, index * (STRIP_H + 8));
    });
  }
  drawShots(pen, view, width, height);
}

function caption(lane, text, y) {
  const node = make("span", {}, text);
  node.style.top = `${y}px`;
  lane.caps.append(node);
}

function tagStrip(pen, text, y) {
  font(pen, 11, 600);
  const wide = pen.measureText(text).width + 10;
  pen.fillStyle = theme.card;
  pen.globalAlpha = 0.85;
  pen.fillRect(0, y, wide, 15);
  pen.globalAlpha = 1;
  pen.fillStyle = theme.ink;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(text, 5, y + 8);
}

function sayNothing(pen, width, height) {
  font(pen, 13);
  pen.fillStyle = theme.soft;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText("nothing seen or heard here", width / 2, height / 2);
}

/** Faces stand at their times; where they would overlap, the earlier one stays. */
function placeFaces(lane, view) {
  if (!lane.faces) return;
  const width = lane.faces.clientWidth;
  let taken = -Infinity;
  let shown = 0;
  for (const button of lane.faces.children) {
    const x = ((button.time - view.from) / (view.to - view.from)) * width;
    const place = Math.min(Math.max(x, 20), width - 20);
    button.hidden = x < -1 || x > width + 1 || place - taken < 44;
    if (button.hidden) continue;
    button.style.left = `${place}px`;
    taken = place;
    shown++;
  }
  lane.shown = shown;
}
