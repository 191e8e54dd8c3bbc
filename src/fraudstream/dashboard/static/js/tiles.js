// The counters; pages.py formats them alike.

import * as format from "./format.js";

export class Tiles {
  constructor(list) {
    this.tiles = new Map([...list.querySelectorAll("[data-tile]")].map((tile) => [tile.dataset.tile, tile]));
  }

  show(stats) {
    const { scored, alerts } = stats;
    const share = scored ? `${((alerts / scored) * 100).toFixed(2)} % of payments` : "none scored yet";
    this.set("payments", format.count(stats.payments_seen), `≈ ${format.count(scored)} scored`);
    this.set("alerts", format.count(alerts), share);
    this.set("rate", format.rate(stats.rate), `≈ ${format.count(stats.lag)} waiting`);
    this.set(
      "latency",
      format.milliseconds(stats.p50_ms),
      stats.p99_ms === null ? "no recent alert" : `99 % within ${format.milliseconds(stats.p99_ms)}`,
      stats.latency_to === "store" ? "Payment to store" : "Payment to page",
    );
    const deadLetters = stats.dead_letters === 1 ? "1 dead letter" : `${format.count(stats.dead_letters)} dead letters`;
    this.set("unjudged", format.count(stats.unscorable), deadLetters);
    this.set(
      "model",
      format.shortId(stats.model_id ?? "") || format.NOTHING,
      stats.threshold === null ? format.NOTHING : `threshold ${Number(stats.threshold.toPrecision(4))}`,
    );
  }

  set(key, figure, line, label) {
    const tile = this.tiles.get(key);
    const update = (part, text) => {
      const element = tile.querySelector(`[data-${part}]`);
      if (element.textContent !== text) element.textContent = text;
    };
    update("figure", figure);
    update("line", line);
    if (label !== undefined) update("label", label);
  }
}
