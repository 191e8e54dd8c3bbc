// Polls the alerts (`?since=`) and the counters in place of the live stream.

const EVERY_MS = 2000;
const AFTER_FAILURE_MS = 1000;
const REFRESH_EVERY = 3; // polls, after which changes without a new alert (such as a claim) are fetched as well
const MOST = 1000;

export class Polling {
  constructor(outcome, latest, listener) {
    this.outcome = outcome;
    this.latest = latest;
    this.listener = listener;
    this.count = 0;
    this.wasSuccessful = false;
    this.turn();
  }

  stop() {
    this.stopped = true;
  }

  async turn() {
    if (this.stopped) return;
    const succeeded = await this.fetchNew().catch(() => false);
    if (this.stopped) return;
    if (succeeded) {
      this.count += 1;
      if (this.count % REFRESH_EVERY === 0) this.listener.refresh();
      this.listener.succeeded(!this.wasSuccessful);
    } else this.listener.failed();
    this.wasSuccessful = succeeded;
    window.setTimeout(() => this.turn(), succeeded ? EVERY_MS : AFTER_FAILURE_MS);
  }

  async fetchNew() {
    const query = new URLSearchParams({ since: this.latest(), outcome: this.outcome, limit: MOST });
    const [stats, alerts] = await Promise.all([fetch("/api/stats"), fetch(`/api/alerts?${query}`)]);
    if (stats.status === 401) window.location.reload();
    if (!stats.ok || !alerts.ok) return false;
    const counters = await stats.json();
    const page = await alerts.json();
    if (this.stopped) return true;
    if (page.reset) window.location.reload(); // another store: the page shows alerts of the old one
    this.listener.stats(counters);
    for (const alert of page.alerts) this.listener.alert(alert);
    return true;
  }
}
