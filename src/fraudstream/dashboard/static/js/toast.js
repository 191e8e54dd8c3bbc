// What was just done, in words, with the way back: it stays until it is closed or something else was done.

const KEPT = "fraudstream.undo";
const KEPT_MS = 600_000;

export class Toast {
  constructor(box) {
    this.box = box;
    this.text = box.querySelector("[data-text]");
    this.acts = {};
    box.addEventListener("click", (event) => {
      const act = event.target.closest("[data-act]")?.dataset.act;
      if (act === "close") this.close();
      else if (act) this.acts[act]?.();
    });
    box.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  // `undo` and `take-over` are shown where there is something to call.
  show(text, acts = {}, failed = false) {
    this.acts = acts;
    this.text.textContent = text;
    this.box.classList.toggle("failed", failed);
    for (const act of ["undo", "take-over"]) this.box.querySelector(`[data-act=${act}]`).hidden = !(act in acts);
    this.box.hidden = false;
    const announce = document.getElementById("announce");
    if (announce) announce.textContent = text;
  }

  close() {
    const within = this.box.contains(document.activeElement);
    this.box.hidden = true;
    window.sessionStorage.removeItem(KEPT);
    if (within) document.getElementById("main").focus({ preventScroll: true });
  }

  // So that a search or the next page does not take the way back away.
  keep(text, changeId) {
    window.sessionStorage.setItem(KEPT, JSON.stringify({ text, changeId, at: Date.now() }));
  }

  kept() {
    const kept = JSON.parse(window.sessionStorage.getItem(KEPT) ?? "null");
    return kept && Date.now() - kept.at < KEPT_MS ? kept : null;
  }
}
