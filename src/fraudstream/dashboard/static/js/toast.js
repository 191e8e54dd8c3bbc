// The last action, with undo: shown until it is closed or replaced by the next one.

const STORAGE_KEY = "fraudstream.undo";
const STORED_MS = 600_000;

export class Toast {
  constructor(box) {
    this.box = box;
    this.text = box.querySelector("[data-text]");
    this.actions = {};
    box.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      const action = button?.dataset.act;
      if (action === "close") this.close();
      else if (action) this.actions[action]?.(button);
    });
    box.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  // `undo` and `take-over` are shown if there is a function for them, and the reasons for a verdict.
  show(text, actions = {}, failed = false, verdict = null) {
    this.actions = actions;
    this.text.textContent = text;
    this.box.classList.toggle("failed", failed);
    for (const action of ["undo", "take-over"]) this.box.querySelector(`[data-act=${action}]`).hidden = !(action in actions);
    for (const group of this.box.querySelectorAll("[data-reasons]")) group.hidden = group.dataset.reasons !== verdict;
    this.box.hidden = false;
    const announce = document.getElementById("announce");
    if (announce) announce.textContent = text;
  }

  // The reasons that can be chosen now, by their order.
  reason(index) {
    return this.box.hidden ? undefined : this.box.querySelectorAll("[data-reasons]:not([hidden]) [data-act=reason]")[index];
  }

  reasonText(code) {
    return this.box.querySelector(`[data-code="${CSS.escape(code)}"] span`)?.textContent ?? code;
  }

  close() {
    const within = this.box.contains(document.activeElement);
    this.box.hidden = true;
    window.sessionStorage.removeItem(STORAGE_KEY);
    if (within) document.getElementById("main").focus({ preventScroll: true });
  }

  // So that undo is still available after a search or on the next page.
  store(text, changeId) {
    window.sessionStorage.setItem(STORAGE_KEY, JSON.stringify({ text, changeId, at: Date.now() }));
  }

  stored() {
    const stored = JSON.parse(window.sessionStorage.getItem(STORAGE_KEY) ?? "null");
    return stored && Date.now() - stored.at < STORED_MS ? stored : null;
  }
}
