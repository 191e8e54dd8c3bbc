// Makes charts readable by pointer, touch or keys, and updates them without losing the marked point.

import { localTimes, time } from "./format.js";

const EVERY_MS = 5000;
const PATIENCE_MS = 15_000;
const MOST_FAILURES = 2;
const charts = document.getElementById("charts");
const plots = [...document.querySelectorAll(".plot")];

// The points of a chart: [share of the width, text, times in it].
const pointsOf = (plot) => plot.querySelector(".drawing").dataset.points.split("\n").map((line) => line.split("|"));

function mark(plot, index, isAnnounced = true) {
  const points = pointsOf(plot);
  const [share, text] = points[index] ?? [];
  plot.marked = text && index;
  for (const pointer of plot.querySelectorAll(".pointer")) {
    pointer.classList.toggle("marked", Boolean(text));
    pointer.setAttribute("transform", `translate(${(share ?? 0) * pointer.previousElementSibling.width.baseVal.value})`);
  }
  plot.querySelector(".readout").textContent = text ?? "\u00a0";
  // Announced when the user moves, not each time the figures change.
  if (!isAnnounced) return;
  plot.ariaValueMax = points.length - 1;
  plot.ariaValueNow = index ?? plot.ariaValueMax;
  plot.ariaValueText = text ?? "use the arrow keys to read values";
}

function point({ currentTarget: plot, clientX }) {
  const box = [...plot.querySelectorAll(".area")].map((area) => area.getBoundingClientRect()).find(({ width }) => width > 0);
  const distances = pointsOf(plot).map((each) => Math.abs(each[0] - (clientX - box.left) / box.width));
  mark(plot, distances.indexOf(Math.min(...distances)));
}

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const plot = event.currentTarget;
  const last = pointsOf(plot).length - 1;
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
  // A lifted finger leaves the plot; the touched point stays marked.
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && mark(plot));
  plot.addEventListener("keydown", press);
  plot.addEventListener("focus", () => plot.marked === undefined && plot.matches(":focus-visible") && mark(plot, pointsOf(plot).length - 1));
  plot.addEventListener("blur", () => mark(plot));
  mark(plot);
}

// Replaces elements by the data-live elements with the same id of a fetched page or fragment.
export function swap(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const focused = document.activeElement?.id;
  for (const part of page.querySelectorAll("[data-live]")) {
    localTimes(part);
    document.getElementById(part.id)?.replaceWith(part);
  }
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
  // The marked point stays marked, with its current figures.
  for (const plot of plots) mark(plot, plot.marked, plot.marked === undefined || document.activeElement !== plot);
  return page;
}

async function load(address) {
  const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.redirected) window.location.reload(); // signed out
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  return swap(await response.text());
}

async function refresh(failures) {
  const connection = document.getElementById("connection");
  const failed = document.getElementById("failed");
  let failure = null;
  let fresh = {};
  try {
    fresh = (await load(charts.dataset.fragment)).getElementById("charts").dataset;
  } catch (error) {
    failure = error.message;
  }
  connection.dataset.state = failure ? "waiting" : fresh.quiet ? "quiet" : "live";
  connection.querySelector("[data-text]").textContent = failure ? "Retrying" : fresh.quiet || `As of ${time(fresh.asAt)}`;
  failed.hidden = !failure || failures + 1 < MOST_FAILURES;
  failed.textContent = `Cannot update the charts (${failure}). The figures are out of date; the page keeps trying.`;
  window.setTimeout(refresh, EVERY_MS, failure ? failures + 1 : 0);
}

if (charts?.dataset.fragment) {
  refresh(0);
  // Loaded when opened, and not updated while it is read.
  for (const table of charts.querySelectorAll("details")) {
    table.addEventListener("toggle", () => table.open && load(table.dataset.table).catch(() => {})); // refresh reports the error
  }
}
