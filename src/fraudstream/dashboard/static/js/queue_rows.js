// The rows of the review page: focus, selection, details, and their update from the server, which renders them.

import { openForm, showControls, showHistory, wireControls } from "./controls.js";
import { fillDetails } from "./details.js";
import { count, localTimes } from "./format.js";
import { fetchPage } from "./queue_list.js";
import { VERDICTS } from "./triage_state.js";

const AT_ONCE = 100;
const SOON_MS = 60; // changes of a moment are fetched together
const REST = 4; // a pause this many times as long as the last fetch took: in a storm posts come first
const UNEXPLAINED_MS = 5000; // sent while the stream was interrupted, or before the row was drawn
const EVERY_MS = 60_000; // ages have limits, and whatever was missed comes

export class QueueRows {
  constructor(main, triage) {
    this.main = main;
    this.template = document.getElementById("desk-template");
    this.selectAll = document.getElementById("select-all");
    this.bulk = document.getElementById("bulk");
    this.table = document.getElementById("list");
    this.triage = triage;
    this.stale = new Set();
    this.pause = SOON_MS;
    main.addEventListener("click", (event) => this.clicked(event));
    main.addEventListener("focusin", ({ target }) => this.mark(target.closest("tbody.alert")));
    main.addEventListener("change", ({ target }) => {
      if (target === this.selectAll) this.listed().forEach((body) => (box(body).checked = target.checked));
      if (target === this.selectAll || target.matches(".select")) this.showSelected();
    });
    const visible = (bodies) => !document.hidden && this.refresh(bodies());
    window.setInterval(() => visible(() => this.known().filter((body) => !("reasons" in body.dataset))), UNEXPLAINED_MS);
    window.setInterval(() => visible(() => this.known()), EVERY_MS);
  }

  all() {
    return [...this.table.tBodies];
  }

  // Those in the list that are not hidden.
  listed() {
    const hides = document.getElementById("hide-decided").checked;
    return this.all().filter(({ dataset }) => !hides || !VERDICTS.includes(dataset.status));
  }

  every() {
    return [...this.main.querySelectorAll("#in-hand tbody.alert"), ...this.listed()];
  }

  // Those that are kept up to date, hidden or not.
  known() {
    return [...this.main.querySelectorAll("tbody.alert")];
  }

  of(id) {
    return this.every().find((body) => body.dataset.id === id);
  }

  selected() {
    return this.every().filter((body) => box(body).checked);
  }

  // The rows that a key applies to: the selected ones, or the focused one.
  targets() {
    const selected = this.selected();
    return selected.length > 0 ? selected : [this.current].filter((body) => body?.isConnected);
  }

  mark(body) {
    if (!body || body === this.current) return;
    this.current?.querySelector(".summary").removeAttribute("aria-current");
    this.current = body;
    body.querySelector(".summary").setAttribute("aria-current", "true");
  }

  move(step) {
    const bodies = this.every();
    const at = bodies.indexOf(this.current);
    const to = at === -1 ? 0 : Math.min(Math.max(at + step, 0), bodies.length - 1);
    this.focus(bodies[to]);
  }

  focus(body) {
    if (!body) return;
    this.mark(body);
    body.querySelector(".toggle").focus();
    body.querySelector(".summary").scrollIntoView({ block: "nearest" });
  }

  pick() {
    if (!this.current) return;
    box(this.current).checked = !box(this.current).checked;
    this.showSelected();
  }

  clear() {
    for (const body of this.every()) box(body).checked = false;
    this.showSelected();
  }

  showSelected() {
    const number = this.selected().length;
    const focused = this.bulk.contains(document.activeElement);
    this.bulk.hidden = number === 0;
    this.bulk.querySelector("[data-count]").textContent = `${count(number)} selected`;
    this.selectAll.checked = number > 0 && number === this.listed().length;
    this.selectAll.indeterminate = number > 0 && !this.selectAll.checked;
    if (number === 0 && focused) this.focus(this.current ?? this.every()[0]);
  }

  clicked(event) {
    const body = event.target.closest("tbody.alert");
    if (!body || !event.target.closest("tr.summary") || event.target.closest("a, .pick")) return;
    if (window.getSelection()?.toString() && !event.target.closest(".toggle")) return;
    this.mark(body);
    this.open(body, body.querySelector(".details").hidden);
  }

  open(body, open = true) {
    const details = body.querySelector(".details");
    details.hidden = !open;
    body.querySelector(".toggle").setAttribute("aria-expanded", String(open));
    if (!open) return;
    const cell = details.querySelector("td");
    if (!cell.hasChildNodes()) this.fill(cell, body);
    fillDetails(cell.querySelector(".panel"), body.dataset.id);
    this.showTriage(body);
  }

  fill(cell, body) {
    cell.append(this.template.content.cloneNode(true));
    const controls = cell.querySelector(".desk");
    controls.querySelector("[data-page]").href = body.querySelector(".when a").href;
    wireControls(controls, async (action, members) => {
      const isDone = await this.triage(action, [body], members);
      if (isDone && action === "note") {
        this.showTriage(body);
        this.focus(body);
      }
      return isDone;
    });
  }

  // Shows the controls that apply to an open row, and its history.
  showTriage(body) {
    const { id, status, assignee, reason: reason_code } = body.dataset;
    showControls(body.querySelector(".desk"), { status, assignee, reason_code });
    showHistory(body.querySelector(".history ol"), id);
  }

  // Opens a form of the focused row: "note", "escalate" or "needs-information".
  write(action) {
    const body = this.current;
    if (!body?.isConnected) return;
    this.open(body);
    openForm(body.querySelector(".desk"), action);
  }

  // Applies changed triage states: at once where another action depends on them, and as text from the server.
  work(changes) {
    for (const change of changes) {
      for (const body of this.known().filter(({ dataset }) => dataset.id === change.alert_id)) {
        if (Number(body.dataset.version) >= change.version) continue;
        const { status, assignee, version, reason_code: reason } = change;
        Object.assign(body.dataset, { status, assignee: assignee ?? "", version, reason: reason ?? "" });
        this.refresh([body]);
        if (body.querySelector(".desk") && !body.querySelector(".details").hidden) this.showTriage(body);
      }
    }
  }

  reasons(events) {
    const seqs = new Set(events.map(({ seq }) => String(seq)));
    this.refresh(this.known().filter(({ dataset }) => seqs.has(dataset.seq) && !("reasons" in dataset)));
  }

  // Renders rows again, together with others of the same moment.
  refresh(bodies) {
    for (const { dataset } of bodies) this.stale.add(dataset.seq);
    if (this.stale.size > 0) this.timer ??= window.setTimeout(() => this.fetchStale(), this.pause);
  }

  async fetchStale() {
    const seqs = [...this.stale].slice(0, AT_ONCE);
    for (const seq of seqs) this.stale.delete(seq);
    const query = new URLSearchParams(this.table.dataset.asked);
    for (const seq of seqs) query.append("seq", seq);
    const startedAt = performance.now();
    const page = await fetchPage(`/rows?${query}`);
    this.pause = Math.max(SOON_MS, REST * (performance.now() - startedAt));
    for (const fetched of page?.querySelectorAll("tbody.alert") ?? []) {
      for (const body of this.known()) if (body.dataset.seq === fetched.dataset.seq) this.swap(body, fetched.cloneNode(true));
    }
    if (page) showTotals(page);
    this.timer = undefined;
    this.refresh([]);
  }

  // Replaces the content of a row that is not older than the fetched one; what is focused, selected or open stays.
  swap(body, fetched) {
    if (Number(fetched.dataset.version) < Number(body.dataset.version)) return;
    const isChanged = fetched.dataset.version !== body.dataset.version;
    Object.assign(body.dataset, fetched.dataset);
    const cells = [...fetched.querySelector(".summary").cells];
    [...body.querySelector(".summary").cells].forEach((cell, at) => {
      if (cell.matches(".pick, .open") || cell.innerHTML === cells[at].innerHTML) cell.className = cells[at].className;
      else cell.replaceWith(cells[at]);
    });
    localTimes(body);
    if (isChanged && body.querySelector(".desk") && !body.querySelector(".details").hidden) this.showTriage(body);
  }
}

export function showTotals(page) {
  const [old, current] = [document.getElementById("totals"), page.getElementById("totals")];
  if (!old || !current) return;
  old.replaceWith(current);
  localTimes(current.parentElement);
}

const box = (body) => body.querySelector(".select");
