// The player with the followed faces over it; without the clip, the faces alone where they stood.

const SOUND_LIMIT_S = 1200; // beyond it the level strip would need the whole sound decoded in memory
const boxNodes = new Map();
let boxLayer = null;

function buildStage() {
  const stage = at("stage");
  if (DATA.player === "video") stage.classList.add("film");
  if (DATA.media) {
    showMedia(new Blob([unpack(at("clip-media").textContent, Uint8Array)], { type: DATA.media.mime }));
    at("clip-media").remove(); // the blob holds it now
  } else if (DATA.player === "none") {
    stage.append(make("div", { className: "quiet-stage", id: "quiet" }));
  } else {
    if (DATA.player === "video") addBoxLayer(stage, true);
    else stage.append(make("div", { className: "sound" }, make("canvas", { id: "level-big" })));
    at("stage-foot").append(fileButton());
  }
  clock.onMove(drawStage);
  new ResizeObserver(() => drawStage(clock.t)).observe(stage);
}

function fileButton() {
  const pick = make("input", { type: "file", id: "pick-file", accept: "video/*,audio/*" });
  pick.addEventListener("change", () => {
    if (pick.files.length) showMedia(pick.files[0]);
  });
  const name = DATA.clip.file ? String(DATA.clip.file).split(/[\\/]/).pop() : "the clip";
  return make("div", { className: "open-clip" }, pick, make("label", { htmlFor: "pick-file" }, "Open the clip from your disk"),
    make("p", {}, `This report holds no copy of ${name}. The file stays on this machine.`));
}

function showMedia(blob) {
  const stage = at("stage");
  at("stage-foot").replaceChildren();
  const media = make(DATA.player, { controls: true, playsInline: true, preload: "auto", src: URL.createObjectURL(blob) });
  media.setAttribute("aria-label", `The clip ${DATA.clip.id}`);
  media.addEventListener("error", () => stageNote(`This browser cannot play the file (${media.error.message || "unknown format"}).`, true));
  media.addEventListener("loadedmetadata", () => {
    root.dataset.media = "ready";
    const off = Math.abs(media.duration - DURATION);
    if (!DATA.media && off > Math.max(1, DURATION * 0.02)) {
      stageNote(`This file lasts ${timeText(media.duration)}, the analysed clip ${timeText(DURATION)}. Is it the same clip?`, true);
    } else stageNote("");
    drawStage(clock.t);
  });
  if (DATA.player === "video") {
    stage.replaceChildren(media);
    addBoxLayer(stage, false);
  } else {
    stage.replaceChildren(make("div", { className: "sound" }, make("canvas", { id: "level-big" }), media));
  }
  clock.follow(media);
  if (DURATION <= SOUND_LIMIT_S) measureLevels(blob);
}

function stageNote(text, wrong = false) {
  const note = at("stage-note");
  note.hidden = !text;
  note.textContent = text;
  note.classList.toggle("wrong", wrong);
}

// --- faces over the picture ---

function addBoxLayer(stage, alone) {
  boxNodes.clear();
  boxLayer = make("div", { className: alone ? "boxes frame" : "boxes" });
  boxLayer.alone = alone;
  stage.append(boxLayer);
}

/** Where the person's face is at `t`: between two sightings of one run it moves evenly, elsewhere it is not shown. */
function boxAt(person, t) {
  const i = lastAtMost(person.t, t);
  const step = person.t.length > 1 ? (person.t[person.t.length - 1] - person.t[0]) / (person.t.length - 1) : 0.4;
  const reach = Math.min(Math.max(2.5 * step, 0.4), 1.5);
  const box = (j) => Array.from(person.box.subarray(4 * j, 4 * j + 4), (value) => value / SCALE);
  const next = i + 1 < person.t.length ? person.t[i + 1] : Infinity;
  if (i >= 0 && next - person.t[i] <= reach && !DATA.shots.some((cut) => cut > person.t[i] && cut <= next)) {
    const share = (t - person.t[i]) / (next - person.t[i]);
    const to = box(i + 1);
    return box(i).map((edge, side) => edge + (to[side] - edge) * share);
  }
  if (i >= 0 && t - person.t[i] <= reach / 2) return box(i);
  return next - t <= reach / 4 ? box(i + 1) : null;
}

function drawStage(t) {
  drawLevels(t);
  if (DATA.player === "none") return drawQuiet(t);
  if (!boxLayer) return;
  placeLayer();
  for (const person of persons.values()) {
    const box = boxAt(person, t);
    let node = boxNodes.get(person.id);
    if (!box) {
      if (node) node.hidden = true;
      continue;
    }
    if (!node) {
      node = make("div", { className: "face-box" }, make("span"));
      boxNodes.set(person.id, node);
      boxLayer.append(node);
    }
    node.hidden = false;
    const entity = entities.find((other) => other.id === person.id);
    const fused = entity ? row(entity.fused, windowAt(entity, t)) : null;
    const top = fused ? highest(fused) : -1;
    const colour = fused ? colours[top].fill : "rgb(190, 190, 190)";
    node.style.left = `${box[0] * 100}%`;
    node.style.top = `${box[1] * 100}%`;
    node.style.width = `${(box[2] - box[0]) * 100}%`;
    node.style.height = `${(box[3] - box[1]) * 100}%`;
    node.style.borderColor = colour;
    node.classList.toggle("low", box[1] < 0.09);
    const tag = node.firstChild;
    const name = boxLayer.clientWidth < 480 ? nameOf(person.id).replace("Person ", "") : nameOf(person.id);
    tag.textContent = fused ? `${name} · ${LABELS[top]} ${percent(fused[top])}` : name;
    tag.style.background = colour;
    tag.style.color = fused ? colours[top].on : "#16181a";
    if (boxLayer.alone && person.faces.length) {
      const near = person.faces.reduce((best, face) => (Math.abs(face[0] - t) < Math.abs(best[0] - t) ? face : best));
      if (node.face !== near) node.style.backgroundImage = `url("${near[1]}")`;
      node.face = near;
    }
  }
}

/** Lay the boxes' layer over the picture itself, not over the bars beside it. */
function placeLayer() {
  const stage = at("stage");
  const media = clock.media;
  const wide = (media && media.videoWidth) || DATA.clip.width || 16;
  const high = (media && media.videoHeight) || DATA.clip.height || 9;
  const scale = Math.min(stage.clientWidth / wide, stage.clientHeight / high);
  boxLayer.style.width = `${wide * scale}px`;
  boxLayer.style.height = `${high * scale}px`;
  boxLayer.style.left = `${(stage.clientWidth - wide * scale) / 2}px`;
  boxLayer.style.top = `${(stage.clientHeight - high * scale) / 2}px`;
}

/** Clips without picture or sound: the words of the moment stand in their place. */
function drawQuiet(t) {
  const segment = DATA.segments[segmentAt(t)];
  const text = segment ? segment.text : null;
  const quiet = at("quiet");
  if (quiet.said === text) return;
  quiet.said = text;
  quiet.replaceChildren(make("strong", {}, "Nothing to play"),
    "This clip has no picture and no sound. Click the timeline to move the playhead.",
    ...(text ? [make("blockquote", {}, `“${text}”`)] : []));
}

/** The segment under `t`, the latest to begin where several overlap; -1 between them. */
function segmentAt(t) {
  for (let i = DATA.segments.length - 1; i >= 0; i--) {
    if (DATA.segments[i].start_s <= t + 1e-6 && t < DATA.segments[i].end_s) return i;
  }
  return -1;
}

// --- the level of the sound, measured by the browser itself ---

let levels = null; // Float32Array of peaks in [0, 1], evenly over the clip

async function measureLevels(blob) {
  const Context = window.OfflineAudioContext;
  if (!Context) return;
  let sound;
  try {
    sound = await new Context(1, 1, 16000).decodeAudioData(await blob.arrayBuffer());
  } catch {
    return; // no sound in it, or none that this browser decodes: the strip of speech stays as it is
  }
  const samples = sound.getChannelData(0);
  const bins = Math.min(2000, Math.max(200, Math.round(DURATION * 40)));
  const per = (DURATION * sound.sampleRate) / bins;
  levels = new Float32Array(bins);
  for (let i = 0; i < bins; i++) {
    let peak = 0;
    const stop = Math.min(samples.length, Math.floor((i + 1) * per));
    for (let j = Math.floor(i * per); j < stop; j++) peak = Math.max(peak, Math.abs(samples[j]));
    levels[i] = peak;
  }
  const loudest = levels.reduce((a, b) => Math.max(a, b), 1e-4);
  levels = levels.map((value) => value / loudest);
  root.dataset.levels = String(bins);
  drawAll();
  drawStage(clock.t);
}

/** The large strip of an audio clip: levels in the colour of the clip's most likely label. */
function drawLevels(t) {
  const canvas = at("level-big");
  if (!canvas) return;
  const { pen, width, height } = sheet(canvas, 200);
  const clip = entities[0];
  const step = 4;
  for (let x = 0; x < width; x += step) {
    const time = ((x + step / 2) / width) * DURATION;
    const fused = row(clip.fused, windowAt(clip, time));
    const level = levels ? levels[Math.min(levels.length - 1, Math.floor((time / DURATION) * levels.length))] : segmentAt(time) >= 0 ? 0.35 : 0.02;
    const size = Math.max(2, level * (height - 8));
    pen.fillStyle = fused ? colours[highest(fused)].fill : theme["strong-line"];
    pen.globalAlpha = time <= t ? 1 : 0.45;
    pen.fillRect(x, (height - size) / 2, step - 1.5, size);
  }
  pen.globalAlpha = 1;
  canvas.onclick = (event) => clock.seek((event.offsetX / canvas.clientWidth) * DURATION);
}
