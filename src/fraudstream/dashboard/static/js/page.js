// What every page does: it keeps the ages of times current, and applies the settings of the header's menu.

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
localTimes(document);
window.setInterval(() => localTimes(document), EVERY_MS);
