// How many alerts have arrived that match the filters of the queue: offered as a button, so that nothing jumps.

import { count } from "./format.js";

const EVERY_MS = 4000;
const MOST = 100;

export class News {
  constructor(button, table) {
    this.button = button;
    this.asked = new URLSearchParams(table.dataset.asked);
    this.asked.set("sort", "newest");
    this.asked.set("limit", MOST);
    // A search through all columns is not repeated for each arrival.
    this.counts = !this.asked.has("where");
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
    this.timer ??= window.setTimeout(() => this.ask(), this.asking ? EVERY_MS : 300);
  }

  async ask() {
    this.asking = true;
    const [latest, arrivals] = [this.latest, this.arrivals];
    let number = arrivals;
    if (this.counts) {
      const answer = await fetch(`/api/alerts?${this.asked}`).catch(() => null);
      const { alerts } = answer?.ok ? await answer.json() : { alerts: [] };
      number = alerts.filter(({ seq }) => seq > latest).length;
    }
    const more = this.counts && number === MOST ? "+" : "";
    if (latest === this.latest) this.show(number, this.counts ? `${count(number)}${more} new match` : `${count(number)} new: search again`);
    window.setTimeout(() => {
      this.timer = undefined;
      if (this.arrivals > arrivals) this.timer = window.setTimeout(() => this.ask(), 0);
    }, EVERY_MS);
  }

  show(number, text) {
    this.button.classList.toggle("none", number === 0);
    this.button.disabled = number === 0;
    this.button.textContent = text;
  }
}
