// An alert scored again: both scores, what became of it, and the difference by feature. Everything is set as text.

import { NOTHING, number, shortId } from "./format.js";

const SHOWN = 12;

export function showRescored(place, told) {
  const sentence = made("p", told.sentence);
  sentence.className = "sentence";
  const names = ["Score", "Threshold", "Outcome", "Model", "Revision"];
  const [then, now] = [told.stored, told.now].map(shownJudgement);
  const scores = table(
    ["", "When it came", "Now"],
    [...names.map((name, at) => [name, then[at], now[at]]), ["Difference", "", signed(told.difference, 6)]],
    "The stored score and the new one",
  );
  const parts = [sentence, scores];
  if (told.stored_cause) parts.push(made("p", `What each column contributed then is not known: ${told.stored_cause}.`));
  else if (!told.comparable) parts.push(made("p", "The two models count in different units: their contributions cannot be subtracted meaningfully."));
  const features = told.features.filter((each) => each.now || each.then).slice(0, SHOWN);
  parts.push(
    table(
      ["Column", "Value", "Then", "Now", "Difference"],
      features.map((each) => [each.feature, each.imputed ? "filled in" : shown(each.value), signed(each.then), signed(each.now), told.comparable ? signed(each.difference) : NOTHING]),
      `What each column contributed, the largest difference first${told.features.length > SHOWN ? ` (${SHOWN} of ${told.features.length})` : ""}`,
    ),
  );
  place.replaceChildren(...parts);
}

function shownJudgement({ score, threshold, outcome, model_id: model, revision }) {
  const share = (value, digits) => (value === null || value === undefined ? NOTHING : String(Number(value.toPrecision(digits))));
  return [share(score, 6), share(threshold, 4), outcome ?? NOTHING, model ? shortId(model) : NOTHING, revision ?? NOTHING];
}

function table(headings, rows, caption) {
  const whole = document.createElement("table");
  whole.className = "rescored-table";
  whole.append(made("caption", caption));
  whole.createTHead().append(line(headings, "th", "col"));
  const body = whole.createTBody();
  for (const cells of rows) {
    const each = line(cells, "td");
    const name = made("th", String(cells[0]));
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
    const one = made(kind, String(cell));
    if (scope) one.scope = scope;
    each.append(one);
  }
  return each;
}

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function shown(value) {
  if (value === null || value === "") return "missing";
  return typeof value === "number" ? number(value) : String(typeof value === "object" ? JSON.stringify(value) : value).slice(0, 40);
}

function signed(value, digits = 3) {
  if (value === null || value === undefined) return NOTHING;
  if (Math.abs(value) < 1e-9) return "0";
  return `${value < 0 ? "−" : "+"}${Number(Math.abs(value).toPrecision(digits))}`;
}
