// The picture's side of the page: a canvas for each picture, the tools, and what lies below the picture.

import { RegionCanvas } from "/static/canvas/region-canvas.js";
import { TOOLS } from "/static/canvas/tools.js";

import { at, drawnIcon, h, note } from "./dom.js";
import { Shelf } from "./shelf.js";

const ANSWER_COLOUR = "#ffffff";

/** Fires "regions" {picture, reason} when a picture's regions changed, "draw" {picture, id, kind} when the user made
 *  one ("mouse", "touch", "pen" or "keys"), "show" {picture} when another picture is shown, "ask" {picture, id},
 *  "close" {picture}. Pictures are session.js's. */
export class Stage extends EventTarget {
  #canvases = new Map(); // by a picture's id: {host, canvas}
  #current = null;
  #pictures = [];
  #tool = "box";
  #shelf;
  #pointed = "keys"; // what was used last

  constructor() {
    super();
    this.#shelf = new Shelf({
      regions: at("regions"),
      inspector: at("inspector"),
      pictures: at("pictures"),
      canvas: () => this.canvas,
      act: (type, detail) => this.#act(type, detail),
    });
    this.#makeTools();
    const pointed = (event) => (this.#pointed = event.pointerType ?? "keys");
    at("canvases").addEventListener("pointerdown", pointed, true);
    at("canvases").addEventListener("keydown", pointed, true);
    at("undo").addEventListener("click", () => this.canvas?.undo());
    at("redo").addEventListener("click", () => this.canvas?.redo());
    at("brush-size").addEventListener("input", () => this.#each((canvas) => (canvas.brushSize = this.#brushSize)));
    at("erase").addEventListener("click", () => (this.canvas.erasing = !this.canvas.erasing));
    at("zoom").addEventListener("click", ({ target }) => {
      const how = target.closest("[data-zoom]")?.dataset.zoom;
      if (how === "fit") this.canvas.zoomTo("fit");
      else if (how) this.canvas.zoomBy(how === "in" ? 1.5 : 1 / 1.5);
    });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #act(type, detail) {
    if (type === "show") this.show(detail.picture);
    else this.#emit(type, { picture: this.#current, ...detail });
  }

  /** The canvas of the picture that is shown, or undefined. */
  get canvas() {
    return this.#canvases.get(this.#current)?.canvas;
  }

  /** The id of the picture that is shown, or null. */
  get current() {
    return this.#current;
  }

  // ---- pictures

  /** Show these pictures; `blobs` are their bytes by id. Canvases of others go. */
  async hold(pictures, blobs, current) {
    for (const id of [...this.#canvases.keys()]) if (!pictures.some((picture) => picture.id === id)) this.#drop(id);
    this.#pictures = pictures;
    for (const picture of pictures) {
      if (!this.#canvases.has(picture.id)) await this.#add(picture, blobs.get(picture.id));
    }
    this.show(pictures.some(({ id }) => id === current) ? current : (pictures.at(-1)?.id ?? null));
    this.#shelf.showPictures(pictures, blobs, this.#current);
  }

  async #add(picture, blob) {
    const host = h("div", { class: "canvas", "data-picture": picture.id });
    at("canvases").append(host);
    at("canvases").hidden = false;
    const canvas = new RegionCanvas(host, { tool: this.#tool });
    this.#canvases.set(picture.id, { host, canvas });
    try {
      await canvas.open(blob, { regions: picture.regions });
    } catch (error) {
      note(`${picture.name}: ${error.message}`);
    }
    picture.regions = canvas.regions;
    canvas.brushSize = this.#brushSize;
    canvas.addEventListener("change", ({ detail }) => {
      picture.regions = detail.regions;
      this.#emit("regions", { picture: picture.id, reason: detail.reason });
      if (picture.id === this.#current) this.#refresh();
    });
    canvas.addEventListener("draw", ({ detail }) => this.#emit("draw", { picture: picture.id, id: detail.id, kind: this.#pointed }));
    canvas.addEventListener("tool", ({ detail }) => this.#chose(detail.tool, canvas.erasing));
    canvas.addEventListener("select", () => picture.id === this.#current && this.#shelf.showRegions(picture.regions));
    canvas.addEventListener("hover", ({ detail }) => picture.id === this.#current && this.#shelf.light(detail.id));
  }

  #drop(id) {
    const { host, canvas } = this.#canvases.get(id);
    canvas.destroy();
    host.remove();
    this.#canvases.delete(id);
  }

  /** Show a picture by its id, or none (null). */
  show(id) {
    const changed = id !== this.#current;
    this.#current = id;
    for (const [other, { host }] of this.#canvases) host.hidden = other !== id;
    const none = id === null;
    at("welcome").hidden = !none;
    for (const part of ["canvases", "tools", "zoom", "shelf"]) at(part).hidden = none;
    this.#shelf.mark(id);
    this.#refresh();
    if (changed) this.#emit("show", { picture: id });
  }

  /** Show the picture `way` (1 or -1) further. */
  turn(way) {
    const place = this.#pictures.findIndex(({ id }) => id === this.#current);
    const next = this.#pictures[place + way];
    if (next) this.show(next.id);
  }

  // ---- regions

  /** Light up a region; on another picture than the one that is shown it does nothing. */
  light(picture, id) {
    if (picture !== this.#current || !this.canvas) return;
    const there = id !== null && this.canvas.regions.some((entry) => entry.id === id);
    this.canvas.light(there ? id : null);
    this.#shelf.light(there ? id : null);
  }

  /** Draw the regions of answers, and one that is pointed at: [{picture, region, label, lit}]. */
  showAnswers(answers, accent) {
    for (const [id, { canvas }] of this.#canvases) {
      const own = answers.filter(({ picture }) => picture === id);
      canvas.answers = own.map(({ region, label, lit }) => ({ region, label, colour: lit ? accent : ANSWER_COLOUR }));
    }
  }

  #refresh() {
    const { canvas } = this;
    at("undo").disabled = !canvas?.canUndo;
    at("redo").disabled = !canvas?.canRedo;
    this.#shelf.showRegions(canvas?.regions ?? []);
  }

  // ---- tools

  #makeTools() {
    const choice = at("tool-choice");
    for (const { tool, label, key, icon: path } of TOOLS) {
      choice.append(
        h("button", { type: "button", class: "quiet square", role: "radio", "data-tool": tool, "aria-label": label,
          title: `${label} (${key})`, click: () => this.choose(tool) }, drawnIcon(path)), // prettier-ignore
      );
      at("tool-keys").append(h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, label)));
    }
    at("tool-keys").append(h("div", {}, h("dt", {}, h("kbd", {}, "E")), h("dd", {}, "the brush erases")));
    choice.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      const place = TOOLS.findIndex(({ tool }) => tool === this.#tool);
      this.choose(TOOLS[(place + way + TOOLS.length) % TOOLS.length].tool);
      choice.querySelector('[aria-checked="true"]').focus();
    });
    this.#chose(this.#tool, false);
  }

  /** Take a tool. */
  choose(tool) {
    this.#each((canvas) => (canvas.tool = tool));
    this.#chose(tool, this.canvas?.erasing ?? false);
  }

  #chose(tool, erasing) {
    this.#tool = tool;
    this.#each((canvas) => {
      if (canvas.tool !== tool) canvas.tool = tool;
    });
    for (const button of at("tool-choice").children) {
      const chosen = button.dataset.tool === tool;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    at("brush").hidden = tool !== "brush";
    at("erase").setAttribute("aria-pressed", String(erasing));
  }

  get #brushSize() {
    return Number(at("brush-size").value) / 100;
  }

  #each(act) {
    for (const { canvas } of this.#canvases.values()) act(canvas);
  }
}
