// The document's side of the canvas: two drawing surfaces, the pad that takes the focus and the pointers, the list of
// regions for screen readers and the Tab key, spoken messages, hints, and the field to rename a region.

import { HELP, REGION_HELP, described } from "./speech.js";
import { STYLE } from "./style.js";

const HINT_MS = 3500;
let stages = 0; // so that ids in one document differ, should a screen reader look at them across shadow roots

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

export class Stage {
  width = 0; // CSS pixels
  height = 0;
  ratio = 1; // device pixels for a CSS pixel
  #root;
  #frame = 0;
  #stale = { picture: false, marks: false };
  #draw;
  #observer;
  #hintTimer = 0;
  #quiet = false;
  #buttons = new Map(); // by a region's id
  #told = {}; // what was described last

  /** Fill `host`. `draw` gets drawPicture(context) and drawMarks(context); `resized` is called with a new size. */
  constructor(host, { draw, resized, focused, key }) {
    this.#draw = draw;
    stages += 1;
    const [help, more] = [`spot-help-${stages}`, `spot-region-help-${stages}`];
    this.picture = element("canvas", { "aria-hidden": "true", class: "picture" });
    this.marks = element("canvas", { "aria-hidden": "true", class: "marks" });
    this.pad = element("div", { class: "pad", part: "pad", role: "application", tabindex: "0" });
    this.pad.setAttribute("aria-describedby", help);
    this.list = element("ol", { class: "unseen", "aria-label": "Regions", role: "list" });
    this.spoken = element("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.hint = element("p", { class: "hint", part: "hint", "aria-hidden": "true" });
    this.more = more;
    this.stage = element("div", { class: "stage", part: "stage" });
    this.stage.append(this.picture, this.marks, this.pad, this.list, this.hint, this.spoken);
    this.stage.append(element("p", { id: help, hidden: "" }, HELP));
    this.stage.append(element("p", { id: more, hidden: "" }, REGION_HELP));
    this.#root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.replaceChildren(this.stage);
    this.stage.addEventListener("keydown", (event) => key(event, this.#idOf(event.target)));
    const look = () => focused(this.#idOf(this.#root.activeElement));
    this.stage.addEventListener("focusin", look);
    this.stage.addEventListener("focusout", () => queueMicrotask(look));
    this.#observer = new ResizeObserver(() => {
      this.#measure();
      resized();
      this.#paint({ picture: true, marks: true }); // now, so that no frame is empty
    });
    this.#observer.observe(this.stage);
  }

  #idOf(target) {
    return target?.dataset?.region ?? null;
  }

  #measure() {
    [this.width, this.height, this.ratio] = [this.stage.clientWidth, this.stage.clientHeight, devicePixelRatio];
    for (const surface of [this.picture, this.marks]) {
      surface.width = Math.round(this.width * this.ratio);
      surface.height = Math.round(this.height * this.ratio);
    }
  }

  /** Draw anew before the next frame: the marks, and with `picture` the picture too. */
  redraw({ picture = false } = {}) {
    this.#stale = { picture: this.#stale.picture || picture, marks: true };
    this.#frame ||= requestAnimationFrame(() => {
      if (devicePixelRatio !== this.ratio) {
        this.#measure();
        this.#stale.picture = true;
      }
      this.#paint(this.#stale);
    });
  }

  #paint({ picture, marks }) {
    cancelAnimationFrame(this.#frame);
    [this.#frame, this.#stale] = [0, { picture: false, marks: false }];
    if (picture) this.#onto(this.picture, 1, this.#draw.picture);
    if (marks) this.#onto(this.marks, this.ratio, this.#draw.marks);
  }

  #onto(surface, scale, draw) {
    const context = surface.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, surface.width, surface.height);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    draw(context);
  }

  /** Bring the list of regions and the pad's label up to date. */
  describe(label, entries, selected) {
    if (label === this.#told.label && entries === this.#told.entries && selected === this.#told.selected) return;
    this.#told = { label, entries, selected };
    if (this.pad.getAttribute("aria-label") !== label) this.pad.setAttribute("aria-label", label);
    const had = this.#root.activeElement?.dataset.region;
    const at = [...this.#buttons.keys()].indexOf(had);
    for (const [id, button] of this.#buttons) {
      if (entries.some((entry) => entry.id === id)) continue;
      button.parentElement.remove();
      this.#buttons.delete(id);
    }
    entries.forEach((entry, place) => {
      const button = this.#buttons.get(entry.id) ?? this.#newButton(entry.id);
      const text = described(entry);
      if (button.textContent !== text) button.textContent = text;
      button.setAttribute("aria-pressed", String(entry.id === selected));
      const there = this.list.children[place];
      if (there !== button.parentElement) this.list.insertBefore(button.parentElement, there);
    });
    if (had && !this.#buttons.has(had)) {
      const next = [...this.#buttons.values()];
      (next[Math.min(at, next.length - 1)] ?? this.pad).focus({ preventScroll: true });
    }
  }

  #newButton(id) {
    const button = element("button", { type: "button", "data-region": id, "aria-describedby": this.more });
    this.#buttons.set(id, button);
    this.list.append(element("li", {}, button));
    return button;
  }

  /** Put the focus on the pad. */
  focusPad() {
    this.pad.focus({ preventScroll: true });
  }

  /** Say something to a screen reader, and with `shown` to everybody; the next thing said hides it. */
  say(text, { shown = false } = {}) {
    if (this.#quiet) return;
    this.spoken.textContent = this.spoken.textContent === text ? `${text}\u00a0` : text; // the same again is said again
    clearTimeout(this.#hintTimer);
    this.hint.classList.toggle("shown", shown);
    if (!shown) return;
    this.hint.textContent = text;
    this.#hintTimer = setTimeout(() => this.hint.classList.remove("shown"), HINT_MS);
  }

  /** Do something without a word: what a program changes is not the user's doing. */
  quietly(act) {
    this.#quiet = true;
    try {
      return act();
    } finally {
      this.#quiet = false;
    }
  }

  /** Ask for a name at a place; gives back the name, or null when it was cancelled. */
  askName(name, title, [x, y]) {
    this.#root.querySelector(".name")?.blur();
    const field = element("input", { class: "name", part: "name", "aria-label": `Name of ${title}`, maxlength: "200" });
    field.value = name;
    field.placeholder = "Name";
    this.stage.append(field);
    field.style.left = `${Math.max(8, Math.min(x, this.width - field.offsetWidth - 8))}px`;
    field.style.top = `${Math.max(8, Math.min(y, this.height - field.offsetHeight - 8))}px`;
    const before = this.#root.activeElement;
    field.focus({ preventScroll: true });
    field.select();
    return new Promise((answer) => {
      let answered = false;
      const end = (value, back) => {
        if (answered) return;
        answered = true;
        field.remove();
        answer(value);
        if (back) (before?.isConnected ? before : this.pad).focus({ preventScroll: true });
      };
      field.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
        event.preventDefault();
        end(event.key === "Enter" ? field.value.trim() : null, true);
      });
      field.addEventListener("blur", () => end(field.value.trim(), false));
    });
  }

  destroy() {
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#hintTimer);
    this.stage.remove();
  }
}
