// The rows of the queue: focus, selection and details.

import { openForm, showControls, showHistory, wireControls } from "./controls.js";
import { fillDetails } from "./details.js";
import { count } from "./format.js";
import { showInRow } from "./reasons.js";
import { showTriage } from "./triage_state.js";

export class QueueRows {
  constructor(main, triage) {
    this.main = main;
    this.template = document.getElementById("desk-template");
    this.all = document.getElementById("select-all");
    this.bulk = document.getElementById("bulk");
    this.triage = triage;
    main.addEventListener("click", (event) => this.clicked(event));
    main.addEventListener("focusin", ({ target }) => this.mark(target.closest("tbody.alert")));
    main.addEventListener("change", ({ target }) => {
      if (target === this.all) this.listed().forEach((body) => (box(body).checked = this.all.checked));
      if (target === this.all || target.matches(".select")) this.showSelected();
    });
  }

  listed() {
    return [...this.main.querySelectorAll("#list tbody.alert")];
  }

  every() {
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
    this.all.checked = number > 0 && number === this.listed().length;
    this.all.indeterminate = number > 0 && !this.all.checked;
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
      if (isDone && action === "note") this.showTriage(body);
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

  // Updates the triage states of listed rows.
  work(changes) {
    for (const change of changes) {
      const bodies = this.every().filter((body) => body.dataset.id === change.alert_id);
      for (const body of bodies) {
        if (!showTriage(body, change)) continue;
        if (body.querySelector(".desk") && !body.querySelector(".details").hidden) this.showTriage(body);
      }
    }
  }

  reasons(events) {
    for (const { seq, reasons } of events) {
      const body = this.main.querySelector(`tbody[data-seq="${Number(seq)}"]`);
      if (body && !("reasons" in body.dataset)) showInRow(body, reasons);
    }
  }
}

// Labels the controls of a row by its content, with its time in the viewer's time zone.
export function nameControls(body) {
  const of = `the alert of ${body.querySelector("time").textContent}`;
  box(body).setAttribute("aria-label", `Select ${of}`);
  const loss = body.querySelector("[data-f=loss]").textContent;
  body.querySelector(".toggle").setAttribute("aria-label", `Open ${of}, expected loss ${loss}`);
}

const box = (body) => body.querySelector(".select");
