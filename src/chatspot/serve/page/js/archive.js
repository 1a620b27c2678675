// A session as region JSON lines (chatspot.data.records): in a zip, `session.jsonl` and the pictures that it names.
//
// A line for each picture: its regions in pixels, a region's name as `label`. Then the dialogue, whose answers are the
// truth to train on: {"id", "source", "task", "images", "conversation"}, as `chatspot train instruct --data` reads it.
// The first picture's line also has the field `session`, which readers of training data pass over: all turns as the page
// has them, unchecked answers too. Masks and scribbles stand in `drawn` as they were, since a record's mask has the
// picture's size and a record has no scribbles.

import { bounds, checkedRegion, formOf, fraction } from "/static/canvas/geometry.js";
import { bitmapOf, runsOf } from "/static/canvas/mask.js";
import { COLOURS } from "/static/canvas/region-list.js";

import { MOST_PICTURES, conversationOf, isAnswered, newSession, tidied, titleOf } from "./session.js";
import { unzipped, zipped } from "./zip.js";

const LINES = "session.jsonl";
const MOST_RUNS = 20_000; // as chatspot.regions.shapes
const ENDINGS = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp" };

// ---- out

/** The turns that an export trains on: all that are answered, or those whose answer was checked. */
export function trainedTurns(session, checkedOnly) {
  return session.turns.filter((turn) => isAnswered(turn) && (turn.answer.checked || !checkedOnly));
}

/** The zip of a session. `blobs` are the pictures' bytes by id. */
export function exported(session, blobs, { checkedOnly }) {
  const names = new Map(session.pictures.map((picture, at) => [picture.id, fileName(picture, at + 1)]));
  const lines = linesOf(session, names, checkedOnly).map((line) => JSON.stringify(line)).join("\n");
  const pictures = session.pictures.map(({ id }) => [names.get(id), blobs.get(id)]);
  return zipped([[LINES, new Blob([lines, "\n"])], ...pictures]);
}

/** What to call the zip. */
export function archiveName(session) {
  const plain = titleOf(session).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return `chatspot-${plain.slice(0, 40) || "session"}.zip`;
}

function fileName({ name, type }, number) {
  const plain = name.replace(/\.[a-z0-9]+$/i, "").replace(/[^\w-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40);
  return `pictures/${number}${plain && `-${plain}`}.${ENDINGS[type] ?? "jpg"}`;
}

function linesOf(session, names, checkedOnly) {
  const lines = session.pictures.map((picture) => {
    const { id, width, height } = picture;
    return { id, image: names.get(id), width, height, title: picture.name, regions: picture.regions.map((entry) => recorded(entry, picture)) };
  });
  const { title, created, turns } = session;
  if (lines.length) lines[0].session = { version: 1, title, created, turns: turns.filter(isAnswered) };
  const told = conversationOf(trainedTurns(session, checkedOnly), { answered: true });
  if (told.messages.length) {
    const conversation = told.messages.map(({ role, content, ...style }) => {
      return { role, content: content.map((part) => (part.type === "image" ? { type: "image" } : part)), ...style };
    });
    lines.push({ id: session.id, source: "session", task: "dialogue", images: told.pictures.map((id) => names.get(id)), conversation });
  }
  return lines;
}

/** A region in a record's form: pixels of the picture. */
function recorded({ id, number, name, colour, region }, { width, height }) {
  const px = ([x, y]) => [Math.round(x * width * 1e6) / 1e6, Math.round(y * height * 1e6) / 1e6];
  const form = formOf(region);
  const [x1, y1, x2, y2] = bounds(region);
  const box = { box: [...px([x1, y1]), ...px([x2, y2])] };
  const written = {
    box: () => box,
    point: () => ({ point: px(region.point) }),
    polygon: () => ({ polygon: region.polygon.map(px) }),
    mask: () => ({ ...box, ...grown(region.mask, width, height), drawn: region }),
    scribble: () => ({ ...box, drawn: region }),
  }[form]();
  return { ...written, ...(name && { label: name }), id, number, colour };
}

/** A mask at the picture's size, nearest pixels; nothing where that has too many runs: the box stands for it then. */
function grown(mask, width, height) {
  const [wide, high] = mask.size_wh;
  const small = bitmapOf(mask);
  const large = new Uint8Array(width * height);
  for (let x = 0; x < width; x += 1) {
    const column = Math.floor(((x + 0.5) * wide) / width) * high;
    for (let y = 0; y < height; y += 1) large[x * height + y] = small[column + Math.floor(((y + 0.5) * high) / height)];
  }
  const runs = runsOf(large);
  return runs.length > 1 && runs.length <= MOST_RUNS ? { mask: { counts: runs, size_wh: [width, height] } } : {};
}

// ---- in

/** {session, blobs, faults} of files: a zip, or a .jsonl file with its pictures. `faults` are texts for people. Throws
 *  Error where there is no session in them. */
export async function imported(files, prepared) {
  let found = new Map(files.map((file) => [file.name, file]));
  const zip = files.find((file) => /\.zip$/i.test(file.name));
  if (zip) found = await unzipped(zip);
  const name = [...found.keys()].filter((path) => /\.jsonl$/i.test(path)).sort((a, b) => a.length - b.length)[0];
  if (!name) throw new Error("There is no .jsonl file in it: expected region JSON lines and their pictures.");
  const reading = new Reading(found, name.includes("/") ? name.slice(0, name.lastIndexOf("/") + 1) : "", prepared);
  const lines = (await found.get(name).text()).split("\n");
  for (const [at, line] of lines.entries()) if (line.trim()) await reading.line(line, at + 1);
  return reading.finished();
}

class Reading {
  session = newSession();
  blobs = new Map();
  faults = [];
  #files;
  #folder;
  #prepared;
  #ids = new Map(); // of pictures: by the name in the file, and by the id that they had there
  #kept = null;
  #dialogues = [];
  #left = 0;

  constructor(files, folder, prepared) {
    [this.#files, this.#folder, this.#prepared] = [files, folder, prepared];
  }

  async line(text, number) {
    try {
      const entry = JSON.parse(text);
      if (entry.conversation ?? entry.messages) this.#dialogues.push(entry);
      else await this.#picture(entry);
    } catch (error) {
      this.faults.push(`Line ${number}: ${error.message}`);
    }
  }

  async #picture({ image, regions = [], id, title, session }) {
    const own = await this.#open(image, title);
    if (!own) return;
    if (typeof id === "string") this.#ids.set(id, own.id);
    for (const given of regions) {
      try {
        this.#addRegion(own, given);
      } catch (error) {
        this.faults.push(`A region of ${image}: ${error.message}`);
      }
    }
    if (session?.version === 1) this.#kept = session;
  }

  /** The picture of a name in the file, opened once; null when there are enough. */
  async #open(name, title) {
    if (typeof name !== "string") throw new Error("expected a picture's name in `image`");
    if (this.#ids.has(name)) return this.session.pictures.find(({ id }) => id === this.#ids.get(name));
    if (this.session.pictures.length === MOST_PICTURES) {
      this.#left += 1;
      return null;
    }
    const base = name.slice(name.lastIndexOf("/") + 1);
    const file = this.#files.get(this.#folder + name) ?? this.#files.get(name) ?? this.#files.get(base);
    if (!file) throw new Error(`the picture ${name} did not come with it`);
    const type = { png: "image/png", webp: "image/webp" }[base.split(".").at(-1).toLowerCase()] ?? "image/jpeg";
    const { blob, ...facts } = await this.#prepared(new Blob([file], { type }));
    const picture = { id: crypto.randomUUID(), name: typeof title === "string" ? title : base, ...facts, regions: [] };
    this.session.pictures.push(picture);
    this.blobs.set(picture.id, blob);
    this.#ids.set(name, picture.id);
    return picture;
  }

  #addRegion(picture, { box, polygon, point, mask, drawn, label, text, number, colour, id }) {
    const { width, height, regions } = picture;
    const place = ([x, y]) => [fraction(x / width), fraction(y / height)];
    const form = drawn ?? (polygon ? { polygon: polygon.map(place) } : mask ? { mask } : point ? { point: place(point) }
      : box ? { box: [...place(box.slice(0, 2)), ...place(box.slice(2))] } : {}); // prettier-ignore
    const region = checkedRegion(form);
    const next = Math.max(0, ...regions.map((entry) => entry.number)) + 1;
    const free = (given, key) => given !== undefined && !regions.some((entry) => entry[key] === given);
    regions.push({
      id: typeof id === "string" && free(id, "id") ? id : `i${next}`,
      number: Number.isInteger(number) && number > 0 && free(number, "number") ? number : next,
      name: String(label ?? text ?? ""),
      region,
      colour: /^#[0-9a-f]{6}$/i.test(colour) ? colour : COLOURS[(next - 1) % COLOURS.length],
    });
    return regions.at(-1);
  }

  async finished() {
    if (this.#kept) this.#restore(this.#kept);
    else for (const dialogue of this.#dialogues) await this.#dialogue(dialogue).catch((error) => this.faults.push(error.message));
    const { session, blobs, faults } = this;
    if (!session.pictures.length) throw new Error(faults[0] ?? "There is no picture in it.");
    session.current = session.pictures[0].id;
    if (this.#left) faults.push(`A session holds ${MOST_PICTURES} pictures: ${this.#left} more were left out.`);
    return { session, blobs, faults };
  }

  /** The turns as this page had written them. */
  #restore({ title, created, turns }) {
    this.session.title = String(title ?? "");
    if (Number.isFinite(created)) this.session.created = created;
    for (const turn of turns ?? []) {
      try {
        this.session.turns.push(this.#turn(turn));
      } catch (error) {
        this.faults.push(`A turn was left out: ${error.message}`);
      }
    }
  }

  #turn({ parts, picture, style, answer }) {
    const partOf = (part) => (part.text === undefined ? { ...chipOf(part), picture: this.#idOf(part.picture) } : { text: String(part.text) });
    const regions = (answer.regions ?? []).map(({ picture: id, region }) => ({ picture: this.#idOf(id), region: checkedRegion(region) }));
    return turnOf({
      parts: tidied(parts.map(partOf)),
      picture: this.#idOf(picture),
      style,
      answer: { ...answer, text: String(answer.text), regions },
    });
  }

  #idOf(id) {
    const found = this.#ids.get(id);
    if (!found) throw new Error("it is about a picture that is not there");
    return found;
  }

  /** A dialogue that something else wrote: its regions are put on the pictures. */
  async #dialogue({ images = [], conversation, messages }) {
    const pictures = [];
    for (const name of images) pictures.push(await this.#open(name));
    const chip = ({ image = 0, type, ...region }) => this.#chipAt(pictures[image], region, type);
    let shown = -1;
    let question = null;
    for (const { role, content, style } of conversation ?? messages) {
      const given = typeof content === "string" ? [{ type: "text", text: content }] : content;
      shown += given.filter(({ type }) => type === "image").length;
      const parts = given.filter(({ type }) => type !== "image").map((part) => (part.type === "text" ? { text: part.text } : chip(part)));
      if (role === "user") question = { parts: tidied(parts), picture: pictures[Math.max(shown, 0)]?.id ?? null, style };
      if (role !== "assistant" || !question) continue;
      const text = parts.map((part) => part.text ?? "<box>0</box>").join(""); // marks where regions stand
      const regions = parts.filter((part) => part.text === undefined).map(({ picture, region }) => ({ picture, region }));
      this.session.turns.push(turnOf({ ...question, answer: { text, regions } }));
      question = null;
    }
  }

  #chipAt(picture, region) {
    if (!picture) throw new Error("A dialogue points at a picture that is not there.");
    const same = (entry) => JSON.stringify(entry.region) === JSON.stringify(checkedRegion(region));
    const entry = picture.regions.find(same) ?? this.#addRegion(picture, { drawn: region });
    return chipOf({ ...entry, picture: picture.id });
  }
}

function chipOf({ picture, id, number, name, colour, region }) {
  const ink = /^#[0-9a-f]{6}$/i.test(colour) ? colour : "#808080";
  return { picture, id: String(id), number: Number(number) || 0, name: String(name ?? ""), colour: ink, region: checkedRegion(region) };
}

function turnOf({ parts, picture, style, answer: { text, regions, checked, was, state, confidence, sure } }) {
  if (!parts.length) throw new Error("it asks nothing");
  return {
    id: crypto.randomUUID(),
    picture,
    parts,
    style: style === "long" ? "long" : "short",
    answer: {
      text,
      regions,
      state: state === "stopped" ? "stopped" : "done",
      checked: ["right", "corrected"].includes(checked) ? checked : null,
      was: typeof was === "string" ? was : null,
      confidence: Number.isFinite(confidence) ? confidence : null,
      sure: typeof sure === "boolean" ? sure : null,
    },
  };
}
