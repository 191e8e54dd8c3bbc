// The filter form: times are in the viewer's time zone, and in UTC in the address.

export function zonedFields(form) {
  const fields = [...form.querySelectorAll("[data-zoned]")];
  for (const field of fields) {
    const at = new Date(field.value);
    const isSet = field.value !== "" && !Number.isNaN(at.getTime());
    field.value = "";
    field.type = "datetime-local";
    field.step = 1;
    field.value = isSet ? new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : "";
    const label = form.querySelector(`label[for=${field.id}]`);
    label.textContent = label.textContent.replace("(UTC)", "(your time)");
  }
  // The browser sends the form, with times converted to UTC.
  form.addEventListener("formdata", ({ formData }) => {
    for (const field of fields) {
      if (field.value !== "") formData.set(field.name, new Date(field.value).toISOString());
    }
    for (const [name, value] of [...formData.entries()]) if (value === "") formData.delete(name);
  });
}
