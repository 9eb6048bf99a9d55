// What the page knows: faults, the unpacked timeline, colours, and how numbers are written.

const root = document.documentElement;
const at = (id) => document.getElementById(id);

// Faults are kept in the document, where a test (and a puzzled reader) can see them.
const faults = [];
function fault(text) {
  faults.push(String(text));
  root.dataset.faults = faults.join(" | ");
}
addEventListener("error", (event) => fault(event.message));
addEventListener("unhandledrejection", (event) => fault(event.reason));
addEventListener("securitypolicyviolation", (event) => fault(`blocked ${event.violatedDirective} ${event.blockedURI}`));

/** An element with properties and children. Strings become text, never markup. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && name !== "role") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function unpack(base64, Type) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Type(bytes.buffer);
}
const seconds = (base64) => Float64Array.from(unpack(base64, Uint32Array), (ms) => ms / 1000);

const SCALE = 10000;
const ABSENT = 65535;
const DATA = JSON.parse(at("timeline-data").textContent);
const LABELS = DATA.labels;
const K = LABELS.length;
const DURATION = Math.max(DATA.duration, 0.001);

const entities = DATA.entities.map((packed) => {
  const arrays = (group) => new Map(Object.entries(group).map(([name, text]) => [name, unpack(text, Uint16Array)]));
  const [start, end, lo, hi] = ["start", "end", "lo", "hi"].map((name) => seconds(packed[name]));
  const [fused, low, high] = ["fused", "low", "high"].map((name) => unpack(packed[name], Uint16Array));
  return { id: packed.id, name: nameOf(packed.id), n: start.length, start, end, lo, hi, fused, low, high,
    prob: arrays(packed.prob), share: arrays(packed.share) };
});
const persons = new Map(DATA.persons.map((packed) => [packed.id,
  { id: packed.id, t: seconds(packed.t), box: unpack(packed.box, Uint16Array), faces: packed.faces }]));

const traces = DATA.traces.map((packed) => ({ ...packed, t: seconds(packed.t), v: unpack(packed.v, Float32Array) }));

function nameOf(id) {
  return id === null ? "Clip" : id.replace(/^person_(\d+)$/, "Person $1");
}

/** Index of the last value of the sorted `values` that is <= x, or -1. */
function lastAtMost(values, x) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The window that answers for second `t`, or -1 in a gap. */
function windowAt(entity, t) {
  const i = lastAtMost(entity.lo, t + 1e-6);
  const last = i === entity.n - 1;
  return i >= 0 && (t < entity.hi[i] || (last && t <= entity.hi[i] + 1e-3)) ? i : -1;
}

/** Row `i` of a packed (n, K) array as numbers in [0, 1], or null where it is absent. */
function row(packed, i) {
  if (!packed || i < 0 || packed[i * K] === ABSENT) return null;
  return Array.from(packed.subarray(i * K, i * K + K), (value) => value / SCALE);
}

function highest(values) {
  let best = 0;
  for (let k = 1; k < values.length; k++) if (values[k] > values[best]) best = k;
  return best;
}

// Stacked from the bottom: the calm base first, then neighbours that differ in hue and in lightness.
const STACK_WISH = ["neutral", "sadness", "surprise", "fear", "joy", "disgust", "anger"];
const STACK = [...LABELS.keys()].sort((a, b) => {
  const place = (k) => (STACK_WISH.includes(LABELS[k]) ? STACK_WISH.indexOf(LABELS[k]) : 99 + k);
  return place(a) - place(b);
});

// Colours come from the style sheet; labels that it does not know get hues a golden angle apart.
let colours = [];
let theme = {};
function readColours() {
  const probe = document.body.appendChild(make("span"));
  const solid = (value) => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
  const dark = isDark();
  colours = LABELS.map((label, k) => {
    const known = STACK_WISH.includes(label);
    const hue = (k * 137.5) % 360;
    return {
      fill: solid(known ? `var(--fill-${label})` : `hsl(${hue} 55% ${dark ? 45 : 62}%)`),
      ink: solid(known ? `var(--ink-${label})` : `hsl(${hue} 60% ${dark ? 72 : 34}%)`),
    };
  });
  for (const colour of colours) colour.on = luminance(colour.fill) > 0.3 ? "#16181a" : "#ffffff";
  for (const name of ["card", "well", "ink", "soft", "line", "strong-line"]) theme[name] = solid(`var(--${name})`);
  probe.remove();
}

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function luminance(rgb) {
  const parts = rgb.match(/[\d.]+/g).map(Number);
  const [r, g, b] = parts.map((value) => (value / 255 <= 0.04 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function faded(rgb, alpha) {
  const [r, g, b] = rgb.match(/[\d.]+/g);
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

const percent = (p) => `${Math.round(p * 100)} %`;

/** `8.5 s`, `2:08.5`, `1:02:08.5`: as long as the clip needs, so that columns line up. */
function timeText(t, digits = 1) {
  const rounded = Number(t.toFixed(digits));
  if (DURATION < 60) return `${rounded.toFixed(digits)} s`;
  const [h, m, s] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60, rounded % 60];
  const tail = s.toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return h || (DURATION >= 3600 && digits) ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
}
