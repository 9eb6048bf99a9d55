// Everything around the plot: head, the answer at the playhead, words, summary, settings.

let picked = null; // the entity whose answer the panel shows

function buildHead() {
  const { clip, model } = DATA;
  const facts = [timeText(DURATION)];
  if (clip.width) facts.push(`${clip.width} × ${clip.height}`);
  if (clip.fps) facts.push(`${Number(clip.fps.toFixed(2))} frames/s`);
  const seen = DATA.persons.length;
  if (clip.width) facts.push(seen === 1 ? "1 person" : `${seen || "no"} persons`);
  if (model.name) facts.push(`model ${model.name}${model.version ? ` ${model.version}` : ""}`);
  // The whole licence text stands among the settings; up here only what it comes to.
  if (model.non_commercial) facts.push("non-commercial use only");
  at("facts").textContent = facts.join("  ·  ");
  for (const { modality, present, reason, coverage } of DATA.presence) {
    const chip = make("li", { className: present ? "chip" : "chip absent", title: reason || `covers ${percent(coverage)} of the clip` }, make("b", {}, modality));
    const note = present ? `${percent(coverage)} of the clip${reason ? `, ${reason}` : ""}` : reason || "absent";
    chip.append(" ", make("span", {}, note));
    at("modalities").append(chip);
  }
}

function buildLegend() {
  const legend = at("legend");
  for (const k of STACK) {
    const dot = make("span", { className: "dot" });
    const button = make("button", { type: "button", ariaPressed: "false" }, dot, LABELS[k]);
    button.dataset.k = String(k);
    button.addEventListener("click", () => {
      single = single === k ? -1 : k;
      paintLegend();
      drawAll();
    });
    legend.append(make("li", {}, button));
  }
  paintLegend();
}

function paintLegend() {
  at("legend").classList.toggle("single", single >= 0);
  for (const button of at("legend").querySelectorAll("button")) {
    const k = Number(button.dataset.k);
    button.firstChild.style.background = colours[k].fill;
    button.ariaPressed = String(single === k);
  }
}

// --- the answer at the playhead ---

const bars = [];

function buildNow() {
  const { clip, others } = laneOrder();
  const choices = [clip, ...others].filter((entity) => entity.n);
  picked = choices[0] || clip;
  const pick = at("entity-pick");
  if (choices.length > 5) {
    const select = make("select", { ariaLabel: "Whose answer" }, ...choices.map((entity, i) => make("option", { value: String(i) }, entity.name)));
    select.addEventListener("change", () => pickEntity(choices[Number(select.value)]));
    select.mark = () => (select.value = String(choices.indexOf(picked)));
    pick.append(select);
  } else if (choices.length < 2) {
    pick.classList.add("one");
    pick.append(picked.name);
  } else {
    for (const entity of choices) {
      const button = make("button", { type: "button" }, entity.name);
      button.mark = () => (button.ariaPressed = String(entity === picked));
      button.addEventListener("click", () => pickEntity(entity));
      pick.append(button);
    }
  }
  for (const k of [...STACK].reverse()) {
    const [fill, band] = [make("i"), make("b")];
    const value = make("span", { className: "value" });
    const node = make("div", { className: "bar-row" }, make("span", { className: "word" }, LABELS[k]), make("div", { className: "track" }, fill, band), value);
    bars.push({ k, node, fill, band, value });
    at("now-bars").append(node);
  }
  pickEntity(picked);
  clock.onMove(showNow);
}

function pickEntity(entity) {
  picked = entity;
  for (const node of at("entity-pick").children) node.mark();
  for (const lane of lanes) lane.who?.classList.toggle("picked", lane.entity === picked && entities.length > 1);
  at("now").shown = undefined;
  showNow(clock.t);
}

function showNow(t) {
  at("clock").replaceChildren(timeText(t), make("span", {}, ` / ${timeText(DURATION)}`));
  const i = windowAt(picked, t);
  const now = at("now");
  if (now.shown === i && i >= 0) return;
  now.shown = i;
  const fused = row(picked.fused, i);
  const [low, high] = [row(picked.low, i), row(picked.high, i)];
  const top = fused ? highest(fused) : -1;
  now.dataset.label = fused ? LABELS[top] : "";
  at("now-time").textContent = i < 0 ? timeText(t) : `${timeText(picked.start[i])} – ${timeText(picked.end[i])}`;
  const head = at("now-top");
  if (fused) {
    head.replaceChildren(`${LABELS[top]} ${percent(fused[top])}`,
      ...(low ? [make("small", {}, `90 % band ${Math.round(low[top] * 100)} – ${percent(high[top])}`)] : []));
    head.style.color = colours[top].ink;
  } else {
    head.replaceChildren(picked.id === null ? "Nothing seen or heard here" : `${picked.name} is not seen here`);
    head.style.color = theme.soft;
  }
  for (const bar of bars) {
    bar.node.classList.toggle("top", bar.k === top);
    bar.fill.style.width = fused ? `${fused[bar.k] * 100}%` : "0";
    bar.fill.style.background = colours[bar.k].fill;
    bar.value.textContent = fused ? percent(fused[bar.k]) : "";
    bar.band.hidden = !low;
    if (!low) continue;
    bar.band.style.left = `${low[bar.k] * 100}%`;
    bar.band.style.width = `${Math.max((high[bar.k] - low[bar.k]) * 100, 0.5)}%`;
  }
  at("seek").setAttribute("aria-valuetext", `${timeText(t)}, ${picked.name}: ${head.textContent}`);
  showShares(i);
}

/** What each modality says by itself, and how much of the fused answer is due to it. */
function showShares(i) {
  const box = at("now-shares");
  const rows = [];
  for (const [name, packed] of picked.prob) {
    const prob = row(packed, i);
    if (!prob) continue;
    const share = picked.share.get(name)?.[i];
    const top = highest(prob);
    const fill = make("i");
    fill.style.width = share === undefined || share === ABSENT ? "0" : `${(share / SCALE) * 100}%`;
    const says = make("em", {}, `${LABELS[top]} ${percent(prob[top])}`);
    says.style.color = colours[top].ink;
    const part = share === undefined || share === ABSENT ? "" : ` ${percent(share / SCALE)}`;
    rows.push(make("div", { className: "share" }, make("span", {}, name, make("em", {}, part)), make("div", { className: "meter" }, fill), says));
  }
  box.hidden = !rows.length;
  box.replaceChildren(make("p", { className: "cap" }, make("span", {}, "weight in the answer"), make("span", {}, "by itself")), ...rows);
}

// --- words ---

const wordLines = [];

function buildWords() {
  const list = at("words");
  if (!DATA.segments.length) {
    const reason = ["text", "speech"].map((name) => DATA.presence.find((p) => p.modality === name)?.reason).find(Boolean);
    list.append(make("li", { className: "none" }, `No words were found in this clip${reason ? `: ${reason}` : ""}.`));
    return;
  }
  DATA.segments.forEach((segment) => {
    const says = make("span", { className: "says" });
    const words = make("span", {});
    if (segment.person) words.append(make("span", { className: "speaker" }, nameOf(segment.person)));
    words.append(segment.text === null ? make("span", { className: "untold" }, "speech, not transcribed") : segment.text);
    const button = make("button", { className: "line", type: "button" }, make("time", {}, timeText(segment.start_s, 1)), words, says);
    button.addEventListener("click", () => clock.seek(segment.start_s));
    wordLines.push({ button, says, segment });
    list.append(make("li", {}, button));
  });
  paintWords();
  const sources = [...new Set(DATA.segments.map((segment) => segment.source).filter(Boolean))];
  if (sources.length) at("words-title").append(make("span", { className: "source" }, ` from ${sources.join(", ")}`));
  root.dataset.segments = String(wordLines.length);
  clock.onMove(followWords);
}

function paintWords() {
  for (const { button, says, segment } of wordLines) {
    const top = segmentTop(segment);
    if (top < 0) continue;
    const prob = segment.prob.fused || segment.prob.text || Object.values(segment.prob)[0];
    button.style.setProperty("--edge", colours[top].fill);
    button.style.setProperty("--tint", faded(colours[top].fill, isDark() ? 0.16 : 0.13));
    says.textContent = `${LABELS[top]} ${percent(prob[top])}`;
    says.style.color = colours[top].ink;
  }
}

function followWords(t) {
  const current = segmentAt(t);
  const list = at("words");
  if (list.current === current) return;
  if (list.current >= 0) wordLines[list.current].button.removeAttribute("aria-current");
  list.current = current;
  if (current < 0) return;
  const { button } = wordLines[current];
  button.setAttribute("aria-current", "true");
  const [top, bottom] = [button.offsetTop, button.offsetTop + button.offsetHeight];
  if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
}

// --- summary, warnings, how it was made ---

const SUMMARY_COLUMNS = 9;

function buildSummary() {
  const table = at("summary");
  const { clip, others } = laneOrder();
  const wanted = [clip, ...others].slice(0, SUMMARY_COLUMNS).map((entity) => entity.id);
  const answered = DATA.summary.filter((window) => window.fused);
  const rows = answered.filter((window) => wanted.includes(window.person));
  if (answered.length > rows.length) {
    at("summary").after(make("p", { className: "sub" }, `${answered.length - rows.length} further persons are in the JSON.`));
  }
  if (!rows.length) {
    table.append(make("tbody", {}, make("tr", {}, make("td", {}, "No answer over the whole clip."))));
    return;
  }
  table.append(make("thead", {}, make("tr", {}, make("th", { scope: "col" }, ""), ...rows.map((w) => make("th", { scope: "col" }, nameOf(w.person))))));
  const body = make("tbody");
  for (const k of [...STACK].reverse()) {
    const cells = rows.map((window) => {
      const cell = make("span", { className: "cell" }, percent(window.fused[k]));
      cell.dataset.k = String(k);
      cell.dataset.p = String(window.fused[k]);
      const band = window.low ? make("small", {}, `${Math.round(window.low[k] * 100)}–${Math.round(window.high[k] * 100)}`) : "";
      return make("td", { className: highest(window.fused) === k ? "most" : "" }, cell, band);
    });
    body.append(make("tr", {}, make("th", { scope: "row" }, LABELS[k]), ...cells));
  }
  table.append(body);
  paintSummary();
}

function paintSummary() {
  for (const cell of at("summary").querySelectorAll(".cell")) {
    cell.style.background = faded(colours[Number(cell.dataset.k)].fill, 0.06 + 0.6 * Number(cell.dataset.p));
  }
}

function buildMade() {
  at("warnings-card").hidden = !DATA.warnings.length;
  at("warnings").append(...DATA.warnings.map((text) => make("li", {}, text)));
  const flat = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
  const group = (title, values) => {
    const entries = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
    if (!entries.length) return [];
    return [make("h3", {}, title), make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, flat(value))]))];
  };
  const { weights, ...model } = DATA.model;
  at("made").append(...group("Clip", DATA.clip), ...group("Settings", DATA.settings), ...group("Model", model), ...group("Weights (sha256)", weights || {}),
    ...group("Format", { schema_version: DATA.schema_version }));
}
