// The session that is open, the pictures' bytes, and keeping both.

import { note } from "./dom.js";
import { newSession } from "./session.js";
import { Store } from "./store.js";

const SOON_MS = 300; // after a change, until it is kept
const LAST = "chatspot.session"; // the session that this browser had open last

export class Keeping {
  session = newSession();
  blobs = new Map(); // of the open session's pictures, by id
  #store = null;
  #timer = 0;
  #saving = Promise.resolve();

  /** Open the store, and the session that was open last. */
  async begin() {
    this.#store = await Store.open();
    if (!this.#store) note("This browser keeps nothing: sessions end with this tab.");
    const last = readSetting(LAST);
    const found = (await this.all()).find(({ id }) => id === last);
    if (found) await this.#load(found);
    addEventListener("pagehide", () => this.now());
  }

  /** All kept sessions, the newest change first. */
  async all() {
    return (await this.#store?.sessions()) ?? [];
  }

  /** Open a session instead of this one. */
  async switchTo(session, blobs = null) {
    await this.now();
    if (blobs) {
      [this.session, this.blobs] = [session, blobs];
      for (const [id, blob] of blobs) await this.addBlob(id, blob);
      this.changed();
    } else await this.#load(session);
    writeSetting(LAST, session.id);
  }

  async #load(session) {
    const blobs = new Map();
    for (const { id } of session.pictures) {
      const blob = await this.#store?.picture(id);
      if (blob) blobs.set(id, blob);
    }
    session.pictures = session.pictures.filter(({ id }) => blobs.has(id));
    for (const { answer } of session.turns.filter((turn) => ["waiting", "streaming"].includes(turn.answer?.state))) {
      answer.state = answer.text ? "stopped" : "failed"; // the page was left meanwhile
      answer.error = "Not answered.";
    }
    [this.session, this.blobs] = [session, blobs];
  }

  /** Keep a picture's bytes. */
  async addBlob(id, blob) {
    this.blobs.set(id, blob);
    await this.#guarded(() => this.#store?.savePicture(id, blob));
  }

  /** The session changed: keep it soon. */
  changed() {
    this.session.changed = Date.now();
    this.#timer ||= setTimeout(() => this.now(), SOON_MS); // changes that go on do not put it off
  }

  /** Keep it now. An empty session is not kept. */
  now() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { session } = this;
    if (session.pictures.length + session.turns.length === 0) return this.#saving;
    writeSetting(LAST, session.id);
    const kept = structuredClone(session);
    this.#saving = this.#saving.then(() => this.#guarded(() => this.#store?.save(kept)));
    return this.#saving;
  }

  /** Forget a session. */
  async remove(session) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    await this.#saving;
    await this.#guarded(() => this.#store?.remove(session));
  }

  async #guarded(act) {
    try {
      await act();
    } catch (error) {
      note(error?.name === "QuotaExceededError" ? "This browser's room for sessions is full: export some and delete them."
        : "This session could not be kept in the browser."); // prettier-ignore
    }
  }
}

/** A small setting of this browser, or null. */
export function readSetting(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Keep a small setting, where the browser lets us. */
export function writeSetting(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // it keeps nothing
  }
}
