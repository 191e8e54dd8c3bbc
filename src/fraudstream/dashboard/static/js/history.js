// What was done with one alert, the newest first.

import { time } from "./format.js";
import { STATUSES } from "./work.js";

export async function showHistory(place, id) {
  const list = place.querySelector("ol");
  const answer = await fetch(`/api/work/${encodeURIComponent(id)}`).catch(() => null);
  if (!answer?.ok) {
    list.replaceChildren(line("What was done could not be loaded; close the row and open it again."));
    return;
  }
  const { history } = await answer.json();
  list.replaceChildren(...(history.length > 0 ? history.map(entry) : [line("Nothing yet.")]));
}

function entry({ at, actor, action, after, why, undone_by: undoneBy }) {
  const item = line("");
  const when = document.createElement("time");
  when.dateTime = at;
  when.title = at;
  when.textContent = time(at);
  const who = document.createElement("strong");
  who.textContent = actor;
  item.append(when, " ", who, ` ${did(action, after)}`);
  if (why) {
    const words = document.createElement("q");
    words.textContent = why;
    item.append(" ", words);
  }
  if (undoneBy) {
    item.className = "undone";
    item.append(" (taken back)");
  }
  return item;
}

function did(action, after) {
  if (action === "verdict") return `decided: ${STATUSES[after?.status] ?? "a verdict"}`;
  return { claim: "claimed it", release: "released it", note: "noted", undo: "took a change back" }[action] ?? action;
}

function line(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}
