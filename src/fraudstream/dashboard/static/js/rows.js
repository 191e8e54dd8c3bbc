// The rows of the live table, created from the page's template, each with its details on demand.
// All values of a payment are set as text, never as HTML.

import { fillDetails } from "./details.js";
import { showInRow } from "./reasons.js";
import { filledRow } from "./row.js";
import { showTriage } from "./triage_state.js";

const EARLY = 100; // reasons that arrived before their row
const CROWD = 50; // rows in one frame: more than anybody reads in a second
const CROWD_MS = 1000;
const REST = 2; // a pause this many times as long as drawing took: the page stays responsive in a storm
const ARRIVED_MS = 2600; // how long a row is highlighted as new
const REASONS_LATE_MS = 4000; // sent while the stream was interrupted, or before the row was drawn
const REASONS_AGAIN_MS = 15_000;

export class Rows {
  // `holds` returns whether new rows must wait, `waiting` is called with their number.
  constructor(table, { holds = () => false, waiting = () => {} } = {}) {
    this.table = table;
    this.holds = holds;
    this.waiting = waiting;
    this.template = document.getElementById("row-template");
    this.most = Number(table.dataset.mostRows) || 50; // as many as the page starts with; each slows down every arrival
    this.pending = [];
    this.count = 0;
    this.scheduled = false;
    this.notBefore = -Infinity;
    this.early = new Map();
    this.activeModel = { model: table.dataset.model || null, unseenFrom: wholeOrNull(table.dataset.unseenFrom) };
    table.addEventListener("click", (event) => this.clicked(event));
    if (table.dataset.outcome === "alert") window.setTimeout(() => this.loadMissingReasons(), REASONS_LATE_MS);
  }

  // Shows the reasons of alerts; those that are not drawn yet wait for their row.
  reasons(events) {
    for (const { seq, reasons } of events) {
      const body = this.table.querySelector(`tbody[data-seq="${Number(seq)}"]`);
      if (body) this.explain(body, reasons);
      else this.early.set(seq, reasons);
    }
    while (this.early.size > EARLY) this.early.delete(this.early.keys().next().value);
  }

  explain(body, reasons) {
    showInRow(body, reasons);
    body.dataset.reasons ??= ""; // none at all: the details give the cause
  }

  // Updates the triage states of alerts in the table and of those that wait.
  work(changes) {
    for (const change of changes) {
      const body = this.table.querySelector(`tbody[data-seq="${Number(change.seq)}"]`);
      if (body) showTriage(body, change);
      const waiting = this.pending.find((alert) => alert.seq === change.seq);
      if (waiting) waiting.work = change;
    }
  }

  // The stream sends reasons once; a row that missed its own gets them from the store.
  async loadMissingReasons() {
    const unexplained = () => [...this.table.tBodies].filter((body) => !("reasons" in body.dataset));
    if (!document.hidden && unexplained().length > 0) await this.refresh();
    window.setTimeout(() => this.loadMissingReasons(), unexplained().length > 0 ? REASONS_AGAIN_MS : REASONS_LATE_MS);
  }

  // Reloads reasons and triage states of the newest rows: the stream does not repeat them.
  async refresh() {
    const query = new URLSearchParams({ limit: this.most, outcome: this.table.dataset.outcome });
    const response = await fetch(`/api/alerts?${query}`).catch(() => null);
    const { alerts } = response?.ok ? await response.json() : { alerts: [] };
    this.reasons(alerts.filter((alert) => alert.reasons));
    this.work(alerts.filter((alert) => alert.work).map((alert) => ({ seq: alert.seq, ...alert.work })));
  }

  add(alert) {
    this.pending.push(alert);
    this.count += 1;
    if (this.pending.length > this.most) this.pending.shift();
    this.schedule();
  }

  // A hidden page draws no frames; its rows are complete all the same. In a storm the table is redrawn once a second, so
  // that the page stays responsive and a row does not move for that long.
  schedule() {
    if (this.scheduled || this.notBefore === Infinity) return; // `rest` schedules those that arrive meanwhile
    this.scheduled = true;
    const rest = this.notBefore - performance.now();
    const enter = () => {
      this.scheduled = false;
      if (this.holds()) this.waiting(this.count);
      else this.flush();
    };
    if (rest > 0) window.setTimeout(enter, rest);
    else if (document.hidden) window.setTimeout(enter, 250);
    else window.requestAnimationFrame(enter);
  }

  flush() {
    if (this.pending.length === 0) return;
    this.rest(this.count >= CROWD ? CROWD_MS : 0);
    const rows = this.pending.map((alert) => this.row(alert)).reverse();
    this.pending = [];
    this.count = 0;
    this.waiting(0);
    this.table.tHead.after(...rows);
    window.setTimeout(() => rows.forEach((row) => row.classList.remove("arrived")), ARRIVED_MS);
    const bodies = [...this.table.tBodies];
    for (const old of bodies.slice(this.most)) {
      if (old.querySelector(".details").hidden && !old.contains(document.activeElement)) old.remove();
    }
  }

  // The message is handled once the frame is drawn.
  rest(least) {
    const startedAt = performance.now();
    this.notBefore = Infinity;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const drawn = performance.now();
      this.notBefore = Math.max(startedAt + least, drawn + REST * (drawn - startedAt));
      port1.close();
      if (this.pending.length > 0) this.schedule();
    };
    port2.postMessage(null);
  }

  row(alert) {
    const body = filledRow(this.template, alert);
    body.classList.add("arrived");
    this.mark(body, alert);
    if (this.early.has(alert.seq)) this.explain(body, this.early.get(alert.seq));
    return body;
  }

  mark(body, alert) {
    const { model, unseenFrom } = this.activeModel;
    if (isMissing(alert.source_row) || unseenFrom === null || (alert.model_id ?? "") !== (model ?? "")) return;
    const novelty = alert.source_row >= unseenFrom ? "new" : "seen";
    body.classList.add(novelty);
    const badge = body.querySelector("[data-f=badge]");
    badge.hidden = false;
    badge.textContent = novelty === "new" ? "new to the model" : "seen in training";
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

const isMissing = (value) => value === null || value === undefined;
const wholeOrNull = (text) => (text === "" || text === undefined ? null : Number(text));
export { wholeOrNull };
