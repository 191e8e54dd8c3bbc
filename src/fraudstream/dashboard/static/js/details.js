// One alert in full: the payment as it came, and where it came from.

import { NOTHING } from "./format.js";
import { section as reasonsOf } from "./reasons.js";

const MOST_VALUES = 500;

export async function fillDetails(panel, id) {
  if (panel.hasChildNodes() && !("failed" in panel.dataset)) return;
  delete panel.dataset.failed;
  panel.textContent = "Loading…";
  const address = `/api/alerts/${encodeURIComponent(id)}`;
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const alert = await answer.json();
    panel.replaceChildren(...("reasons" in alert ? [reasonsOf(alert)] : []), payment(alert), origin(alert, address));
    if (alert.reasons === null) panel.dataset.failed = ""; // asked for again when the row is next opened
  } catch (error) {
    panel.textContent = `The details could not be loaded (${error.message}). Close the row and open it again.`;
    panel.dataset.failed = "";
  }
}

function payment(alert) {
  const imputed = new Set(alert.imputed ?? []);
  const entries = Object.entries(alert.transaction);
  const list = section("The payment as it came", "values-of", entries.slice(0, MOST_VALUES).map(([name, value]) => [name, shown(value), imputed.has(name)]));
  for (const name of imputed) {
    if (!(name in alert.transaction)) list.querySelector("dl").append(...pair(name, NOTHING, true));
  }
  if (entries.length > MOST_VALUES) list.append(`and ${entries.length - MOST_VALUES} more columns, in the JSON`);
  return list;
}

function origin(alert, address) {
  const place = alert.topic === undefined ? NOTHING : `${alert.topic}[${alert.partition ?? "?"}] ${alert.offset ?? "?"}`;
  const list = section("Where it came from", "origin", [
    ["Id", alert.alert_id],
    ["Record", place],
    ["Row of the file", shown(alert.source_row)],
    ["Produced", shown(alert.produced_at)],
    ["Detected", shown(alert.detected_at)],
    ["Stored", shown(alert.received_at)],
    ["Score", shown(alert.score)],
    ["Threshold", shown(alert.threshold)],
    ["Model", shown(alert.model_id)],
    ["Revision", shown(alert.revision)],
    ["Columns", shown(alert.schema_id)],
    ["Filled in", alert.imputed?.length ? alert.imputed.join(", ") : "nothing"],
    ...(alert.reason ? [["Reason", alert.reason]] : []),
    ...(alert.conflict_of ? [["Same id as", alert.conflict_of]] : []),
  ]);
  const link = document.createElement("a");
  link.href = address;
  link.textContent = "This alert as JSON";
  list.append(link);
  return list;
}

function section(title, kind, pairs) {
  const block = document.createElement("section");
  block.className = kind;
  const heading = document.createElement("h3");
  heading.textContent = title;
  const list = document.createElement("dl");
  for (const [name, value, marked] of pairs) list.append(...pair(name, value, marked));
  block.append(heading, list);
  return block;
}

function pair(name, value, marked = false) {
  const both = document.createElement("div");
  const term = document.createElement("dt");
  term.textContent = name;
  const text = document.createElement("dd");
  text.textContent = value;
  if (marked) {
    const mark = document.createElement("span");
    mark.className = "badge";
    mark.textContent = "filled in";
    mark.title = "Missing in the payment: the model was given the training median";
    text.append(" ", mark);
  }
  both.append(term, text);
  return [both];
}

function shown(value) {
  if (value === null || value === undefined || value === "") return NOTHING;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
