// The page Ledger: times in the viewer's time zone, and acknowledging losses.

import { who } from "./who.js";

const form = document.getElementById("acknowledge");

async function acknowledge() {
  const body = JSON.stringify({ until_seq: Number(form.dataset.until) });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch("/api/system/acknowledge", { method: "POST", headers, body });
  // 409: somebody else acknowledged them first, which the page then shows.
  if (!response.ok && response.status !== 409) throw new Error((await response.json()).error);
  location.reload();
}

if (form) {
  const failed = form.querySelector(".failed");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!(await who.known())) return;
    try {
      await acknowledge();
    } catch (error) {
      failed.hidden = false;
      failed.textContent = `${error.message}.`;
    }
  });
}
