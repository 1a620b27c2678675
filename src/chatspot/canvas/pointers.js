// Mouse, pen and fingers on the pad become presses, drags, pans and pinches.

const PALM = 60; // CSS pixels: what touches more widely is no fingertip (our choice)
const AFTER_PEN_MS = 700; // a touch so soon after a pen was near is the hand that holds it

export class Pointers {
  #pad;
  #on;
  #down = new Map(); // places of the pointers that are pressed
  #doing = null; // "draw", "pan" or "pinch"
  #pen = -Infinity; // when a pen was last near
  spaceHeld = false;

  /** `on` gets press, drag, release, leave, hover, twice, pan and pinch; `press` may answer true: a drag pans. */
  constructor(pad, on) {
    [this.#pad, this.#on] = [pad, on];
    const listen = (type, handle) => pad.addEventListener(type, handle);
    listen("pointerdown", (event) => this.#pressed(event));
    listen("pointermove", (event) => this.#moved(event));
    listen("pointerup", (event) => this.#released(event));
    listen("pointercancel", (event) => this.#lost(event));
    listen("pointerleave", (event) => event.pointerType !== "touch" && on.hover(null, event.pointerType));
    listen("dblclick", (event) => on.twice(this.#place(event), this.kind));
    listen("contextmenu", (event) => this.kind !== "mouse" && event.preventDefault());
  }

  kind = "mouse";

  /** The place of an event in the pad, in its own CSS pixels, even where the page scales it. */
  #place({ clientX, clientY }) {
    const { left, top, width, height } = this.#pad.getBoundingClientRect();
    const scale = [this.#pad.offsetWidth / (width || 1), this.#pad.offsetHeight / (height || 1)];
    return [(clientX - left) * scale[0], (clientY - top) * scale[1]];
  }

  /** As `#place`, for {x, y} of the window. */
  placeOf({ x, y }) {
    return this.#place({ clientX: x, clientY: y });
  }

  #isPalm(event) {
    if (event.pointerType === "pen") this.#pen = event.timeStamp;
    if (event.pointerType !== "touch") return false;
    return Math.max(event.width, event.height) > PALM || event.timeStamp - this.#pen < AFTER_PEN_MS;
  }

  #pressed(event) {
    if (this.#isPalm(event) || event.button > 5 || event.button === 2) return;
    this.kind = event.pointerType in { mouse: 0, pen: 0, touch: 0 } ? event.pointerType : "mouse";
    const place = this.#place(event);
    this.#down.set(event.pointerId, place);
    try {
      this.#pad.setPointerCapture(event.pointerId);
    } catch {
      // it was lifted before this ran
    }
    if (this.#down.size > 1) {
      if (this.#doing === "draw") this.#on.leave();
      this.#doing = "pinch";
    } else if (event.button === 1 || this.spaceHeld) {
      event.preventDefault(); // no automatic scrolling by the middle button
      this.#doing = "pan";
    } else {
      const erase = event.altKey || event.button === 5; // a pen's eraser is button 5
      const editing = event.ctrlKey || event.metaKey;
      this.#doing = this.#on.press(place, { kind: this.kind, erase, editing }) ? "slip" : "draw";
    }
  }

  #moved(event) {
    const place = this.#place(event);
    const before = this.#down.get(event.pointerId);
    if (!before) {
      if (!this.#isPalm(event) && event.pointerType !== "touch") this.#on.hover(place, event.pointerType);
      return;
    }
    if (this.#doing === "slip") {
      if (Math.hypot(place[0] - before[0], place[1] - before[1]) < (this.kind === "touch" ? 10 : 3)) return;
      this.#on.leave();
      this.#doing = "pan";
    }
    if (this.#doing === "pinch") this.#pinch(event.pointerId, place);
    this.#down.set(event.pointerId, place);
    if (this.#doing === "pan") this.#on.pan(place[0] - before[0], place[1] - before[1]);
    if (this.#doing === "draw") {
      const steps = event.getCoalescedEvents?.() ?? [];
      this.#on.drag(steps.length ? steps.map((step) => this.#place(step)) : [place]);
    }
  }

  #pinch(id, place) {
    const [first, second] = [...this.#down.entries()];
    if (!second) {
      this.#on.pan(place[0] - first[1][0], place[1] - first[1][1]);
      return;
    }
    if (id !== first[0] && id !== second[0]) return;
    const [moving, still] = id === first[0] ? [first[1], second[1]] : [second[1], first[1]];
    const apart = (a) => Math.max(Math.hypot(a[0] - still[0], a[1] - still[1]), 1);
    const centre = (a) => [(a[0] + still[0]) / 2, (a[1] + still[1]) / 2];
    const [before, after] = [centre(moving), centre(place)];
    this.#on.pinch(apart(place) / apart(moving), before);
    this.#on.pan(after[0] - before[0], after[1] - before[1]);
  }

  #released(event) {
    if (!this.#down.delete(event.pointerId)) return;
    const place = this.#place(event);
    if (this.#doing === "draw" || this.#doing === "slip") this.#on.release(place, this.kind);
    if (!this.#down.size) this.#doing = null;
  }

  #lost(event) {
    if (!this.#down.delete(event.pointerId)) return;
    if (this.#doing === "draw" || this.#doing === "slip") this.#on.leave();
    if (!this.#down.size) this.#doing = null;
  }
}
