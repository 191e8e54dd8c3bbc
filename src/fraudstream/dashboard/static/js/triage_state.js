// The triage state of an alert as text and in its row; presentation.py formats rows alike.

import { localTimes } from "./format.js";

export const STATUSES = {
  new: "new",
  claimed: "claimed",
  confirmed_fraud: "confirmed fraud",
  false_alarm: "false alarm",
  unsure: "unsure",
  needs_information: "needs information",
};

export const VERDICTS = ["confirmed_fraud", "false_alarm", "unsure"];

export const NEW = { status: "new", assignee: null, version: 0 };

export function label({ status, assignee, escalated_by: by }) {
  if (status === "claimed") return `claimed by ${assignee ?? "somebody"}`;
  if (status === "escalated") return `escalated to ${assignee} by ${by}`;
  return STATUSES[status] ?? status;
}

// The full name: the row truncates a long one.
const title = (triage) => (triage.assignee ? `${label(triage)}${["claimed", "escalated"].includes(triage.status) ? "" : ` by ${triage.assignee}`}` : "");

// Sets the status of a row; a late older version changes nothing.
export function showTriage(body, triage) {
  const element = body.querySelector("[data-f=work]");
  if (!element || !triage || Number(body.dataset.version || -1) >= triage.version) return false;
  body.dataset.version = triage.version;
  body.dataset.status = triage.status;
  body.dataset.assignee = triage.assignee ?? "";
  body.dataset.reason = triage.reason_code ?? "";
  element.textContent = label(triage);
  element.title = title(triage);
  element.className = `status ${triage.status}`;
  const due = body.querySelector(".due");
  if (due) {
    const at = triage.due_at ?? "";
    due.hidden = at === "";
    due.classList.toggle("late", Date.parse(at) < Date.now());
    due.querySelector("time").dateTime = at;
    localTimes(due);
  }
  return true;
}
