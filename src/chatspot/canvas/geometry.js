// Geometry of regions. Every coordinate is a fraction of the whole upright picture: x right, y down, (0, 0) the top
// left corner. Regions are plain objects exactly as chatspot.regions writes them (`to_json`). All functions are pure.
// tests/canvas/geometry.json holds cases that Python and JavaScript must both get right.

import { checkedMask, columnOf, isSet, movedMask } from "./mask.js";

export const DECIMALS = 6; // a millionth of the picture: 0.008 pixels of 8,000 (our choice)
export const MAX_CORNERS = 10_000; // as chatspot.regions.shapes
export const LEAST_THICKNESS = 1e-6; // of an outline, as a fraction of the picture
const ROUNDING_SLACK = 1e-9; // as chatspot.regions.shapes

/** `value` within [0, 1]; never -0. */
export function clamped(value) {
  return Math.min(Math.max(value, 0), 1) + 0;
}

/** A fraction within [0, 1] with DECIMALS decimals. */
export function fraction(value) {
  return clamped(Math.round(value * 10 ** DECIMALS) / 10 ** DECIMALS);
}

/** [x, y] as fractions of the picture. */
export function placed([x, y]) {
  return [fraction(x), fraction(y)];
}

/** The place in the picture, not clamped, of a place `[x, y]` in the host's CSS pixels. */
export function toPicture([x, y], view, size) {
  return [(x - view.x) / (view.scale * size.width), (y - view.y) / (view.scale * size.height)];
}

/** The place in the host's CSS pixels of a place in the picture. */
export function toHost([x, y], view, size) {
  return [view.x + x * size.width * view.scale, view.y + y * size.height * view.scale];
}

/** `{box}` between two opposite corners in any order, cut to the picture; null when nothing is left. */
export function boxFromCorners(a, b) {
  const [ax, ay] = placed(a);
  const [bx, by] = placed(b);
  if (ax === bx || ay === by) return null;
  return { box: [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)] };
}

/** `{polygon}` of corners, moved into the picture; without repeated corners; null when they enclose nothing. */
export function polygonFromCorners(corners) {
  const ring = openedRing(corners.map(placed));
  return ring.length >= 3 && thickness(ring) >= LEAST_THICKNESS ? { polygon: ring } : null;
}

/** A ring without corners that repeat the one before, and without spikes that run out and straight back. */
export function openedRing(corners) {
  const ring = [];
  for (const corner of corners) {
    if (ring.length && same(ring.at(-1), corner)) continue;
    if (ring.length > 1 && same(ring.at(-2), corner)) ring.pop();
    else ring.push(corner);
  }
  for (;;) {
    const end = ring.length;
    if (end > 1 && same(ring[0], ring[end - 1])) ring.pop();
    else if (end > 2 && same(ring[1], ring[end - 1])) ring.shift();
    else if (end > 2 && same(ring[0], ring[end - 2])) ring.pop();
    else return ring;
  }
}

function same(a, b) {
  return a[0] === b[0] && a[1] === b[1];
}

/** How far the corners reach from the line through the two that lie farthest apart, seen from the first. */
function thickness(ring) {
  const far = ring.reduce((best, corner) => (distance(ring[0], corner) > distance(ring[0], best) ? corner : best));
  const [dx, dy] = [far[0] - ring[0][0], far[1] - ring[0][1]];
  const across = ring.map(([x, y]) => Math.abs(dx * (y - ring[0][1]) - dy * (x - ring[0][0])));
  return Math.max(...across) / (Math.hypot(dx, dy) || 1);
}

export function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

/** Distance of `place` from the straight line between `a` and `b`. */
export function distanceToStep(place, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const share = length ? clamped(((place[0] - a[0]) * dx + (place[1] - a[1]) * dy) / length) : 0;
  return distance(place, [a[0] + share * dx, a[1] + share * dy]);
}

/** A path with fewer points, none of the dropped ones farther than `tolerance` from it (Douglas and Peucker 1973). */
export function simplified(path, tolerance) {
  if (path.length < 3) return [...path];
  const kept = new Set([0, path.length - 1]);
  const open = [[0, path.length - 1]];
  while (open.length) {
    const [first, last] = open.pop();
    let [farthest, reach] = [-1, tolerance];
    for (let at = first + 1; at < last; at += 1) {
      const away = distanceToStep(path[at], path[first], path[last]);
      if (away > reach) [farthest, reach] = [at, away];
    }
    if (farthest < 0) continue;
    kept.add(farthest);
    open.push([first, farthest], [farthest, last]);
  }
  return path.filter((_, at) => kept.has(at));
}

/** A closed outline with at most `most` corners: the tolerance grows until they are few enough. */
export function simplifiedRing(ring, tolerance, most = 400) {
  const away = ring.map((place) => distance(ring[0], place));
  const far = away.indexOf(Math.max(...away));
  const halves = [ring.slice(0, far + 1), [...ring.slice(far), ring[0]]];
  for (let allowed = tolerance; ; allowed *= 1.5) {
    const [there, back] = halves.map((half) => simplified(half, allowed));
    const found = [...there, ...back.slice(1, -1)];
    if (found.length <= most) return found;
  }
}

/** The name of a region's form: "point", "box", "polygon", "scribble" or "mask"; null for what is no region. */
export function formOf(region) {
  const forms = ["point", "box", "polygon", "scribble", "mask"];
  const found = forms.filter((form) => region !== null && typeof region === "object" && form in region);
  return found.length === 1 ? found[0] : null;
}

/** A copy of a region in the one way it is written. Throws TypeError for what chatspot.regions would refuse. */
export function checkedRegion(region) {
  const form = formOf(region);
  if (form === "point") return { point: checkedPlace(region.point, "point") };
  if (form === "box") return { box: checkedBox(region.box) };
  if (form === "polygon") {
    const ring = checkedPath(region.polygon, "polygon");
    while (ring.length > 1 && same(ring[0], ring.at(-1))) ring.pop();
    const rest = openedRing(ring);
    if (rest.length < 3 || thickness(rest) <= 0) throw new TypeError("a polygon's corners must enclose an area");
    return { polygon: ring };
  }
  if (form === "scribble") {
    const pen = region.pen_wh ?? [0.02, 0.02];
    if (!Array.isArray(pen) || pen.length !== 2 || !pen.every((side) => side >= 1e-6 && side <= 1)) {
      throw new TypeError("a scribble's pen_wh must be two fractions of the picture");
    }
    const path = checkedPath(region.scribble, "scribble");
    if (!path.length) throw new TypeError("a scribble needs a point");
    return { scribble: path, pen_wh: [...pen] };
  }
  if (form === "mask") return { mask: checkedMask(region.mask) };
  throw new TypeError("a region has exactly one of: point, box, polygon, scribble, mask");
}

function checkedPlace(place, name) {
  const inside = (value) => typeof value === "number" && value >= -ROUNDING_SLACK && value <= 1 + ROUNDING_SLACK;
  if (!Array.isArray(place) || place.length !== 2 || !place.every(inside)) {
    throw new TypeError(`a ${name} needs [x, y] as fractions of the picture, got ${JSON.stringify(place)}`);
  }
  return place.map(clamped);
}

function checkedBox(box) {
  if (!Array.isArray(box) || box.length !== 4) throw new TypeError("a box needs [x1, y1, x2, y2]");
  const [x1, y1, x2, y2] = [...checkedPlace(box.slice(0, 2), "box"), ...checkedPlace(box.slice(2), "box")];
  if (x1 >= x2 || y1 >= y2) throw new TypeError(`a box needs x1 < x2 and y1 < y2, got ${JSON.stringify(box)}`);
  return [x1, y1, x2, y2];
}

function checkedPath(path, name) {
  if (!Array.isArray(path) || path.length > MAX_CORNERS) {
    throw new TypeError(`a ${name} needs a list of at most ${MAX_CORNERS} points`);
  }
  return path.map((place) => checkedPlace(place, name));
}

/** [left, top, right, bottom]. A scribble's pen counts, as far as it is inside the picture. */
export function bounds(region) {
  const form = formOf(region);
  if (form === "box") return [...region.box];
  if (form === "point") return [...region.point, ...region.point];
  if (form === "mask") return maskBounds(region.mask);
  const [w, h] = form === "scribble" ? region.pen_wh : [0, 0];
  let [x1, y1, x2, y2] = [1, 1, 0, 0];
  for (const [x, y] of region[form]) {
    [x1, x2] = [Math.min(x1, x - w / 2), Math.max(x2, x + w / 2)];
    [y1, y2] = [Math.min(y1, y - h / 2), Math.max(y2, y + h / 2)];
  }
  return [x1, y1, x2, y2].map(clamped);
}

function maskBounds({ counts, size_wh: [width, height] }) {
  let [x1, y1, x2, y2] = [width, height, 0, 0];
  let at = 0;
  counts.forEach((count, index) => {
    if (index % 2 && count) {
      const [left, right] = [columnOf(at, height), columnOf(at + count - 1, height)];
      [x1, x2] = [Math.min(x1, left), Math.max(x2, right + 1)];
      const whole = left !== right;
      [y1, y2] = whole ? [0, height] : [Math.min(y1, at % height), Math.max(y2, (at % height) + count)];
    }
    at += count;
  });
  return [x1 / width, y1 / height, x2 / width, y2 / height];
}

/** Covered share of the picture. A scribble counts with its bounds, an outline that crosses itself with less than it
 *  covers: the canvas only needs to know which of two regions is larger. */
export function area(region) {
  const form = formOf(region);
  if (form === "mask") {
    const set = region.mask.counts.reduce((sum, count, index) => sum + (index % 2 ? count : 0), 0);
    return set / (region.mask.size_wh[0] * region.mask.size_wh[1]);
  }
  if (form === "polygon") {
    const ring = region.polygon;
    const twice = ring.reduce((sum, [x, y], at) => {
      const [nextX, nextY] = ring[(at + 1) % ring.length];
      return sum + x * nextY - nextX * y;
    }, 0);
    return Math.abs(twice) / 2;
  }
  const [x1, y1, x2, y2] = bounds(region);
  return (x2 - x1) * (y2 - y1);
}

/** Whether the place lies in the region; its edge is inside. A polygon that crosses itself has holes (even-odd). */
export function contains(region, [x, y]) {
  const form = formOf(region);
  if (form === "point") return same(region.point, [x, y]);
  if (form === "box") return x >= region.box[0] && x <= region.box[2] && y >= region.box[1] && y <= region.box[3];
  if (form === "mask") return isSet(region.mask, [x, y]);
  if (form === "scribble") {
    const [w, h] = region.pen_wh;
    const path = region.scribble.map((place) => [place[0] / w, place[1] / h]);
    return steps(path, false).some(([a, b]) => distanceToStep([x / w, y / h], a, b) <= 0.5);
  }
  let inside = false;
  for (const [a, b] of steps(region.polygon, true)) {
    if (distanceToStep([x, y], a, b) === 0) return true;
    if (a[1] > y !== b[1] > y && x < a[0] + ((y - a[1]) / (b[1] - a[1])) * (b[0] - a[0])) inside = !inside;
  }
  return inside;
}

/** The steps [a, b] of a path; of a single point, one step in place. */
export function steps(path, closed) {
  if (path.length === 1) return [[path[0], path[0]]];
  const ends = closed ? [...path.slice(1), path[0]] : path.slice(1);
  return ends.map((end, at) => [path[at], end]);
}

/** A region moved by `[dx, dy]`, less where it would leave the picture: its form stays. */
export function moved(region, [dx, dy]) {
  const form = formOf(region);
  if (form === "mask") return { mask: movedMask(region.mask, [dx, dy], maskBounds(region.mask)) };
  const drawn = form === "scribble" ? { polygon: region.scribble } : region; // its pen may reach out of the picture
  const [x1, y1, x2, y2] = bounds(drawn);
  const [right, down] = [Math.min(Math.max(dx, -x1), 1 - x2), Math.min(Math.max(dy, -y1), 1 - y2)];
  const shift = ([x, y]) => placed([x + right, y + down]);
  if (form === "point") return { point: shift(region.point) };
  if (form === "box") return { box: [...shift([x1, y1]), ...shift([x2, y2])] };
  return { ...region, [form]: region[form].map(shift) };
}

/** The places to take hold of: a box's corners and sides clockwise from the top left, a polygon's corners. */
export function handles(region) {
  if (region.polygon) return region.polygon;
  if (!region.box) return [];
  const [x1, y1, x2, y2] = region.box;
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  return [[x1, y1], [x, y1], [x2, y1], [x2, y], [x2, y2], [x, y2], [x1, y2], [x1, y]];
}

/** The region with handle number `index` at `place`; null when that leaves nothing. A box may be turned inside out. */
export function withHandle(region, index, place) {
  if (region.polygon) {
    return polygonFromCorners(region.polygon.map((corner, at) => (at === index ? place : corner)));
  }
  let [x1, y1, x2, y2] = region.box;
  if ([0, 6, 7].includes(index)) x1 = place[0];
  if ([2, 3, 4].includes(index)) x2 = place[0];
  if ([0, 1, 2].includes(index)) y1 = place[1];
  if ([4, 5, 6].includes(index)) y2 = place[1];
  return boxFromCorners([x1, y1], [x2, y2]);
}

/** The polygon with a new corner after corner `index`, in the middle of that side unless a place is given. */
export function withCorner({ polygon }, index, place = null) {
  const [a, b] = [polygon[index], polygon[(index + 1) % polygon.length]];
  const corner = placed(place ?? [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
  return { polygon: [...polygon.slice(0, index + 1), corner, ...polygon.slice(index + 1)] };
}

/** The polygon without corner `index`; null when the rest encloses nothing. */
export function withoutCorner({ polygon }, index) {
  return polygonFromCorners(polygon.filter((_, at) => at !== index));
}
