// Which part of the picture is shown, and how large. `scale` is CSS pixels for a pixel of the picture; `x`, `y` is
// where the picture's top-left corner lies in the host, in CSS pixels. Regions know nothing of it.

import { toHost, toPicture } from "./geometry.js";

const MARGIN = 12; // CSS pixels around the whole picture, so that a box can begin outside
const LARGEST = 40; // CSS pixels for a pixel of the picture
const MOST_ENLARGED = 8; // a small picture fills the host up to here

export class View {
  scale = 1;
  x = 0;
  y = 0;
  #fitted = true;
  #size = null; // of the picture
  #host = { width: 0, height: 0 };

  get fitted() {
    return this.#fitted;
  }

  /** A new picture, or none (null): all of it is shown. */
  show(size) {
    this.#size = size;
    this.fit();
  }

  /** The host has a new size: a whole picture stays whole; else the same place stays in the middle. */
  resize(width, height) {
    const middle = this.toPicture(this.middle);
    this.#host = { width, height };
    if (this.#fitted) this.fit();
    else this.centre(middle);
  }

  /** Show all of the picture. */
  fit() {
    this.#fitted = true;
    if (!this.#size) return;
    this.scale = this.#wholeScale();
    this.#keepInside();
  }

  /** The middle of the host, in CSS pixels. */
  get middle() {
    return [this.#host.width / 2, this.#host.height / 2];
  }

  /** Put a place of the picture in the middle. */
  centre(place) {
    if (!this.#size) return;
    const [x, y] = this.toHost(place);
    this.panBy(this.middle[0] - x, this.middle[1] - y);
  }

  /** Zoom; the place of the picture under `at` (CSS pixels of the host) stays where it is. */
  zoomBy(factor, at = this.middle) {
    if (!this.#size || !(factor > 0)) return;
    const whole = this.#wholeScale();
    const scale = Math.min(Math.max(this.scale * factor, Math.min(whole, 1)), Math.max(LARGEST, whole));
    const ratio = scale / this.scale;
    [this.x, this.y] = [at[0] - (at[0] - this.x) * ratio, at[1] - (at[1] - this.y) * ratio];
    this.scale = scale;
    this.#fitted = scale === whole;
    this.#keepInside();
  }

  /** Move the picture by CSS pixels. */
  panBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#keepInside();
  }

  /** Move the picture so far that a place is seen with some room around it. */
  reveal(place) {
    if (!this.#size) return;
    const [x, y] = this.toHost(place);
    const step = (at, extent) => Math.max(2 * MARGIN - at, 0) + Math.min(extent - 2 * MARGIN - at, 0);
    this.panBy(step(x, this.#host.width), step(y, this.#host.height));
  }

  /** The place in the picture, not clamped, of a place in the host's CSS pixels. */
  toPicture(place) {
    return this.#size ? toPicture(place, this, this.#size) : [0.5, 0.5];
  }

  /** The place in the host's CSS pixels of a place in the picture. */
  toHost(place) {
    return this.#size ? toHost(place, this, this.#size) : [0, 0];
  }

  #wholeScale() {
    const room = (extent) => Math.max(extent - 2 * MARGIN, 1);
    const { width, height } = this.#host;
    return Math.min(room(width) / this.#size.width, room(height) / this.#size.height, MOST_ENLARGED);
  }

  /** A picture leaves no more of the host empty on a side than the whole one does; a smaller one is centred. */
  #keepInside() {
    if (!this.#size) return;
    const whole = this.#wholeScale();
    const kept = (at, pixels, extent) => {
      const length = pixels * this.scale;
      const empty = (extent - pixels * whole) / 2;
      return length <= pixels * whole ? (extent - length) / 2 : Math.min(Math.max(at, extent - length - empty), empty);
    };
    this.x = kept(this.x, this.#size.width, this.#host.width);
    this.y = kept(this.y, this.#size.height, this.#host.height);
  }
}
