// Copies the text beside a button to the clipboard.

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  const source = button.closest("[data-copy-root]").querySelector("[data-copy-text]");
  const message = button.nextElementSibling;
  try {
    await navigator.clipboard.writeText(source.textContent);
    message.textContent = "Copied";
  } catch {
    // No clipboard without a secure origin or permission: the text is selected for copying by hand.
    const folded = source.closest("details");
    if (folded) folded.open = true;
    window.getSelection().selectAllChildren(source);
    message.textContent = "Selected: press Ctrl+C to copy";
  }
});
