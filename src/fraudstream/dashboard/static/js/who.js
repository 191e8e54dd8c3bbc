// Who acts in this browser: asked once, when first needed, and shown in the page's head. actor.py keeps what is said.

const TOKEN = "fraudstream.token";

export class Who {
  constructor(chip, dialog) {
    this.chip = chip;
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.failed = dialog.querySelector(".failed");
    this.name = chip.querySelector("[data-name]").textContent;
    this.needsToken = this.form.elements.token !== undefined;
    this.answer = null;
    chip.addEventListener("click", (event) => event.target.closest("[data-change]") && this.ask());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      this.answer?.(false);
      this.answer = null;
    });
  }

  get token() {
    return window.sessionStorage.getItem(TOKEN);
  }

  headers() {
    const token = this.needsToken && this.token ? { Authorization: `Bearer ${this.token}` } : {};
    return { "Content-Type": "application/json", ...token };
  }

  // True once it is known who acts; false where the question was left open.
  async known() {
    if (this.name && (!this.needsToken || this.token)) return true;
    return this.ask();
  }

  ask(failure = "") {
    this.answer?.(false);
    this.say(failure);
    if (!this.dialog.open) this.dialog.showModal();
    const first = this.name && this.needsToken && !this.token ? this.form.elements.token : this.form.elements.name;
    first.focus();
    return new Promise((resolve) => {
      this.answer = resolve;
    });
  }

  say(text) {
    this.failed.hidden = text === "";
    this.failed.textContent = text;
  }

  async save() {
    const name = this.form.elements.name.value.trim();
    if (this.needsToken) window.sessionStorage.setItem(TOKEN, this.form.elements.token.value.trim());
    try {
      const reply = await fetch("/api/actor", { method: "POST", headers: this.headers(), body: JSON.stringify({ name }) });
      if (reply.status === 401) throw new Error("This is not the ingest token");
      if (!reply.ok) throw new Error((await reply.json()).error);
    } catch (error) {
      this.say(`${error.message}.`);
      return;
    }
    this.name = name;
    this.chip.querySelector("[data-name]").textContent = name;
    this.chip.querySelector("[data-named]").hidden = false;
    this.chip.querySelector("[data-unnamed]").hidden = true;
    const answer = this.answer;
    this.answer = null;
    this.dialog.close();
    answer?.(true);
  }
}
