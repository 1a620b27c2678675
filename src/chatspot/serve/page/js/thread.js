// The conversation: each turn's question with its chips, and its answer with what can be done with it.

import { chipContent, spokenChip } from "./chips.js";
import { h, icon, iconButton } from "./dom.js";
import { answerParts, isAnswered, pictureNumber, reserveOf } from "./session.js";

const NEAR_END = 80; // CSS pixels: so near to its end, the thread follows a growing answer
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The label of region number `at` of an answer. */
export function answerLabel(at) {
  return LETTERS[at] ?? String(at + 1);
}

/** Fires "chip" {turn, part, how: "over" | "out" | "press"}, "retry" {turn}, "check" {turn, right}, "correct" {turn,
 *  text}, "remove" {turn} and "picture" {picture}. `session()` is the session that is shown; while `modest`, answers that
 *  are likely wrong stand under a reserve. */
export class Thread extends EventTarget {
  modest = true;
  #list;
  #scroller;
  #latest;
  #session;
  #items = new Map(); // by a turn's id: its element
  #follows = true;

  constructor({ list, scroller, latest, session }) {
    super();
    [this.#list, this.#scroller, this.#latest, this.#session] = [list, scroller, latest, session];
    scroller.addEventListener("scroll", () => {
      this.#follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;
      this.#latest.hidden = this.#follows;
    });
    latest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#follows && this.toEnd()).observe(scroller);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Scroll to the end, and follow from there. */
  toEnd() {
    this.#follows = true;
    this.#latest.hidden = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** Show all turns anew. */
  showAll() {
    this.#items.clear();
    this.#list.replaceChildren();
    for (const turn of this.#session().turns) this.show(turn);
    this.toEnd();
  }

  /** Show a turn as it is now; a new one comes last. */
  show(turn) {
    const item = h("li", { class: "turn", "data-turn": turn.id }, this.#question(turn), this.#answer(turn));
    const before = this.#items.get(turn.id);
    if (before) before.replaceWith(item);
    else this.#list.append(item);
    this.#items.set(turn.id, item);
    if (this.#follows) this.toEnd();
  }

  /** Show what came of an answer that grows. */
  grow(turn) {
    const text = this.#items.get(turn.id)?.querySelector(".answer-text");
    if (!text) return;
    text.replaceChildren(...this.#answerNodes(turn));
    if (this.#follows) this.toEnd();
  }

  #question(turn) {
    const session = this.#session();
    const nodes = turn.parts.map((part) => (part.text === undefined ? this.#chip(turn, part) : new Text(part.text)));
    const pointed = turn.parts.some((part) => part.text === undefined);
    const number = session.pictures.length > 1 && !pointed ? pictureNumber(session, turn.picture) : 0;
    if (number) {
      const press = () => this.#emit("picture", { picture: turn.picture });
      nodes.unshift(h("button", { type: "button", class: "chip whole", click: press }, `Picture ${number}`), new Text(" "));
    }
    return h("div", { class: "question-said" }, h("span", { class: "unseen" }, "You asked: "), h("p", {}, ...nodes));
  }

  #chip(turn, part, label = null) {
    const session = this.#session();
    const several = session.pictures.length > 1 ? pictureNumber(session, part.picture) : 0;
    const entry = session.pictures.find(({ id }) => id === part.picture)?.regions.find(({ id }) => id === part.id);
    const shown = entry ? { ...part, name: entry.name, colour: entry.colour } : part;
    const point = (how) => () => this.#emit("chip", { turn, part, how });
    const spoken = label ? `region ${label} of the answer` : `${spokenChip(shown, several)}${entry ? "" : ", since removed"}`;
    const given = { type: "button", class: `chip${entry || label ? "" : " gone"}${label ? " answered" : ""}`, "aria-label": spoken,
      mouseenter: point("over"), mouseleave: point("out"), focus: point("over"), blur: point("out"), click: point("press") }; // prettier-ignore
    return h("button", given, ...(label ? [h("span", { class: "badge" }, label)] : chipContent(shown, several)));
  }

  #answerNodes(turn) {
    let count = 0;
    return answerParts(turn.answer).map((part) => {
      if (part.text !== undefined) return new Text(part.text);
      count += 1;
      return this.#chip(turn, part, answerLabel(count - 1));
    });
  }

  #answer(turn) {
    const { answer } = turn;
    const text = h("p", { class: "answer-text" }, ...this.#answerNodes(turn));
    const reserve = this.modest ? reserveOf(answer) : null;
    if (reserve) {
      text.prepend(h("span", { class: "reserve" }, reserve.before));
      text.append(h("span", { class: "reserve" }, reserve.after));
    }
    const said = h("div", { class: "answer-said", "data-state": answer.state }, h("span", { class: "unseen" }, "Answer: "), text);
    if (answer.state === "waiting") {
      text.append(h("span", { class: "waiting" }, answer.waits ?? "Looking", h("span", { class: "dots", "aria-hidden": "true" })));
    }
    if (answer.state === "done" && !answer.text.trim()) text.append(h("span", { class: "soft" }, "The model said nothing."));
    if (answer.state === "stopped") said.append(h("p", { class: "remark" }, "Stopped."));
    if (answer.finish === "length") said.append(h("p", { class: "remark" }, "Cut off at the longest answer."));
    if (answer.state === "failed") {
      said.append(h("p", { class: "fault" }, answer.error), this.#button("again", "Try again", () => this.#emit("retry", { turn })));
    }
    if (answer.checked === "corrected") {
      const was = answer.was && answer.was !== answer.text ? h("span", { class: "was" }, "The model said: ", h("s", {}, answer.was)) : null;
      said.append(h("p", { class: "remark good" }, icon("check", true), "Corrected by you. ", was));
    }
    if (["done", "stopped"].includes(answer.state)) said.append(this.#actions(turn));
    return said;
  }

  #button(name, label, press) {
    return h("button", { type: "button", class: "outlined small", click: press }, icon(name, true), label);
  }

  #actions(turn) {
    const { answer } = turn;
    const right = answer.checked === "right";
    const check = iconButton("check", "This is right", () => this.#emit("check", { turn, right: !right }), { "aria-pressed": String(right) });
    const correct = iconButton("pen", "Correct this answer", () => this.#edit(turn));
    const copy = iconButton("copy", "Copy", () => navigator.clipboard?.writeText(answer.text));
    const last = this.#session().turns.at(-1)?.id === turn.id;
    const again = last ? iconButton("again", "Ask again", () => this.#emit("retry", { turn })) : null;
    const remove = iconButton("bin", "Remove this turn", () => this.#emit("remove", { turn }));
    const told = isAnswered(turn) ? [check, correct, copy] : [correct];
    const given = { class: "actions row tight", role: "group", "aria-label": "With this answer" };
    return h("div", given, ...told, again, remove, confidenceNode(answer));
  }

  /** Edit the answer in its place. */
  #edit(turn) {
    const item = this.#items.get(turn.id);
    const field = h("textarea", { class: "correction", rows: "2", "aria-label": "The right answer", maxlength: "4000" });
    field.value = turn.answer.text;
    const end = (text) => {
      if (text) this.#emit("correct", { turn, text });
      else this.show(turn);
      this.#items.get(turn.id).querySelector('[aria-label="Correct this answer"]')?.focus();
    };
    const form = h("form", { class: "correcting", submit: (event) => {
        event.preventDefault();
        end(field.value.trim());
      }, keydown: (event) => {
        if (event.key === "Escape") {
          event.stopPropagation();
          end("");
        } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          form.requestSubmit();
        }
      } },
      field,
      h("div", { class: "row end tight" },
        h("button", { type: "button", class: "outlined small", click: () => end("") }, "Cancel"),
        h("button", { type: "submit", class: "primary small" }, "Save"))); // prettier-ignore
    item.querySelector(".answer-said").replaceChildren(form);
    field.focus();
    field.select();
  }
}

/** How likely an answer is right, for people; null where the server does not say, and where a person corrected it. */
function confidenceNode({ confidence, sure, checked }) {
  if (typeof confidence !== "number" || checked === "corrected") return null;
  const calibrated = typeof sure === "boolean";
  const title = calibrated ? "How likely this is right, as measured" : "How sure the model is of its words";
  return h("span", { class: "confidence", title }, h("span", { class: "unseen" }, `${title}: `), `${Math.round(100 * confidence)} %`);
}
