// A session: pictures with their regions, and turns of a question and its answer. Plain values; nothing is drawn here.
//
//   session: {id, title, created, changed, pictures, turns, draft, current}
//   picture: {id, name, type, width, height, regions: [entry of the canvas]}; its bytes are kept beside the session
//   turn:    {id, picture, parts, style, answer}; `picture` is the one on the stage when it was asked
//   part:    {text} or a chip {picture, id, number, name, colour, region}; `region` as it was asked
//   answer:  {text, regions: [{picture, region}], state, checked, was, confidence, sure}; `checked` is null, "right" or
//            "corrected"; `confidence` and `sure` are docs/api.md's, null or left out where the server does not say

export const MOST_PICTURES = 8; // the server's own limit, see docs/api.md
const WHOLE = { box: [0, 0, 1, 1] };
const REGION_TEXT = /<box>[^<]*<\/box>/g;

/** A fresh session. */
export function newSession(title = "") {
  const now = Date.now();
  return { id: crypto.randomUUID(), title, created: now, changed: now, pictures: [], turns: [], draft: [], current: null };
}

/** Its name for people. */
export function titleOf(session) {
  const asked = session.turns[0]?.parts.map((part) => part.text ?? `[${part.number}]`).join("").trim();
  return session.title || asked?.slice(0, 60) || session.pictures[0]?.name || "New session";
}

/** The picture with this id, or undefined. */
export function pictureOf(session, id) {
  return session.pictures.find((picture) => picture.id === id);
}

/** A picture's number for people, from 1. */
export function pictureNumber(session, id) {
  return session.pictures.findIndex((picture) => picture.id === id) + 1;
}

/** Parts with neighbouring texts joined and empty ones left out. */
export function joined(parts) {
  const whole = [];
  for (const part of parts) {
    const before = whole.at(-1);
    if (part.text !== undefined && before?.text !== undefined) whole[whole.length - 1] = { text: before.text + part.text };
    else if (part.text !== "") whole.push(part);
  }
  return whole;
}

/** Joined parts without blanks at either end. */
export function tidied(parts) {
  const whole = joined(parts);
  if (whole[0]?.text !== undefined) whole[0] = { text: whole[0].text.trimStart() };
  if (whole.at(-1)?.text !== undefined) whole[whole.length - 1] = { text: whole.at(-1).text.trimEnd() };
  return whole.filter((part) => part.text !== "");
}

/** Whether a turn can stand in a conversation: it has an answer that says something. */
export function isAnswered(turn) {
  return ["done", "stopped"].includes(turn.answer?.state) && turn.answer.text.trim() !== "";
}

/** The words before and after an answer that the server is not sure of: {before, after}; null for any other, and for one
 *  that a person checked. */
export function reserveOf({ state, text, sure, confidence, checked }) {
  if (state !== "done" || sure !== false || checked || !text.trim()) return null;
  return { before: "I can't tell; perhaps: ", after: ` (${Math.round(100 * confidence)} %)` };
}

/** An answer in parts: texts, and {picture, region} where it names regions. */
export function answerParts({ text, regions }) {
  const marks = [...text.matchAll(REGION_TEXT)].filter(([mark]) => /\d/.test(mark));
  if (!regions.length || marks.length !== regions.length) return text ? [{ text }] : [];
  const parts = [];
  let end = 0;
  marks.forEach((mark, index) => {
    if (mark.index > end) parts.push({ text: text.slice(end, mark.index) });
    parts.push(regions[index]);
    end = mark.index + mark[0].length;
  });
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** The turns as messages, and the ids of their pictures in the order in which they are shown.
 *
 *  A picture is shown by the first question that needs it: one that points at it, or was asked while it was on the
 *  stage. A question that points nowhere, about another picture than the newest, points at that picture as a whole.
 *  Content parts are {type: "image", picture}, {type: "text"} and {type: "region"}. `answered` parts keep answers'
 *  regions as parts; otherwise they are the text that the model wrote. */
export function conversationOf(turns, { answered = false } = {}) {
  const pictures = [];
  const messages = [];
  let newest = null; // what the model takes a question to be about that points nowhere
  for (const turn of turns) {
    const content = [];
    const pointed = turn.parts.filter((part) => part.text === undefined).map((part) => part.picture);
    for (const id of new Set(pointed.length ? pointed : [turn.picture])) {
      if (id === null || pictures.includes(id)) continue;
      pictures.push(id);
      content.push({ type: "image", picture: id });
      newest = id;
    }
    const regionPart = ({ picture, region }) => ({ type: "region", image: pictures.indexOf(picture), ...region });
    const partOf = (part) => (part.text === undefined ? regionPart(part) : { type: "text", text: part.text });
    content.push(...turn.parts.map(partOf));
    if (!pointed.length && turn.picture !== null && turn.picture !== newest) {
      content.push({ type: "text", text: " " }, regionPart({ picture: turn.picture, region: WHOLE }));
    }
    const question = { role: "user", content };
    messages.push(turn.style ? { ...question, style: turn.style } : question);
    if (!isAnswered(turn)) continue;
    const said = answered ? answerParts(turn.answer).map(partOf) : turn.answer.text;
    messages.push({ role: "assistant", content: said });
  }
  return { pictures, messages };
}
