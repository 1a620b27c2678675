// Keys. They act only while the pad or a region of the list has the focus, and those that act go no further: a notebook
// or a page around has keys of its own.

import { TOOLS } from "./tools.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.01; // of the picture, for one press of an arrow; ten times that with Shift, a tenth with Alt
const LETTERS = Object.fromEntries(TOOLS.map(({ tool, key }) => [key.toLowerCase(), tool]));

/** What the key does, as a function without arguments; null when it does nothing here. `onRegion`: the focus is on a
 *  region of the list. `desk` has the editor and zoom(factor), fit(), actual(), rename(), toPad(). */
function actionOf(event, desk, onRegion) {
  const { editor } = desk;
  const { key } = event;
  if (event.ctrlKey || event.metaKey) return event.altKey ? null : withControl(event, desk);
  if (key in ARROWS) {
    const size = STEP * (event.shiftKey ? 10 : event.altKey ? 0.1 : 1);
    const step = ARROWS[key].map((way) => way * size);
    const chosen = editor.tool === "select" && editor.selectedEntry && !editor.crosshair && !editor.readOnly;
    return onRegion || chosen ? () => editor.nudge(step, event.repeat) : () => editor.steer(step);
  }
  if (event.altKey) return null;
  const actions = {
    Escape: () => editor.cancel() || (onRegion && desk.toPad()) || (editor.selected && (editor.select(null), true)),
    Enter: onRegion ? () => desk.toPad("select") : () => editor.enter(),
    Delete: () => editor.erase(),
    Backspace: () => editor.erase(),
    Insert: () => editor.addCorner(),
    F2: () => desk.rename(),
    ".": () => editor.chooseCorner(1),
    ",": () => editor.chooseCorner(-1),
    "+": () => desk.zoom(1.25),
    "=": () => desk.zoom(1.25),
    "-": () => desk.zoom(0.8),
    0: () => desk.fit(),
    1: () => desk.actual(),
    "[": () => (editor.brushSize /= 1.25),
    "]": () => (editor.brushSize *= 1.25),
    e: () => desk.erase(),
  };
  const letter = key.length === 1 ? key.toLowerCase() : key;
  if (letter in LETTERS) return () => (editor.tool = LETTERS[letter]);
  return actions[letter] ?? null;
}

function withControl({ key, shiftKey }, { editor }) {
  const letter = key.toLowerCase();
  if (editor.readOnly) return null;
  if (letter === "y" || (letter === "z" && shiftKey)) return () => editor.redo();
  return letter === "z" ? () => editor.undo() : null;
}

/** Handle a keydown event. Escape goes on to the page when there was nothing to cancel. */
export function keyPressed(event, desk, onRegion) {
  if (event.defaultPrevented || event.isComposing) return;
  const action = actionOf(event, desk, onRegion);
  if (!action) return;
  const done = action();
  if (event.key === "Escape" && !done) return;
  event.preventDefault();
  event.stopPropagation();
}
