// The page of live alerts: connects the stream, the rows and the counters.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { Drift } from "./drift.js";
import { count } from "./format.js";
import { Holding } from "./holding.js";
import { Rows, wholeOrNull } from "./rows.js";
import { Storm } from "./storm.js";
import { Tiles } from "./tiles.js";
import { Trouble } from "./trouble.js";

const ANNOUNCE_MS = 5000;

const table = document.getElementById("alerts");
const empty = document.getElementById("empty");
const foot = document.getElementById("foot");
const connection = document.getElementById("connection");
const announce = document.getElementById("announce");
const title = document.title;
const rows = new Rows(table, { holds: () => holding.holds(), waiting: (number) => holding.showWaiting(number) });
const holding = new Holding(table, document.getElementById("live-controls"), { flush: () => rows.flush(), paused: () => show() });
const tiles = new Tiles(document.getElementById("tiles"));
const drift = new Drift(document.getElementById("drift"), document.getElementById("announce-drift"));
const storm = new Storm(document.getElementById("storm"), document.getElementById("announce-storm"));
const trouble = new Trouble(document.getElementById("trouble"));
let unannounced = 0;
let unread = 0;
let connectionState = ["connecting", new Date()];

function arrived(alert) {
  rows.add(alert);
  table.hidden = false;
  foot.hidden &&= table.tBodies.length < rows.most;
  empty.hidden = true;
  unannounced += 1;
  if (document.hidden) document.title = `(${count(++unread)}) ${title}`;
}

function stats(current) {
  tiles.show(current);
  trouble.show(current.problems);
  drift.show(current.columns);
  storm.show(current.storm);
  rows.activeModel = { model: current.model_id, unseenFrom: current.unseen_from_row };
  const flowing = current.payments_seen > 0;
  empty.querySelector("[data-when=silent]").hidden = flowing;
  empty.querySelector("[data-waiting]").textContent = current.waiting_for ?? "";
  empty.querySelector("[data-when=flowing]").hidden = !flowing;
  const unseen = document.getElementById("unseen");
  if (unseen) {
    const from = wholeOrNull(current.unseen_from_row ?? undefined);
    unseen.hidden = from === null;
    if (from !== null) unseen.querySelector("[data-row]").textContent = count(from);
  }
}

function state(name, heardAt) {
  connectionState = [name, heardAt];
  show();
}

// A pause is shown only while rows could arrive: "Reconnecting" matters more.
function show() {
  const [name, heardAt] = connectionState;
  showState(connection, holding.paused && (name === "live" || name === "polling") ? "paused" : name, heardAt);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    unread = 0;
    document.title = title;
  }
});

// Announced as a total: one by one would drown out everything else in a screen reader.
window.setInterval(() => {
  if (unannounced === 0) return;
  announce.textContent = unannounced === 1 ? "1 new row" : `${count(unannounced)} new rows`;
  unannounced = 0;
}, ANNOUNCE_MS);

new Connection(table.dataset.outcome, Number(table.dataset.latest), {
  alert: arrived,
  reasons: (events) => rows.reasons(events),
  work: (event) => rows.work(event.changes),
  missed: () => rows.refresh(),
  stats,
  state,
});
