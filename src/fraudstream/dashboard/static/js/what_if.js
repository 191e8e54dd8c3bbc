// The page of another threshold: the server renders it at any threshold; this asks for it anew as the slider moves, and
// sends what a person applies.

import { swap } from "./live_charts.js";
import { Who } from "./who.js";

const STEPS = 200; // what_if_page.py: even steps of the log odds, from -10 to 10
const END = 10;

const slider = document.getElementById("slider");
const exact = document.getElementById("threshold");
const cost = document.getElementById("review-cost");
const answer = document.getElementById("answer");
const undo = document.getElementById("undo");
const apply = document.getElementById("apply");
const who = new Who(document.getElementById("who"), document.getElementById("who-dialog"));
let asking = false;
let askAgain = false;
let undone = null;

// Of a slider's place, with as many digits as tell it from its neighbours.
function thresholdAt(place) {
  const odds = Math.exp((place / STEPS) * 2 * END - END);
  const value = odds / (1 + odds);
  return value < 0.5 ? Number(value.toPrecision(3)) : Number((1 - Number((1 - value).toPrecision(3))).toFixed(7));
}

function placeOf(threshold) {
  if (threshold <= 0) return 0;
  if (threshold >= 1) return STEPS;
  const share = (Math.log(threshold / (1 - threshold)) + END) / (2 * END);
  return Math.round(Math.min(Math.max(share, 0), 1) * STEPS);
}

function look(threshold, { from } = {}) {
  if (from !== slider) slider.value = placeOf(threshold);
  if (from !== exact) exact.value = threshold;
  slider.setAttribute("aria-valuetext", String(threshold));
  showButton();
  refresh();
}

function showButton() {
  if (!apply) return;
  const inForce = Number(document.getElementById("live-sources").dataset.inForce);
  const same = exact.value === "" || Number(exact.value) === inForce;
  const button = document.getElementById("apply-button");
  button.disabled = same;
  button.textContent = same ? "This threshold is in force" : `Apply ${exact.value}`;
}

// One request at a time; what was asked for meanwhile is asked for next.
async function refresh() {
  if (asking) {
    askAgain = true;
    return;
  }
  if (!exact.checkValidity() || !cost.checkValidity()) return;
  asking = true;
  const query = new URLSearchParams({ threshold: exact.value, review_cost: cost.value });
  const address = `${window.location.pathname}?${query}`;
  try {
    const reply = await fetch(address, { headers: { Accept: "text/html" } });
    if (reply.ok && !reply.redirected) {
      swap(await reply.text());
      document.getElementById("summary").textContent = document.getElementById("live-sources").dataset.summary;
      window.history.replaceState(null, "", address);
      showButton();
    }
  } catch (error) {
    say(`The dashboard did not answer (${error.message}).`, true);
  }
  asking = false;
  if (askAgain) {
    askAgain = false;
    refresh();
  }
}

function say(text, failed, canUndo = false) {
  answer.hidden = false;
  answer.classList.toggle("failed", failed);
  answer.querySelector("[data-text]").textContent = text;
  undo.hidden = !canUndo;
}

async function put(threshold, why, revision, done) {
  if (!(await who.known())) {
    say("Not applied: your name stands beside such a change.", true);
    return;
  }
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token")?.value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    const reply = await fetch("/api/threshold", { method: "POST", headers, body: JSON.stringify({ threshold, why, revision }) });
    const told = await reply.json();
    if (reply.ok) {
      done(told);
    } else {
      say(reply.status === 401 ? "This changes how payments are judged: it takes the ingest token." : `Not applied: ${told.error}`, true);
    }
  } catch (error) {
    say(`The dashboard did not answer (${error.message}).`, true);
  }
  await refresh();
}

function takeBack(threshold, why, revision) {
  const words = `undo of revision ${revision}: ${why}`.slice(0, 1000);
  put(threshold, words, revision, (told) => {
    undone = null;
    look(told.threshold);
    say(`Undone: ${told.threshold} is in force again, as revision ${told.revision}.`, false);
  });
}

slider.addEventListener("input", () => look(thresholdAt(Number(slider.value)), { from: slider }));
exact.addEventListener("input", () => exact.checkValidity() && look(Number(exact.value), { from: exact }));
cost.addEventListener("input", refresh);
document.getElementById("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
document.querySelector(".go").hidden = true;
document.querySelector("main").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.threshold) look(Number(button.dataset.threshold));
  else if (button?.dataset.undo) takeBack(Number(button.dataset.undo), button.dataset.why, Number(button.dataset.revision));
  else if (button === undo && undone) takeBack(undone.former_threshold, undone.why, undone.revision);
});
apply?.addEventListener("submit", (event) => {
  event.preventDefault();
  const revision = Number(document.getElementById("live-sources").dataset.revision);
  put(Number(exact.value), apply.why.value.trim(), revision, (told) => {
    undone = told;
    apply.why.value = "";
    say(`${told.threshold} is in force as revision ${told.revision}; a running detector reads it within 15 seconds.`, false, true);
  });
});

showButton();
