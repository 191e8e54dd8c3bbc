// The reasons of an alert: the main ones in its row, all stored ones in its details. presentation.py renders rows alike.

import { NOTHING, number, shortened } from "./format.js";

export const REASONS_PER_ROW = 3;
const VALUE_CHARS = 18;
const SVG = "http://www.w3.org/2000/svg";

// Replaces the raw values, which a row shows until its reasons are available.
export function showInRow(body, reasons) {
  const container = body.querySelector("[data-f=reasons]");
  if (!container || !reasons?.length) return;
  container.replaceChildren(...reasons.slice(0, REASONS_PER_ROW).map((reason) => chip(reason, largest(reasons))));
  container.hidden = false;
  body.querySelector("[data-f=values]").hidden = true;
  body.dataset.reasons = "";
}

export function section(alert) {
  const block = document.createElement("section");
  block.className = "reasons-of";
  const heading = document.createElement("h3");
  heading.textContent = "Why";
  block.append(heading);
  const { reasons, explanation } = alert;
  if (!reasons?.length) {
    const cause = document.createElement("p");
    cause.textContent = explanation?.cause ? `No reasons: ${explanation.cause}.` : "The reasons are being computed; open the row again in a moment.";
    block.append(cause);
    return block;
  }
  const list = document.createElement("ol");
  for (const reason of reasons) {
    const line = document.createElement("li");
    const text = document.createElement("span");
    text.textContent = reason.text;
    line.append(bar(reason, largest(reasons)), text);
    list.append(line);
  }
  const sum = document.createElement("p");
  sum.className = "quiet";
  sum.textContent = sumText(explanation);
  block.append(list, sum);
  return block;
}

function chip(reason, most) {
  const chip = element("span", "reason-chip");
  chip.title = reason.text;
  chip.append(element("span", "name", reason.feature), " ", element("span", "number", valueText(reason)), " ", bar(reason, most));
  return chip;
}

function bar(reason, most) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", reason.contribution > 0 ? "reason-bar for" : "reason-bar against");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", reason.contribution > 0 ? "for fraud" : "against fraud");
  const fill = document.createElementNS(SVG, "rect");
  fill.setAttribute("width", `${((Math.abs(reason.contribution) / most) * 100).toFixed(1)}%`);
  fill.setAttribute("height", "100%");
  fill.setAttribute("rx", "2");
  svg.append(fill);
  return svg;
}

function sumText({ base, base_is: baseIs, margin, rest, scale }) {
  const unit = scale === "log_odds" ? "log odds" : "of probability";
  return `From ${signed(base)} (${baseIs}), these and ${signed(rest)} by all other columns lead to ${signed(margin)} ${unit}.`;
}

function valueText({ value, imputed }) {
  if (value === null || value === "") return imputed ? "missing" : NOTHING;
  return typeof value === "number" ? number(value) : shortened(typeof value === "string" ? value : JSON.stringify(value), VALUE_CHARS);
}

const largest = (reasons) => Math.max(...reasons.map((reason) => Math.abs(reason.contribution)));
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function element(name, kind, text) {
  const created = document.createElement(name);
  created.className = kind;
  if (text !== undefined) created.textContent = text;
  return created;
}
