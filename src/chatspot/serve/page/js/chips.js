// Region chips: a region's number in its colour, and its name. They stand in questions, answers and beside the picture.

import { inkOn } from "/static/canvas/marks.js";

import { h } from "./dom.js";

/** "region 1, cup", and of which picture where there are several. */
export function spokenChip({ number, name }, picture = 0) {
  return `region ${number}${name ? `, ${name}` : ""}${picture ? `, picture ${picture}` : ""}`;
}

/** The chip's inside: a badge with the number, and the name. `picture` is the picture's number where there are several. */
export function chipContent({ number, name, colour }, picture = 0) {
  const badge = h("span", { class: "badge" }, `${picture ? `${picture}.` : ""}${number}`);
  badge.style.backgroundColor = colour;
  badge.style.color = inkOn(colour);
  return name ? [badge, h("span", { class: "chip-name clip" }, name)] : [badge];
}
