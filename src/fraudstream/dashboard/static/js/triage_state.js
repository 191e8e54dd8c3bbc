// The triage state of an alert as text; presentation.py formats rows alike.

export const STATUSES = {
  new: "new",
  claimed: "claimed",
  confirmed_fraud: "confirmed fraud",
  false_alarm: "false alarm",
  unsure: "unsure",
  needs_information: "needs information",
};

export const VERDICTS = ["confirmed_fraud", "false_alarm", "unsure"];

export function label({ status, assignee, escalated_by: by }) {
  if (status === "claimed") return `claimed by ${assignee ?? "somebody"}`;
  if (status === "escalated") return `escalated to ${assignee} by ${by}`;
  return STATUSES[status] ?? status;
}
