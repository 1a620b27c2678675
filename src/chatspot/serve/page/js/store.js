// Sessions in this browser: IndexedDB, on this machine alone. Where the browser keeps nothing (a private window), the
// page works all the same, and says so.

const NAME = "chatspot";
const STORES = ["sessions", "pictures"]; // a session without its pictures' bytes; the bytes, by a picture's id

export class Store {
  #base;

  constructor(base) {
    this.#base = base;
  }

  /** The store, or null where the browser keeps nothing. */
  static async open() {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name, { keyPath: "id" }));
      const base = await settled(request);
      base.onversionchange = () => base.close();
      return new Store(base);
    } catch {
      return null;
    }
  }

  /** All sessions, the one that changed last first. */
  async sessions() {
    const found = await settled(this.#base.transaction("sessions").objectStore("sessions").getAll());
    return found.sort((a, b) => b.changed - a.changed);
  }

  /** Keep a session as it is now. */
  save(session) {
    return this.#write("sessions", (store) => store.put(session));
  }

  /** Keep a picture's bytes. */
  savePicture(id, blob) {
    return this.#write("pictures", (store) => store.put({ id, blob }));
  }

  /** A picture's bytes, or null. */
  async picture(id) {
    return (await settled(this.#base.transaction("pictures").objectStore("pictures").get(id)))?.blob ?? null;
  }

  /** Forget a session and its pictures. */
  async remove(session) {
    await this.#write("sessions", (store) => store.delete(session.id));
    await this.#write("pictures", (store) => session.pictures.forEach(({ id }) => store.delete(id)));
  }

  #write(name, act) {
    const transaction = this.#base.transaction(name, "readwrite");
    act(transaction.objectStore(name));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  }
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error ?? new Error("the store is blocked"));
  });
}
