// How many alerts have arrived that match the filters of the queue: offered as a button, so that nothing jumps.

import { count } from "./format.js";

const EVERY_MS = 4000;
const MOST = 100;

export class News {
  constructor(button, table) {
    this.button = button;
    this.asked = new URLSearchParams(table.dataset.asked);
    this.asked.delete("sort");
    this.asked.set("limit", MOST);
    this.begin(Number(table.dataset.latest));
    button.addEventListener("click", () => this.look());
  }

  begin(latest) {
    this.latest = latest;
    this.arrivals = 0;
    this.show(0, "");
  }

  arrived() {
    this.arrivals += 1;
    if (this.number === MOST) return; // more is not counted
    this.timer ??= window.setTimeout(() => this.ask(), 300);
  }

  // What followed the newest alert that the list was made with, a page of it at most: cheap for any filter.
  async ask() {
    const [latest, arrivals] = [this.latest, this.arrivals];
    this.asked.set("since", latest);
    const answer = await fetch(`/api/alerts?${this.asked}`).catch(() => null);
    const { alerts } = answer?.ok ? await answer.json() : { alerts: [] };
    if (latest === this.latest) this.show(alerts.length, `${count(alerts.length)}${alerts.length === MOST ? "+" : ""} new match`);
    window.setTimeout(() => {
      this.timer = undefined;
      if (this.arrivals > arrivals) this.timer = window.setTimeout(() => this.ask(), 0);
    }, EVERY_MS);
  }

  show(number, text) {
    this.number = number;
    this.button.classList.toggle("none", number === 0);
    this.button.disabled = number === 0;
    this.button.textContent = text;
  }
}
