// Keyboard shortcuts without a modifier: they can be switched off (WCAG 2.2, 2.1.4), and are off while typing.

const OFF = "fraudstream.keys";
const TEXT_INPUTS = "input:not([type=checkbox]), textarea, select, [contenteditable]";

export class Keys {
  constructor(sheet, actions) {
    this.sheet = sheet;
    this.actions = { ...actions, "?": () => this.sheet.showModal() };
    this.on = window.localStorage.getItem(OFF) !== "off";
    const toggle = sheet.querySelector("#keys-on");
    toggle.checked = this.on;
    toggle.addEventListener("change", () => {
      this.on = toggle.checked;
      window.localStorage.setItem(OFF, this.on ? "on" : "off");
    });
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    if (event.key === "Escape" && event.target.matches(TEXT_INPUTS)) event.target.blur();
    if (!this.on || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("dialog") || event.target.matches(TEXT_INPUTS) || document.querySelector("dialog[open]")) return;
    const act = this.actions[event.key];
    if (!act) return;
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return; // the element handles it
    event.preventDefault();
    if (!event.repeat || event.key === "j" || event.key === "k") act();
  }
}
