// The form of filters: times are typed and read in the viewer's zone, and stand in the address as instants.

export function zonedFields(form) {
  const fields = [...form.querySelectorAll("[data-zoned]")];
  for (const field of fields) {
    const at = new Date(field.value);
    const given = field.value !== "" && !Number.isNaN(at.getTime());
    field.value = "";
    field.type = "datetime-local";
    field.step = 1;
    field.value = given ? new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : "";
    const label = form.querySelector(`label[for=${field.id}]`);
    label.textContent = label.textContent.replace("(UTC)", "(your time)");
  }
  // The form is sent as the browser sends it, with the instants in place of what was typed.
  form.addEventListener("formdata", ({ formData }) => {
    for (const field of fields) {
      if (field.value !== "") formData.set(field.name, new Date(field.value).toISOString());
    }
    for (const [name, value] of [...formData.entries()]) if (value === "") formData.delete(name);
  });
}
