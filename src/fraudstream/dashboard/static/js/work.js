// What people made of an alert, as it reads in a row and in words; presentation.py says the same for the rows that the
// server renders.

export const STATUSES = {
  new: "new",
  claimed: "claimed",
  confirmed_fraud: "confirmed fraud",
  false_alarm: "false alarm",
  unsure: "unsure",
};

export const NEW = { status: "new", assignee: null, version: 0 };

export function words({ status, assignee }) {
  if (status === "claimed") return `claimed by ${assignee ?? "somebody"}`;
  return STATUSES[status] ?? status;
}

// Who it is with or was decided by, in full: a long name is cut in the row.
const title = (work) => (work.assignee ? `${words(work)}${work.status === "claimed" ? "" : ` by ${work.assignee}`}` : "");

// Sets the status of a row; an older word that comes late changes nothing.
export function showWork(body, work) {
  const place = body.querySelector("[data-f=work]");
  if (!place || !work || Number(body.dataset.version || -1) >= work.version) return false;
  body.dataset.version = work.version;
  body.dataset.status = work.status;
  body.dataset.assignee = work.assignee ?? "";
  place.textContent = words(work);
  place.title = title(work);
  place.className = `status ${work.status}`;
  return true;
}
