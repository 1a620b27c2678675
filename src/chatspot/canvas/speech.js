// What a screen reader says, and hints for everybody.

import { area, bounds, formOf } from "./geometry.js";

const NAMES = { point: "Point", box: "Box", polygon: "Polygon", scribble: "Scribble", mask: "Mask" };

export const HELP =
  "Arrow keys move the crosshair, with Shift further, with Alt less. Enter places a point or a corner, and begins " +
  "and ends a box, an outline or a stroke; Enter twice at one place closes a polygon. Escape cancels. V selects, " +
  "P point, B box, G polygon, F outline, M brush, E erases. Plus, minus and 0 zoom. Control Z undoes. Tab goes on to " +
  "the regions.";

export const REGION_HELP =
  "Arrow keys move the region, with Shift further, with Alt less. Full stop and comma choose a corner to move, " +
  "Insert adds one, Delete removes it or the region. F2 renames.";

/** 0.125 as "13 %". */
export function percent(value) {
  return `${Math.round(value * 100)} %`;
}

/** "12 % 30 %" of a place: across, then down. */
export function spot([x, y]) {
  return `${percent(x)} ${percent(y)}`;
}

/** "Box 1", with its name where it has one: "Box 1, cup". */
export function title({ number, name, region }) {
  return `${NAMES[formOf(region)]} ${number}${name ? `, ${name}` : ""}`;
}

/** "Box 1, cup, from 12 % 30 % to 40 % 60 %". */
export function described(entry) {
  const { region } = entry;
  const form = formOf(region);
  if (form === "point") return `${title(entry)}, at ${spot(region.point)}`;
  const [x1, y1, x2, y2] = bounds(region);
  const more = {
    polygon: () => `, ${region.polygon.length} corners`,
    mask: () => `, ${percent(area(region))} of the picture`,
  }[form]?.();
  return `${title(entry)}${more ?? ""}, from ${spot([x1, y1])} to ${spot([x2, y2])}`;
}
