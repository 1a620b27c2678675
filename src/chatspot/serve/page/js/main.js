// The page: puts its parts together.

import { TOOLS } from "/static/canvas/tools.js";

import { Asking } from "./asking.js";
import { photographed } from "./camera.js";
import { Composer } from "./composer.js";
import { at, h, note, say } from "./dom.js";
import { Drawer } from "./drawer.js";
import { listenToFiles } from "./files.js";
import { drawHint } from "./hint.js";
import { Keeping } from "./keeping.js";
import { listenToKeys } from "./keys.js";
import { EXAMPLES, dataUrl, prepared } from "./pictures.js";
import { Server } from "./server.js";
import { MOST_PICTURES, answerParts, pictureNumber, pictureOf, reserveOf, tidied, titleOf } from "./session.js";
import { Stage } from "./stage.js";
import { offerModesty, offerThemes, showState } from "./state.js";
import { Thread, answerLabel } from "./thread.js";

const server = new Server();
const keeping = new Keeping();
const drawer = new Drawer(keeping);
const stage = new Stage();
const several = (id) => (keeping.session.pictures.length > 1 ? pictureNumber(keeping.session, id) : 0);
const composer = new Composer(at("question"), several);
const thread = new Thread({ list: at("turns"), scroller: at("thread"), latest: at("latest"), session: () => keeping.session });
const urls = new Map(); // pictures as `data:` URLs, by id, made when they are first asked about
const asking = new Asking(server, { blobUrl, show: showTurn, grow: (turn) => thread.grow(turn) });
let lastAct = "text"; // what the question's undo takes back first: "text" or "picture"
let pointedAt = null; // {turn, part} under the pointer in the thread

async function blobUrl(id) {
  if (!urls.has(id)) urls.set(id, await dataUrl(keeping.blobs.get(id)));
  return urls.get(id);
}

// ---- the session

function changed() {
  keeping.changed();
  at("session-title").textContent = titleOf(keeping.session);
}

async function showSession() {
  const { session, blobs } = keeping;
  asking.stop();
  urls.clear();
  await stage.hold(session.pictures, blobs, session.current);
  composer.parts = session.draft.filter((part) => part.text !== undefined || chipOf(part.picture, part.id));
  thread.showAll();
  at("session-title").textContent = titleOf(session);
  showHint();
  showAnswers();
  allowAsking();
}

drawer.addEventListener("opened", showSession);

// ---- pictures

async function openFiles(files) {
  const sessions = files.filter(({ name }) => /\.(zip|jsonl)$/i.test(name));
  if (sessions.length) return drawer.read(files);
  for (const file of files) await openPicture(file, file.name || "Picture");
}

/** Open a picture; `begin` is an example's first region and question. */
async function openPicture(blob, name, begin = null) {
  const { session } = keeping;
  if (session.pictures.length === MOST_PICTURES) {
    note(`A session holds ${MOST_PICTURES} pictures: remove one, or begin a new session.`);
    return;
  }
  try {
    const { blob: plain, ...facts } = await prepared(blob);
    const picture = { id: crypto.randomUUID(), name, ...facts, regions: [] };
    await keeping.addBlob(picture.id, plain);
    session.pictures.push(picture);
    await stage.hold(session.pictures, keeping.blobs, picture.id);
    if (begin) {
      const [left, top, right, bottom] = begin.box;
      const [width, height] = begin.size;
      const id = stage.canvas.add({ region: { box: [left / width, top / height, right / width, bottom / height] } });
      composer.parts = [{ text: begin.ask[0] }, chipOf(picture.id, id), { text: begin.ask[1] }];
    }
    session.turns.forEach(thread.show, thread); // chips name their picture from the second one on
    refreshChips();
    changed();
    showHint();
    allowAsking();
    say(`${name} opened, ${facts.width} by ${facts.height} pixels`);
    stage.canvas.focus();
    if (begin) goOnWriting();
  } catch (error) {
    note(`${name}: ${error.message}`);
  }
}

async function closePicture(id) {
  const { session } = keeping;
  if (session.turns.some((turn) => turn.picture === id || turn.parts.some(({ picture }) => picture === id))) {
    note("Turns of this conversation are about this picture: remove them first, or begin a new session.");
    return;
  }
  session.pictures = session.pictures.filter((picture) => picture.id !== id);
  await stage.hold(session.pictures, keeping.blobs, stage.current);
  session.turns.forEach(thread.show, thread);
  refreshChips();
  changed();
}

async function useCamera() {
  const taken = await photographed();
  if (taken === "file") at("file-camera").click();
  else if (taken) openPicture(taken, "Photo");
}

const choose = () => at("file").click();

for (const input of [at("file"), at("file-camera")]) {
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    openFiles(files);
  });
}
document.querySelector('[data-do="choose"]').addEventListener("click", choose);
document.querySelector('[data-do="camera"]').addEventListener("click", useCamera);
at("examples").append(...EXAMPLES.map((example) => {
  const open = async () => openPicture(await (await fetch(`/static/examples/${example.file}`)).blob(), example.title, example);
  return h("li", {}, h("button", { type: "button", class: "example", click: open },
    h("img", { src: `/static/examples/${example.file}`, alt: "", width: example.size[0], height: example.size[1] }),
    h("span", {}, example.title)));
})); // prettier-ignore

listenToFiles(at("stage"), openFiles);
composer.addEventListener("files", ({ detail }) => openFiles(detail.files));

// ---- regions and chips

/** A region as a chip, as it is now; null when there is none. */
function chipOf(picture, id) {
  const entry = pictureOf(keeping.session, picture)?.regions.find((other) => other.id === id);
  return entry ? { picture, ...entry } : null;
}

function refreshChips() {
  composer.refresh(({ picture, id }) => chipOf(picture, id));
}

function insertChip(picture, id) {
  const chip = chipOf(picture, id);
  if (chip) composer.insert(chip);
}

stage.addEventListener("regions", ({ detail }) => {
  refreshChips();
  lastAct = "picture";
  for (const turn of keeping.session.turns) {
    if (turn.parts.some(({ picture }) => picture === detail.picture) && turn.answer?.state !== "streaming") thread.show(turn);
  }
  showHint();
  changed();
});
stage.addEventListener("draw", ({ detail }) => {
  insertChip(detail.picture, detail.id);
  lastAct = "picture";
  if (detail.kind === "mouse") composer.focus(); // a finger would call the keyboard up; keys go on drawing
});
stage.addEventListener("ask", ({ detail }) => {
  insertChip(detail.picture, detail.id);
  composer.focus();
});
stage.addEventListener("show", ({ detail }) => {
  keeping.session.current = detail.picture;
  const number = several(detail.picture);
  if (number) say(`Picture ${number} of ${keeping.session.pictures.length}`);
  showAnswers();
  keeping.changed();
});
stage.addEventListener("close", ({ detail }) => closePicture(detail.picture));
stage.addEventListener("add", choose);

composer.addEventListener("chip", ({ detail: { picture, id, how } }) => {
  if (how === "press") {
    stage.show(picture);
    stage.canvas.selected = id;
  } else stage.light(picture, how === "over" ? id : null);
});
composer.addEventListener("mention", ({ detail }) => {
  const regions = pictureOf(keeping.session, stage.current)?.regions ?? [];
  const longer = regions.some(({ number }) => number >= detail.number * 10 && number < detail.number * 10 + 10);
  const named = regions.find(({ number }) => number === detail.number);
  if (named && !longer) detail.use({ picture: stage.current, ...named });
});

thread.addEventListener("chip", ({ detail: { turn, part, how } }) => {
  pointedAt = how === "out" ? null : { turn, part };
  if (how === "press") stage.show(part.picture);
  const now = part.id && chipOf(part.picture, part.id);
  const same = now && JSON.stringify(now.region) === JSON.stringify(part.region);
  if (same) {
    pointedAt = null;
    stage.light(part.picture, how === "out" ? null : part.id);
  }
  showAnswers();
});
thread.addEventListener("picture", ({ detail }) => stage.show(detail.picture));

/** Draw the newest answer's regions, those of an answer that is pointed at, and a region as it was asked about. */
function showAnswers() {
  const accent = "#8f7dff"; // the page's accent, light enough on any photo
  const newest = keeping.session.turns.at(-1);
  const turn = pointedAt && !pointedAt.part.id ? pointedAt.turn : newest;
  const named = turn?.answer ? answerParts(turn.answer).filter((part) => part.text === undefined) : [];
  const drawn = named.map((part, place) => {
    const lit = pointedAt && JSON.stringify(pointedAt.part.region) === JSON.stringify(part.region);
    return { ...part, label: answerLabel(place), lit };
  });
  if (pointedAt?.part.id) drawn.push({ ...pointedAt.part, label: `${pointedAt.part.number} as asked`, lit: true });
  stage.showAnswers(drawn, accent);
}

// ---- asking

function allowAsking() {
  const { busy } = asking;
  at("send").hidden = busy;
  at("stop").hidden = !busy;
  at("send").disabled = composer.empty || !keeping.session.pictures.length;
  at("question").dataset.placeholder = keeping.session.pictures.length ? "Ask about the picture" : "Open a picture, then ask";
}

function showTurn(turn) {
  if (!keeping.session.turns.includes(turn)) return; // another session is open by now
  thread.show(turn);
  if (turn.answer.state === "done" || turn.answer.state === "failed") showAnswers();
  allowAsking();
}

async function ask() {
  const { session } = keeping;
  const parts = tidied(composer.parts);
  if (asking.busy || !parts.length) return;
  if (!session.pictures.length) {
    note("Open a picture first.");
    return;
  }
  const style = new FormData(at("composer")).get("style");
  const turn = { id: crypto.randomUUID(), picture: stage.current, parts, style, answer: null };
  session.turns.push(turn);
  composer.clear();
  goOnWriting();
  thread.toEnd();
  showHint();
  say("Asked");
  await answer(turn);
}

/** The focus goes to the question, unless that would call up a keyboard on the screen. */
function goOnWriting() {
  if (!matchMedia("(pointer: coarse)").matches) composer.focus();
}

async function answer(turn) {
  const { session } = keeping;
  const turns = session.turns.slice(0, session.turns.indexOf(turn));
  await asking.answer([...turns.filter(({ answer }) => answer && answer.state !== "failed" && answer.text.trim()), turn], turn);
  if (session !== keeping.session) return;
  session.turns.slice(0, -1).forEach(thread.show, thread); // only the newest answer can be asked again
  allowAsking();
  changed();
  keeping.now();
  const { state, text, error } = turn.answer;
  const { before = "", after = "" } = (thread.modest && reserveOf(turn.answer)) || {};
  say(state === "failed" ? error : `Answer: ${before}${text}${after}`);
  if (turn.answer.code === "invalid_api_key") await askForKey(turn);
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
composer.addEventListener("submit", ask);
composer.addEventListener("recall", () => {
  const last = keeping.session.turns.at(-1);
  if (last) composer.parts = last.parts.filter((part) => part.text !== undefined || chipOf(part.picture, part.id));
  allowAsking();
});
composer.addEventListener("change", () => {
  if (composer.focused) lastAct = "text";
  keeping.session.draft = composer.parts;
  allowAsking();
  keeping.changed();
});
at("stop").addEventListener("click", () => {
  asking.stop();
  goOnWriting();
});
thread.addEventListener("retry", ({ detail }) => asking.busy || answer(detail.turn));
thread.addEventListener("check", ({ detail: { turn, right } }) => {
  turn.answer.checked = right ? "right" : null;
  thread.show(turn);
  changed();
  say(right ? "Marked as right" : "No longer marked");
});
thread.addEventListener("correct", ({ detail: { turn, text } }) => {
  const { answer: given } = turn;
  Object.assign(given, { was: given.was ?? given.text, text, checked: "corrected", state: "done", finish: null });
  given.regions = answerParts(given).filter((part) => part.text === undefined);
  thread.show(turn);
  showAnswers();
  changed();
  say("Corrected");
});
thread.addEventListener("remove", ({ detail }) => {
  if (asking.busy) return;
  const { session } = keeping;
  session.turns = session.turns.filter(({ id }) => id !== detail.turn.id);
  thread.showAll();
  showAnswers();
  showHint();
  changed();
  goOnWriting();
});

/** The server wants a key: ask for it, and then for the answer again. */
function askForKey(turn) {
  const dialog = at("key");
  at("key-value").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  at("key-form").onsubmit = () => {
    server.key = at("key-value").value;
    try {
      sessionStorage.setItem("chatspot.key", server.key);
    } catch {
      // it is asked for again after a reload
    }
    answer(turn);
  };
}

// ---- hints, dialogs, keys

function showHint() {
  drawHint(keeping.session, suggest);
}

function suggest(text) {
  const chips = tidied(composer.parts).filter((part) => part.text === undefined);
  const last = pictureOf(keeping.session, stage.current)?.regions.at(-1);
  const named = chips.length ? chips : last && text !== "Describe the image." ? [chipOf(stage.current, last.id)] : [];
  composer.parts = [{ text: named.length ? `${text} ` : text }, ...named.flatMap((chip) => [chip, { text: " " }])];
  composer.focus();
  allowAsking();
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog || target.closest("[data-close]")) dialog.close(); // beside it is on the dialog's own backdrop
  });
}
at("open-help").addEventListener("click", () => at("help").showModal());

listenToKeys({
  open: choose,
  camera: useCamera,
  question: () => composer.focus(),
  escape: () => {
    if (asking.busy) asking.stop();
    else stage.canvas?.focus();
  },
  turn: (way) => stage.turn(way),
  undo: () => stage.canvas?.undo(),
  redo: () => stage.canvas?.redo(),
  help: () => at("help").showModal(),
  chip: (number) => {
    const entry = pictureOf(keeping.session, stage.current)?.regions.find((other) => other.number === number);
    if (entry) insertChip(stage.current, entry.id);
    composer.focus();
  },
  tool: (letter) => {
    const found = TOOLS.find(({ key }) => key.toLowerCase() === letter);
    return found && stage.canvas ? () => (stage.choose(found.tool), stage.canvas.focus()) : null;
  },
});
at("question").addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || !["z", "y"].includes(event.key.toLowerCase())) return;
  event.preventDefault();
  const again = event.shiftKey || event.key.toLowerCase() === "y";
  const target = lastAct === "picture" && (again ? stage.canvas?.canRedo : stage.canvas?.canUndo) ? stage.canvas : composer;
  if (again) target.redo();
  else target.undo();
  refreshChips();
});

// ---- begin

offerThemes();
showState(server);
try {
  server.key = sessionStorage.getItem("chatspot.key");
} catch {
  // a browser that keeps nothing
}
await keeping.begin();
offerModesty((modest) => {
  thread.modest = modest;
  thread.showAll();
});
await showSession();
await server.watch();
