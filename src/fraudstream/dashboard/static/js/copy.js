// Copies the text of an element to the clipboard, and says so.

export async function copyText(source, message) {
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
}
