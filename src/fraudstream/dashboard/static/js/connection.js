// Keeps one event stream open: resumes after the last alert it has, and says how it stands.

const RETRY_MS = 1500;
const SILENT_MS = 6000; // the counters come every second: silence means that the connection is dead

export class Connection {
  constructor(outcome, latest, listener) {
    this.outcome = outcome;
    this.latest = latest;
    this.listener = listener;
    this.heardAt = performance.now();
    this.source = null;
    window.setInterval(() => this.checkSilence(), 1000);
    window.addEventListener("online", () => this.open());
    window.addEventListener("pagehide", () => this.source?.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.open());
    this.open();
  }

  open() {
    this.source?.close();
    const asked = new URLSearchParams({ last_event_id: this.latest, outcome: this.outcome });
    const source = new EventSource(`/api/stream?${asked}`);
    this.source = source;
    this.heardAt = performance.now();
    source.addEventListener("open", () => this.heard("live"));
    source.addEventListener("alert", (event) => {
      this.heard("live");
      const seq = Number(event.lastEventId);
      if (seq <= this.latest) return; // resent after a reconnect
      this.latest = seq;
      this.listener.alert(JSON.parse(event.data));
    });
    source.addEventListener("reasons", (event) => {
      this.heard("live");
      this.listener.reasons?.(JSON.parse(event.data));
    });
    source.addEventListener("stats", (event) => {
      this.heard("live");
      this.listener.stats(JSON.parse(event.data));
    });
    source.addEventListener("reset", () => window.location.reload());
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      this.listener.state("waiting");
      if (source.readyState === EventSource.CLOSED) this.reopen();
    });
  }

  heard(state) {
    this.heardAt = performance.now();
    this.listener.state(state);
  }

  // The browser gives up on its own after an answer that is no stream (a restart behind a proxy, a session that ended).
  reopen() {
    const given_up = this.source;
    window.setTimeout(async () => {
      if (this.source !== given_up) return;
      const answer = await fetch("/api/stats").catch(() => null);
      if (answer?.status === 401) window.location.reload();
      else this.open();
    }, RETRY_MS);
  }

  checkSilence() {
    if (this.source.readyState === EventSource.OPEN && performance.now() - this.heardAt > SILENT_MS) {
      this.listener.state("waiting");
      this.open();
    }
  }
}
