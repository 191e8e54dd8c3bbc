// Whether new rows may enter the table now: not while the page is paused, nor while somebody reads in it. rows.js keeps
// those that wait; this owns the buttons "Pause" and "12 new".

import { count } from "./format.js";

const GRACE_MS = 1000; // after a row was closed or the page scrolled back: nothing moves under a hand that is still there

export class Holding {
  constructor(table, controls, listener) {
    this.table = table;
    this.pause = controls.querySelector("[data-pause]");
    this.fresh = controls.querySelector("[data-fresh]");
    this.listener = listener;
    this.paused = false;
    this.readAt = -Infinity;
    this.pause.addEventListener("click", () => this.setPaused(!this.paused));
    this.fresh.addEventListener("click", (event) => this.show(event.detail === 0));
    // A row must not move away between the press of a button and its release.
    for (const name of ["pointermove", "pointerdown"]) {
      table.addEventListener(name, () => (this.readAt = performance.now()), { passive: true });
    }
    window.setInterval(() => this.look(), 250);
    // The button must be seen from wherever one has scrolled to.
    new IntersectionObserver(([seen]) => this.fresh.classList.toggle("floating", !seen.isIntersecting)).observe(controls);
  }

  setPaused(paused) {
    this.paused = paused;
    this.pause.setAttribute("aria-pressed", String(paused));
    this.pause.querySelector("[data-text]").textContent = paused ? "Resume" : "Pause";
    this.listener.paused(paused);
    if (!paused) this.listener.flush();
  }

  // Read often, so it asks for layout only where nothing else decides.
  holds() {
    return this.paused || this.reading();
  }

  reading() {
    const open = this.table.querySelector(".toggle[aria-expanded=true]") !== null;
    const focused = this.table.querySelector(":focus-visible") !== null;
    const scrolled = window.scrollY > 0 && this.table.getBoundingClientRect().top < 0;
    if (open || focused || scrolled) this.readAt = performance.now();
    return performance.now() - this.readAt < GRACE_MS;
  }

  look() {
    if (this.waiting > 0 && !this.holds()) this.listener.flush();
  }

  tell(waiting) {
    if (this.waiting === waiting) return;
    this.waiting = waiting;
    this.fresh.classList.toggle("none", waiting === 0);
    this.fresh.disabled = waiting === 0;
    if (waiting > 0) this.fresh.textContent = `${count(waiting)} new`;
  }

  // What waits is shown at once, and one sees it: who came by key is at the newest row then.
  show(byKey) {
    this.listener.flush();
    if (this.table.getBoundingClientRect().top < 0) this.table.scrollIntoView({ block: "start" });
    if (byKey) this.table.querySelector("tbody .toggle")?.focus();
    else this.fresh.blur();
  }
}
