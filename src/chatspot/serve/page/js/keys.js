// Keys that work anywhere, unless a text, a dialog or the picture takes them first.

import { takesText } from "./dom.js";

/** Listen; `does` has open, camera, question, picture, stop, turn(way), undo, redo, help and chip(number). */
export function listenToKeys(does) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const action = actionOf(event, does);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(event, does) {
  const { key, code, altKey, ctrlKey, metaKey, shiftKey, target } = event;
  const digit = /^Digit([1-9])$/.exec(code)?.[1];
  if (altKey && !ctrlKey && !metaKey) return digit ? () => does.chip(Number(digit)) : null;
  const writing = takesText(target);
  if (ctrlKey || metaKey) {
    const letter = key.toLowerCase();
    if (writing || altKey) return null;
    if (letter === "z") return shiftKey ? does.redo : does.undo;
    return letter === "y" ? does.redo : null;
  }
  if (key === "Escape") return does.escape;
  if (writing) return null;
  const actions = {
    "?": does.help,
    "/": does.question,
    o: does.open,
    c: does.camera,
    PageUp: () => does.turn(-1),
    PageDown: () => does.turn(1),
  };
  if (key.length === 1) return actions[key.toLowerCase()] ?? does.tool(key.toLowerCase());
  return actions[key] ?? null;
}
