// The page Schema: refreshes it with the stream, and sends decisions about aliases.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { localTimes } from "./format.js";

const REFRESH_MS = 2000;
const ROUTES = {
  accept: "/api/schema/aliases",
  remove: "/api/schema/aliases/remove",
  refuse: "/api/schema/suggestions/refuse",
};
const DONE = {
  accept: ({ fresh, old }) => `${fresh} is read as ${old} within 15 seconds.`,
  remove: ({ fresh }) => `${fresh} is no longer an alias within 15 seconds.`,
  refuse: ({ fresh, old }) => `${fresh} will not be suggested for ${old} again.`,
};

const connection = document.getElementById("connection");
const answer = document.getElementById("answer");
const announce = document.getElementById("announce");
const rendered = new Map();
let state = "";
let refreshedAt = 0;
let refreshing = false;

function live(root) {
  return [...root.querySelectorAll("[data-live]")];
}

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const response = await fetch(window.location.pathname, { headers: { Accept: "text/html" } });
    if (!response.ok || response.redirected) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const focused = document.activeElement?.id;
    for (const section of live(page)) {
      const html = section.outerHTML;
      if (rendered.get(section.id) === html) continue;
      rendered.set(section.id, html);
      localTimes(section);
      document.getElementById(section.id).replaceWith(section);
    }
    if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
    refreshedAt = performance.now();
  } catch {
    // The connection state shows it; the next counters try again.
  } finally {
    refreshing = false;
  }
}

function stats({ columns, at }) {
  const now = JSON.stringify([columns, new Date(at).getMinutes()]);
  if (now === state || document.hidden || performance.now() - refreshedAt < REFRESH_MS) return;
  const heading = document.getElementById("drift");
  const before = heading.hidden;
  state = now;
  refresh().then(() => {
    const after = document.getElementById("drift").hidden;
    if (before !== after) announce.textContent = after ? "Scoring matches training again." : document.getElementById("drift").textContent;
  });
}

function showMessage(text, failed) {
  answer.hidden = false;
  answer.textContent = text;
  answer.classList.toggle("failed", failed);
}

async function decide(button) {
  const { action, new: fresh, old, why } = button.dataset;
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token")?.value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  button.disabled = true;
  try {
    const response = await fetch(ROUTES[action], { method: "POST", headers, body: JSON.stringify({ new: fresh, old, why }) });
    const result = await response.json();
    if (response.ok) showMessage(DONE[action]({ fresh, old }), false);
    else showMessage(response.status === 401 ? "The ingest token is required to change aliases." : result.error, true);
  } catch (error) {
    showMessage(`The dashboard did not respond (${error.message}).`, true);
  }
  button.disabled = false;
  await refresh();
}

document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) decide(button);
});

new Connection("alert", Number(document.getElementById("live-state").dataset.latest), {
  alert() {},
  stats,
  state: (name, heardAt) => showState(connection, name, heardAt),
});
