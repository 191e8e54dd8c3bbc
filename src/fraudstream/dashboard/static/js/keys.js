// Keys without a modifier, for whoever works with the keyboard: they can be switched off (WCAG 2.2, 2.1.4), and are off
// while one types.

const OFF = "fraudstream.keys";
const TYPED_IN = "input:not([type=checkbox]), textarea, select, [contenteditable]";

export class Keys {
  constructor(sheet, does) {
    this.sheet = sheet;
    this.does = { ...does, "?": () => this.sheet.showModal() };
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
    if (event.key === "Escape" && event.target.matches(TYPED_IN)) event.target.blur();
    if (!this.on || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("dialog") || event.target.matches(TYPED_IN) || document.querySelector("dialog[open]")) return;
    const act = this.does[event.key];
    if (!act) return;
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return; // has a meaning of its own
    event.preventDefault();
    if (!event.repeat || event.key === "j" || event.key === "k") act();
  }
}
