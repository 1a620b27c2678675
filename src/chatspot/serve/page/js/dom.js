// Elements, made without HTML: what comes from people and models is only ever text.

/** The element with this id. */
export function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/** An element. `given` are attributes; functions are listeners, true is an empty attribute, false and null none. */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon of the page's sprite. */
export function icon(name, small = false) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", small ? "icon small" : "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** An icon of path data. */
export function drawnIcon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** A button that shows an icon alone. */
export function iconButton(name, label, press, given = {}) {
  return h("button", { type: "button", class: "quiet square", "aria-label": label, title: label, click: press, ...given },
    icon(name)); // prettier-ignore
}

/** Tell a screen reader. */
export function say(text) {
  at("said").textContent = "";
  requestAnimationFrame(() => (at("said").textContent = text)); // the same words twice are said twice
}

let noteTimer = 0;

/** A short note for everybody, which goes by itself. */
export function note(text) {
  const shown = at("note");
  shown.hidden = false;
  shown.textContent = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => (shown.hidden = true), Math.max(4000, text.length * 80));
}

/** Whether the keys that are pressed are text for this element. */
export function takesText(element) {
  return element instanceof HTMLElement && (element.isContentEditable || element.matches("input, textarea, select"));
}
