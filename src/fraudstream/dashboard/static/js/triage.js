// Sends triage actions and reports their outcome, with undo and take-over.

import { count, time } from "./format.js";
import { STATUSES } from "./triage_state.js";

const HEADERS = { "Content-Type": "application/json" };
const VERDICTS = ["confirmed_fraud", "false_alarm", "unsure"];

export class Triage {
  constructor(who, toast, changed) {
    this.who = who;
    this.toast = toast;
    this.changed = changed;
    this.turn = Promise.resolve();
    const stored = toast.stored();
    if (stored) this.offerUndo(stored.text, stored.changeId);
  }

  // One after the other, in the order of keys and clicks: the stream may report a change before its response arrives,
  // and the next action (undo, the focused row) needs that response.
  enqueue(task) {
    this.turn = this.turn.then(task, task);
    return this.turn;
  }

  // Applies an action to alerts: "claim", "release" or a verdict. Returns whether it had an effect.
  async act(action, alerts, { takeOver = false } = {}) {
    const ids = alerts.map(({ id }) => id);
    if (ids.length === 0) return false;
    const body = { alert_ids: ids };
    const isVerdict = VERDICTS.includes(action);
    if (action !== "release") body.take_over = takeOver;
    if (isVerdict) body.status = action;
    // Concurrent changes that the page does not know yet are refused, not overwritten, even by a take-over.
    const known = alerts.filter(({ version }) => version !== undefined);
    body.versions = Object.fromEntries(known.map(({ id, version }) => [id, version]));
    const result = await this.send(isVerdict ? "verdict" : action, body);
    if (result === null) return false;
    this.changed(result.done);
    const done = actionText(action, result.done.length);
    if (result.refused.length > 0) {
      this.refused(action, done, result);
      return result.done.length > 0;
    }
    if (result.change_id) {
      this.toast.store(done, result.change_id);
      this.offerUndo(done, result.change_id);
    } else this.toast.show(`${done} already: no change.`);
    return true;
  }

  refused(action, done, result) {
    const refused = result.refused.map(({ alert_id: id, work }) => ({ id, version: work?.version }));
    this.changed(result.refused.filter(({ work }) => work).map(({ alert_id, work }) => ({ alert_id, ...work })));
    const actions = result.change_id ? { undo: () => this.enqueue(() => this.undo(result.change_id)) } : {};
    const others = result.refused.filter(({ work }) => work && work.status !== "new" && work.assignee !== this.who.name);
    if (action !== "release" && others.length > 0) actions["take-over"] = () => this.enqueue(() => this.act(action, refused, { takeOver: true }));
    const first = others.length > 0 ? `${stateText(others[0].work)}; take over?` : `${result.refused[0].reason}.`;
    const before = result.done.length > 0 ? `${done}. ${count(refused.length)} not changed: ` : "";
    const after = refused.length > 1 && result.done.length === 0 ? ` (${count(refused.length)} alerts)` : "";
    this.toast.show(`${before}${capital(first)}${after}`, actions, true);
    this.toast.box.focus();
  }

  async note(id, text) {
    const result = await this.send("note", { alert_ids: [id], text });
    if (result === null) return false;
    this.toast.store("Note saved", result.change_id);
    this.offerUndo("Note saved", result.change_id);
    return true;
  }

  async next(query) {
    const result = await this.send("next", query);
    if (result === null) return null;
    if (result.alert === null) this.toast.show("No new alert matches: all are claimed or decided.");
    else {
      const text = "Claimed the next alert";
      this.toast.store(text, result.change_id);
      this.offerUndo(text, result.change_id);
    }
    return result.alert;
  }

  offerUndo(text, changeId) {
    this.last = changeId;
    this.toast.show(`${text}.`, { undo: () => this.enqueue(() => this.undo()) });
  }

  async undo(changeId = this.last) {
    if (!changeId) {
      this.toast.show("Nothing to undo.");
      return;
    }
    const result = await this.send("undo", { change_id: changeId });
    if (result === null) return;
    this.last = null;
    window.sessionStorage.removeItem("fraudstream.undo");
    this.changed([...result.done, ...result.refused.filter(({ work }) => work).map(({ alert_id, work }) => ({ alert_id, ...work }))]);
    if (result.refused.length > 0) {
      const message = `${count(result.refused.length)} not undone: ${result.refused[0].reason}.`;
      this.toast.show(result.done.length > 0 ? `Undone for ${count(result.done.length)}; ${message}` : capital(message), {}, true);
    } else this.toast.show("Undone.");
  }

  // Returns the response, even if everything was refused; null without one, after a message.
  async send(route, body, again = true) {
    if (!(await this.who.known())) return null;
    let response;
    let result;
    try {
      response = await fetch(`/api/work/${route}`, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
      result = await response.json();
    } catch {
      this.toast.show("The dashboard did not respond. Try again.", {}, true);
      return null;
    }
    if (response.ok || (response.status === 409 && result.refused)) return result;
    if (response.status === 401) window.location.reload(); // the session has ended
    const nameless = response.status === 400 && result.error?.startsWith("give your name");
    if (again && nameless) return (await this.who.ask()) ? this.send(route, body, false) : null;
    this.toast.show(`${capital(result.error ?? "the request was refused")}.`, {}, true);
    return null;
  }
}

function actionText(action, number) {
  const object = number === 1 ? "" : ` ${count(number)} alerts`;
  if (action === "claim") return `Claimed${object}`;
  if (action === "release") return `Released${object}`;
  return number === 1 ? capital(STATUSES[action]) : `${count(number)} alerts: ${STATUSES[action]}`;
}

function stateText({ status, assignee, since }) {
  const who = assignee ?? "somebody";
  const at = since ? ` ${status === "claimed" ? "since" : "at"} ${time(since)}` : "";
  return status === "claimed" ? `claimed by ${who}${at}` : `${STATUSES[status]} by ${who}${at}`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
