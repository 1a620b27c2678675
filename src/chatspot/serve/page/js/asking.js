// A turn on its way: sent, waited for while the server is loading, busy or gone, and its answer as it grows.

import { AskError } from "./server.js";
import { conversationOf } from "./session.js";

const MOST_LOST = 2; // times that a question is asked again by itself when the server went away over it
const LONGEST_WAIT_S = 30;

/** Asks one question at a time. `blobUrl(id)` gives a picture's `data:` URL, `show(turn)` draws a turn anew, `grow(turn)`
 *  what came of its answer. */
export class Asking {
  #server;
  #blobUrl;
  #show;
  #grow;
  #stopped = null;

  constructor(server, { blobUrl, show, grow }) {
    [this.#server, this.#blobUrl, this.#show, this.#grow] = [server, blobUrl, show, grow];
  }

  /** Whether a question is on its way. */
  get busy() {
    return this.#stopped !== null;
  }

  /** End the answer here. */
  stop() {
    this.#stopped?.abort(new DOMException("stopped", "AbortError"));
  }

  /** Answer `turn`, the last of `turns`; its answer is filled in as it comes. Never throws: what went wrong is in it. */
  async answer(turns, turn) {
    this.#stopped = new AbortController();
    const { signal } = this.#stopped;
    turn.answer = { text: "", regions: [], state: "waiting", checked: null, was: null };
    this.#show(turn);
    try {
      await this.#untilAnswered(turns, turn, signal);
    } catch (error) {
      if (signal.aborted) turn.answer.state = turn.answer.text.trim() ? "stopped" : "failed";
      else turn.answer.state = "failed";
      turn.answer.error = signal.aborted ? "Stopped." : faultOf(error);
      turn.answer.code = error.code;
    } finally {
      this.#stopped = null;
      delete turn.answer.waits;
      this.#show(turn);
    }
  }

  async #untilAnswered(turns, turn, signal) {
    for (let lost = 0; ; ) {
      try {
        return await this.#once(turns, turn, signal);
      } catch (error) {
        if (signal.aborted || !(error instanceof AskError) || !error.passing) throw error;
        if (error.code === "gone" && (lost += 1) > MOST_LOST) throw error;
        Object.assign(turn.answer, { text: "", regions: [], state: "waiting" });
        await this.#wait(error, turn, signal);
      }
    }
  }

  /** Wait until it is worth asking again. */
  async #wait(error, turn, signal) {
    if (error.code === "queue_full" || error.code === "memory_full") {
      for (let left = Math.min(error.retryAfter ?? 2, LONGEST_WAIT_S); left > 0; left -= 1) {
        this.#waits(turn, `The server is busy: again in ${left} s`);
        await pause(1000, signal);
      }
    } else {
      this.#waits(turn, error.code === "model_loading" ? "Waiting for the model" : "Waiting for the server");
      await this.#server.look();
      await this.#server.ready(signal);
    }
    this.#waits(turn, "Looking");
  }

  #waits(turn, text) {
    turn.answer.waits = text;
    this.#show(turn);
  }

  async #once(turns, turn, signal) {
    const { pictures, messages } = conversationOf(turns);
    const urls = await Promise.all(pictures.map(this.#blobUrl));
    const told = messages.map((message) => {
      if (message.role !== "user") return message;
      const content = message.content.map((part) =>
        part.type === "image" ? { type: "image_url", image_url: { url: urls[pictures.indexOf(part.picture)] } } : part);
      return { ...message, content }; // prettier-ignore
    });
    for await (const { text, regions, ...known } of this.#server.ask({ model: "chatspot", messages: told }, signal)) {
      if (text !== undefined) {
        turn.answer.text += text;
        if (turn.answer.state === "waiting") {
          turn.answer.state = "streaming";
          this.#show(turn);
        } else this.#grow(turn);
        continue;
      }
      const placed = regions.map(({ image, type, ...region }) => ({ picture: pictures[image], region }));
      Object.assign(turn.answer, { regions: placed, state: "done", ...known });
    }
  }
}

function faultOf(error) {
  const texts = {
    context_length_exceeded: "This conversation is longer than the model reads. Remove some turns, or begin a new session.",
    too_many_regions: "This conversation names more regions than the server takes. Remove some turns, or begin a new session.",
    body_too_large: "The pictures of this conversation are too large together for this server. Use fewer or smaller ones.",
    timeout: "The answer took too long.",
    model_failed: "The model could not be opened. The server's log says why.",
    invalid_api_key: "The server did not take the key.",
  };
  return texts[error.code] ?? error.message;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true }); // prettier-ignore
  });
}
