/* What happened when: a lane for each port, file and kind of event. */

const SVG = "http://www.w3.org/2000/svg";
const LANES_MAX = 14, LANE = 26, LABEL = 150, ROWS_MAX = 400;

function svg(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes))
    element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function fileName(entry) {
  return entry.file === undefined ? "a file" : nameOf(facts.files[entry.file].name);
}

/* The lane of an entry, and its color. */
function laneOf(entry) {
  switch (entry.kind) {
  case "file": return [`file ${fileName(entry)}`, "written"];
  case "fault": return ["faults", "bad"];
  case "interrupt": return ["interrupts", "table"];
  case "cr3": return ["cr3", "table"];
  case "stop": return ["stops", "bad"];
  default: return [entry.port === "0xe9" ? `serial ${entry.kind}` : `port ${entry.port} ${entry.kind}`,
                   entry.port === "0xe9" ? "executed" : "read"];
  }
}

function entryText(entry) {
  const times = entry.count > 1 ? `${count(entry.count)} × ` : "";
  switch (entry.kind) {
  case "file": {
    const moved = entry.op === "read" || entry.op === "write" ? `, ${plural(entry.bytes, "byte")}` : "";
    return `${times}file ${entry.op} ${fileName(entry)}${moved}${entry.result < 0 ? `, error ${entry.result}` : ""}`;
  }
  case "fault": return `${times}exception ${entry.vector}, handled at ${entry.handler}`;
  case "interrupt": return `${times}interrupt ${entry.vector}`;
  case "cr3": return `${times}cr3 = ${entry.value}`;
  case "stop": return `${times}stop: ${entry.stop}`;
  default: return `${times}${entry.port === "0xe9" ? "serial port" : `port ${entry.port}`} ${entry.kind}, ` +
      `${plural(entry.bytes, "byte")}${entry.count === 1 ? `, ${entry.value}` : ""}`;
  }
}

function whenText(entry) {
  const time = entry.ns[0] === entry.ns[1] ? duration(entry.ns[0]) : `${duration(entry.ns[0])} to ${duration(entry.ns[1])}`;
  if (!entry.instructions)
    return time;
  const [first, last] = entry.instructions;
  return `instruction ${first === last ? count(first) : `${count(first)} to ${count(last)}`}; ${time}`;
}

class Timeline {
  constructor(chart, detail, list) {
    Object.assign(this, { chart, detail, list, entries: facts.timeline.entries, selected: -1 });
    this.counts = this.entries.every((entry) => entry.instructions);
    this.lanes = this.findLanes();
    this.reset();
    chart.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(chart);
  }

  findLanes() {
    const lanes = new Map();
    for (const entry of this.entries) {
      const [name, tint] = laneOf(entry);
      if (!lanes.has(name))
        lanes.set(name, { name: lanes.size < LANES_MAX ? name : "others", tint, index: Math.min(lanes.size, LANES_MAX) });
    }
    return lanes;
  }

  range(entry) { return this.counts ? entry.instructions : entry.ns; }

  reset() {
    const ends = this.entries.map((entry) => this.range(entry)[1]);
    this.from = 0;
    this.to = Math.max(1, ...ends);
    this.end = this.to;
  }

  x(value) { return this.label + (value - this.from) / (this.to - this.from) * (this.width - this.label - 6); }

  draw() {
    const rows = Math.min(this.lanes.size, LANES_MAX + 1);
    this.width = Math.max(260, this.chart.clientWidth);
    this.label = this.width < 560 ? 4 : LABEL;
    this.height = rows * LANE + 26;
    const picture = svg("svg", { viewBox: `0 0 ${this.width} ${this.height}`, height: this.height, "aria-hidden": "true" });
    this.drawGap(picture, rows);
    this.drawLanes(picture);
    this.drawAxis(picture);
    this.entries.forEach((entry, i) => this.drawEntry(picture, entry, i));
    this.chart.replaceChildren(picture);
  }

  drawLanes(picture) {
    for (const lane of new Map([...this.lanes.values()].map((l) => [l.index, l])).values()) {
      const y = lane.index * LANE;
      const name = lane.name.length > 22 ? `${lane.name.slice(0, 21)}…` : lane.name;
      picture.append(svg("line", { class: "lane", x1: this.label, x2: this.width, y1: y + LANE - 4.5, y2: y + LANE - 4.5 }));
      picture.append(svg("text", { x: this.label > 20 ? 0 : this.label, y: y + (this.label > 20 ? 15 : 10),
                                   "font-size": this.label > 20 ? 12 : 10 }, name));
    }
  }

  /* Between the first entries and the last, some are not kept. */
  drawGap(picture, rows) {
    const { missing, first } = facts.timeline;
    if (missing === 0)
      return;
    const clip = (value) => this.x(Math.max(this.from, Math.min(this.to, value)));
    const left = clip(this.range(this.entries[first - 1])[1]), right = clip(this.range(this.entries[first])[0]);
    picture.append(svg("rect", { class: "gap", x: left, width: Math.max(0, right - left), y: 0, height: rows * LANE - 4 }));
    if (right - left > 60)
      picture.append(svg("text", { x: (left + right) / 2, y: rows * LANE / 2, "text-anchor": "middle" }, "not kept"));
  }

  drawAxis(picture) {
    const y = this.height - 6, steps = this.width < 560 ? 2 : 5;
    for (let i = 0; i <= steps; i++) {
      const value = this.from + (this.to - this.from) * i / steps;
      const anchor = i === 0 ? "start" : i === steps ? "end" : "middle";
      picture.append(svg("text", { x: this.x(value), y, "text-anchor": anchor },
        this.counts ? count(Math.round(value)) : duration(Math.round(value))));
    }
  }

  drawEntry(picture, entry, i) {
    const [from, to] = this.range(entry), lane = this.lanes.get(laneOf(entry)[0]);
    if (to < this.from || from > this.to)
      return;
    const left = Math.max(this.label, this.x(from)), right = Math.min(this.width, this.x(to));
    const small = this.label < 20;
    const rect = svg("rect", { class: i === this.selected ? "e selected" : "e", x: left, width: Math.max(2.5, right - left),
                               y: lane.index * LANE + (small ? 12 : 3), height: small ? LANE - 17 : LANE - 10, rx: 1.5 });
    rect.style.setProperty("--c", `var(--${lane.tint})`);
    rect.addEventListener("pointerenter", () => this.describe(entry));
    rect.addEventListener("click", () => this.select(i));
    picture.append(rect);
  }

  describe(entry) {
    this.detail.classList.remove("quiet");
    this.detail.replaceChildren(el("strong", {}, entryText(entry)), el("div", { class: "quiet" },
      `${whenText(entry)}${entry.rip ? `; rip ${entry.rip}` : ""}`));
  }

  select(i) {
    if (i < 0 || i >= this.entries.length)
      return;
    this.selected = i;
    const [from, to] = this.range(this.entries[i]);
    if (to < this.from || from > this.to)
      this.move(from - (this.from + this.to) / 2);
    this.describe(this.entries[i]);
    this.draw();
    for (const row of this.list.querySelectorAll("tr[data-entry]"))
      row.setAttribute("aria-selected", String(Number(row.dataset.entry) === i));
  }

  zoom(factor) {
    const at = this.selected >= 0 ? this.range(this.entries[this.selected])[0] : (this.from + this.to) / 2;
    const length = Math.min(this.end, Math.max(1, (this.to - this.from) * factor));
    this.from = Math.max(0, Math.min(this.end - length, at - (at - this.from) * length / (this.to - this.from)));
    this.to = this.from + length;
    this.draw();
  }

  move(by) {
    const length = this.to - this.from;
    this.from = Math.max(0, Math.min(this.end - length, this.from + by));
    this.to = this.from + length;
    this.draw();
  }

  key(event) {
    const actions = {
      ArrowRight: () => this.select(this.selected + 1), ArrowLeft: () => this.select(this.selected - 1),
      "+": () => this.zoom(.5), "-": () => this.zoom(2), Home: () => { this.reset(); this.draw(); },
      PageDown: () => this.move((this.to - this.from) / 2), PageUp: () => this.move((this.from - this.to) / 2),
    };
    if (!actions[event.key])
      return;
    actions[event.key]();
    event.preventDefault();
  }
}

function entryRow(timeline, entry, i) {
  return el("tr", { "data-entry": String(i) },
    el("td", { class: "num" }, timeline.counts ? count(entry.instructions[0]) : duration(entry.ns[0])),
    el("td", {}, el("button", { class: "link", type: "button", onclick: () => timeline.select(i) }, entryText(entry))),
    el("td", { class: "num quiet" }, entry.rip ?? ""));
}

/* The entries as a table, some at a time. */
function entryList(timeline, list) {
  const body = el("tbody");
  const more = el("button", { class: "button", type: "button" }, "Show more");
  let shownRows = 0;
  const show = () => {
    const next = timeline.entries.slice(shownRows, shownRows + ROWS_MAX);
    body.append(...next.map((entry, i) => entryRow(timeline, entry, shownRows + i)));
    shownRows += next.length;
    more.hidden = shownRows >= timeline.entries.length;
  };
  more.addEventListener("click", show);
  show();
  list.append(el("table", {}, el("thead", {}, el("tr", {},
    el("th", { class: "num", scope: "col" }, timeline.counts ? "instruction" : "time"),
    el("th", { scope: "col" }, "what"), el("th", { class: "num", scope: "col" }, "rip"))), body), more);
}

function exitsElement() {
  const rows = facts.exits.map((exit) => el("tr", {}, el("td", {}, nameOf(exit.reason)),
    el("td", { class: "num" }, count(exit.count)), el("td", { class: "num" }, duration(exit.ns))));
  return el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "exits from the processor"),
    el("th", { class: "num", scope: "col" }, "how often"), el("th", { class: "num", scope: "col" }, "time outside"))),
    el("tbody", {}, ...rows));
}

function timelineSection() {
  const { entries, missing, first } = facts.timeline;
  const chart = el("div", { class: "chart", tabindex: "0", role: "application",
    "aria-label": "Timeline. Left and right select, plus and minus zoom, Page Up and Page Down move." });
  const detail = el("div", { class: "detail quiet", "aria-live": "polite" }, "Point at an entry, or choose one from the list.");
  const list = el("div", { class: "list", tabindex: "0", role: "region", "aria-label": "All entries" });
  const timeline = new Timeline(chart, detail, list);
  const button = (label, action) => el("button", { class: "button", type: "button", onclick: action }, label);
  const tools = el("div", { class: "tools" }, button("Zoom in", () => timeline.zoom(.5)), button("Zoom out", () => timeline.zoom(2)),
    button("←", () => timeline.move((timeline.from - timeline.to) / 2)), button("→", () => timeline.move((timeline.to - timeline.from) / 2)),
    button("All", () => { timeline.reset(); timeline.draw(); }));
  entryList(timeline, list);
  const axis = timeline.counts ? "by instructions executed" : "by time; the processor did not count instructions";
  const cut = missing > 0 ? el("p", { class: "note" },
    `The first ${count(first)} and the last ${count(entries.length - first)} entries are shown; ${count(missing)} between them are not.`) : null;
  return section("timeline", "Timeline", `${plural(entries.length + missing, "entry", "entries")}, ${axis}`,
    el("div", { class: "panel stack" }, tools, chart, detail, list, cut, el("div", { class: "scroll" }, exitsElement())));
}
