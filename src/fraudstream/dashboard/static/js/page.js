// What every page does: it keeps the ages of times current, applies the settings of the menu and updates the badges.

import { localTimes } from "./format.js";
import "./who.js";

const EVERY_MS = 10_000;
const form = document.getElementById("preferences");
const zones = document.getElementById("zones");

form?.addEventListener("change", () => form.requestSubmit());
document.getElementById("menu")?.addEventListener("toggle", () => {
  if (zones.options.length > 0) return;
  zones.append(...Intl.supportedValuesOf("timeZone").map((zone) => new Option("", zone)));
});
// The counters of a live connection.
document.addEventListener("stats", ({ detail }) => {
  for (const badge of document.querySelectorAll("[data-badge]")) {
    const text = detail.texts.badges[badge.dataset.badge];
    badge.hidden = text === "";
    if (badge.textContent !== text) badge.textContent = text;
  }
});
localTimes(document);
window.setInterval(() => localTimes(document), EVERY_MS);
