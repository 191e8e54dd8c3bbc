// Who acts in this browser: asked once, when first needed, and shown in the page's head. actor.py keeps what is said.

export class Who {
  constructor(chip, dialog) {
    this.chip = chip;
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.failed = dialog.querySelector(".failed");
    this.name = chip.querySelector("[data-name]").textContent;
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

  // True once it is known who acts; false where the question was left open.
  async known() {
    return this.name !== "" || this.ask();
  }

  ask() {
    this.answer?.(false);
    this.say("");
    if (!this.dialog.open) this.dialog.showModal();
    this.form.elements.name.focus();
    return new Promise((resolve) => {
      this.answer = resolve;
    });
  }

  say(text) {
    this.failed.hidden = text === "";
    this.failed.textContent = text;
  }

  async save() {
    let name = this.form.elements.name.value.trim();
    try {
      const headers = { "Content-Type": "application/json" };
      const reply = await fetch("/api/actor", { method: "POST", headers, body: JSON.stringify({ name }) });
      const told = await reply.json();
      if (!reply.ok) throw new Error(told.error);
      name = told.actor.name;
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
