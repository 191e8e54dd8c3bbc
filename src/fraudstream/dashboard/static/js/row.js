// Creates a row of the live table from the page's template. All values of a payment are set as text, never as HTML;
// presentation.py renders rows alike.

import * as format from "./format.js";
import { showInRow } from "./reasons.js";
import { NEW, showTriage } from "./triage_state.js";

export function filledRow(template, alert) {
  const body = template.content.cloneNode(true).querySelector("tbody");
  const field = (name) => body.querySelector(`[data-f=${name}]`);
  const set = (name, text) => {
    const element = field(name);
    if (element) element.textContent = text;
    return element;
  };
  const at = alert.produced_at ?? alert.received_at ?? "";
  const when = format.time(at);
  body.dataset.seq = alert.seq;
  body.dataset.id = alert.alert_id;
  const time = set("at", when);
  time.setAttribute("datetime", at);
  time.title = at;
  set("score", isMissing(alert.score) ? format.NOTHING : alert.score.toFixed(4));
  field("bar")?.setAttribute("width", share(alert.score));
  for (const end of ["x1", "x2"]) field("tick")?.setAttribute(end, share(alert.threshold));
  set("reason", alert.reason ?? format.NOTHING);
  set("amount", format.amount(alert.transaction));
  set("source_row", isMissing(alert.source_row) ? format.NOTHING : format.count(alert.source_row));
  const model = set("model", format.shortId(alert.model_id ?? ""));
  if (model) model.title = alert.model_id ?? "";
  field("values").replaceChildren(...format.largestValues(alert.transaction).map(valueElement));
  if (alert.reasons) showInRow(body, alert.reasons);
  showTriage(body, alert.work ?? NEW);
  const page = field("page");
  if (page) page.href = alertPage(alert.alert_id);
  body.querySelector(".toggle").setAttribute("aria-label", `Details of the payment ${when}`);
  return body;
}

function valueElement([name, text]) {
  const value = document.createElement("span");
  value.className = "value";
  const label = document.createElement("span");
  label.className = "name";
  label.textContent = name;
  const number = document.createElement("span");
  number.className = "number";
  number.textContent = text;
  value.append(label, " ", number);
  return value;
}

// A slash in an id stays unescaped: the route accepts it.
const alertPage = (id) => `/alerts/${encodeURIComponent(id).replaceAll("%2F", "/")}`;
const share = (value) => `${(Math.min(Math.max(value ?? 0, 0), 1) * 100).toFixed(2)}%`;
const isMissing = (value) => value === null || value === undefined;
