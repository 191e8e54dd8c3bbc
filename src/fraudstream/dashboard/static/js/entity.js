// The page of an entity: all of its undecided alerts are decided at once.

import "./copy.js";
import { Toast } from "./toast.js";
import { Triage } from "./triage.js";
import { showTriage } from "./triage_state.js";
import { who } from "./who.js";

const bar = document.querySelector(".decide-all");
const triage = new Triage(who, new Toast(document.getElementById("toast")), changed);
const versions = new Map(Object.entries(JSON.parse(bar?.dataset.undecided ?? "{}")));

function changed(changes) {
  for (const change of changes) {
    if (versions.has(change.alert_id)) versions.set(change.alert_id, change.version);
    const body = [...document.querySelectorAll("tbody.alert")].find((each) => each.dataset.id === change.alert_id);
    if (body) showTriage(body, change);
  }
}

bar?.addEventListener("click", ({ target }) => {
  const action = target.closest("[data-do]")?.dataset.do;
  if (action) triage.enqueue(() => triage.act(action, [...versions].map(([id, version]) => ({ id, version }))));
});
