// A search through all columns that takes longer than a page may: its matches enter the list as they are found, with how
// far it has come, until it is done or cancelled.

import { amountOf, count, loss } from "./format.js";
import { nameControls } from "./queue_rows.js";
import { filledRow } from "./row.js";

const MOST = 200; // rows that one search brings into the page
const KEYS = { loss, score: (alert) => alert.score, amount: (alert) => amountOf(alert.transaction) };

export class QueueScan {
  constructor(box, table, rows) {
    this.box = box;
    this.table = table;
    this.rows = rows;
    this.asked = new URLSearchParams(table.dataset.asked);
    this.key = KEYS[this.asked.get("sort")];
    this.template = document.getElementById("row-template");
    this.cancel = box.querySelector("[data-cancel]");
    this.on = box.querySelector("[data-on]");
    this.cancel.addEventListener("click", () => this.stop?.abort());
    this.on.addEventListener("click", () => this.run());
    if (!box.hidden) this.run();
  }

  async run() {
    this.stop = new AbortController();
    this.cancel.hidden = false;
    this.on.hidden = true;
    this.box.querySelector("progress").hidden = false;
    this.found = this.rows.listed().length;
    const asked = new URLSearchParams(this.asked);
    // By value all have to be looked at; in the order of commit it goes on where the page ended.
    if (this.key) asked.set("sort", "newest");
    else asked.set("cursor", this.box.dataset.cursor);
    try {
      const answer = await fetch(`/api/alerts/scan?${asked}`, { signal: this.stop.signal });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      await this.read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch (error) {
      this.ended(this.stop.signal.aborted ? "Cancelled." : `The search broke off (${error.message}).`);
    }
  }

  async read(reader) {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("it ended early");
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const told = JSON.parse(line);
        if ("alert_id" in told) this.enter(told);
        else if (this.progress(told)) {
          this.ended("");
          return;
        }
      }
      if (!this.key && this.found >= MOST) {
        this.stop.abort();
        throw new Error("enough");
      }
    }
  }

  // True at the end.
  progress({ scanned, of, done }) {
    this.scanned = scanned;
    this.of = of;
    const bar = this.box.querySelector("progress");
    bar.max = of;
    bar.value = scanned;
    this.say(`Looked through ${count(scanned)} of ${count(of)} alerts.`);
    return done;
  }

  say(text) {
    this.box.querySelector("[data-text]").textContent = text;
  }

  ended(why) {
    const enough = !this.key && this.found >= MOST;
    const far = this.of ? `Looked through ${count(this.scanned)} of ${count(this.of)} alerts` : "Not looked through";
    this.cancel.hidden = true;
    this.on.hidden = why === "" || enough;
    this.box.querySelector("progress").hidden = true;
    this.say(`${enough ? "" : why} ${far}: ${count(this.found)} ${this.found === 1 ? "match" : "matches"}${enough ? " shown; narrow the search for fewer" : ""}.`.trim());
    document.getElementById("empty").hidden = this.rows.listed().length > 0;
  }

  enter(alert) {
    if (this.rows.of(alert.alert_id)) return;
    this.found += 1;
    this.table.hidden = false;
    const body = filledRow(this.template, alert);
    nameControls(body);
    if (!this.key) {
      this.table.append(body);
      return;
    }
    // Behind all that are as large: what one looks at stays where it is but for those above it.
    const value = this.key(alert) ?? -Infinity;
    body.dataset.key = value;
    const bodies = this.rows.listed();
    const after = bodies.findLast((other) => keyOf(other, this.asked.get("sort")) >= value);
    if (bodies.length >= MOST && after === bodies.at(-1)) return;
    (after ?? this.table.tHead).after(body);
    if (bodies.length >= MOST) bodies.at(-1).remove();
  }
}

function keyOf(body, sort) {
  if (body.dataset.key === undefined) {
    const text = body.querySelector(`[data-f=${sort}]`).textContent.replaceAll(",", "");
    body.dataset.key = Number.isNaN(Number(text)) ? -Infinity : Number(text);
  }
  return Number(body.dataset.key);
}
