// Asks for what a stream would have told: `?since=` of the alerts, and the counters. connection.js decides when.

const EVERY_MS = 2000;
const AFTER_FAILURE_MS = 1000;
const LOOK_EVERY = 3; // polls, after which what changes without a new alert (who claimed it) is asked for as well
const MOST = 1000;

export class Polling {
  constructor(outcome, latest, listener) {
    this.outcome = outcome;
    this.latest = latest;
    this.listener = listener;
    this.count = 0;
    this.wasAnswered = false;
    this.turn();
  }

  stop() {
    this.stopped = true;
  }

  async turn() {
    if (this.stopped) return;
    const answered = await this.ask().catch(() => false);
    if (this.stopped) return;
    if (answered) {
      this.count += 1;
      if (this.count % LOOK_EVERY === 0) this.listener.looked();
      this.listener.answered(!this.wasAnswered);
    } else this.listener.failed();
    this.wasAnswered = answered;
    window.setTimeout(() => this.turn(), answered ? EVERY_MS : AFTER_FAILURE_MS);
  }

  async ask() {
    const asked = new URLSearchParams({ since: this.latest(), outcome: this.outcome, limit: MOST });
    const [stats, alerts] = await Promise.all([fetch("/api/stats"), fetch(`/api/alerts?${asked}`)]);
    if (stats.status === 401) window.location.reload();
    if (!stats.ok || !alerts.ok) return false;
    const counters = await stats.json();
    const found = await alerts.json();
    if (this.stopped) return true;
    if (found.reset) window.location.reload(); // another store: what the page shows is of the old one
    this.listener.stats(counters);
    for (const alert of found.alerts) this.listener.alert(alert);
    return true;
  }
}
