// Put it together, then say in the document that the page is ready.

/** `#t=1.5&theme=dark&view=modality&who=person_1`: a link can name a moment and a way of looking. */
function obeyHash() {
  const wish = new URLSearchParams(location.hash.slice(1));
  if (["dark", "light"].includes(wish.get("theme"))) setTheme(wish.get("theme"));
  if (["fused", "modality"].includes(wish.get("view"))) setMode(wish.get("view"));
  const who = entities.find((entity) => (entity.id ?? "clip") === wish.get("who"));
  if (who) pickEntity(who);
  const t = Number.parseFloat(wish.get("t"));
  if (Number.isFinite(t)) clock.seek(t);
}

function setTheme(name) {
  root.dataset.theme = name;
  try {
    localStorage.setItem("merkit-theme", name);
  } catch {
    // storage is switched off: the choice lasts until the page is closed
  }
  repaint();
}

function setMode(name) {
  mode = name;
  for (const button of at("view").children) button.ariaPressed = String(button.dataset.view === name);
  drawAll();
}

function repaint() {
  readColours();
  at("theme").textContent = isDark() ? "Light" : "Dark";
  paintLegend();
  paintWords();
  paintSummary();
  at("now").shown = undefined;
  showNow(clock.t);
  drawStage(clock.t);
  drawAll();
}

function start() {
  try {
    const kept = localStorage.getItem("merkit-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch {
    // storage is switched off: follow the system
  }
  readColours();
  buildHead();
  buildLegend();
  buildLanes();
  buildNow();
  buildWords();
  buildSummary();
  buildMade();
  buildStage();
  wireTimeline();
  at("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
  at("view").addEventListener("click", (event) => {
    if (event.target.dataset.view) setMode(event.target.dataset.view);
  });
  clock.onMove(() => {
    at("play").setAttribute("aria-pressed", String(clock.playing));
    at("play").setAttribute("aria-label", clock.playing ? "Pause" : "Play");
    at("seek").setAttribute("aria-valuenow", clock.t.toFixed(2));
  });
  at("seek").setAttribute("aria-valuemax", DURATION.toFixed(2));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("beforeprint", () => {
    const kept = root.dataset.theme;
    root.dataset.theme = "light";
    repaint();
    drawNow(); // now: the printer does not wait for the next frame
    addEventListener("afterprint", () => {
      if (kept) root.dataset.theme = kept;
      else delete root.dataset.theme;
      repaint();
    }, { once: true });
  });
  addEventListener("hashchange", obeyHash);
  new ResizeObserver(drawAll).observe(at("lanes"));
  repaint();
  drawNow();
  clock.tell();
  obeyHash();
  root.dataset.entities = String(entities.length);
  root.dataset.ready = "yes";
}

start();
