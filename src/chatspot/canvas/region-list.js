// The regions of a picture: numbered, named, coloured, with undo and redo. An entry is
// {id, number, name, colour, region}; entries and regions are never changed in place, so a state is a list of entries.

import { checkedRegion } from "./geometry.js";

// Seven of the eight of Okabe and Ito, "Color Universal Design" (2008), in the order of chatspot.images.overlay.
export const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#f0e442", "#cc79a7", "#56b4e9", "#e69f00"];
const MOST_STEPS = 200; // that can be undone (our choice)

export class RegionList {
  #states = [[]];
  #at = 0;
  #made = 0; // ids given so far; none is given twice
  #step = null; // what the newest step did, while further ones of its kind may join it

  /** The entries now, oldest first. */
  get entries() {
    return this.#states[this.#at];
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#states.length - 1;
  }

  /** The entry with this id, or null. */
  find(id) {
    return this.entries.find((entry) => entry.id === id) ?? null;
  }

  /** Begin anew with these entries; nothing before can be undone. */
  reset(given = []) {
    const entries = this.#filled(given, []);
    [this.#states, this.#at, this.#step] = [[entries], 0, null];
  }

  /** Replace all entries in one step. */
  replace(given) {
    this.#commit(this.#filled(given, []));
  }

  /** Add an entry; what it lacks (id, number, name, colour) is filled in. Gives back its id. */
  add(given) {
    const entries = this.#filled([given], this.entries);
    this.#commit(entries);
    return entries.at(-1).id;
  }

  /** Change name, colour or region of an entry. Steps in a row with the same `joined` text are one step. */
  change(id, changes, joined = null) {
    const entry = this.find(id);
    if (!entry) throw new RangeError(`there is no region ${id}`);
    const { name = entry.name, colour = entry.colour } = changes;
    const region = changes.region ? frozen(checkedRegion(changes.region)) : entry.region;
    const changed = Object.freeze({ ...entry, name: String(name), colour: checkedColour(colour), region });
    const step = joined && `${joined} ${id}`;
    const entries = this.entries.map((other) => (other === entry ? changed : other));
    if (step && step === this.#step && !this.canRedo) this.#states[this.#at] = entries;
    else this.#commit(entries);
    this.#step = step;
  }

  /** Take an entry away. */
  remove(id) {
    if (!this.find(id)) throw new RangeError(`there is no region ${id}`);
    this.#commit(this.entries.filter((entry) => entry.id !== id));
  }

  /** One step back; false where there is none. */
  undo() {
    return this.#go(-1);
  }

  /** One step forth again; false where there is none. */
  redo() {
    return this.#go(1);
  }

  #go(way) {
    const there = this.#at + way;
    if (there < 0 || there >= this.#states.length) return false;
    [this.#at, this.#step] = [there, null];
    return true;
  }

  #commit(entries) {
    this.#states = [...this.#states.slice(0, this.#at + 1), entries].slice(-MOST_STEPS - 1);
    [this.#at, this.#step] = [this.#states.length - 1, null];
  }

  #filled(given, before) {
    const entries = [...before];
    for (const { id, number, name = "", colour, region } of given) {
      if (entries.some((entry) => entry.id === id)) throw new RangeError(`there is a region ${id} already`);
      const next = number ?? Math.max(0, ...entries.map((entry) => entry.number)) + 1;
      entries.push(
        Object.freeze({
          id: String(id ?? this.#newId(given, entries)),
          number: next,
          name: String(name),
          colour: checkedColour(colour ?? COLOURS[(next - 1) % COLOURS.length]),
          region: frozen(checkedRegion(region)),
        }),
      );
    }
    return entries;
  }

  #newId(given, entries) {
    for (;;) {
      this.#made += 1;
      const id = `r${this.#made}`;
      if (![...given, ...entries, ...this.entries].some((entry) => entry.id === id)) return id;
    }
  }
}

/** A colour as #rrggbb in small letters; TypeError for anything else. */
export function checkedColour(colour) {
  if (!/^#[0-9a-f]{6}$/i.test(colour)) throw new TypeError(`a colour is #rrggbb, got ${JSON.stringify(colour)}`);
  return colour.toLowerCase();
}

function frozen(value) {
  if (value && typeof value === "object") Object.values(Object.freeze(value)).forEach(frozen);
  return value;
}
