// A page with nothing but the canvas; what happens on it is kept for the tests.
import { RegionCanvas } from "/canvas/region-canvas.js";

const canvas = new RegionCanvas(document.querySelector("#host"));
const events = [];
for (const type of ["change", "draw", "select", "hover", "tool", "view"]) {
  canvas.addEventListener(type, ({ detail }) => events.push({ type, ...detail }));
}
Object.assign(globalThis, { canvas, events });
