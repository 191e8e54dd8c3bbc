// Sends what a person decides about alerts and says in words what came of it, with undo and take-over; queue.js says
// about which alerts, toast.js shows the words.

import { count, time } from "./format.js";
import { STATUSES } from "./work.js";

const HEADERS = { "Content-Type": "application/json" };
const VERDICTS = ["confirmed_fraud", "false_alarm", "unsure"];

export class Desk {
  constructor(who, toast, changed) {
    this.who = who;
    this.toast = toast;
    this.changed = changed;
    this.turn = Promise.resolve();
    const kept = toast.kept();
    if (kept) this.offerUndo(kept.text, kept.changeId);
  }

  // One after the other, in the order of keys and clicks: the stream may tell of a change before its answer is there,
  // and what comes next (undo, the row that is marked) needs that answer.
  inTurn(does) {
    this.turn = this.turn.then(does, does);
    return this.turn;
  }

  // What is done to alerts: "claim", "release" or a verdict. True where something came of it.
  async act(what, alerts, { takeOver = false } = {}) {
    const ids = alerts.map(({ id }) => id);
    if (ids.length === 0) return false;
    const body = { alert_ids: ids };
    const isVerdict = VERDICTS.includes(what);
    if (what !== "release") body.take_over = takeOver;
    if (isVerdict) body.status = what;
    // Somebody was quicker, and the page has not heard of it: refused rather than written over, a take-over too.
    const seen = alerts.filter(({ version }) => version !== undefined);
    body.versions = Object.fromEntries(seen.map(({ id, version }) => [id, version]));
    const told = await this.send(isVerdict ? "verdict" : what, body);
    if (told === null) return false;
    this.changed(told.done);
    const done = words(what, told.done.length);
    if (told.refused.length > 0) {
      this.refused(what, done, told);
      return told.done.length > 0;
    }
    if (told.change_id) {
      this.toast.keep(done, told.change_id);
      this.offerUndo(done, told.change_id);
    } else this.toast.show(`${done} already: nothing has changed.`);
    return true;
  }

  refused(what, done, told) {
    const refused = told.refused.map(({ alert_id: id, work }) => ({ id, version: work?.version }));
    this.changed(told.refused.filter(({ work }) => work).map(({ alert_id, work }) => ({ alert_id, ...work })));
    const acts = told.change_id ? { undo: () => this.inTurn(() => this.undo(told.change_id)) } : {};
    const others = told.refused.filter(({ work }) => work && work.status !== "new" && work.assignee !== this.who.name);
    if (what !== "release" && others.length > 0) acts["take-over"] = () => this.inTurn(() => this.act(what, refused, { takeOver: true }));
    const first = others.length > 0 ? `${held(others[0].work)}; take over?` : `${told.refused[0].reason}.`;
    const before = told.done.length > 0 ? `${done}. ${count(refused.length)} left alone: ` : "";
    const after = refused.length > 1 && told.done.length === 0 ? ` (${count(refused.length)} alerts)` : "";
    this.toast.show(`${before}${capital(first)}${after}`, acts, true);
    this.toast.box.focus();
  }

  async note(id, text) {
    const told = await this.send("note", { alert_ids: [id], text });
    if (told === null) return false;
    this.toast.keep("Note saved", told.change_id);
    this.offerUndo("Note saved", told.change_id);
    return true;
  }

  async next(asked) {
    const told = await this.send("next", asked);
    if (told === null) return null;
    if (told.alert === null) this.toast.show("Nothing new is left that matches: everything is claimed or decided.");
    else {
      const text = "Claimed the next";
      this.toast.keep(text, told.change_id);
      this.offerUndo(text, told.change_id);
    }
    return told.alert;
  }

  offerUndo(text, changeId) {
    this.last = changeId;
    this.toast.show(`${text}.`, { undo: () => this.inTurn(() => this.undo()) });
  }

  async undo(changeId = this.last) {
    if (!changeId) {
      this.toast.show("There is nothing to undo.");
      return;
    }
    const told = await this.send("undo", { change_id: changeId });
    if (told === null) return;
    this.last = null;
    window.sessionStorage.removeItem("fraudstream.undo");
    this.changed([...told.done, ...told.refused.filter(({ work }) => work).map(({ alert_id, work }) => ({ alert_id, ...work }))]);
    if (told.refused.length > 0) {
      const left = `${count(told.refused.length)} not undone: ${told.refused[0].reason}.`;
      this.toast.show(told.done.length > 0 ? `Undone for ${count(told.done.length)}; ${left}` : capital(left), {}, true);
    } else this.toast.show("Undone.");
  }

  // The answer, also where all was refused; null where there is none, which is said.
  async send(route, body, again = true) {
    if (!(await this.who.known())) return null;
    let reply;
    let told;
    try {
      reply = await fetch(`/api/work/${route}`, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
      told = await reply.json();
    } catch {
      this.toast.show("The dashboard did not answer; nothing may have changed. Try again.", {}, true);
      return null;
    }
    if (reply.ok || (reply.status === 409 && told.refused)) return told;
    if (reply.status === 401) window.location.reload(); // the session is over
    const nameless = reply.status === 400 && told.error?.startsWith("say who you are");
    if (again && nameless) return (await this.who.ask()) ? this.send(route, body, false) : null;
    this.toast.show(`${capital(told.error ?? "this was refused")}.`, {}, true);
    return null;
  }
}

function words(what, number) {
  const many = number === 1 ? "" : ` ${count(number)} alerts`;
  if (what === "claim") return `Claimed${many}`;
  if (what === "release") return `Released${many}`;
  return number === 1 ? capital(STATUSES[what]) : `${count(number)} alerts: ${STATUSES[what]}`;
}

function held({ status, assignee, since }) {
  const who = assignee ?? "somebody";
  const at = since ? ` ${status === "claimed" ? "since" : "at"} ${time(since)}` : "";
  return status === "claimed" ? `claimed by ${who}${at}` : `${STATUSES[status]} by ${who}${at}`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
