// The notebook's side of RegionPicker: a toolbar and the canvas, kept in step with Python through anywidget's model.

import { RegionCanvas, TOOLS } from "../canvas/region-canvas.js";

const LOOK = `
:host { display: block; --line: #c9ccd4; --ground: #fff; --ink: #1b1d22; --accent: #0b62d6; --quiet: #f2f3f6; }
.picker { display: grid; grid-template-rows: auto 1fr; max-width: 1100px; border: 1px solid var(--line);
  border-radius: 10px; overflow: hidden; background: var(--ground); color: var(--ink);
  font: 14px/1.4 system-ui, sans-serif; }
.tools { display: flex; flex-wrap: wrap; gap: 2px; padding: 4px; border-bottom: 1px solid var(--line); }
.tools .gap { flex: 0 0 8px; }
button { display: grid; place-items: center; width: 34px; height: 34px; padding: 0; border: 0; border-radius: 7px;
  background: none; color: inherit; cursor: pointer; }
button:hover { background: var(--quiet); }
button:disabled { opacity: .35; cursor: default; }
button[aria-pressed="true"] { background: var(--accent); color: var(--ground); }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
svg { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round;
  stroke-linejoin: round; }
.picture { width: 100%; height: min(70vh, 560px); min-height: 220px; }
@media (pointer: coarse) { button { width: 44px; height: 44px; } }
@media (prefers-color-scheme: dark) {
  :host { --line: #3b3e47; --ground: #1f2126; --ink: #eceef2; --accent: #7ab2ff; --quiet: #2c2f36; }
}
`;

const ACTIONS = [
  { act: "undo", label: "Undo (Ctrl+Z)", icon: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3" },
  { act: "redo", label: "Do again (Ctrl+Y)", icon: "m15 14 5-5-5-5M20 9H10a6 6 0 0 0 0 12h3" },
  { act: "remove", label: "Delete the selected region", icon: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v6M14 11v6" },
  { act: "fit", label: "Show the whole picture (0)", icon: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5" },
];

function toolButton(label, icon) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", icon);
  drawing.append(path);
  button.append(drawing);
  return button;
}

/** Two values with the same JSON. */
function alike(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function render({ model, el }) {
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // Jupyter's own keys stay out
  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(LOOK);
  root.adoptedStyleSheets = [sheet];
  const [frame, tools, picture] = ["picker", "tools", "picture"].map((name) => {
    const made = document.createElement("div");
    made.className = name;
    return made;
  });
  frame.append(tools, picture);
  root.append(frame);
  el.append(host);
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Tools");

  const canvas = new RegionCanvas(picture, { scrolls: true });
  const acts = {
    undo: () => canvas.undo(),
    redo: () => canvas.redo(),
    remove: () => canvas.remove(canvas.selected),
    fit: () => canvas.zoomTo("fit"),
  };
  const buttons = TOOLS.map(({ tool, label, key, icon }) => {
    const button = toolButton(`${label} (${key})`, icon);
    button.addEventListener("click", () => (canvas.tool = tool));
    return [button, () => button.setAttribute("aria-pressed", String(canvas.tool === tool))];
  });
  const enabled = {
    undo: () => canvas.canUndo,
    redo: () => canvas.canRedo,
    remove: () => canvas.selected,
    fit: () => canvas.size,
  };
  const others = ACTIONS.map(({ act, label, icon }) => {
    const button = toolButton(label, icon);
    button.addEventListener("click", acts[act]);
    return [button, () => (button.disabled = !enabled[act]())];
  });
  const gap = document.createElement("span");
  gap.className = "gap";
  tools.append(...buttons.map(([button]) => button), gap, ...others.map(([button]) => button));
  const look = () => [...buttons, ...others].forEach(([, update]) => update());

  // what the user does goes to Python; what Python sets comes from it, and is not sent back
  let taking = false;
  const send = (name, value) => {
    if (taking || alike(model.get(name) ?? null, value)) return;
    model.set(name, value);
    model.save_changes();
  };
  const take = (act) => {
    taking = true;
    try {
      act();
    } finally {
      taking = false;
    }
    look();
  };
  canvas.addEventListener("change", ({ detail }) => {
    send("entries", detail.regions);
    look();
  });
  canvas.addEventListener("select", ({ detail }) => {
    send("selected", detail.id);
    look();
  });
  canvas.addEventListener("tool", look);
  const takeEntries = () => {
    if (!alike(model.get("entries"), canvas.regions)) take(() => (canvas.regions = model.get("entries")));
  };
  const takeSelected = () => {
    const id = model.get("selected") ?? null;
    if (canvas.regions.some((entry) => entry.id === id) || id === null) take(() => (canvas.selected = id));
  };
  const show = async () => {
    taking = true;
    try {
      const file = new Blob([model.get("_picture")], { type: "image/jpeg" });
      await canvas.open(file, { regions: model.get("entries") });
    } finally {
      taking = false;
    }
    takeSelected();
    look();
  };
  model.on("change:entries", takeEntries);
  model.on("change:selected", takeSelected);
  model.on("change:_picture", show);
  show();
  return () => {
    model.off("change:entries", takeEntries);
    model.off("change:selected", takeSelected);
    model.off("change:_picture", show);
    canvas.destroy();
  };
}

export default { render };
