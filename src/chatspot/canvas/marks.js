// Regions, drafts, handles and the crosshair drawn over the picture. Every line has a dark halo, so that its colour is
// seen on any photo.

import { bounds, formOf, handles, steps } from "./geometry.js";
import { middle } from "./grabs.js";
import { bitmapOf, maskOutline } from "./mask.js";
import { BrushDraft, PolygonDraft } from "./tools.js";

const HALO = "rgb(10 12 16 / 0.72)";
const WHITE = "#ffffff";
const INK = "#101216";
const LINE = 2.75; // CSS pixels
const FILL = { plain: 0.1, lit: 0.36, selected: 0.2 };
const MASK_FILL = { plain: 0.4, lit: 0.62, selected: 0.5 };
const LONGEST_NAME = 28; // letters on a badge
const FONT = "600 12px system-ui, sans-serif";

/** Draw what an editor holds. `context` is scaled to CSS pixels; `focused` is the id of the region with the keyboard's
 *  focus; `answers` are drawn dashed. `host` is {width, height}. */
export function drawMarks(context, editor, { answers, focused, host }) {
  context.lineJoin = context.lineCap = "round";
  context.font = FONT;
  const entries = [...editor.entries].sort((a, b) => extent(b.region) - extent(a.region)); // small ones above
  const state = ({ id }) =>
    id === editor.lit || (id === editor.hovered && editor.tool === "select") ? "lit"
    : id === editor.selected ? "selected" : "plain";
  const painted = editor.draft instanceof BrushDraft ? editor.draft : null;
  const onto = painted && editor.selectedEntry?.region.mask ? editor.selected : null;
  for (const entry of entries) {
    if (entry.id !== onto) drawRegion(context, entry.region, entry.colour, editor.view, { state: state(entry) });
  }
  for (const { region, colour } of answers) drawRegion(context, region, colour, editor.view, { dashed: true });
  const ground = { view: editor.view, host, taken: [] };
  for (const entry of editor.entries) drawBadge(context, `${entry.number}${short(entry.name)}`, entry, ground);
  for (const answer of answers) if (answer.label) drawBadge(context, short(answer.label).trim(), answer, ground);
  const ringed = entries.find(({ id }) => id === focused);
  if (ringed) drawFocus(context, ringed.region, editor.view);
  const chosen = entries.find(({ id }) => id === editor.selected);
  if (chosen && !editor.readOnly && editor.tool === "select") drawHandles(context, chosen, editor);
  if (painted) drawBitmap(context, painted, editor.view, editor.selectedEntry?.colour ?? WHITE);
  else if (editor.draft) drawDraft(context, editor.draft, editor);
  drawPointer(context, editor, host);
}

function extent(region) {
  const [x1, y1, x2, y2] = bounds(region);
  return (x2 - x1) * (y2 - y1);
}

function short(name) {
  const letters = [...(name ?? "")];
  if (!letters.length) return "";
  return `  ${letters.length > LONGEST_NAME ? `${letters.slice(0, LONGEST_NAME - 1).join("")}…` : name}`;
}

function pathThrough(places, closed) {
  const path = new Path2D();
  places.forEach(([x, y], at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
  if (closed) path.closePath();
  return path;
}

/** A line in a colour, on its halo. */
function stroke(context, path, colour, { width = LINE, dashed = false } = {}) {
  context.strokeStyle = HALO;
  context.lineWidth = width + 1.75;
  context.stroke(path);
  context.setLineDash(dashed ? [7, 6] : []);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(path);
  context.setLineDash([]);
}

function tint(context, colour, share, paint) {
  context.save();
  context.globalAlpha = share;
  context.fillStyle = context.strokeStyle = colour;
  paint();
  context.restore();
}

function drawRegion(context, region, colour, view, { state = "plain", dashed = false }) {
  const form = formOf(region);
  const width = state === "plain" ? LINE : LINE + 0.75;
  if (form === "point") drawPoint(context, view.toHost(region.point), colour, { state, dashed });
  else if (form === "mask") drawMask(context, region.mask, colour, view, { state, dashed });
  else if (form === "scribble") drawScribble(context, region, colour, view, { state, dashed });
  else {
    const corners = form === "box" ? handles(region).filter((_, at) => at % 2 === 0) : region.polygon;
    const path = pathThrough(corners.map((place) => view.toHost(place)), true);
    if (!dashed) tint(context, colour, FILL[state], () => context.fill(path, "evenodd"));
    stroke(context, path, colour, { width, dashed });
  }
}

function drawPoint(context, [x, y], colour, { state, dashed }) {
  const ring = new Path2D();
  ring.arc(x, y, state === "plain" ? 9 : 11, 0, 7);
  if (!dashed) tint(context, colour, FILL[state] + 0.15, () => context.fill(ring));
  stroke(context, ring, colour, { dashed });
  const dot = new Path2D();
  dot.arc(x, y, 2.25, 0, 7);
  stroke(context, dot, colour, { width: 1 });
  context.fillStyle = colour;
  context.fill(dot);
}

function drawScribble(context, { scribble, pen_wh: [w, h] }, colour, view, { state, dashed }) {
  const [left, top] = view.toHost([0, 0]);
  const [right, bottom] = view.toHost([1, 1]);
  const path = pathThrough(scribble.map((place) => view.toHost(place)), false);
  if (scribble.length === 1) path.lineTo(...view.toHost(scribble[0]));
  tint(context, colour, MASK_FILL[state], () => {
    const [wide, high] = [w * (right - left), h * (bottom - top)];
    const flat = new Path2D();
    flat.addPath(path, new DOMMatrix([1, 0, 0, wide / high, 0, 0]));
    context.scale(1, high / wide); // the pen may be an ellipse
    context.lineWidth = wide;
    context.stroke(flat);
  });
  stroke(context, path, colour, { dashed });
}

// ---- masks

const drawnMasks = new WeakMap(); // of a mask: its picture in a colour, and its edges

function maskPicture(bitmap, [width, height], colour) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const pixels = new ImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const word = new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];
  for (let at = 0; at < bitmap.length; at += 1) {
    if (bitmap[at]) words[(at % height) * width + Math.floor(at / height)] = word;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function placeMask(context, picture, view) {
  const [left, top] = view.toHost([0, 0]);
  const [right, bottom] = view.toHost([1, 1]);
  context.imageSmoothingEnabled = false; // exactly the pixels that are set
  context.drawImage(picture, left, top, right - left, bottom - top);
}

function drawMask(context, mask, colour, view, { state, dashed }) {
  let drawn = drawnMasks.get(mask);
  if (drawn?.colour !== colour) {
    const edges = drawn?.edges ?? new Path2D();
    if (!drawn) {
      for (const [x1, y1, x2, y2] of maskOutline(mask)) {
        edges.moveTo(x1, y1);
        edges.lineTo(x2, y2);
      }
    }
    drawn = { colour, edges, picture: maskPicture(bitmapOf(mask), mask.size_wh, colour) };
    drawnMasks.set(mask, drawn);
  }
  if (!dashed) tint(context, colour, MASK_FILL[state], () => placeMask(context, drawn.picture, view));
  const [left, top] = view.toHost([0, 0]);
  const [right, bottom] = view.toHost([1, 1]);
  const [width, height] = mask.size_wh;
  const outline = new Path2D();
  outline.addPath(drawn.edges, new DOMMatrix([(right - left) / width, 0, 0, (bottom - top) / height, left, top]));
  stroke(context, outline, colour, { width: state === "plain" ? 1.25 : 2, dashed });
}

function drawBitmap(context, { bitmap, size_wh }, view, colour) {
  tint(context, colour, MASK_FILL.lit, () => placeMask(context, maskPicture(bitmap, size_wh, colour), view));
}

// ---- labels, handles, drafts

/** Black or white, whichever is read better on a colour (WCAG's relative luminance). */
export function inkOn(colour) {
  const light = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.179 ? INK : WHITE;
}

/** Where a badge goes: above the region's left end, else inside, below or at its right, free of those in `taken`. */
function badgePlace(region, [width, height], view, host, taken) {
  const [x1, y1, x2, y2] = bounds(region);
  const [[left, top], [right, bottom]] = [view.toHost([x1, y1]), view.toHost([x2, y2])];
  if (left > host.width || top > host.height || right < 0 || bottom < 0) return null;
  const around = region.point
    ? [[left + 12, top - 26], [left + 12, top + 8], [left - width - 12, top - 26]]
    : [[left - 1, top - height - 4], [left + 4, top + 4], [left - 1, bottom + 4], [right - width, top - height - 4]];
  const within = (at, extent, length) => Math.min(Math.max(at, 2), Math.max(extent - length - 2, 2));
  const places = around.map(([x, y]) => [within(x, host.width, width), within(y, host.height, height)]);
  const free = ([x, y]) =>
    !taken.some((other) => x < other.x + other.width && other.x < x + width && Math.abs(y - other.y) < height);
  const fits = (place, at) => free(place) && Math.abs(place[1] - around[at][1]) < 1;
  const [x, y] = places.find(fits) ?? places.find(free) ?? places[0];
  return { x, y, width };
}

function drawBadge(context, text, { region, colour }, { view, host, taken }) {
  const height = 20;
  const place = badgePlace(region, [context.measureText(text).width + 14, height], view, host, taken);
  if (!place) return;
  taken.push(place);
  const plate = new Path2D();
  plate.roundRect(place.x, place.y, place.width, height, height / 2);
  context.strokeStyle = HALO;
  context.lineWidth = 2.5;
  context.stroke(plate);
  context.fillStyle = colour;
  context.fill(plate);
  context.fillStyle = inkOn(colour);
  context.textBaseline = "middle";
  context.fillText(text, place.x + 7, place.y + height / 2 + 0.5);
}

function drawFocus(context, region, view) {
  const [x1, y1, x2, y2] = bounds(region);
  const [[left, top], [right, bottom]] = [view.toHost([x1, y1]), view.toHost([x2, y2])];
  const ring = new Path2D();
  const gap = region.point ? 16 : 7;
  ring.roundRect(left - gap, top - gap, right - left + 2 * gap, bottom - top + 2 * gap, 6);
  stroke(context, ring, WHITE, { width: 2 });
}

function drawHandles(context, { region, colour }, editor) {
  const radius = editor.kind === "touch" ? 8 : 5;
  const knob = ([x, y], size, fill) => {
    const path = new Path2D();
    if (region.box) path.roundRect(x - size, y - size, 2 * size, 2 * size, 2);
    else path.arc(x, y, size, 0, 7);
    stroke(context, path, colour, { width: 1.5 });
    context.fillStyle = fill;
    context.fill(path);
  };
  if (region.polygon) {
    for (const [a, b] of steps(region.polygon, true)) knob(editor.view.toHost(middle(a, b)), radius / 2, colour);
  }
  handles(region).forEach((place, at) => {
    const chosen = at === editor.corner;
    knob(editor.view.toHost(place), chosen ? radius + 2 : radius, chosen ? colour : WHITE);
  });
}

function drawDraft(context, draft, editor) {
  const { view } = editor;
  if (draft instanceof PolygonDraft) {
    const places = [...draft.path, draft.next].map((place) => view.toHost(place));
    const path = pathThrough(places, false);
    if (places.length > 2) tint(context, WHITE, 0.16, () => context.fill(path, "evenodd"));
    stroke(context, path, WHITE);
    draft.path.forEach((place, at) => {
      const dot = new Path2D();
      dot.arc(...view.toHost(place), at ? 3.5 : editor.kind === "touch" ? 10 : 6, 0, 7); // the first one closes it
      stroke(context, dot, WHITE, { width: 1.5 });
      context.fillStyle = at ? WHITE : "#0b62d6";
      context.fill(dot);
    });
    return;
  }
  const corners = draft.path.map((place) => view.toHost(place));
  const [[left, top], [right, bottom]] = [corners[0], corners.at(-1)];
  const boxed = editor.tool === "box";
  const path = pathThrough(boxed ? [[left, top], [right, top], [right, bottom], [left, bottom]] : corners, boxed);
  tint(context, WHITE, 0.16, () => context.fill(path, "evenodd"));
  stroke(context, path, WHITE);
}

/** The keyboard's crosshair, and the brush's size. */
function drawPointer(context, editor, host) {
  const at = editor.crosshair ? editor.view.toHost(editor.crosshair) : editor.pointer;
  if (!at || !editor.size) return;
  if (editor.crosshair) {
    const lines = new Path2D();
    const [x, y] = at;
    for (const [from, to] of [[0, x - 8], [x + 8, host.width]]) {
      lines.moveTo(from, y);
      lines.lineTo(to, y);
    }
    for (const [from, to] of [[0, y - 8], [y + 8, host.height]]) {
      lines.moveTo(x, from);
      lines.lineTo(x, to);
    }
    stroke(context, lines, WHITE, { width: 1 });
  }
  if (editor.tool === "brush" && !editor.readOnly && !(editor.kind === "touch" && !editor.draft && !editor.crosshair)) {
    const ring = new Path2D();
    ring.arc(...at, Math.max(editor.brushRadius * editor.view.scale, 1.5), 0, 7);
    stroke(context, ring, WHITE, { width: 1.25, dashed: editor.erasing || editor.draft?.erase });
  }
}
