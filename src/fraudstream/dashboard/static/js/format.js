// Formats values; presentation.py formats them alike on the server.

export const NOTHING = "–";
const ID_CHARS = 14;
const MODEL_ID = /^([a-z]+(?:-[a-z]+)*)-([0-9a-f]{12})$/;

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const hundredths = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat("en-GB", {
  ...{ timeZone: document.documentElement.dataset.zone || "UTC", day: "numeric", month: "short" },
  ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
});

export const count = (value) => whole.format(value);
const shortened = (text, chars) => (text.length <= chars ? text : `${text.slice(0, chars - 1)}…`);

// Shortens a model's id to the initials of its algorithm and its first digits, which distinguish models.
export function shortId(id) {
  const model = MODEL_ID.exec(id);
  if (model === null || id.length <= ID_CHARS) return shortened(id, ID_CHARS);
  const terms = model[1].split("-");
  return `${terms.length === 1 ? terms[0] : terms.map((term) => term[0]).join("")}-${model[2].slice(0, 8)}`;
}

export function number(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return whole.format(value);
  return size >= 0.01 && size < 1e6 ? hundredths.format(value) : value.toExponential(2);
}

// In the zone of the page, for the few times that no server has rendered; with the date unless it is today.
export function time(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso || NOTHING;
  const [[day, text], [today]] = [at, new Date()].map((each) => clock.format(each).split(", "));
  return day === today ? text : `${day} ${text}`;
}

// How long ago a time was, or how far ahead it is; null beyond a week, where the date says more.
export function age(iso) {
  const ahead = (new Date(iso) - Date.now()) / 1000;
  const seconds = Math.abs(ahead);
  if (!(seconds < 7 * 86_400)) return null;
  if (seconds < 5) return "just now";
  const [size, unit] = seconds < 60 ? [1, "s"] : seconds < 3600 ? [60, "min"] : seconds < 86_400 ? [3600, "h"] : [86_400, "d"];
  const text = `${Math.floor(seconds / size)} ${unit}`;
  return ahead > 0 ? `in ${text}` : `${text} ago`;
}

// Updates the ages of the times that the server marked; without this they read as a date.
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[data-age]")) {
    const text = age(element.dateTime);
    if (text !== null && element.textContent !== text) element.textContent = text;
  }
}
