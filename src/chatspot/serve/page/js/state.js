// What the page says about its server, and about light and dark.

import { at } from "./dom.js";
import { readSetting, writeSetting } from "./keeping.js";

const TEXTS = {
  connecting: ["Connecting", ""],
  loading: ["Opening the model", "The model is being opened. The first time its weights are fetched and converted, which takes a minute or two."],
  ready: ["Ready", ""],
  failed: ["No model", "The model could not be opened. The server's log says why."],
  closing: ["Closing", "The server is being stopped."],
  gone: ["Not there", "The server does not answer. Start it again with “chatspot serve”: the page finds it by itself."],
};

/** Keep the pill and the banner up to date with the server. */
export function showState(server) {
  const show = () => {
    const [short, long] = TEXTS[server.state] ?? TEXTS.connecting;
    at("state").dataset.state = server.state;
    at("state-text").textContent = server.state === "ready" ? (server.model ?? short) : short;
    at("state").title = server.state === "ready" ? `${server.model} answers` : long || short;
    at("banner").hidden = !long;
    at("banner-text").textContent = long;
    at("version").textContent = server.version && `ChatSpot ${server.version}.`;
  };
  server.addEventListener("state", show);
  show();
}

const THEMES = { auto: "as the system", light: "light", dark: "dark" };

/** Let the button change between the system's colours, light and dark. */
export function offerThemes() {
  const button = at("theme");
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
    button.title = `Colours: ${THEMES[theme]}`;
  };
  const kept = readSetting("chatspot.theme");
  show(kept in THEMES ? kept : "auto");
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    writeSetting("chatspot.theme", next);
    show(next);
  });
}

/** The choice whether answers that are likely wrong stand under a reserve; `choose` is told now and at each change. */
export function offerModesty(choose) {
  const box = at("modest");
  box.checked = readSetting("chatspot.modest") !== "off";
  choose(box.checked);
  box.addEventListener("change", () => {
    writeSetting("chatspot.modest", box.checked ? "on" : "off");
    choose(box.checked);
  });
}
