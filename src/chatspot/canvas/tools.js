// The tools, and what each one has drawn so far. A draft takes places in the picture (they may lie outside) and gives a
// region in the end, or null when it is none. `grain` is {pixel: [w, h] of a CSS pixel in the picture, slop: CSS pixels
// below which a movement counts as none}.

import { boxFromCorners, distance, polygonFromCorners, simplifiedRing, steps } from "./geometry.js";
import { MAX_RUNS, bitmapOf, maskFromBitmap, maskSize, setPixels } from "./mask.js";

/** What a toolbar shows: the tool, its label, its key, and an icon as path data for strokes on a 24 x 24 ground. */
export const TOOLS = [
  { tool: "select", label: "Select", key: "V", icon: "M6 3.5 19 12l-6 1.4L9.8 19z" },
  { tool: "point", label: "Point", key: "P", icon: "M12 3v5M12 16v5M3 12h5M16 12h5M12 11.6v.8" },
  { tool: "box", label: "Box", key: "B", icon: "M4.5 6h15v12h-15z" },
  { tool: "polygon", label: "Polygon", key: "G", icon: "M12 3.5 20.5 10l-3.4 9.5H6.9L3.5 10z" },
  { tool: "freehand", label: "Outline", key: "F", icon: "M8 19.5C3 18 3 11 7 7s11-4 13 0-2 6-2 9-5 5-10 3.5z" },
  { tool: "brush", label: "Brush", key: "M", icon: "M20 4 11 13M9 13c-3 0-3.5 2-3.5 4S4 19.5 3 20c4 1 9 .5 9-4z" },
];

const MAX_CROSSINGS = 500; // of an outline with itself; chatspot.regions counts a little differently and takes 1,000
const OUTLINE_TOLERANCE = 1.2; // CSS pixels that a drawn outline may be off (our choice)

export class BoxDraft {
  refusal = "Too small for a box: drag from corner to corner";

  constructor(place) {
    this.path = [place, place];
  }

  to(place) {
    this.path[1] = place;
  }

  finish({ pixel, slop }) {
    const region = boxFromCorners(...this.path);
    const [x1, y1, x2, y2] = region?.box ?? [0, 0, 0, 0];
    return x2 - x1 > slop * pixel[0] && y2 - y1 > slop * pixel[1] ? region : null;
  }
}

export class FreehandDraft {
  refusal = "Too small for an outline: draw around a part of the picture";

  constructor(place) {
    this.path = [place];
  }

  to(place) {
    this.path.push(place);
  }

  finish({ pixel, slop }) {
    const ring = this.path.map(([x, y]) => [x / pixel[0], y / pixel[1]]);
    if (!ring.some((place) => distance(place, ring[0]) > 2 * slop)) return null;
    const region = polygonFromCorners(
      simplifiedRing(ring, OUTLINE_TOLERANCE).map(([x, y]) => [x * pixel[0], y * pixel[1]]),
    );
    if (!region || crossings(region.polygon) <= MAX_CROSSINGS) return region;
    this.refusal = "This outline crosses itself too often: draw once around a part of the picture";
    return null;
  }
}

/** How often the steps of a ring cross each other. */
function crossings(ring) {
  const side = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  const all = steps(ring, true);
  let found = 0;
  all.forEach(([a, b], at) => {
    for (const [c, d] of all.slice(at + 2)) {
      if (side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b)) found += 1;
    }
  });
  return found;
}

export class PolygonDraft {
  refusal = "A polygon needs three corners that enclose an area";

  constructor(place) {
    this.path = [place];
    this.next = place;
  }

  to(place) {
    this.next = place;
  }

  /** A click: a further corner, or the end (true) on the first or the newest one. `near` compares two places. */
  click(place, near) {
    this.next = place;
    if (near(place, this.path.at(-1)) || this.closes(place, near)) return true;
    this.path.push(place);
    return false;
  }

  /** Whether a click here would close it. */
  closes(place, near) {
    return this.path.length >= 3 && near(place, this.path[0]);
  }

  /** Take the newest corner back; false when it was the only one. */
  back() {
    if (this.path.length < 2) return false;
    this.path.pop();
    return true;
  }

  finish() {
    return polygonFromCorners(this.path);
  }
}

export class BrushDraft {
  refusal = "Nothing is left of this mask";

  /** A stroke of a round brush, `radius` pixels of the picture of `size`, over a mask or on nothing (null). */
  constructor(place, { mask, size, radius, erase }) {
    this.size_wh = mask ? mask.size_wh : maskSize(size);
    this.bitmap = mask ? bitmapOf(mask) : new Uint8Array(this.size_wh[0] * this.size_wh[1]);
    [this.size, this.radius, this.erase, this.last] = [size, radius, erase, place];
    this.to(place);
  }

  to(place) {
    setPixels(this.bitmap, this.size_wh, this.last, place, this.radius, this.size, this.erase ? 0 : 1);
    this.last = place;
  }

  finish() {
    const region = maskFromBitmap(this.bitmap, this.size_wh);
    if (!region || region.mask.counts.length <= MAX_RUNS) return region;
    this.refusal = "This mask has too many single pixels: paint larger areas";
    return null;
  }
}
