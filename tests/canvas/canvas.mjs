// A page with nothing but the canvas; what happens on it is kept for the tests.
import { RegionCanvas } from "/canvas/region-canvas.js";

const canvas = new RegionCanvas(document.querySelector("#host"));
const events = [];
for (const type of ["change", "draw", "select", "hover", "tool", "view"]) {
  canvas.addEventListener(type, ({ detail }) => events.push({ type, ...detail }));
}
const blobOf = (base64) => new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]);
Object.assign(globalThis, { canvas, events, blobOf });
