// The review page: connects its rows, triage actions, keyboard shortcuts and the stream.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { Drift } from "./drift.js";
import { count, localTimes } from "./format.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import { NewMatches } from "./news.js";
import { continueSearch, fetchPage, replaceRows } from "./queue_list.js";
import { QueueRows } from "./queue_rows.js";
import { searchField, viewForm } from "./queue_search.js";
import { Storm } from "./storm.js";
import { Tiles } from "./tiles.js";
import { Toast } from "./toast.js";
import { Triage } from "./triage.js";
import { VERDICTS } from "./triage_state.js";
import { Trouble } from "./trouble.js";
import { who } from "./who.js";

const NEXT_ORDERS = { score: "score", newest: "newest", oldest: "oldest" };
const ANNOUNCE_MS = 5000;

const main = document.getElementById("main");
const table = document.getElementById("list");
const empty = document.getElementById("empty");
const currentCard = document.getElementById("in-hand");
const connection = document.getElementById("connection");
const announce = document.getElementById("announce");
const isLive = "live" in table.dataset;
const title = document.title;
const rows = new QueueRows(main, (...args) => triage.enqueue(() => decideByMouse(...args)));
const triage = new Triage(who, new Toast(document.getElementById("toast")), (changes) => rows.work(changes));
const query = new URLSearchParams(table.dataset.asked);
const released = new Set();
let unannounced = 0;
let unread = 0;
let connectionState = ["connecting", new Date()];

async function act(action, bodies, members) {
  if (action === "clear") rows.clear();
  if (action === "clear" || bodies.length === 0) return false;
  const alerts = bodies.map(({ dataset }) => ({ id: dataset.id, version: Number(dataset.version) }));
  const isChanged = await triage.act(action, alerts, { members });
  if (isChanged && action === "release") alerts.forEach(({ id }) => released.add(id));
  if (isChanged && rows.selected().length > 0) rows.clear();
  return isChanged;
}

// After a verdict the focus moves to the next row that is undecided and nobody else's, and opens it if the user wants.
function follow(body, before) {
  rows.open(body, false);
  const after = before.slice(before.indexOf(body) + 1).concat(before.slice(0, before.indexOf(body)));
  const following = after.find(({ isConnected, dataset }) => isConnected && !VERDICTS.includes(dataset.status) && ["", who.name].includes(dataset.assignee));
  rows.focus(following ?? (body.checkVisibility() ? body : rows.listed()[0]));
  if (following && document.getElementById("open-next").checked) rows.open(following);
}

// By key; with several selected the focus stays.
async function decide(verdict) {
  const targets = rows.targets();
  const before = rows.listed();
  if (targets.length === 0) announce.textContent = "Select an alert with j or k first.";
  const alone = rows.selected().length === 0 && targets.length === 1;
  if ((await act(verdict, targets)) && alone && table.contains(targets[0])) follow(targets[0], before);
}

async function decideByMouse(action, bodies, text) {
  const before = rows.listed();
  const isChanged = await act(action, bodies, text);
  const follows = VERDICTS.includes(action) && document.getElementById("open-next").checked && table.contains(bodies[0]);
  if (isChanged && follows) follow(bodies[0], before);
  return isChanged;
}

async function next() {
  const request = { order: NEXT_ORDERS[query.get("sort")] ?? "loss", skip: [...released] };
  for (const name of new Set(query.keys())) {
    if (["sort", "status", "assignee"].includes(name)) continue;
    request[name] = ["where", "entity"].includes(name) ? query.getAll(name) : query.get(name);
  }
  const alert = await triage.next(request);
  if (alert === null) return;
  const address = new URL(window.location.href);
  address.searchParams.set("alert", alert.alert_id);
  if (rows.of(alert.alert_id) === undefined) {
    const page = await fetchPage(address);
    const fetched = page?.querySelector("#in-hand tbody.alert");
    if (!fetched) {
      window.location.assign(address);
      return;
    }
    currentCard.querySelector("table").tBodies[0]?.remove();
    currentCard.querySelector("table").append(fetched);
    localTimes(fetched);
    currentCard.hidden = false;
  }
  window.history.replaceState(null, "", address);
  rows.work([{ alert_id: alert.alert_id, ...alert.work }]);
  const body = rows.of(alert.alert_id);
  rows.open(body);
  rows.focus(body);
  body.scrollIntoView({ block: "nearest" });
}

function newMatches() {
  const matches = new NewMatches(document.getElementById("fresh"), table);
  matches.load = async () => {
    if (new URLSearchParams(window.location.search).has("cursor")) {
      document.querySelector("#pages a").click();
      return;
    }
    const page = await fetchPage(window.location.href);
    if (page === null) return;
    replaceRows(page, rows);
    matches.reset(Number(table.dataset.latest));
    rows.focus(rows.listed()[0]);
  };
  return { alert: () => matches.arrived() };
}

// The live view gets its rows from the stream unless they are filtered.
function liveView() {
  const live = new Live(rows, { paused: () => showConnection(), arrived });
  const rendered = { row: (html, seq) => live.row(html, seq), skipped: (number) => live.add([], number) };
  return { live, ...(table.dataset.live === "rendered" ? rendered : {}), alert: () => live.arrived() };
}

function arrived(number) {
  table.hidden = false;
  empty.hidden = true;
  unannounced += number;
  if (document.hidden) document.title = `(${count((unread += number))}) ${title}`;
}

function showWaiting({ payments_seen: seen, waiting_for: waiting, unseen_from_row: from }) {
  if (empty.querySelector("[data-when]")) {
    empty.querySelector("[data-when=silent]").hidden = seen > 0;
    empty.querySelector("[data-waiting]").textContent = waiting ?? "";
    empty.querySelector("[data-when=flowing]").hidden = seen === 0;
  }
  const unseen = document.getElementById("unseen");
  if (!unseen) return;
  unseen.hidden = from === null;
  if (from !== null) unseen.querySelector("[data-row]").textContent = count(from);
}

// A pause is shown only while rows could arrive: "Reconnecting" matters more.
function showConnection() {
  const [name, heardAt] = connectionState;
  showState(connection, view.live?.holding.paused && (name === "live" || name === "polling") ? "paused" : name, heardAt);
}

// A switch that this browser remembers.
function remembered(id) {
  const input = document.getElementById(id);
  const apply = () => document.documentElement.classList.toggle(id, input.checked);
  input.checked = window.localStorage.getItem(`fraudstream.${id}`) === "on";
  input.addEventListener("change", () => {
    window.localStorage.setItem(`fraudstream.${id}`, input.checked ? "on" : "off");
    apply();
  });
  apply();
}

const turn = (task) => () => triage.enqueue(task);
remembered("hide-decided");
remembered("open-next");
searchField(document.getElementById("search"));
viewForm(document.getElementById("save-view"), who);
document.getElementById("next").addEventListener("click", turn(next));
document.querySelector("[data-next]")?.addEventListener("click", turn(next));
document.querySelector("[data-ask]")?.addEventListener("click", async () => (await who.ask()) && window.location.reload());
document.getElementById("bulk").addEventListener("click", ({ target }) => {
  const action = target.closest("[data-do]")?.dataset.do;
  if (action) triage.enqueue(() => act(action, rows.selected()));
});
const sheet = document.getElementById("keys");
document.getElementById("show-keys").addEventListener("click", () => sheet.showModal());
const open = () => rows.current && rows.open(rows.current, rows.current.querySelector(".details").hidden);
const shortcuts = {
  j: () => rows.move(1),
  k: () => rows.move(-1),
  x: () => rows.pick(),
  o: open,
  Enter: open,
  c: () => act("claim", rows.targets()),
  f: () => decide("confirmed_fraud"),
  a: () => decide("false_alarm"),
  u: () => decide("unsure"),
  n: next,
  r: () => act("release", rows.targets()),
  s: () => rows.write("escalate"),
  i: () => rows.write("needs-information"),
  e: () => rows.write("note"),
  z: () => triage.undo(),
};
const queued = Object.fromEntries(Object.entries(shortcuts).map(([key, act]) => [key, turn(act)]));
new Keys(sheet, { ...queued, ...triage.reasonKeys, "/": () => document.getElementById("search").focus() });

rows.showSelected();
main.addEventListener("click", (event) => {
  const link = event.target.closest("#continue");
  if (!link) return;
  event.preventDefault();
  continueSearch(link, rows);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unread = 0;
  document.title = title;
});
// Announced as a total: one by one would drown out everything else in a screen reader.
window.setInterval(() => {
  if (unannounced > 0) document.getElementById("announce-new").textContent = unannounced === 1 ? "1 new row" : `${count(unannounced)} new rows`;
  unannounced = 0;
}, ANNOUNCE_MS);
const opened = new URLSearchParams(window.location.search).get("alert");
if (opened && rows.of(opened)) rows.open(rows.of(opened));
const parts = [
  [Tiles, "tiles"],
  [Drift, "drift", "announce-drift", "columns"],
  [Storm, "storm", "announce-storm", "storm"],
  [Trouble, "trouble", "announce", "problems"],
].filter(([, id]) => document.getElementById(id))
  .map(([Part, id, status, member]) => [new Part(document.getElementById(id), document.getElementById(status)), member]);
const view = isLive ? liveView() : newMatches();
new Connection(query.get("outcome") ?? "alert", Number(table.dataset.latest), {
  ...view,
  stats(current) {
    for (const [part, member] of parts) part.show(member ? current[member] : current);
    showWaiting(current);
  },
  reasons(events) {
    rows.reasons(events);
    view.live?.change(events.map(({ seq }) => seq));
  },
  // After a pending action: the stream may report its change before the response, which also closes or focuses a row.
  work(event) {
    view.live?.change(event.changes.map(({ seq }) => seq));
    triage.enqueue(() => rows.work(event.changes));
  },
  missed: () => rows.refresh(rows.known()),
  state(name, heardAt) {
    connectionState = [name, heardAt];
    showConnection();
  },
});
