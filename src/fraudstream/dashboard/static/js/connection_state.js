// Shows the state of the connection in the corner of a page.

const TEXTS = { connecting: "Connecting", live: "Live", waiting: "Reconnecting", polling: "Polling", paused: "Paused" };
const DESCRIPTIONS = {
  live: "New alerts appear as they are stored",
  waiting: "The stream was interrupted; it resumes without losing alerts",
  polling: "The stream is unavailable: this page polls every two seconds",
  paused: "New rows wait until you resume",
  offline: "The dashboard does not respond; this page keeps trying",
};
let quiet = ""; // what the server says while no payments arrive
document.addEventListener("stats", ({ detail }) => {
  quiet = detail.texts.quiet;
});
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function showState(element, name, heardAt) {
  const isQuiet = name === "live" && quiet !== "";
  const text = isQuiet ? quiet : name === "offline" ? `Offline since ${clock.format(heardAt)}` : TEXTS[name];
  const label = element.querySelector("[data-text]");
  if (label.textContent === text) return;
  element.dataset.state = isQuiet ? "quiet" : name;
  element.title = DESCRIPTIONS[name] ?? "";
  label.textContent = text;
}
