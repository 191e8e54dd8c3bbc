// The banner of system problems; system_state.py reports them.

export class Trouble {
  constructor(box) {
    this.box = box;
  }

  show(problems = []) {
    this.box.hidden = problems.length === 0;
    const list = this.box.querySelector("ul");
    if (problems.join("\n") === [...list.children].map((item) => item.textContent).join("\n")) return;
    list.replaceChildren(
      ...problems.map((problem) => {
        const item = document.createElement("li");
        item.textContent = problem;
        return item;
      }),
    );
  }
}
