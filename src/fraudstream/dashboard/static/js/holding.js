// Holds back new rows while the list is paused or being read, with the buttons "Pause" and "12 new".

import { count } from "./format.js";

const GRACE_MS = 1000; // after a row was closed or the page scrolled back: nothing moves under the pointer

export class Holding {
  constructor(table, listener) {
    this.table = table;
    this.pause = document.getElementById("pause");
    this.fresh = document.getElementById("fresh");
    this.listener = listener;
    this.paused = false;
    this.readAt = -Infinity;
    this.pause.addEventListener("click", () => this.setPaused(!this.paused));
    this.fresh.addEventListener("click", (event) => this.show(event.detail === 0));
    // A row must not move away between the press of a button and its release.
    for (const name of ["pointermove", "pointerdown"]) {
      table.addEventListener(name, () => (this.readAt = performance.now()), { passive: true });
    }
    window.setInterval(() => this.check(), 250);
    // The button must be visible at any scroll position.
    new IntersectionObserver(([entry]) => this.fresh.classList.toggle("floating", !entry.isIntersecting)).observe(this.pause);
  }

  setPaused(paused) {
    this.paused = paused;
    this.pause.setAttribute("aria-pressed", String(paused));
    this.pause.querySelector("[data-text]").textContent = paused ? "Resume" : "Pause";
    this.listener.paused(paused);
    if (!paused) this.listener.flush();
  }

  // Called often, so it triggers layout only if nothing else decides.
  holds() {
    return this.paused || this.reading();
  }

  reading() {
    const open = this.table.querySelector(".toggle[aria-expanded=true], .select:checked") !== null;
    const focused = this.table.querySelector(":focus-visible") !== null;
    const scrolled = window.scrollY > 0 && this.table.getBoundingClientRect().top < 0;
    if (open || focused || scrolled) this.readAt = performance.now();
    return performance.now() - this.readAt < GRACE_MS;
  }

  check() {
    if (this.waiting > 0 && !this.holds()) this.listener.flush();
  }

  showWaiting(waiting) {
    if (this.waiting === waiting) return;
    this.waiting = waiting;
    this.fresh.classList.toggle("none", waiting === 0);
    this.fresh.disabled = waiting === 0;
    if (waiting > 0) this.fresh.textContent = `${count(waiting)} new`;
  }

  // Shows the waiting rows at once, in view; with the keyboard it moves the focus to the newest row.
  show(byKey) {
    this.listener.flush();
    if (this.table.getBoundingClientRect().top < 0) this.table.scrollIntoView({ block: "start" });
    if (byKey) this.table.querySelector("tbody .toggle")?.focus();
    else this.fresh.blur();
  }
}
