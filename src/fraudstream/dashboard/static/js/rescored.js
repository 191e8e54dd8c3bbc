// An alert scored again: both scores, what became of it, and the difference by feature. Everything is set as text.

import { NOTHING, number, shortId } from "./format.js";

const SHOWN = 12;

export function showRescored(place, told) {
  const sentence = made("p", told.sentence);
  sentence.className = "sentence";
  const scores = table(
    ["", "Score", "Threshold", "Outcome", "Model", "Revision"],
    [row("When it came", told.stored), row("Now", told.now), ["Difference", signed(told.difference, 6), "", "", told.same_model ? "the same" : "another", ""]],
    "The stored score and the score of the model in force",
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

function row(name, { score, threshold, outcome, model_id: model, revision }) {
  return [name, score === null ? NOTHING : score.toPrecision(6), threshold === null || threshold === undefined ? NOTHING : String(Number(threshold.toPrecision(4))), outcome ?? NOTHING, model ? shortId(model) : NOTHING, revision ?? NOTHING];
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
