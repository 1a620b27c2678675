// What to do next, until the first question is asked.

import { at, h } from "./dom.js";

/** Draw it for a session; `suggest(text)` writes a suggested question. */
export function drawHint({ pictures, turns }, suggest) {
  at("hint").hidden = turns.length > 0;
  const pointed = pictures.some(({ regions }) => regions.length);
  const steps = [
    ["Open a picture", pictures.length > 0],
    ["Point at something: click, drag a box, or draw", pointed],
    ["Ask about it", false],
  ];
  const texts = pointed ? ["What is this?", "What text can you see in this region?"] : ["Describe the image."];
  const button = (text) => h("button", { type: "button", class: "suggestion", click: () => suggest(text) }, text);
  at("hint").replaceChildren(
    h("ol", { class: "steps", role: "list" }, ...steps.map(([text, done]) => h("li", { class: done ? "done" : null }, text))),
    ...(pictures.length ? [h("div", { class: "row wrap" }, ...texts.map(button))] : []),
  );
}
