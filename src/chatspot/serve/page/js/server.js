// The server of this page: whether it is there, and answers as they come.

const SOON_MS = 1500; // between two looks while the model is not ready
const LATER_MS = 15_000;
const PATIENCE_MS = 8000; // for a look

/** What went wrong with a question. `code` is the API's own, or "gone" when there was no server to ask. */
export class AskError extends Error {
  constructor(code, message, { status = 0, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { code, status, retryAfter });
  }

  /** Whether the same question may be answered a moment later. */
  get passing() {
    return ["gone", "queue_full", "memory_full", "model_loading", "shutting_down"].includes(this.code);
  }
}

/** Fires "state" when it changes: "connecting", "loading", "ready", "failed", "closing" or "gone". */
export class Server extends EventTarget {
  state = "connecting";
  model = null;
  version = "";
  key = null;
  #timer = 0;

  /** Begin to look, now and then, whether the server is there. */
  watch() {
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    addEventListener("online", () => this.look());
    return this.look();
  }

  /** Look now. */
  async look() {
    clearTimeout(this.#timer);
    let found = { status: "gone" };
    try {
      const response = await fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      found = await response.json();
    } catch {
      // nobody there
    }
    this.#become(found.status, found);
    this.#timer = setTimeout(() => this.look(), found.status === "ready" ? LATER_MS : SOON_MS);
  }

  #become(state, { model = this.model, version = this.version } = {}) {
    if (state === this.state && model === this.model) return;
    Object.assign(this, { state, model, version });
    this.dispatchEvent(new CustomEvent("state"));
  }

  /** Wait until the model is ready; rejects when `signal` is aborted. */
  async ready(signal) {
    while (this.state !== "ready") {
      await new Promise((resolve, reject) => {
        const ended = () => reject(signal.reason);
        signal.addEventListener("abort", ended, { once: true });
        const settled = () => {
          signal.removeEventListener("abort", ended);
          resolve();
        };
        this.addEventListener("state", settled, { once: true });
        if (signal.aborted) ended();
      });
    }
  }

  /** Ask; gives {text} for each piece of the answer, and in the end {regions, finish, confidence, sure}. Throws AskError,
   *  or what `signal` was aborted with. */
  async *ask(body, signal) {
    const headers = { "content-type": "application/json" };
    if (this.key) headers.authorization = `Bearer ${this.key}`;
    try {
      const asked = { method: "POST", headers, body: JSON.stringify({ ...body, stream: true }), signal };
      const response = await fetch("/v1/chat/completions", asked);
      if (!response.ok) throw await refusal(response);
      let finish = null;
      for await (const data of events(response.body)) {
        if (data === "[DONE]") break;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new AskError(chunk.error.code, chunk.error.message);
        const choice = chunk.choices?.[0];
        if (choice?.delta?.content) yield { text: choice.delta.content };
        finish = choice?.finish_reason ?? finish;
        if (!choice?.finish_reason) continue;
        const { regions = [], confidence = null, sure = null } = choice.delta ?? {};
        yield { regions, finish, confidence, sure };
      }
      if (!finish) throw new TypeError("the stream ended before the answer did");
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof AskError) throw error;
      this.#become("gone");
      this.look();
      throw new AskError("gone", "The server went away.");
    }
  }
}

async function refusal(response) {
  const after = Number(response.headers.get("retry-after"));
  const told = { status: response.status, retryAfter: after > 0 ? after : null };
  try {
    const { error } = await response.json();
    return new AskError(error.code, error.message, told);
  } catch {
    return new AskError("unreadable", `The server answered with status ${response.status}.`, told);
  }
}

/** The data of server-sent events, from a stream of bytes in whatever pieces it comes. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader(); // not every browser iterates over streams
  let [rest, data] = ["", []];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        else if (!line && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have broken
  }
}
