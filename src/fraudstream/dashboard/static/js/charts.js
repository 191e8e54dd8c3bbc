// The page Charts: asks for the series every few seconds, and says each in a figure, a plot and a table.

import { Plot, make } from "./chart.js";
import { count, milliseconds, number, time } from "./format.js";

const EVERY_MS = 5000;
const PATIENCE_MS = 15_000;
const MOST_FAILURES = 2;
const root = document.getElementById("charts");
const connection = document.getElementById("connection");
const failed = document.getElementById("failed");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
const largest = (values) => values.reduce((most, value) => (value !== null && (most === null || value > most) ? value : most), null);
const last = (values) => values.findLast((value) => value !== null) ?? null;
const percent = (share) => `${(share * 100).toFixed(1)} %`;
const shown = (value, format) => (value === null || value === undefined ? "–" : format(value));
const rounded = (value) => (Number.isInteger(value) ? count(value) : number(value));

// What each chart shows of an answer: whether there is anything, its figure, its lines, how a stretch of it reads.
const CHARTS = {
  payments: {
    of: ({ minutes }) => ({
      isEmpty: !sum(minutes.payments),
      now: [count(sum(minutes.payments)), "payments in this time"],
      series: [{ name: "Payments", values: minutes.payments, kind: "bars", look: "accent", format: rounded }],
      running: true,
    }),
  },
  alerts: {
    of: ({ minutes }) => ({
      isEmpty: !sum(minutes.alerts),
      now: [count(sum(minutes.alerts)), "alerts in this time"],
      series: [{ name: "Alerts", values: minutes.alerts, kind: "bars", look: "alert", format: rounded }],
      running: true,
    }),
  },
  scores: {
    of: ({ scores }) => ({
      isEmpty: !sum(scores.samples),
      now: [`≈ ${percent(1 - sum(scores.samples.slice(0, 10)) / sum(scores.samples))}`, `of ${count(sum(scores.samples))} sampled payments score 0.5 or more`],
      series: [{ name: "Sampled payments", values: scores.samples, kind: "bars", look: "accent", format: count }],
      log: true,
      threshold: scores.threshold === null ? null : { share: Math.min(Math.max(scores.threshold, 0), 1), text: `threshold ${Number(scores.threshold.toPrecision(3))}` },
      head: "Score",
      rows: scores.samples.map((_, bin) => `${scores.edges[bin].toFixed(2)} to ${scores.edges[bin + 1].toFixed(2)}`),
    }),
  },
  amounts: {
    of: ({ minutes, amounts }) => ({
      isEmpty: !amounts.at_risk,
      now: [number(amounts.at_risk), `at risk in this time, ${number(amounts.caught)} of it caught`],
      series: [
        { name: "At risk", values: minutes.at_risk, kind: "line", look: "alert", format: number },
        { name: "Caught", values: minutes.caught, kind: "line", look: "good dashed", format: number },
      ],
    }),
  },
  latency: {
    of: ({ minutes }) => ({
      isEmpty: last(minutes.p50_ms) === null,
      now: [milliseconds(last(minutes.p50_ms)), `the median of the newest minute to the ${last(minutes.latency_to) ?? "page"}; 99 % within ${milliseconds(last(minutes.p99_ms))}`],
      series: [
        { name: "99 % within", values: minutes.p99_ms, kind: "line", look: "accent dashed", format: milliseconds, how: "largest" },
        { name: "Median", values: minutes.p50_ms, kind: "line", look: "accent", format: milliseconds },
      ],
      yLabel: milliseconds,
      more: [{ name: "To", values: minutes.latency_to, format: String }],
    }),
  },
  precision: {
    of: ({ precision }) => ({
      isEmpty: precision.verdicts.share === null,
      now: [shown(precision.verdicts.share, percent), `confirmed: ${count(precision.verdicts.confirmed_fraud)} of ${count(precision.verdicts.confirmed_fraud + precision.verdicts.false_alarm)} decided; ${count(precision.verdicts.undecided + precision.verdicts.unsure)} undecided or unsure`],
      series: [{ name: "Confirmed so far", values: precision.verdicts.share_by_minute, kind: "line", look: "good", format: percent }],
      top: 1,
      yLabel: (value) => `${Math.round(value * 100)} %`,
      more: [{ name: "Verdicts given", values: precision.verdicts.given_by_minute, format: count }],
    }),
  },
};

class Chart {
  constructor(section) {
    this.section = section;
    this.part = (name) => section.querySelector(`[data-${name}]`);
    this.plot = new Plot(section.querySelector("svg"), (from, to) => this.read(from, to));
    this.details = this.part("table");
    this.details.addEventListener("toggle", () => this.details.open && this.fillTable());
  }

  show(told, at, asAt) {
    this.told = told;
    this.at = at;
    this.asAt = asAt;
    const [figure, line] = told.isEmpty ? ["", ""] : told.now;
    const strong = document.createElement("strong");
    strong.textContent = figure;
    this.part("now").replaceChildren(...(told.isEmpty ? ["\u00a0"] : [strong, ` ${line}`]));
    this.part("empty").hidden = !told.isEmpty;
    for (const name of ["plot", "table"]) this.part(name).hidden = told.isEmpty;
    this.part("legend").hidden = told.isEmpty || told.series.length < 2;
    if (told.isEmpty) return;
    if (!this.part("legend").hasChildNodes()) this.part("legend").append(...told.series.map(legend));
    const labels = told.rows ? { xLabel: (_, share) => share.toFixed(1), edges: 6 } : { xLabel: (index) => clock.format(new Date(at[Math.round(index)])) };
    this.plot.draw({ yLabel: (value) => compact.format(value), count: told.series[0].values.length, ...labels, ...told });
  }

  // In words what is under the pointer or the keys; the table has all of it.
  read(from, to) {
    if (from === null) {
      this.part("readout").textContent = "\u00a0";
      return "the arrow keys read it";
    }
    const text = this.words(from, to);
    this.part("readout").textContent = text;
    return text;
  }

  words(from, to) {
    const { told, at } = this;
    const where = told.rows ? `score ${told.rows[to]}` : from === to ? clock.format(new Date(at[to])) : `${clock.format(new Date(at[from]))} to ${clock.format(new Date(at[to]))}, a minute`;
    const what = told.series.map(({ name, values, format, how }) => {
      const some = values.slice(from, to + 1).filter((value) => value !== null);
      const value = some.length === 0 ? null : how === "largest" ? largest(some) : sum(some) / some.length;
      return `${name.toLowerCase()} ${shown(value, format)}`;
    });
    return `${where}: ${what.join(", ")}`;
  }

  // Filled when it is opened and left so: nothing moves under whoever reads it.
  fillTable() {
    const { told, at } = this;
    this.part("as-at").textContent = `As at ${time(this.asAt)}. Closed and opened again, it has the newest.`;
    const columns = [...told.series, ...(told.more ?? [])];
    const heads = [told.head ?? "Minute", ...columns.map(({ name }) => name)].map((name) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      return cell;
    });
    const head = document.createElement("tr");
    head.append(...heads);
    const indices = columns[0].values.map((_, index) => index);
    const rows = (told.rows ? indices : indices.reverse()).map((index) => {
      const row = document.createElement("tr");
      row.append(told.rows ? cell(told.rows[index]) : whenCell(at[index]), ...columns.map(({ values, format }) => cell(shown(values[index], format))));
      return row;
    });
    this.details.querySelector("thead").replaceChildren(head);
    this.details.querySelector("tbody").replaceChildren(...rows);
  }
}

function cell(text) {
  const made = document.createElement("td");
  made.textContent = text;
  return made;
}

function whenCell(at) {
  const when = document.createElement("time");
  when.dateTime = at;
  when.title = at;
  when.textContent = exact.format(new Date(at));
  const made = document.createElement("td");
  made.append(when);
  return made;
}

function legend({ name, look }) {
  const entry = document.createElement("span");
  const swatch = make("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" });
  swatch.append(make("line", { class: look, x1: 1, x2: 25, y1: 4, y2: 4 }));
  entry.append(swatch, name);
  return entry;
}

// What the labels of a replayed file say is not what people said: it stands apart, and says so.
function showLabels(label) {
  const line = root.querySelector("[data-labels]");
  line.hidden = label === null;
  if (label === null) return;
  const badge = document.createElement("span");
  badge.className = "badge";
  badge.textContent = "from labels";
  line.replaceChildren(badge, ` By the column ${label.column} of the replayed file, ${percent(label.share)} of the ${count(label.alerts)} alerts in this time are fraud. Live payments carry no such column.`);
}

const charts = new Map([...root.querySelectorAll("[data-chart]")].map((section) => [section.dataset.chart, new Chart(section)]));
let failures = 0;

function state(name, text) {
  connection.dataset.state = name;
  connection.querySelector("[data-text]").textContent = text;
}

async function refresh() {
  try {
    const answer = await fetch(`/api/charts?minutes=${root.dataset.minutes}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 401) return window.location.reload();
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const told = await answer.json();
    for (const [key, chart] of charts) chart.show(CHARTS[key].of(told), told.minutes.at, told.at);
    showLabels(told.precision.label);
    failures = 0;
    failed.hidden = true;
    state("live", `As at ${time(told.at)}`);
  } catch (error) {
    failures += 1;
    state("waiting", "Trying again");
    if (failures >= MOST_FAILURES) {
      failed.hidden = false;
      failed.textContent = `The figures cannot be had at the moment (${error.message}). What is shown is from before; the page goes on trying.`;
    }
  }
  window.setTimeout(refresh, EVERY_MS);
}

refresh();
