// The page What if: fetches the page rendered for another threshold when the slider moves, and deploys a threshold.

import { swap } from "./live_charts.js";
import { who } from "./who.js";

const STEPS = 200; // as in views/what_if.py: even steps of the log odds, from -10 to 10
const END = 10;

const slider = document.getElementById("slider");
const exact = document.getElementById("threshold");
const cost = document.getElementById("review-cost");
const answer = document.getElementById("answer");
const undo = document.getElementById("undo");
const apply = document.getElementById("apply");
let isLoading = false;
let loadAgain = false;
let undone = null;

// The threshold at a slider position, with enough digits to differ from its neighbours.
function thresholdAt(position) {
  const odds = Math.exp((position / STEPS) * 2 * END - END);
  const value = odds / (1 + odds);
  return value < 0.5 ? Number(value.toPrecision(3)) : Number((1 - Number((1 - value).toPrecision(3))).toFixed(7));
}

function positionOf(threshold) {
  if (threshold <= 0) return 0;
  if (threshold >= 1) return STEPS;
  const share = (Math.log(threshold / (1 - threshold)) + END) / (2 * END);
  return Math.round(Math.min(Math.max(share, 0), 1) * STEPS);
}

function showThreshold(threshold, { from } = {}) {
  if (from !== slider) slider.value = positionOf(threshold);
  if (from !== exact) exact.value = threshold;
  slider.setAttribute("aria-valuetext", String(threshold));
  showButton();
  refresh();
}

function showButton() {
  if (!apply) return;
  const active = Number(document.getElementById("live-sources").dataset.activeThreshold);
  const same = exact.value === "" || Number(exact.value) === active;
  const button = document.getElementById("apply-button");
  button.disabled = same;
  button.textContent = same ? "This threshold is active" : `Deploy ${exact.value}`;
}

// One request at a time; a change in the meantime triggers the next one.
async function refresh() {
  if (isLoading) {
    loadAgain = true;
    return;
  }
  if (!exact.checkValidity() || !cost.checkValidity()) return;
  isLoading = true;
  const query = new URLSearchParams({ threshold: exact.value, review_cost: cost.value });
  const address = `${window.location.pathname}?${query}`;
  try {
    const response = await fetch(address, { headers: { Accept: "text/html" } });
    if (response.ok && !response.redirected) {
      swap(await response.text());
      document.getElementById("summary").textContent = document.getElementById("live-sources").dataset.summary;
      window.history.replaceState(null, "", address);
      showButton();
    }
  } catch (error) {
    showMessage(`The dashboard did not respond (${error.message}).`, true);
  }
  isLoading = false;
  if (loadAgain) {
    loadAgain = false;
    refresh();
  }
}

function showMessage(text, failed, canUndo = false) {
  answer.hidden = false;
  answer.classList.toggle("failed", failed);
  answer.querySelector("[data-text]").textContent = text;
  undo.hidden = !canUndo;
}

async function deploy(threshold, why, revision, done) {
  if (!(await who.known())) {
    showMessage("Not deployed: your name is required.", true);
    return;
  }
  const headers = { "Content-Type": "application/json" };
  const token = document.getElementById("token")?.value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    const response = await fetch("/api/threshold", { method: "POST", headers, body: JSON.stringify({ threshold, why, revision }) });
    const result = await response.json();
    if (response.ok) {
      done(result);
    } else {
      showMessage(response.status === 401 ? "The ingest token is required to deploy a threshold." : `Not deployed: ${result.error}`, true);
    }
  } catch (error) {
    showMessage(`The dashboard did not respond (${error.message}).`, true);
  }
  await refresh();
}

function revert(threshold, why, revision) {
  const reason = `undo of revision ${revision}: ${why}`.slice(0, 1000);
  deploy(threshold, reason, revision, (result) => {
    undone = null;
    showThreshold(result.threshold);
    showMessage(`Undone: ${result.threshold} is active again, as revision ${result.revision}.`, false);
  });
}

slider.addEventListener("input", () => showThreshold(thresholdAt(Number(slider.value)), { from: slider }));
exact.addEventListener("input", () => exact.checkValidity() && showThreshold(Number(exact.value), { from: exact }));
cost.addEventListener("input", refresh);
document.getElementById("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
document.querySelector(".go").hidden = true;
document.querySelector("main").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.threshold) showThreshold(Number(button.dataset.threshold));
  else if (button?.dataset.undo) revert(Number(button.dataset.undo), button.dataset.why, Number(button.dataset.revision));
  else if (button === undo && undone) revert(undone.former_threshold, undone.why, undone.revision);
});
apply?.addEventListener("submit", (event) => {
  event.preventDefault();
  const revision = Number(document.getElementById("live-sources").dataset.revision);
  deploy(Number(exact.value), apply.why.value.trim(), revision, (result) => {
    undone = result;
    apply.why.value = "";
    showMessage(`${result.threshold} is active as revision ${result.revision}; a running detector reads it within 15 seconds.`, false, true);
  });
});

showButton();
