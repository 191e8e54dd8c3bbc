// The page of one alert: what people do with it, and scoring it again; the server renders what is known of it.

import { actorKnown, remember } from "./actor.js";
import { Connection } from "./connection.js";
import { localTimes } from "./format.js";
import { History } from "./alert_history.js";
import { showRescored } from "./rescored.js";

const STATES = { connecting: "Connecting", live: "Live", waiting: "Reconnecting" };
const VERDICTS = { confirmed_fraud: "confirmed fraud", false_alarm: "false alarm", unsure: "unsure" };
const KEYS = { c: "claim", e: "release", f: "confirmed_fraud", a: "false_alarm", u: "unsure", z: "undo" };
const REASONS_LATE_MS = 4000;

const article = document.getElementById("alert");
const id = article.dataset.id;
const answer = document.getElementById("answer");
const undo = answer.querySelector("[data-do=undo]");
const note = document.getElementById("note");
const actorForm = document.getElementById("actor-form");
const history = new History(document.getElementById("status"), document.getElementById("who"), document.getElementById("history-list"), document.getElementById("history-none"));
let version = null;
let lastChange = null;
let waiting = null;

async function asked(route, body) {
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token")?.value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(route, { method: "POST", headers, body: JSON.stringify(body) });
  const told = await reply.json().catch(() => ({ error: `the dashboard answered ${reply.status}` }));
  return { reply, told };
}

function say(text, { failed = false, canUndo = false } = {}) {
  answer.hidden = false;
  answer.classList.toggle("failed", failed);
  answer.querySelector("[data-text]").textContent = text;
  undo.hidden = !canUndo;
}

async function refresh() {
  const reply = await fetch(`/api/work/${encoded(id)}`).catch(() => null);
  if (!reply?.ok) return;
  const told = await reply.json();
  version = told.work.version;
  history.show(told);
}

async function act(action) {
  if (action === "undo" && lastChange === null) {
    say("There is nothing of yours to undo on this page.");
    return;
  }
  if (!actorKnown()) {
    waiting = action;
    actorForm.hidden = false;
    actorForm.actor.focus();
    return;
  }
  const [route, body, done] = request(action);
  try {
    const { reply, told } = await asked(route, body);
    if (reply.ok && (told.done?.length ?? 0) > 0) {
      lastChange = action === "undo" ? null : told.change_id;
      if (action === "note") note.value = "";
      say(done, { canUndo: action !== "undo" && action !== "note" });
    } else {
      say(refusal(reply, told), { failed: true });
    }
  } catch (error) {
    say(`The dashboard did not answer (${error.message}).`, { failed: true });
  }
  await refresh();
}

function request(action) {
  const ids = [id];
  const seen = version === null ? {} : { versions: { [id]: version } };
  switch (action) {
    case "claim":
      return ["/api/work/claim", { alert_ids: ids }, "It is yours."];
    case "release":
      return ["/api/work/release", { alert_ids: ids }, "Released: anybody may take it."];
    case "note":
      return ["/api/work/note", { alert_ids: ids, text: note.value }, "Your note is kept."];
    case "undo":
      return ["/api/work/undo", { change_id: lastChange }, "Undone."];
    default: {
      const text = note.value.trim();
      const body = { alert_ids: ids, status: action, ...seen, ...(text ? { note: text } : {}) };
      return ["/api/work/verdict", body, `Decided: ${VERDICTS[action]}.`];
    }
  }
}

function refusal(reply, told) {
  if (reply.status === 401) return "This takes the ingest token.";
  const refused = told.refused?.[0];
  return refused ? `Not done: ${refused.reason}` : (told.error ?? `the dashboard answered ${reply.status}`);
}

async function rescore(button) {
  const place = document.getElementById("rescored");
  button.disabled = true;
  place.hidden = false;
  place.textContent = "Scoring…";
  try {
    const reply = await fetch(`/api/alerts/${encoded(id)}/rescore`);
    const told = await reply.json();
    if (!reply.ok) throw new Error(told.error);
    showRescored(place, told);
  } catch (error) {
    place.textContent = `It could not be scored again: ${error.message}`;
  }
  button.disabled = false;
}

async function copy() {
  const text = document.getElementById("json").textContent;
  const said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied";
  } catch {
    // No clipboard without a secure origin: the text is selected, for the keys of the system.
    document.getElementById("json").closest("details").open = true;
    window.getSelection().selectAllChildren(document.getElementById("json"));
    said.textContent = "Selected: copy it with the keys of your system";
  }
}

// Slashes of an id stay slashes.
const encoded = (text) => text.split("/").map(encodeURIComponent).join("/");

article.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do) act(button.dataset.do);
  else if (button?.id === "rescore") rescore(button);
  else if (button?.id === "copy") copy();
});
document.getElementById("note-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (note.value.trim()) act("note");
  else note.focus();
});
actorForm.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!remember(actorForm.actor.value)) return;
  actorForm.hidden = true;
  act(waiting);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "n") {
    event.preventDefault();
    note.focus();
  } else if (KEYS[event.key]) {
    event.preventDefault();
    act(KEYS[event.key]);
  }
});

localTimes(document);
refresh();
new Connection(article.dataset.outcome, Number(article.dataset.latest), {
  alert() {},
  stats() {},
  reasons: (told) => told.some(({ alert_id: told_id }) => told_id === id) && showNew("why", "values", "similar", "origin"),
  work: ({ changes }) => changes.some(({ alert_id: changed }) => changed === id) && refresh(),
  missed: refresh,
  state(name) {
    const connection = document.getElementById("connection");
    connection.dataset.state = name;
    connection.querySelector("[data-text]").textContent = STATES[name] ?? name;
  },
});

// Sections that follow the reasons are asked for again once these are there.
async function showNew(...names) {
  const reply = await fetch(window.location.pathname).catch(() => null);
  if (!reply?.ok || reply.redirected) return;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const name of names) {
    const section = page.getElementById(name);
    localTimes(section);
    document.getElementById(name).replaceWith(section);
  }
}
