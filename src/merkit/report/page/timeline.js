// The shared time axis: what is in view, zooming, and moving the playhead by pointer and keys.

const view = { from: 0, to: DURATION };
const LEAST_VIEW_S = Math.min(2, DURATION);
let queued = false;

/** Draw every lane in the next frame; many calls make one drawing. */
function drawAll() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    drawNow();
  });
}

function drawNow() {
  const begun = performance.now();
  drawRuler(at("ruler").querySelector("canvas"), view);
  for (const lane of lanes) drawLane(lane, view);
  drawOverview();
  sayGrain();
  root.dataset.points = String(lanes.reduce((sum, lane) => sum + (lane.points || 0), 0));
  root.dataset.faces = String(lanes.reduce((sum, lane) => sum + (lane.shown || 0), 0));
  root.dataset.drawMs = (performance.now() - begun).toFixed(1);
  movePlayhead(clock.t);
}

/** Say so where a point stands for more than one window. */
function sayGrain() {
  const grain = Math.max(1, ...lanes.map((lane) => lane.grain || 1));
  const span = Number((grain * stepOf(picked)).toPrecision(2));
  at("grain").textContent = grain > 1 ? `Zoomed out: each point is the mean over ${span} s.` : "";
}

function setView(from, to) {
  const span = Math.min(Math.max(to - from, LEAST_VIEW_S), DURATION);
  view.from = Math.min(Math.max(from, 0), DURATION - span);
  view.to = view.from + span;
  root.dataset.span = span.toFixed(3);
  drawAll();
}

/** Zoom about second `pivot`, which stays where it is on the screen. */
function zoom(factor, pivot = clock.t >= view.from && clock.t <= view.to ? clock.t : (view.from + view.to) / 2) {
  const span = Math.min(Math.max((view.to - view.from) * factor, LEAST_VIEW_S), DURATION);
  const share = (pivot - view.from) / (view.to - view.from);
  setView(pivot - share * span, pivot - share * span + span);
}

function movePlayhead(t) {
  const width = at("seek").clientWidth;
  const x = ((t - view.from) / (view.to - view.from)) * width;
  const head = at("playhead");
  head.style.transform = `translateX(${(x - 0.75).toFixed(2)}px)`;
  for (const lane of lanes) {
    if (lane.faces) for (const button of lane.faces.children) button.classList.toggle("at", Math.abs(button.time - t) < 0.2);
  }
}

/** Turn the page of a zoomed view when the playhead runs off it. */
function keepInView(t) {
  const span = view.to - view.from;
  if (span < DURATION && (t < view.from || t > view.to)) setView(t - span * 0.1, t + span * 0.9);
}

function wireTimeline() {
  const seek = at("seek");
  const timeOf = (event) => {
    const box = seek.getBoundingClientRect();
    return view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from);
  };
  let dragging = false;
  seek.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    dragging = true;
    // A finger may only want to scroll the page: it seeks when it moves sideways or is lifted.
    if (event.pointerType === "touch") return;
    seek.setPointerCapture(event.pointerId);
    land(event);
  });
  const land = (event) => {
    const under = lanes.find((lane) => {
      const box = lane.node.getBoundingClientRect();
      return lane.entity && event.clientY >= box.top && event.clientY < box.bottom;
    });
    if (under) pickEntity(under.entity);
    clock.seek(timeOf(event));
  };
  seek.addEventListener("pointermove", (event) => {
    if (dragging) clock.seek(timeOf(event));
  });
  seek.addEventListener("pointerup", (event) => {
    if (dragging && event.pointerType === "touch") land(event);
    dragging = false;
  });
  seek.addEventListener("pointercancel", () => (dragging = false));
  seek.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(event.deltaY * 0.004), timeOf(event));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const shift = (event.deltaX / seek.clientWidth) * (view.to - view.from);
      setView(view.from + shift, view.to + shift);
    }
  }, { passive: false });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const onSeek = target === seek;
    if (!onSeek && target.closest("button, a, input, select, summary, video, audio, [role=region]")) return;
    const step = Math.max(0.1, Math.min(stepOf(picked), DURATION / 20)) * (event.shiftKey ? 10 : 1);
    const moves = { ArrowLeft: -step, ArrowRight: step, Home: -Infinity, End: Infinity };
    if (event.key in moves && (onSeek || event.key.startsWith("Arrow"))) clock.seek(clock.t + moves[event.key]);
    else if (event.key === " " && onSeek) clock.toggle();
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") setView(0, DURATION);
    else return;
    event.preventDefault();
    keepInView(clock.t);
  });
  at("zoom-in").addEventListener("click", () => zoom(0.5));
  at("zoom-out").addEventListener("click", () => zoom(2));
  at("zoom-fit").addEventListener("click", () => setView(0, DURATION));
  at("play").addEventListener("click", () => clock.toggle());
  wireOverview();
  clock.onMove(movePlayhead);
  clock.onMove(tellTraces);
  clock.onMove((t) => {
    if (clock.playing) keepInView(t);
  });
}

// --- the overview under a zoomed timeline ---

function drawOverview() {
  const box = at("overview");
  const zoomed = view.to - view.from < DURATION * 0.999;
  box.hidden = !zoomed;
  if (!zoomed) return;
  const { pen, width, height } = sheet(box.querySelector("canvas"), 26);
  const { clip, others } = laneOrder();
  const entity = clip.n ? clip : others[0] || clip;
  drawStack(pen, pointsOf(entity, entity.fused, { from: 0, to: DURATION }, width), width, 0, height, false);
  const frame = at("window");
  frame.style.left = `${(view.from / DURATION) * width}px`;
  frame.style.width = `${Math.max(((view.to - view.from) / DURATION) * width, 6)}px`;
}

function wireOverview() {
  const box = at("overview");
  let dragging = false;
  const move = (event) => {
    const area = box.getBoundingClientRect();
    const t = ((event.clientX - area.left) / area.width) * DURATION;
    const span = view.to - view.from;
    setView(t - span / 2, t + span / 2);
  };
  box.addEventListener("pointerdown", (event) => {
    dragging = true;
    box.setPointerCapture(event.pointerId);
    move(event);
  });
  box.addEventListener("pointermove", (event) => dragging && move(event));
  for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, () => (dragging = false));
}
