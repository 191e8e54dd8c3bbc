// The details of an alert: its reasons, payment and origin.

import { NOTHING } from "./format.js";
import { section as reasonsOf } from "./reasons.js";

const MOST_VALUES = 500;

export async function fillDetails(panel, id) {
  if (panel.hasChildNodes() && !("failed" in panel.dataset)) return;
  delete panel.dataset.failed;
  panel.textContent = "Loading…";
  const address = `/api/alerts/${encodeURIComponent(id)}`;
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const alert = await response.json();
    panel.replaceChildren(...("reasons" in alert ? [reasonsOf(alert)] : []), payment(alert), origin(alert, address));
    if (alert.reasons === null) panel.dataset.failed = ""; // loaded again when the row is next opened
  } catch (error) {
    panel.textContent = `Cannot load the details (${error.message}). Close the row and open it again.`;
    panel.dataset.failed = "";
  }
}

function payment(alert) {
  const imputed = new Set(alert.imputed ?? []);
  const entries = Object.entries(alert.transaction);
  const list = section("Payment", "values-of", entries.slice(0, MOST_VALUES).map(([name, value]) => [name, valueText(value), imputed.has(name)]));
  for (const name of imputed) {
    if (!(name in alert.transaction)) list.querySelector("dl").append(...pair(name, NOTHING, true));
  }
  if (entries.length > MOST_VALUES) list.append(`and ${entries.length - MOST_VALUES} more columns, in the JSON`);
  return list;
}

function origin(alert, address) {
  const record = alert.topic === undefined ? NOTHING : `${alert.topic}[${alert.partition ?? "?"}] ${alert.offset ?? "?"}`;
  const list = section("Origin", "origin", [
    ["Id", alert.alert_id],
    ["Record", record],
    ["Row of the file", valueText(alert.source_row)],
    ["Produced", valueText(alert.produced_at)],
    ["Detected", valueText(alert.detected_at)],
    ["Stored", valueText(alert.received_at)],
    ["Score", valueText(alert.score)],
    ["Threshold", valueText(alert.threshold)],
    ["Model", valueText(alert.model_id)],
    ["Revision", valueText(alert.revision)],
    ["Schema", valueText(alert.schema_id)],
    ["Imputed", alert.imputed?.length ? alert.imputed.join(", ") : "none"],
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
  for (const [name, value, isImputed] of pairs) list.append(...pair(name, value, isImputed));
  block.append(heading, list);
  return block;
}

function pair(name, value, isImputed = false) {
  const both = document.createElement("div");
  const term = document.createElement("dt");
  term.textContent = name;
  const text = document.createElement("dd");
  text.textContent = value;
  if (isImputed) {
    const mark = document.createElement("span");
    mark.className = "badge";
    mark.textContent = "imputed";
    mark.title = "Missing in the payment: imputed with the training median";
    text.append(" ", mark);
  }
  both.append(term, text);
  return [both];
}

function valueText(value) {
  if (value === null || value === undefined || value === "") return NOTHING;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
