// The banner that says in which way payments are not judged as trained; drift_words.py words the sentences.

import { time } from "./format.js";

export class Drift {
  constructor(box, announce) {
    this.box = box;
    this.announce = announce;
    this.said = this.key([...box.querySelectorAll("[data-sentences] li")].map((item) => ({ before: item.firstChild?.textContent ?? "" })));
    for (const element of box.querySelectorAll("time[datetime]")) element.textContent = time(element.getAttribute("datetime"));
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
    // Read aloud when something begins or ends, not each time a share moves.
    const said = this.key(sentences);
    if (said === this.said) return;
    this.said = said;
    this.announce.textContent = sentences.length ? items.map((item) => item.textContent).join(" ") : "Payments are judged as trained again.";
  }

  key(sentences) {
    return sentences.map(({ before }) => before.replace(/^[\d.]+ %/, "")).join("\n");
  }
}

function sentence(said) {
  const item = document.createElement("li");
  item.append(...worded(said));
  return item;
}

// What drift_words.py words as a sentence, its time in the reader's zone.
export function worded({ before, at, after }) {
  const parts = [before];
  if (at) {
    const when = document.createElement("time");
    when.setAttribute("datetime", at);
    when.title = at;
    when.textContent = time(at);
    parts.push(when);
  }
  return [...parts, `${after}.`];
}
