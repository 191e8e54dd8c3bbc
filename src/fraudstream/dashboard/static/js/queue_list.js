// Updates the list from the page rendered on the server. Rows that are already listed stay the same elements, so that
// they stay open, selected or focused.

import { localTimes } from "./format.js";

export async function fetchPage(address) {
  const response = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!response?.ok) return null;
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

export function replaceRows(page, rows) {
  const table = document.getElementById("list");
  const bodies = mergeRows(page, rows);
  for (const body of rows.all()) if (!bodies.includes(body)) body.remove();
  table.append(...bodies);
  table.dataset.latest = page.getElementById("list").dataset.latest;
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
  document.getElementById("list").append(...mergeRows(page, rows));
  updateVisibility(page, rows);
  box.replaceChildren(...page.getElementById("searching").childNodes);
  box.removeAttribute("aria-busy");
  box.hidden = page.getElementById("searching").hidden;
  document.getElementById("pages").replaceWith(page.getElementById("pages"));
  document.getElementById("continue")?.focus();
  localTimes(document);
}

// Returns the rows of a page: the listed elements, updated, or else its own.
function mergeRows(page, rows) {
  return [...page.getElementById("list").tBodies].map((fetched) => {
    const listed = rows.all().find(({ dataset }) => dataset.id === fetched.dataset.id);
    if (listed) rows.swap(listed, fetched);
    return listed ?? document.adoptNode(fetched);
  });
}

function updateVisibility(page, rows) {
  const isEmpty = rows.all().length === 0;
  document.getElementById("list").hidden = isEmpty;
  document.getElementById("empty").hidden = !isEmpty || page.getElementById("empty").hidden;
  rows.showSelected();
  localTimes(document.getElementById("list"));
}
