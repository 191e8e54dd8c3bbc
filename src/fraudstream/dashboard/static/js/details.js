// The details of an alert in an open row, rendered by the server.

import "./copy.js";
import { localTimes } from "./format.js";

export async function fillDetails(panel, id) {
  if (panel.hasChildNodes() && !("failed" in panel.dataset)) return;
  delete panel.dataset.failed;
  panel.textContent = "Loading…";
  try {
    const response = await fetch(`/panels/${encodeURIComponent(id).replaceAll("%2F", "/")}`);
    if (!response.ok || response.redirected) throw new Error(`HTTP status ${response.status}`);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    panel.replaceChildren(...page.body.children);
    localTimes(panel);
    if (panel.querySelector("[data-explained=no]")) panel.dataset.failed = ""; // loaded again when the row is next opened
  } catch (error) {
    panel.textContent = `Cannot load the details (${error.message}). Close the row and open it again.`;
    panel.dataset.failed = "";
  }
}
