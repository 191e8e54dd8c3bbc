// The page of an entity: all of its undecided alerts are decided at once, and the page follows what is decided.

import "./copy.js";
import { localTimes } from "./format.js";
import { fetchPage } from "./queue_list.js";
import { Toast } from "./toast.js";
import { Triage } from "./triage.js";
import { who } from "./who.js";

const main = document.getElementById("main");
const triage = new Triage(who, new Toast(document.getElementById("toast")), update);

async function update() {
  const page = await fetchPage(window.location.href);
  for (const name of ["entity", "alerts-of-entity"]) {
    const part = page?.getElementById(name);
    if (!part) return;
    localTimes(part);
    document.getElementById(name).replaceWith(part);
  }
}

main.addEventListener("click", ({ target }) => {
  const action = target.closest(".decide-all [data-do]")?.dataset.do;
  if (!action) return;
  const versions = JSON.parse(target.closest(".decide-all").dataset.undecided);
  triage.enqueue(() => triage.act(action, Object.entries(versions).map(([id, version]) => ({ id, version }))));
});
