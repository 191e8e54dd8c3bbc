// The page Queue: joins its rows, what is done with them, the keys and the stream. The server renders the list.

import { Connection } from "./connection.js";
import { showState } from "./connection_state.js";
import { Desk } from "./desk.js";
import { localTimes } from "./format.js";
import { Keys } from "./keys.js";
import { News } from "./news.js";
import { zonedFields } from "./queue_form.js";
import { fetchPage, goOn, renew, standAgain } from "./queue_list.js";
import { nameControls, QueueRows } from "./queue_rows.js";
import { Toast } from "./toast.js";
import { Who } from "./who.js";

const UNDECIDED = ["new", "claimed"];
const NEXT_ORDERS = { score: "score", newest: "newest", oldest: "oldest" };

const main = document.getElementById("main");
const table = document.getElementById("list");
const hand = document.getElementById("in-hand");
const connection = document.getElementById("connection");
const announce = document.getElementById("announce");
const who = new Who(document.getElementById("who"), document.getElementById("who-dialog"));
const rows = new QueueRows(main, (...asked) => desk.inTurn(() => act(...asked)));
const desk = new Desk(who, new Toast(document.getElementById("toast")), (changes) => rows.work(changes));
const news = new News(document.getElementById("fresh"), table);
const asked = new URLSearchParams(table.dataset.asked);
const released = new Set();

async function act(what, bodies, text) {
  if (what === "clear") rows.clear();
  if (what === "clear" || bodies.length === 0) return false;
  if (what === "note") return desk.note(bodies[0].dataset.id, text);
  const alerts = bodies.map(({ dataset }) => ({ id: dataset.id, version: Number(dataset.version) }));
  const came = await desk.act(what, alerts);
  if (came && what === "release") alerts.forEach(({ id }) => released.add(id));
  if (came && rows.selected().length > 0) rows.clear();
  return came;
}

// After a verdict by key the mark goes on to the next row; with several selected it stays.
async function decide(verdict) {
  const targets = rows.targets();
  const alone = rows.selected().length === 0 && targets.length === 1;
  if (targets.length === 0) announce.textContent = "Mark an alert with j or k first.";
  if (!(await act(verdict, targets)) || !alone || !table.contains(targets[0])) return;
  rows.open(targets[0], false);
  const following = rows.listed().slice(rows.listed().indexOf(targets[0]) + 1);
  rows.focus(following.find((body) => UNDECIDED.includes(body.dataset.status)) ?? targets[0]);
}

async function next() {
  const wanted = { order: NEXT_ORDERS[asked.get("sort")] ?? "loss", skip: [...released] };
  for (const name of new Set(asked.keys())) {
    if (["sort", "status", "assignee"].includes(name)) continue;
    wanted[name] = name === "where" ? asked.getAll(name) : asked.get(name);
  }
  const alert = await desk.next(wanted);
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
    hand.querySelector("table").tBodies[0]?.remove();
    hand.querySelector("table").append(fetched);
    hand.hidden = false;
  }
  window.history.replaceState(null, "", address);
  rows.work([{ alert_id: alert.alert_id, ...alert.work }]);
  const body = rows.of(alert.alert_id);
  rows.open(body);
  rows.focus(body);
  body.scrollIntoView({ block: "nearest" });
}

news.look = async () => {
  if (new URLSearchParams(window.location.search).has("cursor")) {
    document.querySelector(".pages a").click();
    return;
  }
  const page = await fetchPage(window.location.href);
  if (page === null) return;
  renew(page, rows);
  news.begin(Number(table.dataset.latest));
  rows.focus(rows.listed()[0]);
};

const turn = (does) => () => desk.inTurn(does);
document.getElementById("next").addEventListener("click", turn(next));
document.querySelector("[data-next]")?.addEventListener("click", turn(next));
document.querySelector("[data-ask]")?.addEventListener("click", async () => (await who.ask()) && window.location.reload());
document.getElementById("bulk").addEventListener("click", ({ target }) => {
  const what = target.closest("[data-do]")?.dataset.do;
  if (what) desk.inTurn(() => act(what, rows.selected()));
});
const sheet = document.getElementById("keys");
document.getElementById("show-keys").addEventListener("click", () => sheet.showModal());
document.getElementById("f-sort").addEventListener("change", ({ target }) => target.form.requestSubmit());
const open = () => rows.current && rows.open(rows.current, rows.current.querySelector(".details").hidden);
const does = {
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
  e: () => rows.writeNote(),
  z: () => desk.undo(),
};
const inTurn = Object.fromEntries(Object.entries(does).map(([key, act]) => [key, turn(act)]));
new Keys(sheet, { ...inTurn, "/": () => document.getElementById("f-q").focus() });

localTimes(main);
rows.every().forEach(nameControls);
zonedFields(document.getElementById("filter"));
rows.showSelected();
main.addEventListener("click", (event) => {
  const link = event.target.closest("#continue");
  if (!link) return;
  event.preventDefault();
  goOn(link, rows);
});
const opened = new URLSearchParams(window.location.search).get("alert");
if (opened && rows.of(opened)) rows.open(rows.of(opened));
new Connection(asked.get("outcome") ?? "alert", Number(table.dataset.latest), {
  alert: () => news.arrived(),
  reasons: (told) => rows.reasons(told),
  work: (told) => rows.work(told.changes),
  missed: () => standAgain(rows),
  state: (name, heardAt) => showState(connection, name, heardAt),
});
