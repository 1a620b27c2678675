// The question: text with region chips at the caret. The document is read into parts and written from parts; nothing but
// text, line ends and chips stays in it, whatever a browser or a paste puts there. It has undo of its own, since
// a browser's does not know the chips.

import { chipContent, spokenChip } from "./chips.js";
import { h } from "./dom.js";
import { joined, tidied } from "./session.js";

const GAP = "\u200b"; // beside a chip, so that the caret has a place there; never part of the text
const MOST_STEPS = 100; // that can be undone
const MENTION = /@(\d{1,3})$/;

/** Fires "change"; "submit" for Enter; "recall" for ↑ in an empty question; "chip" {picture, id, how: "over" | "out" |
 *  "press"}; "mention" {number, use} for @1, where `use(chip)` puts the chip in its place; "files" {files} for a paste. */
export class Composer extends EventTarget {
  #box;
  #numbered; // gives the number of a chip's picture where there are several, else 0
  #steps = [{ parts: [], caret: 0 }];
  #step = 0;
  #typing = false;
  #caret = 0; // the last one, for when the focus is elsewhere
  #lost = new Map(); // chips that vanished with their regions, by key: where each stood

  constructor(box, numbered) {
    super();
    this.#box = box;
    this.#numbered = numbered;
    box.addEventListener("beforeinput", (event) => this.#before(event));
    box.addEventListener("input", (event) => event.isComposing || this.#typed());
    box.addEventListener("compositionend", () => this.#typed());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("paste", (event) => this.#paste(event));
    box.addEventListener("drop", (event) => event.preventDefault()); // pictures fall through to the page
    box.addEventListener("copy", (event) => this.#copy(event));
    box.addEventListener("cut", (event) => {
      if (this.#copy(event)) this.#replace([]);
    });
    document.addEventListener("selectionchange", () => {
      if (this.#holdsSelection()) this.#caret = this.#offsets()[1];
    });
    for (const [type, how] of Object.entries({ mouseover: "over", mouseout: "out", click: "press" })) {
      box.addEventListener(type, (event) => {
        const chip = event.target.closest?.(".chip");
        if (chip) this.#emit("chip", { ...JSON.parse(chip.dataset.part), how });
      });
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // ---- the value

  /** The parts: {text} and chips, as session.js has them. */
  get parts() {
    return partsIn(this.#box);
  }

  set parts(parts) {
    this.#write(parts, lengthOf(parts));
    [this.#steps, this.#step, this.#typing] = [[{ parts, caret: lengthOf(parts) }], 0, false];
    this.#lost.clear();
  }

  /** Whether there is nothing to ask. */
  get empty() {
    return tidied(this.parts).length === 0;
  }

  get focused() {
    return document.activeElement === this.#box;
  }

  /** Put the caret where it was last. */
  focus() {
    this.#box.focus({ preventScroll: false });
    this.#select(this.#caret);
  }

  /** Put a chip at the caret, with blanks around it where words touch it. */
  insert(chip) {
    const [before, after] = split(this.parts, this.#caret);
    const front = before.at(-1)?.text;
    const pad = front !== undefined && /\S$/.test(front) ? [{ text: " " }] : [];
    const next = after[0]?.text;
    const gap = next === undefined || /^[\w(]/.test(next) ? [{ text: " " }] : [];
    const caret = this.#caret + pad.length + 1 + gap.length;
    this.#change([...before, ...pad, chip, ...gap, ...after], caret);
  }

  /** Bring the chips up to date: `look(chip)` gives the region's chip now, or null when it has vanished. A chip whose
   *  region comes back (by undo) comes back, too. */
  refresh(look) {
    const parts = this.parts;
    const kept = [];
    let [at, changed] = [0, false];
    for (const part of parts) {
      const now = part.text === undefined ? look(part) : part;
      if (now) kept.push(now);
      else this.#lost.set(keyOf(part), { part, at });
      if (!now) changed = true;
      if (now) at += lengthOf([now]);
    }
    let whole = kept;
    for (const [key, { part, at: place }] of this.#lost) {
      const now = look(part);
      if (!now) continue;
      this.#lost.delete(key);
      if (whole.some((other) => other.text === undefined && keyOf(other) === key)) continue;
      const [before, after] = split(whole, place);
      whole = [...before, now, ...after];
      changed = true;
    }
    if (JSON.stringify(parts) === JSON.stringify(whole)) return;
    this.#write(whole, Math.min(this.#caret, lengthOf(whole)));
    this.#steps[this.#step] = { parts: whole, caret: this.#caret }; // not a step of its own: the picture's undo has it
    if (changed) this.#emit("change");
  }

  /** Forget which chips vanished: the question they stood in is asked. */
  clear() {
    this.parts = [];
    this.#emit("change");
  }

  get canUndo() {
    return this.#step > 0;
  }

  undo() {
    this.#go(-1);
  }

  redo() {
    this.#go(1);
  }

  // ---- inside

  #go(way) {
    const step = this.#steps[this.#step + way];
    if (!step) return;
    this.#step += way;
    this.#typing = false;
    this.#write(step.parts, step.caret);
    this.#emit("change");
  }

  /** A change of the program's making: one step. */
  #change(parts, caret) {
    this.#keep(joined(parts), caret, false);
    this.#write(joined(parts), caret);
    this.#emit("change");
  }

  #keep(parts, caret, typing) {
    const goesOn = typing && this.#typing && this.#step > 0 && this.#step === this.#steps.length - 1;
    if (!goesOn) this.#step += 1;
    this.#steps = [...this.#steps.slice(0, this.#step), { parts, caret }];
    if (this.#steps.length > MOST_STEPS) {
      this.#steps.shift();
      this.#step -= 1;
    }
    this.#typing = typing;
  }

  /** The user typed: read it, take out what does not belong, see whether a region was named. */
  #typed() {
    let parts = this.parts;
    const [, caret] = this.#offsets();
    const last = parts.filter(({ text }) => text !== undefined).at(-1)?.text ?? "";
    this.#keep(parts, caret, !/\s$/.test(last)); // a word is a step
    if (!isTidy(this.#box)) this.#write(parts, caret);
    this.#box.classList.toggle("blank", !parts.length);
    const [before, after] = split(parts, caret);
    const mention = MENTION.exec(before.at(-1)?.text ?? "");
    if (mention) {
      this.#emit("mention", {
        number: Number(mention[1]),
        use: (chip) => {
          const start = before.at(-1).text.slice(0, mention.index);
          const gap = /^\s/.test(after[0]?.text ?? "") ? [] : [{ text: " " }];
          parts = joined([...before.slice(0, -1), { text: start }, chip, ...gap, ...after]);
          this.#change(parts, caret - mention[0].length + 2);
        },
      });
    }
    this.#emit("change");
  }

  #before(event) {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault();
      this[event.inputType === "historyUndo" ? "undo" : "redo"]();
    } else if (event.inputType.startsWith("format")) event.preventDefault();
    else if (event.inputType === "insertParagraph" || event.inputType === "insertLineBreak") {
      event.preventDefault();
      this.#replace([{ text: "\n" }]);
    } else if (event.inputType.startsWith("delete")) this.#delete(event);
  }

  /** Deletions are done here: beside chips and at the end of lines, every browser leaves something else. */
  #delete(event) {
    if (!event.cancelable) return; // a keyboard that composes: what it leaves is read afterwards
    event.preventDefault();
    const way = event.inputType.endsWith("Forward") ? 1 : -1;
    const [range] = event.getTargetRanges();
    const chosen = this.#offsets();
    let [start, end] = range && chosen[0] === chosen[1] ? offsetsOf(this.#box, range) : chosen;
    if (start === end) [start, end] = way < 0 ? [start - 1, start] : [end, end + 1]; // only a gap was in it
    const whole = this.parts;
    if (start < 0 || end > lengthOf(whole)) return;
    this.#change([...split(whole, start)[0], ...split(whole, end)[1]], start);
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#emit("submit");
    } else if (event.key === "ArrowUp" && !this.parts.length) {
      event.preventDefault();
      this.#emit("recall");
    }
  }

  #paste(event) {
    const files = [...event.clipboardData.files];
    event.preventDefault();
    event.stopPropagation();
    if (files.length) this.#emit("files", { files });
    else this.#replace([{ text: event.clipboardData.getData("text/plain").replace(/\r\n?/g, "\n") }]);
  }

  #copy(event) {
    const [start, end] = this.#offsets();
    if (start === end) return false;
    const chosen = split(split(this.parts, end)[0], start)[1];
    event.preventDefault();
    event.clipboardData.setData("text/plain", chosen.map((part) => part.text ?? `@${part.number}`).join(""));
    return true;
  }

  /** Put parts in the place of what is selected. */
  #replace(parts) {
    const [start, end] = this.#offsets();
    const whole = this.parts;
    this.#change([...split(whole, start)[0], ...parts, ...split(whole, end)[1]], start + lengthOf(parts));
  }

  #write(parts, caret) {
    const several = (part) => this.#numbered(part.picture);
    const nodes = parts.map((part) => (part.text === undefined ? chipNode(part, several(part)) : new Text(part.text)));
    const padded = nodes.flatMap((node, at) => {
      const [ahead, behind] = [nodes[at - 1], nodes[at + 1]];
      const bare = (other) => !(other instanceof Text);
      if (node instanceof Text) return [node];
      return [...(bare(ahead) ? [new Text(GAP)] : []), node, ...(behind ? [] : [new Text(GAP)])];
    });
    if (parts.at(-1)?.text?.endsWith("\n")) padded.push(document.createElement("br")); // or the last line is not seen
    const held = this.focused;
    this.#box.replaceChildren(...padded);
    this.#box.classList.toggle("blank", !parts.length);
    this.#caret = caret;
    if (held) this.#select(caret);
  }

  #holdsSelection() {
    const selection = getSelection();
    return selection.rangeCount > 0 && this.#box.contains(selection.anchorNode) && this.#box.contains(selection.focusNode);
  }

  /** Where the selection begins and ends, counted in letters and chips. */
  #offsets() {
    return this.#holdsSelection() ? offsetsOf(this.#box, getSelection().getRangeAt(0)) : [this.#caret, this.#caret];
  }

  #select(offset) {
    const [node, at] = placeIn(this.#box, offset);
    getSelection().setBaseAndExtent(node, at, node, at);
  }
}

function keyOf({ picture, id }) {
  return `${picture}/${id}`;
}

function chipNode(part, picture) {
  const chip = h("span", { class: "chip", contenteditable: "false", role: "img", "aria-label": spokenChip(part, picture) },
    ...chipContent(part, picture)); // prettier-ignore
  chip.dataset.part = JSON.stringify(part);
  return chip;
}

/** What stands in a node, as parts. A single end of line is an empty box, unless the rest was `cut` off. */
function partsIn(root, cut = false) {
  const parts = [];
  const read = (node) => {
    if (node instanceof Text) parts.push({ text: node.data.replaceAll(GAP, "").replaceAll("\u00a0", " ") });
    else if (node.dataset?.part) parts.push(JSON.parse(node.dataset.part));
    else if (node.nodeName === "BR") {
      if (node.nextSibling || !parts.at(-1)?.text?.endsWith("\n")) parts.push({ text: "\n" });
    } else {
      if (node.nodeName === "DIV" && parts.length) parts.push({ text: "\n" });
      node.childNodes.forEach(read);
    }
  };
  root.childNodes.forEach(read);
  const found = joined(parts);
  return !cut && found.length === 1 && found[0].text === "\n" ? [] : found; // an emptied box keeps a <br>
}

function lengthOf(parts) {
  return parts.reduce((sum, part) => sum + (part.text === undefined ? 1 : part.text.length), 0);
}

/** Where a range begins and ends in the box, counted in letters and chips. */
function offsetsOf(box, { startContainer, startOffset, endContainer, endOffset }) {
  return [[startContainer, startOffset], [endContainer, endOffset]].map(([node, offset]) => {
    const ahead = document.createRange();
    ahead.setStart(box, 0);
    ahead.setEnd(node, offset);
    return lengthOf(partsIn(ahead.cloneContents(), true));
  }); // prettier-ignore
}

/** The parts before an offset, and those after it. */
function split(parts, offset) {
  const [before, after] = [[], []];
  let left = offset;
  for (const part of parts) {
    const length = lengthOf([part]);
    if (left >= length) before.push(part);
    else if (left <= 0) after.push(part);
    else {
      before.push({ text: part.text.slice(0, left) });
      after.push({ text: part.text.slice(left) });
    }
    left -= length;
  }
  return [before, after];
}

/** The node and place in it of an offset. */
function placeIn(box, offset) {
  let left = offset;
  for (const [at, node] of [...box.childNodes].entries()) {
    if (node instanceof Text) {
      const letters = node.data.replaceAll(GAP, "").length;
      if (left <= letters) return [node, rawOffset(node.data, left)];
      left -= letters;
    } else if (node.dataset?.part) {
      if (left === 0) return [box, at];
      left -= 1;
    }
  }
  return [box, box.childNodes.length];
}

/** The offset in a text with gaps of a place counted without them. */
function rawOffset(text, count) {
  let left = count;
  for (let at = 0; at < text.length; at += 1) {
    if (left === 0) return at;
    if (text[at] !== GAP) left -= 1;
  }
  return text.length;
}

/** Whether only what this module writes is in the box. */
function isTidy(box) {
  return [...box.childNodes].every((node) => node instanceof Text || node.dataset?.part || node.nodeName === "BR");
}
