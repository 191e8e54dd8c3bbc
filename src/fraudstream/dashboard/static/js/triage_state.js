// The triage state of an alert as text and in its row; presentation.py formats rows alike.

export const STATUSES = {
  new: "new",
  claimed: "claimed",
  confirmed_fraud: "confirmed fraud",
  false_alarm: "false alarm",
  unsure: "unsure",
};

export const NEW = { status: "new", assignee: null, version: 0 };

export function label({ status, assignee }) {
  if (status === "claimed") return `claimed by ${assignee ?? "somebody"}`;
  return STATUSES[status] ?? status;
}

// The full name: the row truncates a long one.
const title = (triage) => (triage.assignee ? `${label(triage)}${triage.status === "claimed" ? "" : ` by ${triage.assignee}`}` : "");

// Sets the status of a row; a late older version changes nothing.
export function showTriage(body, triage) {
  const element = body.querySelector("[data-f=work]");
  if (!element || !triage || Number(body.dataset.version || -1) >= triage.version) return false;
  body.dataset.version = triage.version;
  body.dataset.status = triage.status;
  body.dataset.assignee = triage.assignee ?? "";
  element.textContent = label(triage);
  element.title = title(triage);
  element.className = `status ${triage.status}`;
  return true;
}
