// The banner of an alert storm; drift_words.py words its sentence.

import { worded } from "./drift.js";
import { localTimes } from "./format.js";

export class Storm {
  constructor(box, announce) {
    this.box = box;
    this.announce = announce;
    localTimes(box);
  }

  show(storm) {
    const sentence = this.box.querySelector("[data-sentence]");
    const began = storm && this.box.hidden;
    const ended = !storm && !this.box.hidden;
    if (storm) sentence.replaceChildren(...worded(storm.sentence));
    this.box.hidden = !storm;
    // Read aloud when it begins and when it ends: the figures move each second.
    if (began) this.announce.textContent = `Alert storm. ${sentence.textContent}`;
    if (ended) this.announce.textContent = "The alert storm is over.";
  }
}
