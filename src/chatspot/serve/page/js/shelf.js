// Below the picture: its regions as chips, the chosen one's name and colour, and the session's pictures.

import { COLOURS } from "/static/canvas/region-list.js";

import { chipContent, spokenChip } from "./chips.js";
import { h, icon, iconButton } from "./dom.js";

const COLOUR_NAMES = ["red", "blue", "green", "yellow", "pink", "light blue", "orange"]; // of COLOURS

export class Shelf {
  #regions;
  #inspector;
  #pictures;
  #canvas;
  #act;
  #inspected = null; // the id that the inspector shows
  #addresses = new Map(); // object URLs of pictures, by id

  /** `canvas()` is the canvas that is shown; `act(type, detail)` asks for "ask" {id}, "show" {picture}, "close"
   *  {picture} or "add". */
  constructor({ regions, inspector, pictures, canvas, act }) {
    [this.#regions, this.#inspector, this.#pictures] = [regions, inspector, pictures];
    [this.#canvas, this.#act] = [canvas, act];
  }

  // ---- regions

  /** Show these entries, and the selected one in the inspector. */
  showRegions(entries) {
    const selected = this.#canvas()?.selected ?? null;
    const held = this.#regions.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.#regions.replaceChildren(...entries.map((entry) => this.#item(entry, entry.id === selected)));
    this.#regions.hidden = !entries.length;
    if (held) this.#regions.querySelector(`[data-id="${CSS.escape(held)}"]`)?.focus();
    this.#inspect(entries.find(({ id }) => id === selected) ?? null);
  }

  #item(entry, selected) {
    const { id } = entry;
    const canvas = this.#canvas();
    return h("li", {},
      h("button", {
        type: "button", class: "chip region", "data-id": id, "aria-pressed": String(selected),
        "aria-label": spokenChip(entry).replace("region", "Region"),
        click: () => (canvas.selected = canvas.selected === id ? null : id),
        mouseenter: () => canvas.light(id), mouseleave: () => canvas.light(null),
        focus: () => canvas.light(id), blur: () => canvas.light(null),
      }, ...chipContent(entry))); // prettier-ignore
  }

  /** Light up a region's chip. */
  light(id) {
    for (const chip of this.#regions.querySelectorAll(".chip")) chip.classList.toggle("lit", chip.dataset.id === id);
  }

  #inspect(entry) {
    const box = this.#inspector;
    box.hidden = !entry;
    if (!entry) {
      this.#inspected = null;
      box.replaceChildren();
      return;
    }
    if (this.#inspected !== entry.id) this.#build(entry);
    this.#inspected = entry.id;
    const name = box.querySelector("input");
    if (name !== document.activeElement) name.value = entry.name;
    box.querySelector(".badge").replaceWith(chipContent({ ...entry, name: "" })[0]);
    for (const swatch of box.querySelectorAll(".swatch")) {
      swatch.setAttribute("aria-checked", String(swatch.dataset.colour === entry.colour));
      swatch.tabIndex = swatch.dataset.colour === entry.colour ? 0 : -1;
    }
    if (!box.querySelector('.swatch[tabindex="0"]')) box.querySelector(".swatch").tabIndex = 0;
  }

  #build(entry) {
    const { id } = entry;
    const canvas = this.#canvas();
    const name = h("input", { type: "text", class: "name", maxlength: "200", placeholder: "Name", "aria-label": "Name of the region",
      change: () => canvas.change(id, { name: name.value.trim() }),
      keydown: (event) => {
        if (event.key === "Escape") name.value = canvas.regions.find((other) => other.id === id)?.name ?? "";
        if (event.key === "Enter" || event.key === "Escape") {
          event.preventDefault();
          event.stopPropagation();
          canvas.focus();
        }
      } }); // prettier-ignore
    const swatches = COLOURS.map((colour, at) => {
      const swatch = h("button", { type: "button", class: "swatch", role: "radio", "data-colour": colour, "aria-label": COLOUR_NAMES[at],
        title: COLOUR_NAMES[at], click: () => this.#paint(id, colour) }); // prettier-ignore
      swatch.style.backgroundColor = colour;
      return swatch;
    });
    const choice = h("div", { class: "swatches", role: "radiogroup", "aria-label": "Colour",
      keydown: (event) => {
        const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!way) return;
        event.preventDefault();
        const next = swatches[(swatches.indexOf(event.target) + way + swatches.length) % swatches.length];
        next.click();
        next.focus();
      } }, ...swatches); // prettier-ignore
    this.#inspector.replaceChildren(
      h("span", { class: "badge" }),
      name,
      choice,
      h("span", { class: "row tight" },
        iconButton("ask", "Name it in the question", () => this.#act("ask", { id })),
        iconButton("bin", "Remove the region", () => {
          canvas.remove(id);
          canvas.focus();
        }),
        iconButton("check", "Done", () => {
          canvas.selected = null;
          canvas.focus();
        }, { class: "quiet square done" })), // prettier-ignore
    );
  }

  /** Give a region a colour; the one that it has already gives the next one, for where only that one is shown. */
  #paint(id, colour) {
    const canvas = this.#canvas();
    const now = canvas.regions.find((entry) => entry.id === id).colour;
    const next = now === colour ? COLOURS[(COLOURS.indexOf(colour) + 1) % COLOURS.length] : colour;
    const held = this.#inspector.contains(document.activeElement);
    canvas.change(id, { colour: next });
    if (held) this.#inspector.querySelector(`[data-colour="${next}"]`).focus();
  }

  // ---- pictures

  /** Show the session's pictures, and a button for another one. */
  showPictures(pictures, blobs, current) {
    for (const [id, address] of this.#addresses) {
      if (pictures.some((picture) => picture.id === id)) continue;
      URL.revokeObjectURL(address);
      this.#addresses.delete(id);
    }
    const items = pictures.map(({ id, name }, place) => {
      if (!this.#addresses.has(id)) this.#addresses.set(id, URL.createObjectURL(blobs.get(id)));
      const label = `Picture ${place + 1}, ${name}`;
      return h("li", {},
        h("button", { type: "button", class: "thumb", "data-picture": id, "aria-label": label, title: name,
          click: () => this.#act("show", { picture: id }) },
        h("img", { src: this.#addresses.get(id), alt: "", draggable: "false" }),
        pictures.length > 1 ? h("span", { class: "count", "aria-hidden": "true" }, String(place + 1)) : null),
        pictures.length > 1
          ? h("button", { type: "button", class: "remove", "aria-label": `Remove picture ${place + 1}`, title: "Remove",
            click: () => this.#act("close", { picture: id }) }, icon("close", true))
          : null); // prettier-ignore
    });
    const add = h("li", {}, h("button", { type: "button", class: "thumb add", "aria-label": "Add a picture", title: "Add a picture (O)",
      click: () => this.#act("add") }, icon("plus"))); // prettier-ignore
    this.#pictures.replaceChildren(...items, add);
    this.mark(current);
  }

  /** Mark the picture that is shown. */
  mark(current) {
    for (const thumb of this.#pictures.querySelectorAll("[data-picture]")) {
      thumb.setAttribute("aria-current", String(thumb.dataset.picture === current));
    }
  }
}
