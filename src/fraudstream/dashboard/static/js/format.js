// How values read on the page; presentation.py says the same for the rows that the server renders.

export const NOTHING = "–";
const SHOWN_VALUES = 3;
const TEXT_CHARS = 40;
const ID_CHARS = 14;
const MODEL_ID = /^([a-z]+(?:-[a-z]+)*)-([0-9a-f]{12})$/;
// As transactions/amounts.py has it.
const AMOUNT_WORDS = new Set(["amount", "amt", "value", "sum", "price"]);
const NO_AMOUNT_WORDS = new Set(
  ["mean", "avg", "average", "max", "min", "count", "limit", "balance", "total", "std", "median", "id", "ratio"],
);
const NOT_TELLING = /^(time|class|label|fraud|is_?fraud|.*_?id|.*amount|.*amt)$/i;

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const count = (value) => whole.format(value);
export const rate = (value) => (value >= 100 ? whole : tenths).format(value);
export const shortened = (text, chars) => (text.length <= chars ? text : `${text.slice(0, chars - 1)}…`);

// A model's id as the initials of its algorithm and the beginning of its digits: what tells two models apart.
export function shortId(id) {
  const model = MODEL_ID.exec(id);
  if (model === null || id.length <= ID_CHARS) return shortened(id, ID_CHARS);
  const words = model[1].split("-");
  return `${words.length === 1 ? words[0] : words.map((word) => word[0]).join("")}-${model[2].slice(0, 8)}`;
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

// In the viewer's zone; the day is named where it is not today.
export function time(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso || NOTHING;
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

function isAmount(name) {
  const words = (name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g) ?? []).map((word) => word.toLowerCase());
  return words.some((word) => AMOUNT_WORDS.has(word)) && !words.some((word) => NO_AMOUNT_WORDS.has(word));
}

export function amount(transaction) {
  const found = Object.entries(transaction).find(([name, value]) => typeof value === "number" && isAmount(name));
  return found === undefined ? NOTHING : hundredths.format(Math.abs(found[1]));
}

export function tellingValues(transaction) {
  const candidates = Object.entries(transaction).filter(([name]) => !NOT_TELLING.test(name));
  const numbers = candidates.filter(([, value]) => typeof value === "number");
  if (numbers.length > 0) {
    numbers.sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
    return numbers.slice(0, SHOWN_VALUES).map(([name, value]) => [name, number(value)]);
  }
  const texts = candidates.filter(([, value]) => typeof value === "string");
  return texts.slice(0, SHOWN_VALUES).map(([name, value]) => [name, shortened(value, TEXT_CHARS)]);
}

// A text of the server with its times, which come beside it, in the viewer's zone.
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
