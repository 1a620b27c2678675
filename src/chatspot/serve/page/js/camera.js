// The camera: a picture of what it sees, or a file where it cannot be had (no camera, no right, no secure address).

import { at } from "./dom.js";

/** Show the camera; gives back a Blob, "file" when a file is wanted instead, or null when it was cancelled. */
export async function photographed() {
  if (!navigator.mediaDevices?.getUserMedia) return "file"; // plain HTTP from another machine: its own camera app does it
  const [dialog, view, fault] = [at("camera"), at("camera-view"), at("camera-fault")];
  const [take, turn, file] = [at("camera-take"), at("camera-turn"), at("camera-file")];
  const ended = new AbortController();
  const { signal } = ended;
  let stream = null;
  let facing = "environment";
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  const start = async () => {
    stop();
    [take.disabled, fault.hidden] = [true, true];
    try {
      const wanted = { facingMode: facing, width: { ideal: 1920 }, height: { ideal: 1080 } };
      const given = await navigator.mediaDevices.getUserMedia({ video: wanted });
      if (signal.aborted) return given.getTracks().forEach((track) => track.stop());
      stream = given;
      view.srcObject = stream;
      await view.play();
      take.disabled = false;
      const cameras = await navigator.mediaDevices.enumerateDevices();
      turn.hidden = cameras.filter(({ kind }) => kind === "videoinput").length < 2;
    } catch (error) {
      if (signal.aborted) return;
      fault.hidden = false;
      fault.textContent = reason(error);
    }
  };
  const answer = new Promise((resolve) => {
    take.addEventListener("click", () => resolve(taken(view)), { signal });
    file.addEventListener("click", () => resolve("file"), { signal });
    turn.addEventListener("click", () => start((facing = facing === "user" ? "environment" : "user")), { signal });
    dialog.addEventListener("close", () => resolve(null), { signal });
  });
  dialog.showModal();
  start();
  try {
    return await answer;
  } finally {
    ended.abort();
    stop();
    view.srcObject = null;
    dialog.close();
  }
}

function taken(view) {
  const canvas = new OffscreenCanvas(view.videoWidth, view.videoHeight);
  canvas.getContext("2d").drawImage(view, 0, 0);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}

function reason({ name }) {
  if (name === "NotAllowedError") return "The browser was not allowed to use the camera. Allow it beside the address, or choose a file.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "There is no camera here. Choose a file instead.";
  return "The camera cannot be used now; perhaps something else uses it. Choose a file instead.";
}
