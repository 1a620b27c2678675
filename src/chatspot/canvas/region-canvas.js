// A picture to point at: shown, zoomed, and drawn on with points, boxes, polygons, outlines and masks. See README.md.

import { bounds, checkedRegion } from "./geometry.js";
import { Editor } from "./editor.js";
import { keyPressed } from "./keyboard.js";
import { drawMarks } from "./marks.js";
import { Picture } from "./picture.js";
import { Pointers } from "./pointers.js";
import { checkedColour } from "./region-list.js";
import { title } from "./speech.js";
import { Stage } from "./stage.js";
import { TOOLS } from "./tools.js";

export class RegionCanvas extends EventTarget {
  #editor;
  #stage;
  #pointers;
  #picture = null;
  #opening = 0; // how often a picture was opened or closed: the last one wins
  #answers = [];
  #focused = null; // id of the region of the list that has the keyboard's focus
  #scrolls;
  #ended = new AbortController();

  /** Fill `host`. `scrolls`: the page around scrolls, so a plain wheel zooms only while the canvas has the focus. */
  constructor(host, { tool = "box", readOnly = false, scrolls = false } = {}) {
    super();
    this.#scrolls = scrolls;
    this.#editor = new Editor({
      emit: (type, detail) => this.#emit(type, detail),
      say: (text, settings) => this.#stage.say(text, settings),
      redraw: () => this.#refresh(),
    });
    this.#stage = new Stage(host, {
      draw: { picture: (context) => this.#drawPicture(context), marks: (context) => this.#drawMarks(context) },
      resized: () => {
        this.#editor.view.resize(this.#stage.width, this.#stage.height);
        this.#emit("view", {});
      },
      focused: (id) => this.#focusOn(id),
      key: (event, id) => keyPressed(event, this.#desk, id !== null),
    });
    this.#stage.quietly(() => (this.#editor.tool = readOnly ? "select" : tool));
    this.#editor.readOnly = readOnly;
    this.#listen();
    this.#refresh();
  }

  // ---- the picture

  /** Show a picture upright: a Blob, an ImageBitmap or an <img>. `regions` are its first; undo begins here. Rejects
   *  with an Error for what is no picture and shows what it showed. When a later call overtakes it, it does nothing. */
  async open(source, { regions = [] } = {}) {
    this.#opening += 1;
    const turn = this.#opening;
    const picture = await Picture.open(source);
    if (turn !== this.#opening) return picture.close();
    this.#show(picture, regions);
  }

  /** Show nothing. */
  close() {
    this.#opening += 1;
    this.#show(null, []);
  }

  #show(picture, regions) {
    const editor = this.#editor;
    editor.list.reset(regions);
    this.#picture?.close();
    [this.#picture, this.#answers] = [picture, []];
    this.#stage.quietly(() => {
      editor.cancel();
      [editor.size, editor.crosshair, editor.pointer] = [picture?.size ?? null, null, null];
      editor.view.show(editor.size);
      editor.changed("open");
    });
    this.#viewed();
  }

  /** {width, height} of the upright picture in pixels, or null. */
  get size() {
    return this.#editor.size && { ...this.#editor.size };
  }

  // ---- the tools

  /** "select", "point", "box", "polygon", "freehand" or "brush". */
  get tool() {
    return this.#editor.tool;
  }

  set tool(tool) {
    this.#editor.tool = tool;
  }

  /** Diameter of the brush as a fraction of the picture's longer side. */
  get brushSize() {
    return this.#editor.brushSize;
  }

  set brushSize(share) {
    this.#editor.brushSize = share;
  }

  /** Whether the brush takes away. */
  get erasing() {
    return this.#editor.erasing;
  }

  set erasing(erasing) {
    this.#editor.erasing = Boolean(erasing);
    this.#emit("tool", { tool: this.tool });
    this.#refresh();
  }

  // ---- the regions

  /** Copies of all entries {id, number, name, colour, region}. */
  get regions() {
    return structuredClone(this.#editor.list.entries);
  }

  set regions(entries) {
    this.#quietly("set", null, (list) => list.replace(entries));
  }

  /** Add an entry; id, number, name and colour are filled in where they are missing. Gives back its id. */
  add(entry) {
    const id = this.#editor.list.add(entry);
    this.#quietly("add", id, () => {});
    return id;
  }

  /** Change an entry's name, colour or region. Throws RangeError for an unknown id, TypeError for what is no region. */
  change(id, changes) {
    this.#quietly("change", id, (list) => list.change(id, changes));
  }

  /** Take an entry away. Throws RangeError for an unknown id. */
  remove(id) {
    this.#quietly("remove", id, (list) => list.remove(id));
  }

  #quietly(reason, id, act) {
    this.#stage.quietly(() => {
      this.#editor.leave();
      act(this.#editor.list);
      this.#editor.changed(reason, id);
    });
  }

  /** The id of the selected region, or null. */
  get selected() {
    return this.#editor.selected;
  }

  set selected(id) {
    this.#stage.quietly(() => this.#editor.select(id));
  }

  /** Highlight a region, as when its chip is pointed at; null ends it. */
  light(id) {
    this.#editor.lit = id;
    this.#refresh();
  }

  /** Regions named in answers [{region, label?, colour?}]: drawn dashed, not editable. */
  get answers() {
    return structuredClone(this.#answers);
  }

  set answers(answers) {
    this.#answers = answers.map(({ region, label = "", colour = "#ffffff" }) => {
      return { region: checkedRegion(region), label: String(label), colour: checkedColour(colour) };
    });
    this.#refresh();
  }

  /** Ask the user for a new name of a region, on the picture. */
  async rename(id) {
    const { list, view } = this.#editor;
    const entry = list.find(id);
    if (!entry) throw new RangeError(`there is no region ${id}`);
    const [left, top] = view.toHost(bounds(entry.region).slice(0, 2));
    const name = await this.#stage.askName(entry.name, title({ ...entry, name: "" }), [left, top + 6]);
    if (name === null || name === entry.name || !list.find(id)) return;
    list.change(id, { name });
    this.#stage.say(`Renamed, ${title(list.find(id))}`);
    this.#editor.changed("change", id);
  }

  undo() {
    this.#editor.undo();
  }

  redo() {
    this.#editor.redo();
  }

  get canUndo() {
    return this.#editor.list.canUndo;
  }

  get canRedo() {
    return this.#editor.list.canRedo;
  }

  // ---- the view

  /** Zoom; what is under `clientPoint` {x, y} (of the window; the middle without it) stays in its place. */
  zoomBy(factor, clientPoint = null) {
    this.#editor.view.zoomBy(factor, clientPoint ? this.#pointers.placeOf(clientPoint) : undefined);
    this.#viewed();
  }

  /** "fit" shows all of the picture, "actual" a pixel of it as a CSS pixel. */
  zoomTo(how) {
    if (how !== "fit" && how !== "actual") throw new RangeError(`zoomTo takes "fit" or "actual", got ${how}`);
    const { view } = this.#editor;
    if (how === "fit") view.fit();
    else view.zoomBy(1 / view.scale);
    this.#viewed();
  }

  /** Move the picture by CSS pixels. */
  panBy(dx, dy) {
    this.#editor.view.panBy(dx, dy);
    this.#viewed();
  }

  /** Where a place [x, y] of the picture lies in the window: {x, y}. */
  toClient(place) {
    const { left, top, width, height } = this.#stage.pad.getBoundingClientRect();
    const [x, y] = this.#editor.view.toHost(place);
    return { x: left + (x * width) / (this.#stage.width || 1), y: top + (y * height) / (this.#stage.height || 1) };
  }

  /** Put the keyboard's focus on the picture. */
  focus() {
    this.#stage.focusPad();
  }

  /** Take everything away; the object is of no use afterwards. */
  destroy() {
    this.#opening += 1;
    this.#ended.abort();
    this.#stage.destroy();
    this.#picture?.close();
    this.#picture = null;
  }

  // ---- inside

  #emit(type, detail) {
    const whole = type === "change" ? { regions: this.regions, ...detail } : detail;
    this.dispatchEvent(new CustomEvent(type, { detail: whole }));
  }

  #viewed() {
    this.#stage.redraw({ picture: true });
    this.#emit("view", {});
  }

  #refresh() {
    const { entries } = this.#editor.list;
    this.#stage.describe(this.#label(), entries, this.#editor.selected);
    const cursor = this.#pointers?.spaceHeld ? "grab" : this.#editor.cursor;
    if (this.#stage.pad.style.cursor !== cursor) this.#stage.pad.style.cursor = cursor;
    this.#stage.redraw();
  }

  #label() {
    const { size, list, tool, readOnly } = this.#editor;
    if (!size) return "No picture";
    const count = `${list.entries.length} ${list.entries.length === 1 ? "region" : "regions"}`;
    const does = readOnly ? "" : `. Tool: ${TOOLS.find((known) => known.tool === tool).label}`;
    return `Picture, ${size.width} by ${size.height} pixels, ${count}${does}`;
  }

  #drawPicture(context) {
    this.#picture?.draw(context, this.#editor.view, this.#stage.ratio);
  }

  #drawMarks(context) {
    if (!this.#picture) return;
    drawMarks(context, this.#editor, { answers: this.#answers, focused: this.#focused, host: this.#stage });
  }

  /** The focus came to a region of the list (its id) or left it (null). */
  #focusOn(id) {
    if (id === this.#focused) return;
    this.#focused = id;
    if (id !== null && this.#editor.list.find(id)) {
      this.#editor.crosshair = null;
      this.#editor.select(id, true);
    }
    this.#refresh();
  }

  /** What keys can do beside the editor. */
  get #desk() {
    return {
      editor: this.#editor,
      zoom: (factor) => this.zoomBy(factor),
      fit: () => this.zoomTo("fit"),
      actual: () => this.zoomTo("actual"),
      erase: () => {
        this.erasing = !this.erasing;
        this.#stage.say(this.erasing ? "Brush erases" : "Brush paints");
      },
      rename: () => this.selected && !this.#editor.readOnly && this.rename(this.selected),
      toPad: (tool) => {
        if (tool) this.tool = tool;
        this.#stage.focusPad();
        return true;
      },
    };
  }

  #listen() {
    const editor = this.#editor;
    const { pad } = this.#stage;
    this.#pointers = new Pointers(pad, {
      press: (at, settings) => editor.press(at, settings),
      drag: (path) => editor.drag(path),
      release: (at, kind) => editor.release(at, kind),
      leave: () => editor.leave(),
      hover: (at, kind) => editor.hover(at, kind),
      twice: (at, kind) => {
        const id = editor.twice(at, kind);
        if (id) this.rename(id);
      },
      pan: (dx, dy) => this.panBy(dx, dy),
      pinch: (factor, at) => {
        editor.view.zoomBy(factor, at);
        this.#viewed();
      },
    });
    pad.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    const space = (event, held) => {
      const over = pad.matches(":hover") || pad.matches(":focus");
      if (event.code !== "Space" || (held && (!over || isEditable(event.composedPath()[0])))) return;
      if (held) event.preventDefault(); // the page does not scroll
      this.#pointers.spaceHeld = held;
      this.#refresh();
    };
    const { signal } = this.#ended;
    addEventListener("keydown", (event) => space(event, true), { signal });
    addEventListener("keyup", (event) => space(event, false), { signal });
    addEventListener("blur", () => (this.#pointers.spaceHeld = false), { signal });
  }

  #wheel(event) {
    if (!this.#picture) return;
    if (this.#scrolls && !event.ctrlKey && !this.#stage.pad.matches(":focus")) return;
    event.preventDefault();
    const unit = [1, 16, this.#stage.height][event.deltaMode];
    const [across, down] = [event.deltaX * unit, event.deltaY * unit];
    if (Math.abs(across) > Math.abs(down)) this.panBy(-across, 0);
    else {
      const step = Math.max(-120, Math.min(down, 120)) * (event.ctrlKey ? 0.01 : 0.002); // a pinch comes in small steps
      this.zoomBy(Math.exp(-step), { x: event.clientX, y: event.clientY });
    }
  }
}

/** Whether keys typed at this element are text or press it. */
function isEditable(target) {
  return target instanceof Element && target.matches("input, textarea, select, button, a, summary, [contenteditable]");
}
