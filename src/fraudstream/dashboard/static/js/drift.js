// The banner about differences from training; schema_messages.py builds its sentences.

import { time } from "./format.js";

export class Drift {
  constructor(box, announce) {
    this.box = box;
    this.announce = announce;
    this.message = this.key([...box.querySelectorAll("[data-sentences] li")].map((item) => ({ before: item.firstChild?.textContent ?? "" })));
  }

  show(columns) {
    if (!columns) return;
    const { sentences, suggestions } = columns;
    this.box.hidden = sentences.length === 0;
    const items = sentences.map(sentence);
    const list = this.box.querySelector("[data-sentences]");
    if (items.map((item) => item.textContent).join("\n") !== [...list.children].map((item) => item.textContent).join("\n")) {
      list.replaceChildren(...items);
    }
    this.box.querySelector("[data-suggested]").hidden = suggestions.length === 0;
    // Announced when something begins or ends, not each time a share changes.
    const message = this.key(sentences);
    if (message === this.message) return;
    this.message = message;
    this.announce.textContent = sentences.length ? items.map((item) => item.textContent).join(" ") : "Scoring matches training again.";
  }

  key(sentences) {
    return sentences.map(({ before }) => before.replace(/^[\d.]+ %/, "")).join("\n");
  }
}

function sentence(message) {
  const item = document.createElement("li");
  item.append(...parts(message));
  return item;
}

// The parts of a sentence of the server, with its time in the viewer's time zone.
export function parts({ before, at, after }) {
  const pieces = [before];
  if (at) {
    const when = document.createElement("time");
    when.setAttribute("datetime", at);
    when.title = at;
    when.textContent = time(at);
    pieces.push(when);
  }
  return [...pieces, `${after}.`];
}
