// The triage history of an alert, the newest first.

import { time } from "./format.js";
import { STATUSES } from "./triage_state.js";

const newest = new WeakMap();

// Responses may arrive in another order than their requests: that to the newest request is displayed.
export async function showHistory(container, id) {
  const list = container.querySelector("ol");
  const request = {};
  newest.set(list, request);
  const response = await fetch(`/api/work/${encodeURIComponent(id)}`).catch(() => null);
  const history = response?.ok ? (await response.json()).history : null;
  if (newest.get(list) !== request) return;
  if (history === null) list.replaceChildren(line("Cannot load the history. Close the row and open it again."));
  else list.replaceChildren(...(history.length > 0 ? history.map(entry) : [line("No actions yet.")]));
}

function entry({ at, actor, action, after, why, undone_by: undoneBy }) {
  const item = line("");
  const when = document.createElement("time");
  when.dateTime = at;
  when.title = at;
  when.textContent = time(at);
  const who = document.createElement("strong");
  who.textContent = actor;
  item.append(when, " ", who, ` ${describe(action, after)}`);
  if (why) {
    const quote = document.createElement("q");
    quote.textContent = why;
    item.append(" ", quote);
  }
  if (undoneBy) {
    item.className = "undone";
    item.append(" (undone)");
  }
  return item;
}

function describe(action, after) {
  if (action === "verdict") return `decided: ${STATUSES[after?.status] ?? "a verdict"}`;
  return { claim: "claimed the alert", release: "released the alert", note: "added a note", undo: "undid a change" }[action] ?? action;
}

function line(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}
