// The page of dead letters: the server renders it; this selects, asks for replays and shows how far they are.

import { localTimes } from "./format.js";

const REFRESH_MS = 1000;

const form = document.getElementById("replay");
const answer = document.getElementById("answer");
const again = document.getElementById("again");
const selected = new Set();
let asked = null;

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

function say(text, failed) {
  answer.hidden = false;
  answer.textContent = text;
  answer.classList.toggle("failed", failed);
}

// What is open, selected or focused stays so.
async function refresh() {
  const reply = await fetch(window.location.href, { headers: { Accept: "text/html" } });
  if (!reply.ok || reply.redirected) return;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
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
    // The dashboard may be away for a moment; the next look tells.
    await refresh().catch(() => {});
  } while (Number(document.getElementById("live-replays").dataset.open) > 0);
}

async function replay(what) {
  if (!form.reportValidity()) return;
  asked = what;
  again.hidden = true;
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token")?.value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({ ...what, who: form.who.value, why: form.why.value });
  try {
    const reply = await fetch("/api/replays", { method: "POST", headers, body });
    const told = await reply.json();
    if (reply.ok) {
      const left = told.without_place > 0 ? ` ${told.without_place} do not say where they came from and cannot be sent.` : "";
      say(told.letters === 0 ? `Nothing matches any more.${left}` : `${told.letters} asked for. The relay sends them.${left}`, false);
      selected.clear();
      await refresh();
      follow();
    } else if (reply.status === 409) {
      answer.hidden = true;
      again.hidden = false;
      again.querySelector("[data-text]").textContent = `${told.replayed} of ${told.letters} were replayed before.`;
      document.getElementById("replay-again").focus();
    } else {
      say(reply.status === 401 ? "This sends records to the input topic: it takes the ingest token." : told.error, true);
    }
  } catch (error) {
    say(`The dashboard did not answer (${error.message}).`, true);
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
    if (selected.size > 0) replay({ places: [...selected] });
  });
  document.getElementById("replay-all").addEventListener("click", () => replay({ filter: form.dataset.filter }));
  document.getElementById("replay-again").addEventListener("click", () => replay({ ...asked, again: true }));
  document.getElementById("not-again").addEventListener("click", () => {
    again.hidden = true;
  });
  // A browser fills in what was ticked before a reload.
  for (const box of boxes()) if (box.checked) selected.add(box.value);
  showSelected();
}
localTimes(document);
if (Number(document.getElementById("live-replays").dataset.open) > 0) follow();
