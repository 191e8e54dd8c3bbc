// Counts new alerts that match the filters of the queue, in a button, so that the list does not jump.

import { count } from "./format.js";

const EVERY_MS = 4000;
const MOST = 100;

export class NewMatches {
  constructor(button, table) {
    this.button = button;
    this.query = new URLSearchParams(table.dataset.asked);
    this.query.delete("sort");
    this.query.set("limit", MOST);
    this.reset(Number(table.dataset.latest));
    button.addEventListener("click", () => this.load());
  }

  reset(latest) {
    this.latest = latest;
    this.arrivals = 0;
    this.show(0, "");
  }

  arrived() {
    this.arrivals += 1;
    if (this.number === MOST) return; // more is not counted
    this.timer ??= window.setTimeout(() => this.fetchNew(), 300);
  }

  // Alerts after the newest one of the list, a page at most: cheap for any filter.
  async fetchNew() {
    const [latest, arrivals] = [this.latest, this.arrivals];
    this.query.set("since", latest);
    const response = await fetch(`/api/alerts?${this.query}`).catch(() => null);
    const { alerts } = response?.ok ? await response.json() : { alerts: [] };
    if (latest === this.latest) this.show(alerts.length, `${count(alerts.length)}${alerts.length === MOST ? "+" : ""} new match`);
    window.setTimeout(() => {
      this.timer = undefined;
      if (this.arrivals > arrivals) this.timer = window.setTimeout(() => this.fetchNew(), 0);
    }, EVERY_MS);
  }

  show(number, text) {
    this.number = number;
    this.button.classList.toggle("none", number === 0);
    this.button.disabled = number === 0;
    this.button.textContent = text;
  }
}
