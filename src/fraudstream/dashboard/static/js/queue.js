// The page Queue: connects its rows, triage actions, keyboard shortcuts and the stream.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { Triage } from "./triage.js";
import { localTimes } from "./format.js";
import { Keys } from "./keys.js";
import { NewMatches } from "./news.js";
import { zonedFields } from "./queue_form.js";
import { continueSearch, fetchPage, refreshTriage, replaceRows } from "./queue_list.js";
import { nameControls, QueueRows } from "./queue_rows.js";
import { Toast } from "./toast.js";
import { VERDICTS } from "./triage_state.js";
import { who } from "./who.js";

const NEXT_ORDERS = { score: "score", newest: "newest", oldest: "oldest" };

const main = document.getElementById("main");
const table = document.getElementById("list");
const currentCard = document.getElementById("in-hand");
const connection = document.getElementById("connection");
const announce = document.getElementById("announce");
const rows = new QueueRows(main, (...args) => triage.enqueue(() => act(...args)));
const triage = new Triage(who, new Toast(document.getElementById("toast")), (changes) => rows.work(changes));
const newMatches = new NewMatches(document.getElementById("fresh"), table);
const query = new URLSearchParams(table.dataset.asked);
const released = new Set();

async function act(action, bodies, members) {
  if (action === "clear") rows.clear();
  if (action === "clear" || bodies.length === 0) return false;
  const alerts = bodies.map(({ dataset }) => ({ id: dataset.id, version: Number(dataset.version) }));
  const isChanged = await triage.act(action, alerts, { members });
  if (isChanged && action === "release") alerts.forEach(({ id }) => released.add(id));
  if (isChanged && rows.selected().length > 0) rows.clear();
  return isChanged;
}

// After a verdict by key the focus moves to the next row; with several selected it stays.
async function decide(verdict) {
  const targets = rows.targets();
  const alone = rows.selected().length === 0 && targets.length === 1;
  if (targets.length === 0) announce.textContent = "Select an alert with j or k first.";
  if (!(await act(verdict, targets)) || !alone || !table.contains(targets[0])) return;
  rows.open(targets[0], false);
  const following = rows.listed().slice(rows.listed().indexOf(targets[0]) + 1);
  rows.focus(following.find((body) => !VERDICTS.includes(body.dataset.status)) ?? targets[0]);
}

async function next() {
  const request = { order: NEXT_ORDERS[query.get("sort")] ?? "loss", skip: [...released] };
  for (const name of new Set(query.keys())) {
    if (["sort", "status", "assignee"].includes(name)) continue;
    request[name] = name === "where" ? query.getAll(name) : query.get(name);
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
    localTimes(fetched);
    nameControls(fetched);
    currentCard.querySelector("table").tBodies[0]?.remove();
    currentCard.querySelector("table").append(fetched);
    currentCard.hidden = false;
  }
  window.history.replaceState(null, "", address);
  rows.work([{ alert_id: alert.alert_id, ...alert.work }]);
  const body = rows.of(alert.alert_id);
  rows.open(body);
  rows.focus(body);
  body.scrollIntoView({ block: "nearest" });
}

newMatches.load = async () => {
  if (new URLSearchParams(window.location.search).has("cursor")) {
    document.querySelector(".pages a").click();
    return;
  }
  const page = await fetchPage(window.location.href);
  if (page === null) return;
  replaceRows(page, rows);
  newMatches.reset(Number(table.dataset.latest));
  rows.focus(rows.listed()[0]);
};

const turn = (task) => () => triage.enqueue(task);
document.getElementById("next").addEventListener("click", turn(next));
document.querySelector("[data-next]")?.addEventListener("click", turn(next));
document.querySelector("[data-ask]")?.addEventListener("click", async () => (await who.ask()) && window.location.reload());
document.getElementById("bulk").addEventListener("click", ({ target }) => {
  const action = target.closest("[data-do]")?.dataset.do;
  if (action) triage.enqueue(() => act(action, rows.selected()));
});
const sheet = document.getElementById("keys");
document.getElementById("show-keys").addEventListener("click", () => sheet.showModal());
document.getElementById("f-sort").addEventListener("change", ({ target }) => target.form.requestSubmit());
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
new Keys(sheet, { ...queued, ...triage.reasonKeys, "/": () => document.getElementById("f-q").focus() });

rows.every().forEach(nameControls);
zonedFields(document.getElementById("filter"));
rows.showSelected();
main.addEventListener("click", (event) => {
  const link = event.target.closest("#continue");
  if (!link) return;
  event.preventDefault();
  continueSearch(link, rows);
});
const opened = new URLSearchParams(window.location.search).get("alert");
if (opened && rows.of(opened)) rows.open(rows.of(opened));
new Connection(query.get("outcome") ?? "alert", Number(table.dataset.latest), {
  alert: () => newMatches.arrived(),
  reasons: (events) => rows.reasons(events),
  // After a pending action: the stream may report its change before the response, which also closes or focuses a row.
  work: (event) => triage.enqueue(() => rows.work(event.changes)),
  missed: () => refreshTriage(rows),
  state: (name, heardAt) => showState(connection, name, heardAt),
});
