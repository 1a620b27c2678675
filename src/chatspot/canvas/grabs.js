// What is under the pointer, and a region while it is moved or bent.

import {
  area,
  bounds,
  contains,
  distance,
  distanceToStep,
  formOf,
  handles,
  moved,
  placed,
  steps,
  withCorner,
  withHandle,
} from "./geometry.js";

/** The entry whose region lies under a place of the host, the smallest of several; null where there is none. */
export function entryAt(entries, at, reach, view) {
  const place = view.toPicture(at);
  const hit = entries.filter(({ region }) => contains(region, place) || nearEdge(region, at, reach, view));
  return hit.reduce((best, entry) => (best && area(best.region) <= area(entry.region) ? best : entry), null);
}

function nearEdge(region, at, reach, view) {
  const form = formOf(region);
  if (form === "mask") return false;
  if (form === "point") return distance(view.toHost(region.point), at) <= reach + 4;
  const path = (form === "box" ? handles(region) : region[form]).map((place) => view.toHost(place));
  return steps(path, form !== "scribble").some(([a, b]) => distanceToStep(at, a, b) <= reach);
}

/** The part of an entry to take hold of: {part: "handle" | "side" | "body", index}, or null. */
export function partAt({ region }, at, reach, view) {
  const inside = contains(region, view.toPicture(at));
  const [x1, y1, x2, y2] = bounds(region);
  const [left, top] = view.toHost([x1, y1]);
  const [right, bottom] = view.toHost([x2, y2]);
  const near = inside ? Math.min(reach, (right - left) / 4, (bottom - top) / 4) : reach; // a small one can be moved too
  const closest = (places) => {
    const away = places.map((place) => distance(view.toHost(place), at));
    const index = away.indexOf(Math.min(...away));
    return index >= 0 && away[index] <= near ? index : -1;
  };
  const index = closest(handles(region));
  if (index >= 0) return { part: "handle", index };
  const side = region.polygon ? closest(steps(region.polygon, true).map(([a, b]) => middle(a, b))) : -1;
  if (side >= 0) return { part: "side", index: side };
  return inside || nearEdge(region, at, reach, view) ? { part: "body", index: -1 } : null;
}

/** The place in the middle of two. */
export function middle(a, b) {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

/** A region held: `to` moves what is held, `region` is how it is now. */
export class Grab {
  constructor({ id, region }, { part, index }, at, view) {
    [this.id, this.part, this.index, this.start, this.view] = [id, part, index, at, view];
    this.original = part === "side" ? withCorner(region, index) : region;
    if (part === "side") [this.part, this.index] = ["handle", index + 1];
    this.region = this.original;
    this.bent = part === "side"; // a new corner counts without being moved
  }

  to(at, slop) {
    if (!this.bent && distance(at, this.start) <= slop) return;
    this.bent = true;
    const [from, there] = [this.start, at].map((place) => this.view.toPicture(place));
    const step = [there[0] - from[0], there[1] - from[1]];
    if (this.part === "body") this.region = moved(this.original, step);
    else {
      const held = handles(this.original)[this.index];
      const place = placed([held[0] + step[0], held[1] + step[1]]);
      this.region = withHandle(this.original, this.index, place) ?? this.region;
    }
  }
}
