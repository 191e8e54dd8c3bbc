// The rows of the table: made from the page's template, at most so many, each with its details on demand.
// Everything that came with a payment is set as text, never as HTML.

import * as format from "./format.js";
import { fillDetails } from "./details.js";
import { showInRow } from "./reasons.js";

const MOST_ROWS = 100; // as many as the page begins with; each costs at every arrival
const CROWD = 50; // rows in one frame: a page of them, more than anybody reads in a second
const CROWD_MS = 1000;
const ARRIVED_MS = 2600; // so long a row stands out as new
const REASONS_LATE_MS = 4000; // told while the stream was away, or before the row was drawn
const REASONS_AGAIN_MS = 15_000;

export class Rows {
  constructor(table) {
    this.table = table;
    this.template = document.getElementById("row-template");
    this.pending = [];
    this.crowdedAt = -Infinity;
    this.early = new Map();
    this.judging = { model: table.dataset.model || null, unseenFrom: wholeOrNull(table.dataset.unseenFrom) };
    table.addEventListener("click", (event) => this.clicked(event));
    format.localTimes(table);
    if (table.dataset.outcome === "alert") window.setTimeout(() => this.askForReasons(), REASONS_LATE_MS);
  }

  // What speaks for alerts that are out already; those that are not drawn yet wait for their row.
  reasons(told) {
    for (const { seq, reasons } of told) {
      const body = this.table.querySelector(`tbody[data-seq="${Number(seq)}"]`);
      if (body) this.explain(body, reasons);
      else this.early.set(seq, reasons);
    }
    while (this.early.size > MOST_ROWS) this.early.delete(this.early.keys().next().value);
  }

  explain(body, reasons) {
    showInRow(body, reasons);
    body.dataset.reasons ??= ""; // none, for good: the details say why
  }

  // The stream tells reasons once; a row that missed its own asks the store.
  async askForReasons() {
    const lacking = () => [...this.table.tBodies].filter((body) => !("reasons" in body.dataset));
    if (!document.hidden && lacking().length > 0) {
      const answer = await fetch(`/api/alerts?limit=${MOST_ROWS}`).catch(() => null);
      const { alerts } = answer?.ok ? await answer.json() : { alerts: [] };
      this.reasons(alerts.filter((alert) => alert.reasons));
    }
    window.setTimeout(() => this.askForReasons(), lacking().length > 0 ? REASONS_AGAIN_MS : REASONS_LATE_MS);
  }

  add(alert) {
    this.pending.push(alert);
    if (this.pending.length > MOST_ROWS) this.pending.shift();
    if (this.pending.length === 1) this.schedule();
  }

  // A hidden page draws no frames; the rows are there all the same when one comes back. In a storm the table is drawn
  // anew once a second, so that the page stays free for whoever clicks, and a row stands still for as long.
  schedule() {
    const rest = this.crowdedAt + CROWD_MS - performance.now();
    if (rest > 0) window.setTimeout(() => this.flush(), rest);
    else if (document.hidden) window.setTimeout(() => this.flush(), 250);
    else window.requestAnimationFrame(() => this.flush());
  }

  flush() {
    if (this.pending.length >= CROWD) this.crowdedAt = performance.now();
    const rows = this.pending.map((alert) => this.row(alert)).reverse();
    this.pending = [];
    this.table.tHead.after(...rows);
    window.setTimeout(() => rows.forEach((row) => row.classList.remove("arrived")), ARRIVED_MS);
    const bodies = [...this.table.tBodies];
    for (const old of bodies.slice(MOST_ROWS)) {
      if (old.querySelector(".details").hidden && !old.contains(document.activeElement)) old.remove();
    }
  }

  row(alert) {
    const body = this.template.content.cloneNode(true).querySelector("tbody");
    const set = (name, text) => {
      const element = body.querySelector(`[data-f=${name}]`);
      if (element) element.textContent = text;
      return element;
    };
    const at = alert.produced_at ?? alert.received_at ?? "";
    body.dataset.seq = alert.seq;
    body.dataset.id = alert.alert_id;
    body.classList.add("arrived");
    const time = set("at", format.time(at));
    time.setAttribute("datetime", at);
    time.title = at;
    set("score", alert.score === null || alert.score === undefined ? format.NOTHING : alert.score.toFixed(4));
    body.querySelector("[data-f=bar]")?.setAttribute("width", share(alert.score));
    for (const end of ["x1", "x2"]) body.querySelector("[data-f=tick]")?.setAttribute(end, share(alert.threshold));
    set("reason", alert.reason ?? format.NOTHING);
    set("amount", format.amount(alert.transaction));
    set("source_row", isMissing(alert.source_row) ? format.NOTHING : format.count(alert.source_row));
    set("model", format.shortId(alert.model_id ?? "")).title = alert.model_id ?? "";
    body.querySelector("[data-f=values]").replaceChildren(...format.tellingValues(alert.transaction).map(shownValue));
    this.mark(body, alert);
    if (this.early.has(alert.seq)) this.explain(body, this.early.get(alert.seq));
    body.querySelector(".toggle").setAttribute("aria-label", `Details of the payment ${format.time(at)}`);
    return body;
  }

  mark(body, alert) {
    const { model, unseenFrom } = this.judging;
    if (isMissing(alert.source_row) || unseenFrom === null || (alert.model_id ?? "") !== (model ?? "")) return;
    const seen = alert.source_row >= unseenFrom ? "new" : "seen";
    body.classList.add(seen);
    const badge = body.querySelector("[data-f=badge]");
    badge.hidden = false;
    badge.textContent = seen === "new" ? "new to the model" : "seen in training";
  }

  clicked(event) {
    const body = event.target.closest("tbody.alert");
    const onSummary = event.target.closest("tr.summary");
    if (!body || !onSummary || (window.getSelection()?.toString() && !event.target.closest(".toggle"))) return;
    const button = body.querySelector(".toggle");
    const details = body.querySelector(".details");
    const open = details.hidden;
    details.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) fillDetails(details.querySelector(".panel"), body.dataset.id);
  }
}

function shownValue([name, text]) {
  const value = document.createElement("span");
  value.className = "value";
  const label = document.createElement("span");
  label.className = "name";
  label.textContent = name;
  const number = document.createElement("span");
  number.className = "number";
  number.textContent = text;
  value.append(label, " ", number);
  return value;
}

const share = (value) => `${(Math.min(Math.max(value ?? 0, 0), 1) * 100).toFixed(2)}%`;
const isMissing = (value) => value === null || value === undefined;
const wholeOrNull = (text) => (text === "" || text === undefined ? null : Number(text));
export { wholeOrNull };
