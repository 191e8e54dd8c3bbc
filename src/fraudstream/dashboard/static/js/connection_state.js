// How the connection reads in the corner of a page; connection.js finds out how it stands.

const TEXTS = { connecting: "Connecting", live: "Live", waiting: "Reconnecting", polling: "Polling", paused: "Paused" };
const MEANS = {
  live: "New alerts appear as they are stored",
  waiting: "The stream broke off; it goes on where it was, with nothing lost",
  polling: "No stream can be had: this page asks every two seconds",
  paused: "New rows are kept and counted until you resume",
  offline: "The dashboard does not answer; this page keeps trying",
};
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function showState(element, name, heardAt) {
  const text = name === "offline" ? `Offline since ${clock.format(heardAt)}` : TEXTS[name];
  const words = element.querySelector("[data-text]");
  if (words.textContent === text) return;
  element.dataset.state = name;
  element.title = MEANS[name] ?? "";
  words.textContent = text;
}
