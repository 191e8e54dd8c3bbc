// The live view: adds new rows at the top, in a storm once a second; they wait while the list is read (holding.js).

import { localTimes } from "./format.js";
import { Holding } from "./holding.js";
import { fetchPage } from "./queue_list.js";
import { showTotals } from "./queue_rows.js";

const MOST = 50; // as many as the page starts with; each slows down every arrival
const CROWD = 50; // rows in one frame: more than anybody reads in a second
const CROWD_MS = 1000;
const REST = 2; // a pause this many times as long as drawing took: the page stays responsive in a storm
const ARRIVED_MS = 2600; // how long a row is highlighted as new
const SOON_MS = 50;

export class Live {
  constructor(rows, listener) {
    this.rows = rows;
    this.table = rows.table;
    this.listener = listener;
    this.pending = [];
    this.changed = new Set(); // seqs that changed while they were pending
    this.count = 0;
    this.scheduled = false;
    this.notBefore = -Infinity;
    this.latest = Number(this.table.dataset.latest);
    this.template = document.createElement("template");
    this.holding = new Holding(this.table, { flush: () => this.flush(), paused: listener.paused });
  }

  // A row as the stream sends it, rendered.
  row(html, seq) {
    this.latest = Math.max(this.latest, seq);
    this.add([{ seq, html }], 1);
  }

  add(pending, count) {
    this.pending.push(...pending);
    this.pending.splice(0, Math.max(this.pending.length - MOST, 0));
    this.count += count;
    this.listener.arrived(count);
    this.schedule();
  }

  // An alert of which only the arrival is known, as in a list with filters: the matches are fetched.
  arrived() {
    this.timer ??= window.setTimeout(async () => {
      const query = new URLSearchParams(this.table.dataset.asked);
      query.delete("sort");
      query.set("since", this.latest);
      const page = await fetchPage(`/rows?${query}`);
      this.timer = undefined;
      if (page === null) return;
      const { latest, count, more } = page.querySelector("table").dataset;
      this.latest = Number(latest);
      showTotals(page);
      const bodies = [...page.querySelectorAll("tbody.alert")].reverse();
      if (bodies.length > 0) this.add(bodies.map((body) => ({ seq: Number(body.dataset.seq), html: body.outerHTML })), Number(count));
      if (more !== undefined) this.arrived();
    }, SOON_MS);
  }

  // Rows that wait are rendered again once they are listed.
  change(seqs) {
    const waiting = new Set(this.pending.map(({ seq }) => seq));
    for (const seq of seqs) if (waiting.has(seq)) this.changed.add(String(seq));
  }

  // A hidden page draws no frames; its rows are complete all the same. In a storm the table is redrawn once a second, so
  // that the page stays responsive and a row does not move for that long.
  schedule() {
    if (this.scheduled || this.notBefore === Infinity) return; // `rest` schedules those that arrive meanwhile
    this.scheduled = true;
    const rest = this.notBefore - performance.now();
    const enter = () => {
      this.scheduled = false;
      if (this.holding.holds()) this.holding.showWaiting(this.count);
      else this.flush();
    };
    if (rest > 0) window.setTimeout(enter, rest);
    else if (document.hidden) window.setTimeout(enter, 250);
    else window.requestAnimationFrame(enter);
  }

  flush() {
    if (this.pending.length === 0) return;
    this.rest(this.count >= CROWD ? CROWD_MS : 0);
    this.template.innerHTML = this.pending.map(({ html }) => html).join("");
    const bodies = [...this.template.content.children].reverse();
    for (const body of bodies) body.classList.add("arrived");
    localTimes(this.template.content);
    this.pending = [];
    this.count = 0;
    this.holding.showWaiting(0);
    this.table.tHead.after(...bodies);
    this.rows.refresh(bodies.filter(({ dataset }) => this.changed.has(dataset.seq)));
    this.changed.clear();
    window.setTimeout(() => bodies.forEach((body) => body.classList.remove("arrived")), ARRIVED_MS);
    for (const old of this.rows.all().slice(MOST)) {
      if (old.querySelector(".details").hidden && !old.contains(document.activeElement) && !old.querySelector(".select").checked) old.remove();
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
}
