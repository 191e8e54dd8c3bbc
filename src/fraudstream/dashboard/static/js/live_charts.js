// Reads the charts that the server has drawn, by pointer, finger or keys, and swaps in newer ones: nobody loses the place.

import { inZone, localTimes, time } from "./format.js";

const EVERY_MS = 5000;
const PATIENCE_MS = 15_000;
const MOST_FAILURES = 2;
const charts = document.getElementById("charts");
const plots = [...document.querySelectorAll(".plot")];

// What reads at each place: [share of the width, text, times in it].
const placesOf = (plot) => plot.querySelector(".drawing").dataset.points.split("\n").map((line) => line.split("|"));

function mark(plot, index, isSaid = true) {
  const places = placesOf(plot);
  const [share, text, times] = places[index] ?? [];
  plot.marked = text && index;
  const shown = text && inZone(text, times);
  for (const pointer of plot.querySelectorAll(".pointer")) {
    pointer.classList.toggle("marked", Boolean(text));
    pointer.setAttribute("transform", `translate(${(share ?? 0) * pointer.previousElementSibling.width.baseVal.value})`);
  }
  plot.querySelector(".readout").textContent = shown ?? "\u00a0";
  // A screen reader hears it when its user moves, not each time that the figures come.
  if (!isSaid) return;
  plot.ariaValueMax = places.length - 1;
  plot.ariaValueNow = index ?? plot.ariaValueMax;
  plot.ariaValueText = shown ?? "the arrow keys read it";
}

function point({ currentTarget: plot, clientX }) {
  const box = [...plot.querySelectorAll(".area")].map((area) => area.getBoundingClientRect()).find(({ width }) => width > 0);
  const away = placesOf(plot).map((place) => Math.abs(place[0] - (clientX - box.left) / box.width));
  mark(plot, away.indexOf(Math.min(...away)));
}

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const plot = event.currentTarget;
  const last = placesOf(plot).length - 1;
  const from = plot.marked ?? last + 1;
  const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, PageDown: from - 10, PageUp: from + 10, Home: 0, End: last }[event.key];
  if (event.key === "Escape") mark(plot);
  if (to === undefined) return;
  event.preventDefault();
  mark(plot, Math.min(Math.max(to, 0), last));
}

for (const plot of plots) {
  Object.assign(plot, { role: "slider", tabIndex: 0, ariaReadOnly: "true", ariaValueMin: 0 });
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  // A finger that is lifted leaves the plot; what it touched stays to be read.
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && mark(plot));
  plot.addEventListener("keydown", press);
  plot.addEventListener("focus", () => plot.marked === undefined && plot.matches(":focus-visible") && mark(plot, placesOf(plot).length - 1));
  plot.addEventListener("blur", () => mark(plot));
  mark(plot);
}

// Puts what is data-live of a page or a part of it in the place of what has the same id.
export function swap(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const focused = document.activeElement?.id;
  for (const part of page.querySelectorAll("[data-live]")) {
    localTimes(part);
    document.getElementById(part.id)?.replaceWith(part);
  }
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
  // What is being read goes on being read, with the figures of now.
  for (const plot of plots) mark(plot, plot.marked, plot.marked === undefined || document.activeElement !== plot);
  return page;
}

async function load(address) {
  const answer = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.redirected) window.location.reload(); // signed out
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return swap(await answer.text());
}

async function refresh(failures) {
  const connection = document.getElementById("connection");
  const failed = document.getElementById("failed");
  let failure = null;
  let at = null;
  try {
    at = (await load(charts.dataset.fragment)).getElementById("charts").dataset.asAt;
  } catch (error) {
    failure = error.message;
  }
  connection.dataset.state = failure ? "waiting" : "live";
  connection.querySelector("[data-text]").textContent = failure ? "Trying again" : `As at ${time(at)}`;
  failed.hidden = !failure || failures + 1 < MOST_FAILURES;
  failed.textContent = `The figures cannot be had at the moment (${failure}). What is shown is from before; the page goes on trying.`;
  window.setTimeout(refresh, EVERY_MS, failure ? failures + 1 : 0);
}

localTimes(document);
if (charts?.dataset.fragment) {
  refresh(0);
  // Filled when it is opened and left so: nothing moves under whoever reads it.
  for (const table of charts.querySelectorAll("details")) {
    table.addEventListener("toggle", () => table.open && load(table.dataset.table).catch(() => {})); // the refreshes say why
  }
}
