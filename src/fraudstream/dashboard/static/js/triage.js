// Sends triage actions and reports their outcome, with undo and take-over.

import { count, time } from "./format.js";
import { label, STATUSES, VERDICTS } from "./triage_state.js";

const HEADERS = { "Content-Type": "application/json" };

export class Triage {
  constructor(who, toast, changed) {
    this.who = who;
    this.toast = toast;
    this.changed = changed;
    this.turn = Promise.resolve();
    this.undoable = [];
    const stored = toast.stored();
    if (stored) this.offerUndo(stored.text, stored.changeId);
  }

  // One after the other, in the order of keys and clicks: the stream may report a change before its response arrives,
  // and the next action (undo, the focused row) needs that response.
  enqueue(task) {
    this.turn = this.turn.then(task, task);
    return this.turn;
  }

  // Applies an action, such as "claim" or a verdict, to alerts, with further members of the request. Returns whether it
  // had an effect.
  async act(action, alerts, { takeOver = false, members = {} } = {}) {
    const ids = alerts.map(({ id }) => id);
    if (ids.length === 0) return false;
    const isVerdict = VERDICTS.includes(action);
    // Concurrent changes that the page does not know yet are refused, not overwritten, even by a take-over.
    const known = alerts.filter(({ version }) => version !== undefined);
    const versions = Object.fromEntries(known.map(({ id, version }) => [id, version]));
    const body = { ...members, alert_ids: ids, take_over: takeOver, versions };
    if (isVerdict) body.status = action;
    const result = await this.send(isVerdict ? "verdict" : action, body);
    if (result === null) return false;
    this.changed(result.done);
    const done = this.actionText(action, members, result.done.length);
    if (result.refused.length > 0) {
      this.refused(action, members, done, result);
      return result.done.length > 0;
    }
    if (result.change_id) {
      this.toast.store(done, result.change_id);
      this.offerUndo(done, result.change_id, isVerdict && !members.reason_code ? result.done : []);
    } else this.toast.show(`${done} already: no change.`);
    return true;
  }

  refused(action, members, done, result) {
    const refused = result.refused.map(({ alert_id: id, work }) => ({ id, version: work?.version }));
    this.changed(result.refused.filter(({ work }) => work).map(({ alert_id, work }) => ({ alert_id, ...work })));
    const actions = result.change_id ? { undo: () => this.enqueue(() => this.undo(result.change_id)) } : {};
    const others = result.refused.filter(({ work }) => work && work.status !== "new" && work.assignee !== this.who.name);
    if (!["release", "note"].includes(action) && others.length > 0) actions["take-over"] = () => this.enqueue(() => this.act(action, refused, { takeOver: true, members }));
    const first = others.length > 0 ? `${stateText(others[0].work)}; take over?` : `${result.refused[0].reason}.`;
    const before = result.done.length > 0 ? `${done}. ${count(refused.length)} not changed: ` : "";
    const after = refused.length > 1 && result.done.length === 0 ? ` (${count(refused.length)} alerts)` : "";
    this.toast.show(`${before}${capital(first)}${after}`, actions, true);
    this.toast.box.focus();
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

  // Offers to undo a change, and the reasons for the verdict that it gave alerts.
  offerUndo(text, changeId, decided = []) {
    this.undoable.push(changeId);
    const actions = { undo: () => this.enqueue(() => this.undo()) };
    const verdict = decided[0]?.status ?? null;
    const alerts = decided.map(({ alert_id: id, version }) => ({ id, version }));
    if (verdict) actions.reason = ({ dataset }) => this.enqueue(() => this.act(verdict, alerts, { members: { reason_code: dataset.code } }));
    this.toast.show(`${text}.`, actions, false, verdict);
  }

  // The keys 1 to 9 choose a reason for the last verdict.
  get reasonKeys() {
    return Object.fromEntries([...Array(9).keys()].map((index) => [String(index + 1), () => this.toast.reason(index)?.click()]));
  }

  async undo(changeId = this.undoable.at(-1)) {
    if (!changeId) {
      this.toast.show("Nothing to undo.");
      return;
    }
    const result = await this.send("undo", { change_id: changeId });
    if (result === null) return;
    this.undoable = this.undoable.filter((each) => each !== changeId);
    window.sessionStorage.removeItem("fraudstream.undo");
    this.changed([...result.done, ...result.refused.filter(({ work }) => work).map(({ alert_id, work }) => ({ alert_id, ...work }))]);
    if (result.refused.length > 0) {
      const message = `${count(result.refused.length)} not undone: ${result.refused[0].reason}.`;
      this.toast.show(result.done.length > 0 ? `Undone for ${count(result.done.length)}; ${message}` : capital(message), {}, true);
    } else this.toast.show("Undone.");
  }

  actionText(action, { to, reason_code: code }, number) {
    const object = number === 1 ? "" : ` ${count(number)} alerts`;
    if (action === "claim") return `Claimed${object}`;
    if (action === "release") return `Released${object}`;
    if (action === "note") return "Note saved";
    if (action === "escalate") return `Escalated${object} to ${to}`;
    const state = STATUSES[action.replaceAll("-", "_")] + (code ? `: ${this.toast.reasonText(code)}` : "");
    return number === 1 ? capital(state) : `${count(number)} alerts: ${state}`;
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

function stateText(work) {
  const at = work.since ? ` ${work.status === "claimed" ? "since" : "at"} ${time(work.since)}` : "";
  const by = VERDICTS.includes(work.status) ? ` by ${work.assignee ?? "somebody"}` : "";
  return `${label(work)}${by}${at}`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
