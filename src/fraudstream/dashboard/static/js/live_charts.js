// Makes charts readable by pointer, touch or keys, and updates them without losing the marked point.

import { localTimes, time } from "./format.js";

const EVERY_MS = 5000;
const PATIENCE_MS = 15_000;
const MOST_FAILURES = 2;
const charts = document.getElementById("charts");
const plots = [...document.querySelectorAll(".plot")];

// The points of a chart: [share of the width, text, search for its alerts: from, to].
const pointsOf = (plot) => plot.querySelector(".drawing").dataset.points.split("\n").map((line) => line.split("|"));

// Marks a point, or the range between it and `plot.anchor`.
function mark(plot, index, isAnnounced = true) {
  const points = pointsOf(plot);
  if (index === undefined) plot.anchor = undefined;
  const [first, last] = [index, plot.anchor ?? index].sort((one, other) => one - other).map((each) => points[each]);
  plot.marked = first && index;
  const text = first && (first === last ? first[1] : `${first[1].split(": ")[0]} to ${last[1].split(": ")[0]}`);
  for (const pointer of plot.querySelectorAll(".pointer")) {
    const brush = pointer.previousElementSibling;
    const width = brush.previousElementSibling.width.baseVal.value;
    const at = (share) => `translate(${(share ?? 0) * width})`;
    pointer.classList.toggle("marked", Boolean(text));
    pointer.setAttribute("transform", at(first && points[index][0]));
    brush.setAttribute("transform", at(first?.[0]));
    brush.setAttribute("width", first ? (last[0] - first[0]) * width : 0);
  }
  plot.querySelector(".readout").textContent = text ?? "\u00a0";
  pick(plot, first, last);
  // Announced when the user moves, not each time the figures change.
  if (!isAnnounced) return;
  plot.ariaValueMax = points.length - 1;
  plot.ariaValueNow = index ?? plot.ariaValueMax;
  plot.ariaValueText = text ?? "use the arrow keys to read values";
}

// Offers the alerts of what was clicked or selected, and the charts of a selected time.
function pick(plot, first, last) {
  const picked = plot.nextElementSibling;
  const [from, to] = [first?.[2].split(" ")[0], last?.[2].split(" ")[1]];
  picked.hidden = !from || !plot.pinned || !charts?.dataset.alerts;
  if (picked.hidden) return;
  const [since, until] = [from, to].map((each) => each.split("=")[1]);
  const zoom = picked.querySelector("[data-zoom]");
  picked.querySelector("[data-alerts]").href = `${charts.dataset.alerts}&${from}&${to}`;
  zoom.hidden = !from.startsWith("since") || first === last;
  zoom.href = `${charts.dataset.charts}?minutes=${Math.max((new Date(until) - new Date(since)) / 60_000, 1)}&until=${until}`;
}

function nearest(plot, clientX) {
  const box = [...plot.querySelectorAll(".area")].map((area) => area.getBoundingClientRect()).find(({ width }) => width > 0);
  const distances = pointsOf(plot).map((each) => Math.abs(each[0] - (clientX - box.left) / box.width));
  return distances.indexOf(Math.min(...distances));
}

function point({ currentTarget: plot, clientX, type, buttons }) {
  const index = nearest(plot, clientX);
  if (type === "pointerdown") Object.assign(plot, { anchor: index, pinned: true });
  else if (plot.pinned && !buttons) return; // what was clicked stays
  mark(plot, index);
}

function release(plot) {
  plot.pinned = false;
  mark(plot);
}

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const plot = event.currentTarget;
  const last = pointsOf(plot).length - 1;
  const from = plot.marked ?? last + 1;
  const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, PageDown: from - 10, PageUp: from + 10, Home: 0, End: last }[event.key];
  if (event.key === "Escape") release(plot);
  if (event.key === "Enter" && !plot.nextElementSibling.hidden) plot.nextElementSibling.querySelector("[data-alerts]").click();
  if (to === undefined) return;
  event.preventDefault();
  const index = Math.min(Math.max(to, 0), last);
  if (!event.shiftKey || plot.anchor === undefined) plot.anchor = event.shiftKey ? Math.min(from, last) : index;
  plot.pinned = true;
  mark(plot, index);
}

for (const plot of plots) {
  Object.assign(plot, { role: "slider", tabIndex: 0, ariaReadOnly: "true", ariaValueMin: 0 });
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  // A lifted finger leaves the plot; the touched point stays marked.
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && !plot.pinned && mark(plot));
  plot.addEventListener("keydown", press);
  plot.addEventListener("focus", () => plot.marked === undefined && plot.matches(":focus-visible") && mark(plot, pointsOf(plot).length - 1));
  // What was picked stays while its links have the focus.
  const picked = plot.nextElementSibling;
  const left = ({ relatedTarget }) => relatedTarget === plot || picked.contains(relatedTarget) || release(plot);
  plot.addEventListener("blur", left);
  picked.addEventListener("focusout", left);
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
