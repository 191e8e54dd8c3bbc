// The page of dead letters: selects records, requests replays and shows their progress.

import { localTimes } from "./format.js";
import { who } from "./who.js";

const REFRESH_MS = 1000;

const form = document.getElementById("replay");
const answer = document.getElementById("answer");
const again = document.getElementById("again");
const selected = new Set();
let lastRequest = null;

function boxes() {
  return [...document.querySelectorAll(".letters .select:not(:disabled)")];
}

function showSelected() {
  if (form === null) return;
  for (const box of boxes()) box.checked = selected.has(box.value);
  const button = document.getElementById("replay-selected");
  button.disabled = selected.size === 0;
  button.textContent = selected.size === 0 ? "Replay selected" : `Replay ${selected.size} selected`;
  const all = document.getElementById("select-all");
  all.checked = selected.size > 0 && selected.size === boxes().length;
  all.indeterminate = selected.size > 0 && !all.checked;
}

function showMessage(text, failed) {
  answer.hidden = false;
  answer.textContent = text;
  answer.classList.toggle("failed", failed);
}

// Open, selected and focused elements stay so.
async function refresh() {
  const response = await fetch(window.location.href, { headers: { Accept: "text/html" } });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const focused = document.activeElement?.id;
  const open = new Set([...document.querySelectorAll(".letters li:has(details[open])")].map((item) => item.dataset.origin));
  for (const section of page.querySelectorAll("[data-live]")) {
    for (const item of section.querySelectorAll("li[data-origin]")) {
      if (open.has(item.dataset.origin)) item.querySelector("details").open = true;
    }
    localTimes(section);
    document.getElementById(section.id)?.replaceWith(section);
  }
  showSelected();
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
}

async function follow() {
  do {
    await new Promise((resolve) => window.setTimeout(resolve, REFRESH_MS));
    // The dashboard may be unavailable for a moment; the next refresh tries again.
    await refresh().catch(() => {});
  } while (Number(document.getElementById("live-replays").dataset.open) > 0);
}

async function requestReplay(selection) {
  if (!form.reportValidity() || !(await who.known())) return;
  lastRequest = selection;
  again.hidden = true;
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token")?.value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({ ...selection, why: form.why.value });
  try {
    const response = await fetch("/api/replays", { method: "POST", headers, body });
    const result = await response.json();
    if (response.ok) {
      const left = result.without_place > 0 ? ` ${result.without_place} have no offset and cannot be sent.` : "";
      showMessage(result.letters === 0 ? `Nothing matches any more.${left}` : `${result.letters} requested. The relay sends them.${left}`, false);
      selected.clear();
      await refresh();
      follow();
    } else if (response.status === 409) {
      answer.hidden = true;
      again.hidden = false;
      again.querySelector("[data-text]").textContent = `${result.replayed} of ${result.letters} were replayed before.`;
      document.getElementById("replay-again").focus();
    } else {
      showMessage(response.status === 401 ? "The ingest token is required to send records to the input topic." : result.error, true);
    }
  } catch (error) {
    showMessage(`The dashboard did not respond (${error.message}).`, true);
  }
}

if (form !== null) {
  document.querySelector("main").addEventListener("change", ({ target }) => {
    if (target.id === "select-all") {
      for (const box of boxes()) target.checked ? selected.add(box.value) : selected.delete(box.value);
    } else if (target.classList.contains("select")) {
      target.checked ? selected.add(target.value) : selected.delete(target.value);
    } else return;
    showSelected();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (selected.size > 0) requestReplay({ places: [...selected] });
  });
  document.getElementById("replay-all").addEventListener("click", () => requestReplay({ filter: form.dataset.filter }));
  document.getElementById("replay-again").addEventListener("click", () => requestReplay({ ...lastRequest, again: true }));
  document.getElementById("not-again").addEventListener("click", () => {
    again.hidden = true;
  });
  // A browser restores checked boxes after a reload.
  for (const box of boxes()) if (box.checked) selected.add(box.value);
  showSelected();
}
if (Number(document.getElementById("live-replays")?.dataset.open) > 0) follow();
