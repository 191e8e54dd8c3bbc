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
  const bodies = entered(page, rows);
  for (const body of rows.listed()) if (!bodies.includes(body)) body.remove();
  table.append(...bodies);
  table.dataset.latest = fetched.dataset.latest;
  table.dataset.changed = fetched.dataset.changed;
  shown(page, rows);
}

// Goes on with a search whose time was over: what it finds follows what is there.
export async function goOn(link, rows) {
  const box = document.getElementById("searching");
  if (box.getAttribute("aria-busy") === "true") return;
  box.setAttribute("aria-busy", "true");
  const page = await fetchPage(link.href);
  if (page === null) {
    window.location.assign(link.href);
    return;
  }
  localTimes(page.getElementById("searching"));
  document.getElementById("list").append(...entered(page, rows));
  shown(page, rows);
  box.replaceChildren(...page.getElementById("searching").childNodes);
  box.removeAttribute("aria-busy");
  box.hidden = page.getElementById("searching").hidden;
  document.getElementById("pages").replaceWith(page.getElementById("pages"));
  document.getElementById("continue")?.focus();
}

// The rows of a page, those that are here already as they are, with what was done with them since.
function entered(page, rows) {
  const fetched = page.getElementById("list");
  localTimes(fetched);
  [...fetched.tBodies].forEach(nameControls);
  const there = new Map(rows.listed().map((body) => [body.dataset.id, body]));
  const standings = [...fetched.tBodies].map(standing);
  const bodies = [...fetched.tBodies].map((body) => there.get(body.dataset.id) ?? document.adoptNode(body));
  rows.work(standings);
  return bodies;
}

function shown(page, rows) {
  const isEmpty = rows.listed().length === 0;
  document.getElementById("list").hidden = isEmpty;
  document.getElementById("empty").hidden = !isEmpty || page.getElementById("empty").hidden;
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
