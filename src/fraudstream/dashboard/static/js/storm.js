// The banner of an alert storm; schema_messages.py builds its sentence.

import { parts } from "./drift.js";

export class Storm {
  constructor(box, announce) {
    this.box = box;
    this.announce = announce;
  }

  show(storm) {
    const sentence = this.box.querySelector("[data-sentence]");
    const began = storm && this.box.hidden;
    const ended = !storm && !this.box.hidden;
    if (storm) sentence.replaceChildren(...parts(storm.sentence));
    this.box.hidden = !storm;
    // Announced when it begins and ends: the figures change every second.
    if (began) this.announce.textContent = `Alert storm. ${sentence.textContent}`;
    if (ended) this.announce.textContent = "The alert storm is over.";
  }
}
