// The list of the queue as the server renders it, fetched again: rows that are there already stay the same elements, so
// that what is open, selected or focused stays so.

import { localTimes } from "./format.js";
import { nameControls } from "./queue_rows.js";

export async function fetchPage(address) {
  const reply = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!reply?.ok) return null;
  return new DOMParser().parseFromString(await reply.text(), "text/html");
}

export function renew(page, rows) {
  const table = document.getElementById("list");
  const fetched = page.getElementById("list");
  localTimes(fetched);
  [...fetched.tBodies].forEach(nameControls);
  const there = new Map(rows.listed().map((body) => [body.dataset.id, body]));
  const bodies = [...fetched.tBodies].map((body) => there.get(body.dataset.id) ?? document.adoptNode(body));
  rows.work([...fetched.tBodies].map(standing));
  for (const body of rows.listed()) if (!bodies.includes(body)) body.remove();
  table.append(...bodies);
  table.dataset.latest = fetched.dataset.latest;
  table.dataset.changed = fetched.dataset.changed;
  table.hidden = bodies.length === 0;
  document.getElementById("empty").hidden = bodies.length > 0;
  rows.showSelected();
}

// How the shown alerts stand. The list, which may be a search, is asked for again only where the record of changes,
// which has whatever people do, is longer than it was when the list was made.
export async function standAgain(rows) {
  const table = document.getElementById("list");
  const answer = await fetch("/api/audit?limit=1").catch(() => null);
  if (answer?.ok && String((await answer.json()).changes[0]?.seq ?? 0) === table.dataset.changed) return;
  const fetched = (await fetchPage(window.location.href))?.getElementById("list");
  if (!fetched) return;
  rows.work([...fetched.querySelectorAll("tbody.alert")].map(standing));
  table.dataset.changed = fetched.dataset.changed;
}

// How an alert stands, as its row says.
function standing({ dataset }) {
  return { alert_id: dataset.id, status: dataset.status, assignee: dataset.assignee || null, version: Number(dataset.version) };
}
