// A rescored alert: both scores and outcomes, and the difference by feature. All values are set as text.

import { NOTHING, number, shortId } from "./format.js";

const SHOWN = 12;

export function showRescored(container, result) {
  const sentence = element("p", result.sentence);
  sentence.className = "sentence";
  const names = ["Score", "Threshold", "Outcome", "Model", "Revision"];
  const [then, now] = [result.stored, result.now].map(scoreCells);
  const scores = table(
    ["", "Stored", "Now"],
    [...names.map((name, at) => [name, then[at], now[at]]), ["Difference", "", signed(result.difference, 6)]],
    "The stored score and the new one",
  );
  const parts = [sentence, scores];
  if (result.stored_cause) parts.push(element("p", `The stored contribution of each column is not known: ${result.stored_cause}.`));
  else if (!result.comparable) parts.push(element("p", "The two models use different units: their contributions cannot be compared."));
  const features = result.features.filter((each) => each.now || each.then).slice(0, SHOWN);
  parts.push(
    table(
      ["Column", "Value", "Stored", "Now", "Difference"],
      features.map((each) => [each.feature, each.imputed ? "imputed" : valueText(each.value), signed(each.then), signed(each.now), result.comparable ? signed(each.difference) : NOTHING]),
      `The contribution of each column, the largest difference first${result.features.length > SHOWN ? ` (${SHOWN} of ${result.features.length})` : ""}`,
    ),
  );
  container.replaceChildren(...parts);
}

function scoreCells({ score, threshold, outcome, model_id: model, revision }) {
  const share = (value, digits) => (value === null || value === undefined ? NOTHING : String(Number(value.toPrecision(digits))));
  return [share(score, 6), share(threshold, 4), outcome ?? NOTHING, model ? shortId(model) : NOTHING, revision ?? NOTHING];
}

function table(headings, rows, caption) {
  const whole = document.createElement("table");
  whole.className = "rescored-table";
  whole.append(element("caption", caption));
  whole.createTHead().append(line(headings, "th", "col"));
  const body = whole.createTBody();
  for (const cells of rows) {
    const each = line(cells, "td");
    const name = element("th", String(cells[0]));
    name.scope = "row";
    each.firstChild.replaceWith(name);
    body.append(each);
  }
  const scroller = document.createElement("div");
  scroller.className = "scroller";
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", caption);
  scroller.append(whole);
  return scroller;
}

function line(cells, kind, scope) {
  const each = document.createElement("tr");
  for (const cell of cells) {
    const one = element(kind, String(cell));
    if (scope) one.scope = scope;
    each.append(one);
  }
  return each;
}

function element(name, text) {
  const created = document.createElement(name);
  created.textContent = text;
  return created;
}

function valueText(value) {
  if (value === null || value === "") return "missing";
  return typeof value === "number" ? number(value) : String(typeof value === "object" ? JSON.stringify(value) : value).slice(0, 40);
}

function signed(value, digits = 3) {
  if (value === null || value === undefined) return NOTHING;
  if (Math.abs(value) < 1e-9) return "0";
  return `${value < 0 ? "−" : "+"}${Number(Math.abs(value).toPrecision(digits))}`;
}
