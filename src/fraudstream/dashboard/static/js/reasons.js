// The main reasons of an alert in its row; presentation.py renders rows alike.

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

function valueText({ value, imputed }) {
  if (value === null || value === "") return imputed ? "missing" : NOTHING;
  return typeof value === "number" ? number(value) : shortened(typeof value === "string" ? value : JSON.stringify(value), VALUE_CHARS);
}

const largest = (reasons) => Math.max(...reasons.map((reason) => Math.abs(reason.contribution)));

function element(name, kind, text) {
  const created = document.createElement(name);
  created.className = kind;
  if (text !== undefined) created.textContent = text;
  return created;
}
