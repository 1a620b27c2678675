// What the pointer and the keyboard do to the regions: tools, selection, drafts, moving and bending. Knows no document;
// `hooks` are emit(type, detail), say(text, {shown}) and redraw(). A text without `shown` hides the one shown before.

import { clamped, distance, handles, moved, placed, withCorner, withHandle, withoutCorner } from "./geometry.js";
import { Grab, entryAt, partAt } from "./grabs.js";
import { RegionList } from "./region-list.js";
import { described, spot, title } from "./speech.js";
import { BoxDraft, BrushDraft, FreehandDraft, PolygonDraft, TOOLS } from "./tools.js";
import { View } from "./view.js";

export const REACH = { mouse: 7, pen: 9, touch: 22 }; // CSS pixels around a handle or an edge that belong to it
const SLOP = { mouse: 3, pen: 5, touch: 10, keys: 0 }; // CSS pixels below which a movement counts as none
const DRAFTS = { box: BoxDraft, freehand: FreehandDraft, polygon: PolygonDraft };
const CLOSING = "Click the first corner to close, or press Enter. Escape cancels.";
const BRUSHES = [0.004, 0.4]; // smallest and largest, of the picture's longer side

export class Editor {
  list = new RegionList();
  view = new View();
  size = null; // of the picture, in pixels
  readOnly = false;
  erasing = false;
  draft = null;
  grab = null;
  corner = -1; // of the selected region, chosen to be moved by keys or deleted
  crosshair = null; // of the keyboard
  pointer = null; // where the mouse is, in the host
  kind = "mouse"; // what pointed last
  hovered = null;
  lit = null;
  #tool = "box";
  #brushSize = 0.05;
  #selected = null;
  #hooks;

  constructor(hooks) {
    this.#hooks = hooks;
  }

  // ---- settings

  get tool() {
    return this.#tool;
  }

  set tool(tool) {
    if (!TOOLS.some((known) => known.tool === tool)) throw new RangeError(`there is no tool ${tool}`);
    if (tool === this.#tool || (this.readOnly && tool !== "select")) return;
    this.cancel();
    this.#tool = tool;
    this.corner = -1;
    this.#hooks.emit("tool", { tool });
    this.#hooks.say(TOOLS.find((known) => known.tool === tool).label);
    this.#hooks.redraw();
  }

  get brushSize() {
    return this.#brushSize;
  }

  set brushSize(share) {
    if (!(share > 0)) throw new RangeError(`a brush's size is a fraction of the picture's longer side, got ${share}`);
    this.#brushSize = Math.min(Math.max(share, BRUSHES[0]), BRUSHES[1]);
    this.#hooks.redraw();
  }

  /** Radius of the brush in pixels of the picture. */
  get brushRadius() {
    return (this.#brushSize * Math.max(this.size.width, this.size.height)) / 2;
  }

  get selected() {
    return this.#selected;
  }

  set selected(id) {
    this.select(id);
  }

  /** Select a region, or none (null). `quiet`: the screen reader has read it already. */
  select(id, quiet = false) {
    const entry = id === null ? null : this.list.find(id);
    if (id !== null && !entry) throw new RangeError(`there is no region ${id}`);
    if (id === this.#selected) return;
    this.#selected = id;
    this.corner = -1;
    this.#hooks.emit("select", { id });
    if (entry && !quiet) this.#hooks.say(`${described(entry)}, selected`);
    this.#hooks.redraw();
  }

  get selectedEntry() {
    return this.#selected && this.list.find(this.#selected);
  }

  /** The entries as they are to be drawn: one that is being moved, as it is now. */
  get entries() {
    const { grab } = this;
    return this.list.entries.map((entry) => (entry.id === grab?.id ? { ...entry, region: grab.region } : entry));
  }

  /** A CSS pixel in the picture, and how much movement counts as none. */
  #grain(kind) {
    const scale = this.view.scale;
    return { pixel: [1 / (this.size.width * scale), 1 / (this.size.height * scale)], slop: SLOP[kind] };
  }

  #near(kind) {
    const reach = kind === "keys" ? 0 : kind === "touch" ? REACH.touch : REACH.mouse + 2;
    return (a, b) => distance(this.view.toHost(a), this.view.toHost(b)) <= reach;
  }

  // ---- changes, each one step that can be undone

  changed(reason, id) {
    if (this.#selected && !this.list.find(this.#selected)) this.select(null);
    if (this.hovered && !this.list.find(this.hovered)) this.#hover(null);
    if (this.lit && !this.list.find(this.lit)) this.lit = null;
    this.#hooks.emit("change", { reason, ...(id && { id }) });
    this.#hooks.redraw();
  }

  #drawn(region) {
    const id = this.list.add({ region });
    this.#hooks.say(`${described(this.list.find(id))}, drawn`);
    this.changed("draw", id);
    this.select(id, true);
    this.#hooks.emit("draw", { id });
  }

  #bent(id, region, reason, joined = null) {
    this.list.change(id, { region }, joined);
    this.#hooks.say(described(this.list.find(id)));
    this.changed(reason, id);
  }

  /** Take a region away, and say so. */
  remove(id) {
    const said = title(this.list.find(id) ?? { region: {} });
    this.list.remove(id);
    this.#hooks.say(`${said}, deleted`);
    this.changed("remove", id);
  }

  undo() {
    if (this.draft instanceof PolygonDraft) {
      if (!this.draft.back()) this.cancel();
      this.#hooks.redraw();
      return;
    }
    this.#step("undo", "Undone", "Nothing to undo");
  }

  redo() {
    this.#step("redo", "Done again", "Nothing to do again");
  }

  #step(way, done, nothing) {
    if ((this.draft || this.grab) && this.cancel()) return;
    const moved = this.list[way]();
    const count = this.list.entries.length;
    this.#hooks.say(moved ? `${done}, ${count} ${count === 1 ? "region" : "regions"}` : nothing);
    this.corner = -1;
    if (moved) this.changed(way);
  }

  // ---- pointers; `at` is a place in the host

  /** Pressed. `erase` paints away; `editing` acts as the select tool for once. Gives back whether a drag pans. */
  press(at, { kind, erase = false, editing = false }) {
    if (!this.size) return false;
    [this.kind, this.crosshair, this.pointer] = [kind, null, at];
    const place = this.view.toPicture(at);
    if (this.draft && !(this.draft instanceof PolygonDraft)) this.cancel();
    if (this.tool === "select" || editing || this.readOnly) return this.#take(at, kind);
    this.#begin(place, kind, erase);
    this.#hooks.redraw();
    return false;
  }

  /** Begin a draft; a point and a polygon's corners come with the release. */
  #begin(place, kind, erase) {
    if (this.tool === "point") return;
    if (this.tool === "brush") {
      const mask = this.selectedEntry?.region.mask ?? null;
      erase ||= this.erasing;
      if (erase && !mask) this.#hooks.say("Select a mask to erase from", { shown: true });
      else this.draft = new BrushDraft(place, { mask, size: this.size, radius: this.brushRadius, erase });
    } else if (this.tool === "polygon") this.draft?.to(placed(place));
    else this.draft = new DRAFTS[this.tool](placed(place));
    if (this.draft) this.draft.kind = kind;
  }

  #take(at, kind) {
    const chosen = this.selectedEntry;
    const part = chosen && !this.readOnly ? partAt(chosen, at, REACH[kind], this.view) : null;
    const under = part && part.part !== "body" ? chosen : entryAt(this.list.entries, at, REACH[kind], this.view);
    const entry = under ?? (part && chosen);
    if (!entry) {
      this.#leaving = true;
      return true;
    }
    this.select(entry.id);
    if (!this.readOnly) {
      const held = entry === chosen && part ? part : { part: "body", index: -1 };
      this.corner = held.part === "handle" && entry.region.polygon ? held.index : -1;
      this.grab = new Grab(entry, held, at, this.view);
    }
    this.#hooks.redraw();
    return false;
  }

  #leaving = false; // pressed on nothing: unless it becomes a drag, nothing is selected any more

  /** Moved while pressed, through these places. */
  drag(path) {
    this.pointer = path.at(-1);
    this.grab?.to(this.pointer, SLOP[this.kind]);
    for (const at of path) this.#draftTo(this.view.toPicture(at));
    this.#hooks.redraw();
  }

  #draftTo(place) {
    this.draft?.to(this.draft instanceof BrushDraft ? place : placed(place));
  }

  /** Released. */
  release(at, kind) {
    this.pointer = at;
    const place = this.view.toPicture(at);
    if (this.grab) this.#letGo();
    else if (this.#leaving) this.select(null);
    else if (this.tool === "polygon") this.#corner(placed(place), kind);
    else if (this.draft) this.#finish(kind);
    else if (this.tool === "point" && this.#within(at, kind)) this.#drawn({ point: placed(place) });
    this.#leaving = false;
    this.#hooks.redraw();
  }

  /** The press turned into something else (a pan or a pinch): it draws nothing. */
  leave() {
    this.#leaving = false;
    if (!(this.draft instanceof PolygonDraft)) this.draft = null;
    this.grab = null;
    this.#hooks.redraw();
  }

  /** Whether a click here means the picture: inside, or a little beside it. */
  #within(at, kind) {
    const place = this.view.toPicture(at);
    return distance(at, this.view.toHost(place.map(clamped))) <= REACH[kind];
  }

  #letGo() {
    const { id, region, part, bent } = this.grab;
    this.grab = null;
    if (bent && region !== this.list.find(id).region) this.#bent(id, region, part === "body" ? "move" : "resize");
  }

  #corner(place, kind) {
    if (!this.draft) {
      this.draft = new PolygonDraft(place);
      this.#hooks.say(CLOSING, { shown: true });
    } else if (this.draft.click(place, this.#near(kind))) this.#finish(kind);
    else this.#hooks.say(`Corner ${this.draft.path.length}, ${spot(place)}`);
  }

  #finish(kind) {
    const { draft } = this;
    const region = draft.finish(this.#grain(kind));
    const onto = draft instanceof BrushDraft ? this.selectedEntry : null;
    const emptied = !region && onto?.region.mask && !draft.bitmap.includes(1);
    if (region || !(draft instanceof PolygonDraft)) this.#endDraft(); // a polygon can be gone on with
    if (emptied) this.remove(onto.id);
    else if (!region) this.#hooks.say(draft.refusal, { shown: true });
    else if (onto?.region.mask) this.#bent(onto.id, region, "paint");
    else this.#drawn(region);
    this.#hooks.redraw();
  }

  #endDraft() {
    this.draft = null;
    this.#hooks.say("", { shown: false });
  }

  /** Clicked twice: a corner goes. Gives back the id of a region to rename, or null. */
  twice(at, kind) {
    const entry = this.selectedEntry;
    if (this.tool !== "select" || this.readOnly || !entry) return null;
    const part = partAt(entry, at, REACH[kind], this.view);
    if (part?.part === "handle" && entry.region.polygon) this.#dropCorner(entry, part.index);
    return part?.part === "body" ? entry.id : null;
  }

  /** The pointer moved without being pressed; null when it left. */
  hover(at, kind = "mouse") {
    [this.pointer, this.kind] = [at, kind];
    if (at && this.draft instanceof PolygonDraft) this.draft.to(placed(this.view.toPicture(at)));
    const entry = at && this.size && !this.draft ? entryAt(this.list.entries, at, REACH[kind], this.view) : null;
    this.#hover(entry?.id ?? null);
    this.#hooks.redraw();
  }

  #hover(id) {
    if (id === this.hovered) return;
    this.hovered = id;
    this.#hooks.emit("hover", { id });
  }

  /** The name of the CSS cursor for the place of the pointer. */
  get cursor() {
    if (this.grab) return this.grab.part === "body" ? "grabbing" : "crosshair";
    if (this.tool !== "select") return this.tool === "brush" ? "none" : "crosshair";
    const part = this.selectedEntry && this.pointer && !this.readOnly
      ? partAt(this.selectedEntry, this.pointer, REACH.mouse, this.view) : null;
    if (part?.part === "handle" && this.selectedEntry.region.box) {
      return ["nwse-resize", "ns-resize", "nesw-resize", "ew-resize"][part.index % 4];
    }
    if (part && part.part !== "body") return part.part === "side" ? "copy" : "crosshair";
    if (part) return "move";
    return this.hovered ? "pointer" : "default";
  }

  // ---- keys

  /** Escape: what is being done ends undone, then the chosen corner, then the selection. False when nothing was. */
  cancel() {
    const busy = this.draft || this.grab;
    if (busy) {
      this.#endDraft();
      [this.grab, this.#leaving] = [null, false];
      this.#hooks.say("Cancelled");
    } else if (this.corner >= 0) this.corner = -1;
    else return false;
    this.#hooks.redraw();
    return true;
  }

  /** Move the crosshair by fractions of the picture. */
  steer([dx, dy]) {
    if (!this.size) return;
    const [x, y] = this.crosshair ?? this.#middle();
    this.crosshair = placed([x + dx, y + dy]);
    this.#draftTo(this.crosshair);
    this.view.reveal(this.crosshair);
    this.#hooks.say(spot(this.crosshair));
    this.#hooks.redraw();
  }

  /** Where the crosshair begins: under the mouse, or in the middle of what is shown. */
  #middle() {
    return placed(this.view.toPicture(this.pointer ?? this.view.middle));
  }

  /** Enter: place, begin, end or select at the crosshair. */
  enter() {
    if (!this.size) return;
    if (!this.crosshair) {
      this.steer([0, 0]);
      if (!this.draft) return;
    }
    const place = this.crosshair;
    const under = () => entryAt(this.list.entries, this.view.toHost(place), REACH.mouse, this.view);
    if (this.tool === "select") this.select(under()?.id ?? null);
    else if (this.tool === "point") this.#drawn({ point: place });
    else if (this.tool === "polygon") this.#corner(place, "keys");
    else if (this.draft) this.#finish("keys");
    else {
      this.#begin(place, "keys", false);
      if (this.draft) this.#hooks.say(`Begun at ${spot(place)}`);
    }
    this.#hooks.redraw();
  }

  /** Move the selected region, or its chosen corner. Steps of one held key are one step. */
  nudge([dx, dy], held) {
    const entry = this.selectedEntry;
    if (!entry || this.readOnly) return;
    const places = handles(entry.region);
    const bend = this.corner >= 0 && this.corner < places.length;
    const region = bend
      ? withHandle(entry.region, this.corner, placed([places[this.corner][0] + dx, places[this.corner][1] + dy]))
      : moved(entry.region, this.#wholeStep(entry, [dx, dy]));
    if (!region) return;
    this.#bent(entry.id, region, bend ? "resize" : "move", held ? `nudge ${this.corner}` : null);
  }

  /** A mask moves by pixels of its grid: at least one. */
  #wholeStep({ region }, step) {
    if (!region.mask) return step;
    return step.map((part, axis) => Math.sign(part) * Math.max(Math.abs(part), 1 / region.mask.size_wh[axis]));
  }

  /** Choose the next (1) or previous (-1) corner of the selected region. */
  chooseCorner(way) {
    const places = this.selectedEntry ? handles(this.selectedEntry.region) : [];
    if (!places.length || this.readOnly) return;
    const from = this.corner < 0 && way < 0 ? 0 : this.corner;
    this.corner = (from + way + places.length) % places.length;
    this.#hooks.say(`Corner ${this.corner + 1} of ${places.length}, ${spot(places[this.corner])}`);
    this.#hooks.redraw();
  }

  /** A new corner after the chosen one of a polygon. */
  addCorner() {
    const entry = this.selectedEntry;
    if (!entry?.region.polygon || this.readOnly) return;
    const index = Math.max(this.corner, 0);
    this.#bent(entry.id, withCorner(entry.region, index), "resize");
    this.corner = index + 1;
  }

  #dropCorner(entry, index) {
    const region = withoutCorner(entry.region, index);
    this.corner = -1;
    if (region) this.#bent(entry.id, region, "resize");
    else this.#hooks.say("A polygon keeps three corners", { shown: true });
  }

  /** Delete: a polygon's newest or chosen corner, else the selected region. */
  erase() {
    const entry = this.selectedEntry;
    if (this.draft instanceof PolygonDraft) this.undo();
    else if (this.readOnly || !entry) return;
    else if (this.corner >= 0 && entry.region.polygon) this.#dropCorner(entry, this.corner);
    else this.remove(entry.id);
  }
}
