// The search field, with suggestions from the server, and the form that saves a view.

const SOON_MS = 120;

export function searchField(field) {
  let timer;
  let newest;
  const suggest = async () => {
    const request = (newest = {});
    const response = await fetch(`/suggestions?${new URLSearchParams({ text: field.value })}`).catch(() => null);
    const options = response?.ok ? await response.text() : "";
    if (newest === request) field.list.innerHTML = options; // rendered and escaped by the server
  };
  const soon = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(suggest, SOON_MS);
  };
  field.addEventListener("input", soon);
  field.addEventListener("focus", suggest, { once: true });
}

export function viewForm(form, who) {
  const failed = form.querySelector(".failed");
  const send = async (method, path, body) => {
    if (!(await who.known())) return;
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(`/api/views${path}`, { method, headers, body: body && JSON.stringify(body) }).catch(() => null);
    const result = await response?.json().catch(() => null);
    failed.hidden = response?.ok === true;
    failed.textContent = `${result?.error ?? "The dashboard did not respond. Try again"}.`;
    if (response?.ok) window.location.reload();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send("POST", "", { name: form.elements.name.value.trim(), query: form.dataset.query });
  });
  form.addEventListener("click", ({ target }) => {
    const name = target.closest("[data-delete]")?.dataset.delete;
    if (name !== undefined) send("DELETE", `/${encodeURIComponent(name)}`);
  });
}
