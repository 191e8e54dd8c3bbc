// The page of one alert: what people do with it, and scoring it again. The server renders what is known of it; deciding
// is desk.js's, as in the queue.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { Desk } from "./desk.js";
import { localTimes } from "./format.js";
import { showHistory } from "./history.js";
import { Keys } from "./keys.js";
import { showRescored } from "./rescored.js";
import { Toast } from "./toast.js";
import { Who } from "./who.js";
import { words } from "./work.js";

const OF_REASONS = ["why", "values", "similar", "origin"];
const REASONS_LATE_MS = 4000; // told while the stream was away, or before the page was there

const article = document.getElementById("alert");
const id = article.dataset.id;
const status = document.getElementById("status");
const note = document.getElementById("note");
const connection = document.getElementById("connection");
const sheet = document.getElementById("keys");
const who = new Who(document.getElementById("who"), document.getElementById("who-dialog"));
const desk = new Desk(who, new Toast(document.getElementById("toast")), stands);
let told = Promise.resolve();
let version = Number(article.dataset.version);

// How alerts stand now; an older word that comes late changes nothing.
function stands(changes) {
  const own = changes.find((each) => each.alert_id === id);
  if (!own || own.version <= version) return;
  version = own.version;
  status.textContent = words(own);
  status.className = `status ${own.status}`;
  document.getElementById("by").textContent = own.assignee && own.status !== "claimed" ? `by ${own.assignee}` : "";
  history();
}

// One after the other, so that an older answer never covers a newer one.
function history() {
  told = told.then(() => showHistory(document.getElementById("history"), id));
  return told;
}

const act = (what) =>
  desk.inTurn(async () => {
    if (await desk.act(what, [{ id, version }])) await history();
  });

async function next() {
  const alert = await desk.inTurn(() => desk.next({ order: "loss" }));
  if (alert) window.location.assign(`/alerts/${encodeURIComponent(alert.alert_id).replaceAll("%2F", "/")}`);
}

async function missed() {
  const reply = await fetch(`/api/work/${encodeURIComponent(id)}`).catch(() => null);
  if (reply?.ok) stands([{ alert_id: id, ...(await reply.json()).work }]);
}

async function rescore(button) {
  const place = document.getElementById("rescored");
  button.disabled = true;
  place.hidden = false;
  place.textContent = "Scoring…";
  try {
    const reply = await fetch(`/api/alerts/${encodeURIComponent(id)}/rescore`);
    const told = await reply.json();
    if (!reply.ok) throw new Error(told.error);
    showRescored(place, told);
  } catch (error) {
    place.textContent = `It could not be scored again: ${error.message}`;
  }
  button.disabled = false;
  button.focus();
}

async function copy() {
  const json = document.getElementById("json");
  const said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(json.textContent);
    said.textContent = "Copied";
  } catch {
    // No clipboard without a secure origin, or not allowed: the text is selected, for the keys of the system.
    json.closest("details").open = true;
    window.getSelection().selectAllChildren(json);
    said.textContent = "Selected: copy it with the keys of your system";
  }
}

// What follows from the reasons is asked for again once these are there.
async function withReasons() {
  const reply = await fetch(window.location.href).catch(() => null);
  if (!reply?.ok || reply.redirected) return;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const name of OF_REASONS) {
    const section = page.getElementById(name);
    localTimes(section);
    document.getElementById(name).replaceWith(section);
  }
  article.dataset.explained = page.getElementById("alert").dataset.explained;
}

article.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do === "next") next();
  else if (button?.dataset.do) act(button.dataset.do);
  else if (button?.id === "rescore") rescore(button);
  else if (button?.id === "copy") copy();
  else if (button?.id === "show-keys") sheet.showModal();
});
document.getElementById("note-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = note.value.trim();
  if (text === "") note.focus();
  else
    desk.inTurn(async () => {
      if (!(await desk.note(id, text))) return;
      note.value = "";
      await history();
    });
});
note.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) note.form.requestSubmit();
});
new Keys(sheet, {
  c: () => act("claim"),
  f: () => act("confirmed_fraud"),
  a: () => act("false_alarm"),
  u: () => act("unsure"),
  r: () => act("release"),
  n: next,
  e: () => note.focus(),
  z: () =>
    desk.inTurn(async () => {
      await desk.undo();
      await history();
    }),
});

localTimes(document);
history();
if (article.dataset.explained === "no") {
  window.setTimeout(() => article.dataset.explained === "no" && withReasons(), REASONS_LATE_MS);
}
new Connection(article.dataset.outcome, Number(article.dataset.latest), {
  reasons: (told) => told.some((each) => each.alert_id === id) && withReasons(),
  work: ({ changes }) => stands(changes),
  missed,
  state: (name, heardAt) => showState(connection, name, heardAt),
});
