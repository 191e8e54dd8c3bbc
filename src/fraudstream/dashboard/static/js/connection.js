// Connects a page to the live stream: resumes after its last alert, polls if the stream is unavailable (polling.js), and
// reports the state of the connection.

import { Polling } from "./polling.js";

const RETRY_MS = 1500;
const SILENT_MS = 6000; // the counters arrive every second: silence means that the connection is dead
const TRIES = 3; // failures in a row after which the page polls
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
    this.broken = true; // until the first event: changes since the page was rendered are fetched too
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
    const query = new URLSearchParams({ last_event_id: this.latest, outcome: this.outcome });
    if (this.listener.row) query.set("rows", 1); // rendered, in place of JSON
    const source = new EventSource(`/api/stream?${query}`);
    this.source = source;
    this.openedAt = performance.now();
    const on = (name, handle) => source.addEventListener(name, (event) => source === this.source && handle(event));
    on("alert", (event) => {
      this.markAlive("live");
      this.receive(Number(event.lastEventId), () => JSON.parse(event.data));
    });
    on("row", (event) => {
      this.markAlive("live");
      const seq = Number(event.lastEventId);
      if (seq <= this.latest) return;
      this.latest = seq;
      this.listener.row(event.data, seq);
    });
    for (const name of ["reasons", "work", "stats", "skipped"]) {
      on(name, (event) => {
        const data = JSON.parse(event.data);
        if (name === "stats") document.dispatchEvent(new CustomEvent("stats", { detail: data }));
        this.markAlive("live");
        this.listener[name]?.(data);
      });
    }
    on("missed", () => this.listener.missed?.());
    on("reset", () => window.location.reload());
    on("error", () => this.failed(source));
  }

  receive(seq, alert) {
    if (seq <= this.latest) return; // resent after a reconnect
    this.latest = seq;
    this.listener.alert?.(alert());
  }

  markAlive(state) {
    this.heardAt = performance.now();
    this.heardDate = new Date();
    if (state === "live") {
      this.failures = 0;
      this.polling?.stop();
      this.polling = null;
    }
    // The listener reloads what the stream does not repeat, such as triage states.
    if (this.broken) this.listener.missed?.();
    this.broken = false;
    this.listener.state(state, this.heardDate);
  }

  lost() {
    this.broken = true;
    const isOffline = !navigator.onLine || performance.now() - this.heardAt > OFFLINE_MS;
    this.listener.state(isOffline ? "offline" : "waiting", this.heardDate);
  }

  failed(source) {
    this.failures += 1;
    if (this.polling) {
      this.close(); // an attempt to stream during polling
      return;
    }
    this.lost();
    if (this.failures >= TRIES) this.poll();
    else if (source.readyState === EventSource.CLOSED) this.reopen();
  }

  // The browser gives up after a response that is no stream (a restart behind a proxy, an ended session).
  reopen() {
    const failedSource = this.source;
    window.setTimeout(async () => {
      if (this.source !== failedSource) return;
      const response = await fetch("/api/stats").catch(() => null);
      if (response?.status === 401) window.location.reload();
      else this.open();
    }, RETRY_MS);
  }

  poll() {
    this.close();
    this.triedAt = performance.now();
    this.polling ??= new Polling(this.outcome, () => this.latest, {
      alert: (alert) => this.receive(alert.seq, () => alert),
      stats: (stats) => this.listener.stats?.(stats),
      succeeded: (again) => {
        this.markAlive("polling");
        if (!("EventSource" in window) || this.source) return;
        if (!again && performance.now() - this.triedAt < STREAM_AGAIN_MS) return;
        this.triedAt = performance.now();
        this.open();
      },
      failed: () => this.lost(),
      refresh: () => this.listener.missed?.(),
    });
  }

  checkSilence() {
    if (this.source === null) return;
    const since = Math.max(this.openedAt, this.polling ? 0 : this.heardAt);
    if (this.source.readyState !== EventSource.OPEN || performance.now() - since <= SILENT_MS) return;
    const source = this.source;
    this.failed(source);
    if (this.source === source) this.open(); // not closed, and not polling yet
  }
}
