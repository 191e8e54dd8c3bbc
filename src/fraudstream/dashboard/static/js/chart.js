// Draws one plot into an SVG: bars and lines over time or over scores, each place of it read by pointer, touch or keys.
// What is drawn, and how it reads, is charts.js's.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 46;
const CHAR = 6.8;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;
const LEAST_BAR = 4;

export function make(name, attributes = {}, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// A round number not below the largest value: 1, 2, 2.5 or 5 times a power of ten.
export function roundedUp(largest) {
  if (!(largest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(largest));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= largest * 0.999999);
}

// Fewer values where there is no room for all: means of neighbours, or the largest of them; null where all are missing.
export function thinned(values, size, how = "mean") {
  if (size <= 1) return values;
  const thin = [];
  for (let end = values.length; end > 0; end -= size) {
    const some = values.slice(Math.max(0, end - size), end).filter((value) => value !== null);
    if (some.length === 0) thin.unshift(null);
    else if (how === "largest") thin.unshift(Math.max(...some));
    else thin.unshift(some.reduce((sum, value) => sum + value, 0) / some.length);
  }
  return thin;
}

export class Plot {
  // onPoint(from, to): the values under the pointer or the keys, nulls where there are none; returns how they read.
  constructor(svg, onPoint) {
    this.svg = svg;
    this.onPoint = onPoint;
    this.shown = null;
    this.marked = null;
    svg.addEventListener("pointermove", (event) => this.point(event));
    svg.addEventListener("pointerdown", (event) => this.point(event));
    // A finger that is lifted leaves the plot; what it touched stays to be read.
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.leave());
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("focus", () => this.marked === null && svg.matches(":focus-visible") && this.mark(this.geometry.points - 1));
    svg.addEventListener("blur", () => this.leave());
    new ResizeObserver(() => this.shown && this.draw(this.shown)).observe(svg);
  }

  // shown: series [{values, kind: "bars" or "line", look, how}], xLabel(index of count), yLabel(value), count, top, log,
  // running (the last bar is not over), threshold {share, text}.
  draw(shown) {
    this.shown = shown;
    const width = this.svg.clientWidth || 320;
    const height = this.svg.clientHeight || 190;
    const room = Math.floor((width - LEFT - RIGHT) / LEAST_BAR);
    const size = Math.max(1, Math.ceil(shown.count / room));
    const series = shown.series.map((each) => ({ ...each, values: thinned(each.values, size, each.how) }));
    const largest = Math.max(0, ...series.flatMap(({ values }) => values.filter((value) => value !== null)));
    const top = shown.top ?? (shown.log ? 10 ** Math.ceil(Math.log10(Math.max(largest, 10))) : roundedUp(largest));
    const steps = shown.log ? powers(top) : [0, top / 2, top];
    const left = Math.max(LEFT, 10 + CHAR * Math.max(...steps.map((value) => shown.yLabel(value).length)));
    const inner = { x: left, y: TOP, width: width - left - RIGHT, height: height - TOP - BOTTOM };
    const scale = shown.log ? (value) => Math.log10(Math.max(value, 0.8)) / Math.log10(top) : (value) => value / top;
    const y = (value) => inner.y + inner.height * (1 - Math.min(Math.max(scale(value), 0), 1));
    const share = this.marked === null ? null : (this.marked + 0.5) / this.geometry.points;
    this.geometry = { inner, size, points: series[0].values.length };
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.pointer = make("line", { class: "pointer", y1: inner.y, y2: inner.y + inner.height, visibility: "hidden" });
    this.svg.replaceChildren(
      ...this.yAxis(shown, inner, steps, y),
      ...this.xAxis(shown, inner),
      ...series.flatMap((each) => (each.kind === "bars" ? bars(each, inner, y, shown.running) : [line(each, inner, y)])),
      ...threshold(shown.threshold, inner),
      this.pointer,
    );
    // What is being read goes on being read, with the figures of now.
    if (share !== null) this.mark(Math.floor(share * this.geometry.points), document.activeElement !== this.svg);
    else this.say(this.geometry.points - 1, this.onPoint(null, null));
  }

  yAxis({ yLabel }, inner, steps, y) {
    return steps.flatMap((value) => [
      make("line", { class: value === steps[0] ? "base" : "grid", x1: inner.x, x2: inner.x + inner.width, y1: y(value), y2: y(value) }),
      make("text", { x: inner.x - 7, y: y(value) + 4, "text-anchor": "end" }, yLabel(value)),
    ]);
  }

  xAxis({ count, xLabel, edges }, inner) {
    const room = Math.max(2, Math.min(edges ?? 6, Math.floor(inner.width / 74)));
    // Of scores six or three places, which one digit behind the point says exactly.
    const labels = edges && room < edges ? 3 : room;
    return Array.from({ length: labels }, (_, number) => {
      const share = number / (labels - 1);
      const anchor = ["start", "middle", "end"][number === 0 ? 0 : number === labels - 1 ? 2 : 1];
      const x = inner.x + share * inner.width;
      return make("text", { x, y: inner.y + inner.height + 16, "text-anchor": anchor }, xLabel(share * (count - 1), share));
    });
  }

  point(event) {
    if (!this.shown) return;
    const { inner, points } = this.geometry;
    const at = (event.clientX - this.svg.getBoundingClientRect().left - inner.x) / inner.width;
    if (at < 0 || at > 1) return this.leave();
    this.mark(Math.min(Math.floor(at * points), points - 1));
  }

  key(event) {
    if (!this.shown || event.altKey || event.ctrlKey || event.metaKey) return;
    const last = this.geometry.points - 1;
    const from = this.marked ?? last + 1;
    const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, PageDown: from - 10, PageUp: from + 10, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.leave();
    if (to === undefined) return;
    event.preventDefault();
    this.mark(Math.min(Math.max(to, 0), last));
  }

  mark(index, isTold = true) {
    const { inner, size, points } = this.geometry;
    this.marked = index;
    const x = inner.x + ((index + 0.5) / points) * inner.width;
    this.pointer.setAttribute("x1", x);
    this.pointer.setAttribute("x2", x);
    this.pointer.setAttribute("visibility", "visible");
    const last = this.shown.count - 1 - (points - 1 - index) * size;
    const text = this.onPoint(Math.max(0, last - size + 1), last);
    if (isTold) this.say(index, text);
  }

  // For who hears the page: said when they move, not each time that the figures come.
  say(index, text) {
    this.svg.setAttribute("aria-valuemax", this.geometry.points - 1);
    this.svg.setAttribute("aria-valuenow", index);
    this.svg.setAttribute("aria-valuetext", text);
  }

  leave() {
    if (!this.shown || this.marked === null) return;
    this.marked = null;
    this.pointer.setAttribute("visibility", "hidden");
    this.onPoint(null, null);
  }
}

function bars({ values, look }, inner, y, running) {
  const step = inner.width / values.length;
  const floor = inner.y + inner.height;
  return values.flatMap((value, index) => {
    if (!value) return [];
    const over = running && index === values.length - 1 ? " running" : "";
    const height = Math.max(floor - y(value), 1.5);
    return [make("rect", { class: `bar-of ${look}${over}`, x: inner.x + index * step + step * 0.1, y: floor - height, width: step * 0.8, height })];
  });
}

// Where a value is missing the line breaks; a value alone between two gaps is a short stroke.
function line({ values, look }, inner, y) {
  const step = inner.width / values.length;
  let path = "";
  values.forEach((value, index) => {
    if (value === null) return;
    const x = inner.x + (index + 0.5) * step;
    const goesOn = index > 0 && values[index - 1] !== null;
    const alone = !goesOn && (values[index + 1] ?? null) === null;
    path += `${goesOn ? "L" : "M"}${(alone ? x - 1.5 : x).toFixed(1)} ${y(value).toFixed(1)}${alone ? "h3" : ""}`;
  });
  return make("path", { class: `line ${look}`, d: path });
}

function threshold(marked, inner) {
  if (!marked) return [];
  const x = inner.x + marked.share * inner.width;
  const [anchor, beside] = marked.share > 0.5 ? ["end", -6] : ["start", 6];
  return [
    make("line", { class: "threshold", x1: x, x2: x, y1: inner.y, y2: inner.y + inner.height }),
    make("text", { x: x + beside, y: inner.y + 10, "text-anchor": anchor }, marked.text),
  ];
}

function powers(top) {
  const all = [];
  for (let value = 1; value <= top; value *= 10) all.push(value);
  const every = Math.ceil(all.length / 4);
  return all.filter((_, index) => index % every === 0);
}
