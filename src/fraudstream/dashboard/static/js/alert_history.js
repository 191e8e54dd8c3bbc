// What was done with one alert, and how it stands; told by /api/work/<id>. Everything is set as text.

import { localTimes } from "./format.js";

const STATUSES = { new: "New", claimed: "Claimed", confirmed_fraud: "Confirmed fraud", false_alarm: "False alarm", unsure: "Unsure" };
const ACTIONS = { claim: "claimed it", release: "released it", verdict: "decided", note: "noted", undo: "undid a change", export: "exported it" };

export class History {
  constructor(status, who, list, none) {
    Object.assign(this, { status, who, list, none });
  }

  show({ work, history }) {
    this.status.dataset.status = work.status;
    this.status.textContent = STATUSES[work.status] ?? work.status;
    this.who.textContent = work.assignee ? `${work.status === "claimed" ? "by" : "with"} ${work.assignee}` : "";
    const entries = history.map(entry);
    this.list.replaceChildren(...entries);
    this.none.hidden = entries.length > 0;
    localTimes(this.list);
  }
}

function entry(change) {
  const item = document.createElement("li");
  if (change.undone_by) item.className = "undone";
  const when = document.createElement("p");
  when.className = "when";
  const at = document.createElement("time");
  at.setAttribute("datetime", change.at);
  at.title = change.at;
  at.textContent = change.at;
  when.append(at);
  const words = document.createElement("p");
  const actor = document.createElement("strong");
  actor.textContent = change.actor;
  words.append(actor, change.verified ? "" : " (name not verified)", ` ${ACTIONS[change.action] ?? change.action}`);
  const status = change.after?.status;
  if (change.action === "verdict" && status) words.append(`: ${(STATUSES[status] ?? status).toLowerCase()}`);
  if (change.undone_by) words.append("; undone");
  item.append(when, words);
  if (change.why) {
    const why = document.createElement("p");
    why.className = "note-text quiet";
    why.textContent = change.why;
    item.append(why);
  }
  return item;
}
