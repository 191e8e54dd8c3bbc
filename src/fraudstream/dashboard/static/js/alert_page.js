// The page of one alert: triage, history and rescoring.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { openForm, showControls, showHistory, wireControls } from "./controls.js";
import { Triage } from "./triage.js";
import "./copy.js";
import { localTimes } from "./format.js";
import { Keys } from "./keys.js";
import { showRescored } from "./rescored.js";
import { Toast } from "./toast.js";
import { who } from "./who.js";
import { label, VERDICTS } from "./triage_state.js";

const REASON_SECTIONS = ["why", "similar", "origin"];
const REASONS_LATE_MS = 4000; // sent while the stream was interrupted, or before the page was loaded

const article = document.getElementById("alert");
const id = article.dataset.id;
const status = document.getElementById("status");
const controls = article.querySelector(".desk");
const connection = document.getElementById("connection");
const sheet = document.getElementById("keys");
const triage = new Triage(who, new Toast(document.getElementById("toast")), updateStatus);
let historyLoad = Promise.resolve();
let version = Number(article.dataset.version);

// Updates the triage state; a late older version changes nothing.
function updateStatus(changes) {
  const own = changes.find((each) => each.alert_id === id);
  if (!own || own.version <= version) return;
  version = own.version;
  status.textContent = label(own);
  status.className = `status ${own.status}`;
  document.getElementById("by").textContent = VERDICTS.includes(own.status) ? `by ${own.assignee}` : "";
  showControls(controls, own);
  history();
}

// One after the other, so that an older response never replaces a newer one.
function history() {
  historyLoad = historyLoad.then(() => showHistory(document.querySelector("#history ol"), id));
  return historyLoad;
}

const act = (action, members) =>
  triage.enqueue(async () => {
    const isDone = await triage.act(action, [{ id, version }], { members });
    if (isDone) await history();
    return isDone;
  });

async function next() {
  const alert = await triage.enqueue(() => triage.next({ order: "loss" }));
  if (alert) window.location.assign(`/alerts/${encodeURIComponent(alert.alert_id).replaceAll("%2F", "/")}`);
}

async function missed() {
  const response = await fetch(`/api/work/${encodeURIComponent(id)}`).catch(() => null);
  if (response?.ok) updateStatus([{ alert_id: id, ...(await response.json()).work }]);
}

async function rescore(button) {
  const container = document.getElementById("rescored");
  button.disabled = true;
  container.hidden = false;
  container.textContent = "Scoring…";
  try {
    const response = await fetch(`/api/alerts/${encodeURIComponent(id)}/rescore`);
    const result = await response.json();
    if (!response.ok) throw new Error(result.error);
    showRescored(container, result);
  } catch (error) {
    container.textContent = `Cannot rescore the alert: ${error.message}`;
  }
  button.disabled = false;
  button.focus();
}

// Reloads the sections that depend on the reasons, once these are available.
async function loadReasons() {
  const response = await fetch(window.location.href).catch(() => null);
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const name of REASON_SECTIONS) {
    const section = page.getElementById(name);
    localTimes(section);
    document.getElementById(name).replaceWith(section);
  }
  article.dataset.explained = page.getElementById("alert").dataset.explained;
}

article.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do === "next") next();
  else if (button?.id === "rescore") rescore(button);
  else if (button?.id === "show-keys") sheet.showModal();
});
wireControls(controls, act);
new Keys(sheet, {
  c: () => act("claim"),
  f: () => act("confirmed_fraud"),
  a: () => act("false_alarm"),
  u: () => act("unsure"),
  r: () => act("release"),
  n: next,
  e: () => openForm(controls, "note"),
  s: () => openForm(controls, "escalate"),
  i: () => openForm(controls, "needs-information"),
  ...triage.reasonKeys,
  z: () =>
    triage.enqueue(async () => {
      await triage.undo();
      await history();
    }),
});

showControls(controls, { ...article.dataset, reason_code: article.dataset.reason });
history();
if (article.dataset.explained === "no") {
  window.setTimeout(() => article.dataset.explained === "no" && loadReasons(), REASONS_LATE_MS);
}
new Connection(article.dataset.outcome, Number(article.dataset.latest), {
  reasons: (events) => events.some((each) => each.alert_id === id) && loadReasons(),
  work: ({ changes }) => updateStatus(changes),
  missed,
  state: (name, heardAt) => showState(connection, name, heardAt),
});
