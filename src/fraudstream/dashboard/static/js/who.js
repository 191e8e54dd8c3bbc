// The user's name: requested once, when first needed, and shown in the page header.

class Who {
  constructor(chip, dialog) {
    this.chip = chip;
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.failed = dialog.querySelector(".failed");
    this.name = chip.querySelector("[data-name]").textContent;
    this.resolve = null;
    chip.addEventListener("click", (event) => event.target.closest("[data-change]") && this.ask());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      this.resolve?.(false);
      this.resolve = null;
    });
  }

  // Returns true once the name is known; false if the dialog was closed.
  async known() {
    return this.name !== "" || this.ask();
  }

  ask() {
    this.resolve?.(false);
    this.showError("");
    if (!this.dialog.open) this.dialog.showModal();
    this.form.elements.name.focus();
    return new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  showError(text) {
    this.failed.hidden = text === "";
    this.failed.textContent = text;
  }

  async save() {
    let name = this.form.elements.name.value.trim();
    try {
      const headers = { "Content-Type": "application/json" };
      const response = await fetch("/api/actor", { method: "POST", headers, body: JSON.stringify({ name }) });
      const result = await response.json();
      if (!response.ok) throw new Error(result.error);
      name = result.actor.name;
    } catch (error) {
      this.showError(`${error.message}.`);
      return;
    }
    this.name = name;
    for (const label of document.querySelectorAll(".top [data-name]")) label.textContent = name;
    this.chip.querySelector("[data-named]").hidden = false;
    this.chip.querySelector("[data-unnamed]").hidden = true;
    const resolve = this.resolve;
    this.resolve = null;
    this.dialog.close();
    resolve?.(true);
  }
}

const chip = document.getElementById("who");
export const who = chip && new Who(chip, document.getElementById("who-dialog"));
