// The drawer of sessions: begin, open, name, delete, import and export.

import { archiveName, exported, imported, trainedTurns } from "./archive.js";
import { at, h, iconButton, note } from "./dom.js";
import { prepared } from "./pictures.js";
import { newSession, titleOf } from "./session.js";

/** Fires "opened" when another session is open. */
export class Drawer extends EventTarget {
  #keeping;
  #dialog = at("sessions");

  constructor(keeping) {
    super();
    this.#keeping = keeping;
    at("open-sessions").addEventListener("click", () => this.show());
    at("session-name").addEventListener("input", ({ target }) => {
      keeping.session.title = target.value.trim();
      this.#changed();
    });
    at("new-session").addEventListener("click", () => this.open(newSession(), new Map()));
    at("export").addEventListener("click", () => this.save());
    at("import").addEventListener("click", () => at("file-import").click());
    at("file-import").addEventListener("change", ({ target }) => {
      this.read([...target.files]);
      target.value = "";
    });
  }

  #changed() {
    this.#keeping.changed();
    at("session-title").textContent = titleOf(this.#keeping.session);
  }

  /** Show the drawer. */
  async show() {
    if (this.#dialog.open) return;
    await this.#keeping.now();
    await this.#list();
    if (this.#dialog.open) return; // asked for twice
    const { session } = this.#keeping; // from here on at once: what a person sets in the drawer stays
    at("session-name").value = session.title;
    at("session-name").placeholder = titleOf(session);
    const [checked, all] = [trainedTurns(session, true).length, trainedTurns(session, false).length];
    at("checked-only-label").hidden = !all;
    at("checked-only").checked = checked > 0;
    at("checked-only").disabled = !checked;
    at("checked-count").textContent = `(${checked} of ${all})`;
    at("export").disabled = !session.pictures.length;
    this.#dialog.showModal();
  }

  async #list() {
    const sessions = await this.#keeping.all();
    at("session-list").replaceChildren(...sessions.map((session) => this.#item(session)));
  }

  #item(session) {
    const open = session.id === this.#keeping.session.id;
    const many = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
    const facts = [many(session.pictures.length, "picture"), many(session.turns.length, "question"), dayOf(session.changed)];
    const choose = h("button", { type: "button", class: "session", "aria-current": String(open), click: () => this.open(session) },
      h("span", { class: "clip" }, titleOf(session)), h("span", { class: "soft" }, facts.join(" · "))); // prettier-ignore
    let sure = false;
    const bin = iconButton("bin", `Delete ${titleOf(session)}`, async () => {
      if (!sure) {
        sure = true;
        bin.replaceChildren("Delete?");
        bin.classList.add("danger");
        bin.classList.remove("square");
        return;
      }
      await this.#keeping.remove(session);
      if (open) await this.open(newSession(), new Map(), { stay: true });
      await this.#list();
      at("new-session").focus();
    });
    return h("li", { class: "row" }, choose, bin);
  }

  /** Open a kept session, or one that is new with its pictures' bytes. */
  async open(session, blobs = null, { stay = false } = {}) {
    await this.#keeping.switchTo(session, blobs);
    if (!stay) this.#dialog.close();
    at("session-title").textContent = titleOf(this.#keeping.session);
    this.dispatchEvent(new CustomEvent("opened"));
  }

  /** Save the open session as a file. */
  async save() {
    const { session, blobs } = this.#keeping;
    const zip = await exported(session, blobs, { checkedOnly: at("checked-only").checked });
    const address = URL.createObjectURL(zip);
    h("a", { href: address, download: archiveName(session) }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  /** Open a session from files: a zip, or a .jsonl file with its pictures. */
  async read(files) {
    try {
      const { session, blobs, faults } = await imported(files, prepared);
      await this.open(session, blobs);
      if (faults.length) note(`${faults[0]}${faults.length > 1 ? ` And ${faults.length - 1} more of this kind.` : ""}`);
    } catch (error) {
      note(error.message);
    }
  }
}

function dayOf(time) {
  const date = new Date(time);
  const today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }) : date.toLocaleDateString();
}
