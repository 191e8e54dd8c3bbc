// The controls of one alert: only the actions that apply, the reason of its verdict, and its history.

import { localTimes } from "./format.js";
import { VERDICTS } from "./triage_state.js";
import { who } from "./who.js";

const HOUR_MS = 3_600_000;
const newest = new WeakMap();

// `act(action, members)` applies an action to the alert, with further members of the request; it returns a promise of
// whether it had an effect.
export function wireControls(controls, act) {
  controls.addEventListener("click", ({ target }) => {
    const action = target.closest("button[data-do]")?.dataset.do;
    if (action) act(action);
  });
  controls.addEventListener("change", ({ target }) => {
    if (target.dataset.reasonOf) act(target.dataset.reasonOf, { reason_code: target.value });
  });
  controls.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const { hours, ...members } = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
    if (hours) members.due_at = new Date(Date.now() + hours * HOUR_MS).toISOString();
    if (!(await act(form.dataset.do, members))) return;
    form.reset();
    form.closest("details")?.removeAttribute("open");
  });
  controls.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form?.requestSubmit();
  });
}

// Shows the actions that apply to a triage state, and its verdict as pressed.
export function showControls(controls, { status, assignee, reason_code: reason }) {
  const focused = document.activeElement;
  const own = status === "claimed" ? "mine" : "held";
  const kind = VERDICTS.includes(status) ? "decided" : status === "new" ? "new" : assignee === who.name ? own : "other";
  for (const element of controls.querySelectorAll("[data-when]")) element.hidden = !element.dataset.when.split(" ").includes(kind);
  for (const button of controls.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", String(button.dataset.do === status));
  for (const select of controls.querySelectorAll("[data-reason-of]")) {
    select.closest(".reason").hidden = select.dataset.reasonOf !== status;
    select.value = reason ?? "";
  }
  if (controls.contains(focused) && focused.closest("[hidden]")) controls.querySelector(".verdict").focus();
}

// Opens the form of an action, or moves to the note.
export function openForm(controls, action) {
  const form = controls.querySelector(`form[data-do=${action}]`);
  const details = form.closest("details");
  if (details?.hidden) return;
  if (details) details.open = true;
  form.querySelector("input, select, textarea").focus();
}

// Responses may arrive in another order than their requests: that to the newest request is displayed.
export async function showHistory(list, id) {
  const request = {};
  newest.set(list, request);
  const response = await fetch(`/alerts/${encodeURIComponent(id)}/history`).catch(() => null);
  const html = response?.ok ? await response.text() : "<li>Cannot load the history. Close the alert and open it again.</li>";
  if (newest.get(list) !== request) return;
  list.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  localTimes(list);
}
