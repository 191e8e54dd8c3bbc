// Formats values; presentation.py formats them alike on the server.

export const NOTHING = "–";
const VALUES_PER_ROW = 3;
const TEXT_CHARS = 40;
const ID_CHARS = 14;
const MODEL_ID = /^([a-z]+(?:-[a-z]+)*)-([0-9a-f]{12})$/;
// As in transactions/amounts.py.
const AMOUNT_TERMS = new Set(["amount", "amt", "value", "sum", "price"]);
const OTHER_TERMS = new Set(
  ["mean", "avg", "average", "max", "min", "count", "limit", "balance", "total", "std", "median", "id", "ratio"],
);
const UNINFORMATIVE = /^(time|class|label|fraud|is_?fraud|.*_?id|.*amount|.*amt)$/i;

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const count = (value) => whole.format(value);
export const rate = (value) => (value >= 100 ? whole : tenths).format(value);
export const shortened = (text, chars) => (text.length <= chars ? text : `${text.slice(0, chars - 1)}…`);

// Shortens a model's id to the initials of its algorithm and its first digits, which distinguish models.
export function shortId(id) {
  const model = MODEL_ID.exec(id);
  if (model === null || id.length <= ID_CHARS) return shortened(id, ID_CHARS);
  const terms = model[1].split("-");
  return `${terms.length === 1 ? terms[0] : terms.map((term) => term[0]).join("")}-${model[2].slice(0, 8)}`;
}

export function milliseconds(value) {
  if (value === null) return NOTHING;
  if (value >= 10_000) return `${tenths.format(value / 1000)} s`;
  return value >= 100 ? `${whole.format(value)} ms` : `${tenths.format(value)} ms`;
}

export function number(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return whole.format(value);
  return size >= 0.01 && size < 1e6 ? hundredths.format(value) : value.toExponential(2);
}

// In the viewer's time zone; with the date unless it is today.
export function time(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso || NOTHING;
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

function isAmount(name) {
  const terms = (name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g) ?? []).map((term) => term.toLowerCase());
  return terms.some((term) => AMOUNT_TERMS.has(term)) && !terms.some((term) => OTHER_TERMS.has(term));
}

export function amount(transaction) {
  const entry = Object.entries(transaction).find(([name, value]) => typeof value === "number" && isAmount(name));
  return entry === undefined ? NOTHING : hundredths.format(Math.abs(entry[1]));
}

export function largestValues(transaction) {
  const candidates = Object.entries(transaction).filter(([name]) => !UNINFORMATIVE.test(name));
  const numbers = candidates.filter(([, value]) => typeof value === "number");
  if (numbers.length > 0) {
    numbers.sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
    return numbers.slice(0, VALUES_PER_ROW).map(([name, value]) => [name, number(value)]);
  }
  const texts = candidates.filter(([, value]) => typeof value === "string");
  return texts.slice(0, VALUES_PER_ROW).map(([name, value]) => [name, shortened(value, TEXT_CHARS)]);
}

// Converts the times in a text of the server to the viewer's time zone.
export function inZone(text, times) {
  const each = times.split(" ");
  return text.replace(/\d\d:\d\d UTC/g, () => minute.format(new Date(each.shift())));
}

export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    element.textContent = time(element.getAttribute("datetime"));
  }
  for (const element of root.querySelectorAll("[data-at]")) {
    element.textContent = inZone(element.textContent, element.dataset.at);
  }
}
