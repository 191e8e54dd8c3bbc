// Formats numbers and times in the few places that no server has rendered.

const NOTHING = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", {
  ...{ timeZone: document.documentElement.dataset.zone || "UTC", day: "numeric", month: "short" },
  ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
});

export const count = (value) => whole.format(value);

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
