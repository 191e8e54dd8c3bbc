// Keeps one page supplied from the stream: resumes after the last alert it has, asks by hand where no stream can be had
// (polling.js), and says how it stands. How that reads on the page is connection_state.js's.

import { Polling } from "./polling.js";

const RETRY_MS = 1500;
const SILENT_MS = 6000; // the counters come every second: silence means that the connection is dead
const TRIES = 3; // a stream that fails so often in a row is asked for by hand instead
const STREAM_AGAIN_MS = 60_000;
const OFFLINE_MS = 20_000;

export class Connection {
  constructor(outcome, latest, listener) {
    this.outcome = outcome;
    this.latest = latest;
    this.listener = listener;
    this.heardAt = performance.now();
    this.heardDate = new Date();
    this.failures = 0;
    this.broken = true; // until it is heard: what happened since the page was written is asked for too
    this.source = null;
    this.polling = null;
    window.setInterval(() => this.checkSilence(), 1000);
    window.addEventListener("online", () => this.open());
    window.addEventListener("offline", () => this.lost());
    window.addEventListener("pagehide", () => this.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.open());
    this.open();
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  open() {
    this.close();
    if (!("EventSource" in window)) {
      this.poll();
      return;
    }
    const asked = new URLSearchParams({ last_event_id: this.latest, outcome: this.outcome });
    const source = new EventSource(`/api/stream?${asked}`);
    this.source = source;
    this.openedAt = performance.now();
    const on = (name, handle) => source.addEventListener(name, (event) => source === this.source && handle(event));
    on("alert", (event) => {
      this.heard("live");
      this.took(Number(event.lastEventId), () => JSON.parse(event.data));
    });
    for (const name of ["reasons", "work", "stats"]) {
      on(name, (event) => {
        this.heard("live");
        this.listener[name]?.(JSON.parse(event.data));
      });
    }
    on("missed", () => this.listener.missed?.());
    on("reset", () => window.location.reload());
    on("error", () => this.failed(source));
  }

  took(seq, alert) {
    if (seq <= this.latest) return; // resent after a reconnect
    this.latest = seq;
    this.listener.alert?.(alert());
  }

  heard(state) {
    this.heardAt = performance.now();
    this.heardDate = new Date();
    if (state === "live") {
      this.failures = 0;
      this.polling?.stop();
      this.polling = null;
    }
    // What is not told again, such as who claimed an alert, is asked for by who shows it.
    if (this.broken) this.listener.missed?.();
    this.broken = false;
    this.listener.state(state, this.heardDate);
  }

  lost() {
    this.broken = true;
    const away = !navigator.onLine || performance.now() - this.heardAt > OFFLINE_MS;
    this.listener.state(away ? "offline" : "waiting", this.heardDate);
  }

  failed(source) {
    this.failures += 1;
    if (this.polling) {
      this.close(); // a try of the stream beside the polling
      return;
    }
    this.lost();
    if (this.failures >= TRIES) this.poll();
    else if (source.readyState === EventSource.CLOSED) this.reopen();
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

  poll() {
    this.close();
    this.triedAt = performance.now();
    this.polling ??= new Polling(this.outcome, () => this.latest, {
      alert: (alert) => this.took(alert.seq, () => alert),
      stats: (stats) => this.listener.stats?.(stats),
      answered: (again) => {
        this.heard("polling");
        if (!("EventSource" in window) || this.source) return;
        if (!again && performance.now() - this.triedAt < STREAM_AGAIN_MS) return;
        this.triedAt = performance.now();
        this.open();
      },
      failed: () => this.lost(),
      looked: () => this.listener.missed?.(),
    });
  }

  checkSilence() {
    if (this.source === null) return;
    const since = Math.max(this.openedAt, this.polling ? 0 : this.heardAt);
    if (this.source.readyState !== EventSource.OPEN || performance.now() - since <= SILENT_MS) return;
    const source = this.source;
    this.failed(source);
    if (this.source === source) this.open(); // not given up, and not yet asked by hand
  }
}
