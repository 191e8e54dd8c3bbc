// Updates the queue from the page rendered on the server. Rows that are already listed stay the same elements, so that
// they stay open, selected or focused.

import { localTimes } from "./format.js";
import { nameControls } from "./queue_rows.js";

export async function fetchPage(address) {
  const response = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!response?.ok) return null;
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

export function replaceRows(page, rows) {
  const table = document.getElementById("list");
  const fetched = page.getElementById("list");
  const bodies = mergeRows(page, rows);
  for (const body of rows.listed()) if (!bodies.includes(body)) body.remove();
  table.append(...bodies);
  table.dataset.latest = fetched.dataset.latest;
  table.dataset.changed = fetched.dataset.changed;
  updateVisibility(page, rows);
}

// Continues a search that timed out: appends its matches.
export async function continueSearch(link, rows) {
  const box = document.getElementById("searching");
  if (box.getAttribute("aria-busy") === "true") return;
  box.setAttribute("aria-busy", "true");
  const page = await fetchPage(link.href);
  if (page === null) {
    window.location.assign(link.href);
    return;
  }
  localTimes(page.getElementById("searching"));
  document.getElementById("list").append(...mergeRows(page, rows));
  updateVisibility(page, rows);
  box.replaceChildren(...page.getElementById("searching").childNodes);
  box.removeAttribute("aria-busy");
  box.hidden = page.getElementById("searching").hidden;
  document.getElementById("pages").replaceWith(page.getElementById("pages"));
  document.getElementById("continue")?.focus();
}

// Returns the rows of a page, reusing listed elements, with their current triage states.
function mergeRows(page, rows) {
  const fetched = page.getElementById("list");
  localTimes(fetched);
  [...fetched.tBodies].forEach(nameControls);
  const listed = new Map(rows.listed().map((body) => [body.dataset.id, body]));
  const states = [...fetched.tBodies].map(triageState);
  const bodies = [...fetched.tBodies].map((body) => listed.get(body.dataset.id) ?? document.adoptNode(body));
  rows.work(states);
  return bodies;
}

function updateVisibility(page, rows) {
  const isEmpty = rows.listed().length === 0;
  document.getElementById("list").hidden = isEmpty;
  document.getElementById("empty").hidden = !isEmpty || page.getElementById("empty").hidden;
  rows.showSelected();
}

// Updates the triage states of the listed alerts. The list, which may be a search, is fetched again only if the change
// log has grown since.
export async function refreshTriage(rows) {
  const table = document.getElementById("list");
  const response = await fetch("/api/audit?limit=1").catch(() => null);
  if (response?.ok && String((await response.json()).changes[0]?.seq ?? 0) === table.dataset.changed) return;
  const fetched = (await fetchPage(window.location.href))?.getElementById("list");
  if (!fetched) return;
  rows.work([...fetched.querySelectorAll("tbody.alert")].map(triageState));
  table.dataset.changed = fetched.dataset.changed;
}

// The triage state in a row.
function triageState({ dataset }) {
  return { alert_id: dataset.id, status: dataset.status, assignee: dataset.assignee || null, version: Number(dataset.version) };
}
