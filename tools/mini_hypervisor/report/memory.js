/* The memory map: all of memory, a row of 64 pages, or one page; in each a cell can be selected. */

const LAYERS = [
  { name: "executed", label: "Executed", flags: EXECUTED, isAccess: true },
  { name: "written", label: "Written", flags: WRITTEN | CHANGED, isAccess: true },
  { name: "read", label: "Read", flags: READ, isAccess: true },
  { name: "table", label: "Page table", flags: TABLE },
  { name: "stack", label: "Stack", flags: STACK },
  { name: "image", label: "Image", flags: IMAGE },
];
const shown = new Set(LAYERS.map((layer) => layer.name));
const GRAIN = 64;

/* The page that the tables lead to, looked up once for each. */
const physicalPages = new Map();

function physicalPage(virtual) {
  if (!physicalPages.has(virtual))
    physicalPages.set(virtual, pageAt(virtualToPhysical(virtual << 12n)));
  return physicalPages.get(virtual);
}

function virtualToPhysical(address) {
  if (!facts.tables?.levels)
    return Number(address);
  const result = walk(address);
  return result.end === "mapped" ? Number(result.physical) : -1;
}

/* How often each byte was executed, by page; null: that is not known. The page tables are those of the end. */
const executions = facts.counts?.complete ? indexExecutions(facts.counts.list) : null;

function indexExecutions(list) {
  const byPage = new Map();
  for (const [start, times, length] of list) {
    const first = BigInt(start);
    for (let i = 0n; i < BigInt(length || 1); i++) {
      const at = first + i, page = physicalPage(at >> 12n);
      if (page < 0)
        continue;
      if (!byPage.has(page))
        byPage.set(page, new Float64Array(PAGE));
      byPage.get(page)[Number(at & 0xfffn)] += times;
    }
  }
  return byPage;
}

/* The colors of a cell: several are side by side. */
function colorsOf(flags) {
  const on = LAYERS.filter((layer) => shown.has(layer.name) && (flags & layer.flags) !== 0);
  const special = on.filter((layer) => layer.name === "table" || layer.name === "stack");
  const used = on.filter((layer) => layer.isAccess);
  const chosen = special.length ? special : used;
  if (chosen.length)
    return chosen.map((layer) => layer.name);
  if (on.length)
    return ["image"];
  return [(flags & MAPPED) !== 0 ? "untouched" : "unmapped"];
}

function wordsOf(flags) {
  const words = LAYERS.filter((layer) => (flags & layer.flags) !== 0).map((layer) => layer.label.toLowerCase());
  if ((flags & (READ | WRITTEN | EXECUTED | CHANGED)) === 0)
    words.push(memory.knows_accesses ? "untouched" : "not changed");
  if ((flags & MAPPED) === 0)
    words.push("not mapped");
  return words;
}

/* ---- views: how many cells there are, and what they are ---- */

function overview() {
  return {
    title: "All memory", cells: memory.pages, gap: memory.ram_pages,
    flags: (i) => memory.page[i], address: (i) => addressOfPage(i), size: PAGE,
    into: (i) => rowView(i),
  };
}

/* The 64 pages around one: each cell is 64 bytes, a page is a column. */
function rowView(page) {
  const isArea = page >= memory.ram_pages;
  const first = isArea ? memory.ram_pages : page - page % GRAIN;
  const pages = Math.min(GRAIN, (isArea ? memory.pages : memory.ram_pages) - first);
  return {
    title: `${hex(addressOfPage(first))} to ${hex(addressOfPage(first + pages - 1) + PAGE - 1)}`,
    cells: pages * GRAIN, gap: -1, start: (page - first) * GRAIN,
    flags: (i) => grainFlags(first + Math.floor(i / GRAIN), i % GRAIN),
    address: (i) => addressOfPage(first + Math.floor(i / GRAIN)) + (i % GRAIN) * GRAIN, size: GRAIN,
    into: (i) => pageView(first + Math.floor(i / GRAIN), i % GRAIN),
  };
}

function pageView(page, grain) {
  return {
    title: `Page ${hex(addressOfPage(page))}`, cells: PAGE, gap: -1,
    start: grain * GRAIN, flags: (i) => byteFlags(page, i), address: (i) => addressOfPage(page) + i, size: 1, into: null,
  };
}

/* What is known of a page as a whole is not repeated for each part of it, if something finer is. */
function grainFlags(page, grain) {
  let flags = memory.page[page] & ~(WRITTEN | CHANGED | STACK);
  if (((memory.changed.get(page) ?? 0n) >> BigInt(grain) & 1n) !== 0n)
    flags |= CHANGED;
  if (executions) {
    flags &= ~EXECUTED;
    if (executions.get(page)?.subarray(grain * GRAIN, (grain + 1) * GRAIN).some((times) => times > 0))
      flags |= EXECUTED;
  }
  return flags;
}

function byteFlags(page, offset) {
  const flags = grainFlags(page, Math.floor(offset / GRAIN));
  if (!executions)
    return flags;
  return timesExecuted(page, offset) > 0 ? flags | EXECUTED : flags & ~EXECUTED;
}

function timesExecuted(page, offset) {
  return executions?.get(page)?.[offset] ?? 0;
}

/* ---- the drawing ---- */

const EDGE = 3; /* around the cells, for the mark of the one that is selected */

class MemoryMap {
  constructor(canvas, holder, inspect, crumbs) {
    Object.assign(this, { canvas, holder, inspect, crumbs, views: [overview()], selected: [0] });
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("click", (event) => { this.point(event); this.zoomIn(); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(holder);
    this.select(this.firstOfInterest());
  }

  get view() { return this.views.at(-1); }
  get at() { return this.selected.at(-1); }
  get columns() { return this.holder.clientWidth < 560 ? 32 : 64; }

  /* Where something is to be seen: the crash, if it is in memory, or the code. */
  firstOfInterest() {
    const rip = facts.registers ? virtualToPhysical(BigInt(facts.registers.general.rip)) : -1;
    return Math.max(0, pageAt(rip));
  }

  layout() {
    const width = this.holder.clientWidth || 800;
    const columns = this.columns;
    const label = width < 560 ? 0 : 78;
    const cell = Math.max(3, Math.min(16, Math.floor((width - label - 2 * EDGE) / columns)));
    const gapRow = this.view.gap > 0 ? Math.ceil(this.view.gap / columns) : -1;
    const rows = gapRow >= 0 ? gapRow + Math.ceil((this.view.cells - this.view.gap) / columns)
                             : Math.ceil(this.view.cells / columns);
    const skip = gapRow >= 0 ? 22 : 0;
    return { columns, label, cell, rows, gapRow, skip, left: label + EDGE,
             width: label + columns * cell + 2 * EDGE, height: rows * cell + skip + 2 * EDGE };
  }

  /* Column and row of a cell: the system area begins a row of its own. */
  place(i, layout) {
    const { gap } = this.view;
    const inArea = gap > 0 && i >= gap;
    const index = inArea ? i - gap : i;
    const row = (inArea ? layout.gapRow : 0) + Math.floor(index / layout.columns);
    return { x: layout.left + (index % layout.columns) * layout.cell, y: EDGE + row * layout.cell + (inArea ? layout.skip : 0) };
  }

  draw() {
    const layout = this.layout(), scale = devicePixelRatio || 1, context = this.canvas.getContext("2d");
    this.canvas.width = layout.width * scale;
    this.canvas.height = layout.height * scale;
    this.canvas.style.width = `${layout.width}px`;
    this.canvas.style.height = `${layout.height}px`;
    context.scale(scale, scale);
    const palette = Object.fromEntries([...LAYERS.map((layer) => layer.name), "untouched", "unmapped", "soft", "mark"]
      .map((name) => [name, color(name)]));
    for (let i = 0; i < this.view.cells; i++)
      this.drawCell(context, i, layout, palette);
    this.drawLabels(context, layout, palette);
    this.drawSelection(context, layout, palette);
  }

  drawCell(context, i, layout, palette) {
    const { x, y } = this.place(i, layout), size = layout.cell > 5 ? layout.cell - 1 : layout.cell - .5;
    const names = colorsOf(this.view.flags(i));
    names.forEach((name, n) => {
      context.fillStyle = palette[name];
      context.fillRect(x + n * size / names.length, y, size / names.length, size);
    });
  }

  drawLabels(context, layout, palette) {
    const step = Math.max(1, Math.ceil(15 / layout.cell));
    context.fillStyle = palette.soft;
    context.font = `11px ${color("mono")}`;
    context.textBaseline = "top";
    if (layout.gapRow >= 0)
      context.fillText(`system area, ${hex(memory.area)}`, layout.left, EDGE + layout.gapRow * layout.cell + 7);
    for (let i = 0; layout.label > 0 && i < this.view.cells; i += layout.columns) {
      const { y } = this.place(i, layout), row = i / layout.columns;
      const inArea = this.view.gap > 0 && i >= this.view.gap;
      if (row % step === 0 && !inArea)
        context.fillText(hex(this.view.address(i)), 0, y + Math.max(0, (layout.cell - 12) / 2));
    }
  }

  drawSelection(context, layout, palette) {
    const { x, y } = this.place(this.at, layout);
    context.strokeStyle = palette.mark;
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, layout.cell + 1, layout.cell + 1);
  }

  cellAt(event) {
    const layout = this.layout(), box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - layout.left) / layout.cell);
    const y = event.clientY - box.top - EDGE;
    const areaTop = layout.gapRow * layout.cell + layout.skip;
    if (column < 0 || column >= layout.columns)
      return -1;
    if (layout.gapRow >= 0 && y >= areaTop)
      return this.view.gap + Math.floor((y - areaTop) / layout.cell) * layout.columns + column;
    const i = Math.max(0, Math.floor(y / layout.cell)) * layout.columns + column;
    return layout.gapRow >= 0 && i >= this.view.gap ? -1 : i;
  }

  point(event) {
    const i = this.cellAt(event);
    if (i >= 0 && i < this.view.cells)
      this.select(i);
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
                    Home: -this.view.cells, End: this.view.cells };
    if (moves[event.key] !== undefined)
      this.select(Math.max(0, Math.min(this.view.cells - 1, this.at + moves[event.key])));
    else if (event.key === "Enter" || event.key === "+")
      this.zoomIn();
    else if (event.key === "Escape" || event.key === "Backspace" || event.key === "-")
      this.zoomOut(this.views.length - 1);
    else
      return;
    event.preventDefault();
  }

  select(i) {
    this.selected[this.selected.length - 1] = i;
    this.describe();
    this.draw();
  }

  zoomIn() {
    const next = this.view.into?.(this.at);
    if (!next)
      return;
    this.views.push(next);
    this.selected.push(next.start ?? 0);
    this.select(this.at);
  }

  /* Back to the first `depth` views. */
  zoomOut(depth) {
    if (depth < 1)
      return;
    this.views.length = this.selected.length = depth;
    this.select(this.at);
  }

  describe() {
    const address = this.view.address(this.at), end = address + this.view.size - 1;
    const mapped = virtualAddresses(address - address % PAGE).slice(0, 6);
    const what = this.view.size === 1 ? hex(address) : `${hex(address)}–${hex(end)}`;
    this.inspect.replaceChildren(el("strong", {}, what),
      el("div", { class: "tags" }, ...wordsOf(this.view.flags(this.at)).map((word) => el("span", {}, word)),
        ...this.timesElements(address)),
      el("ul", { class: "quiet" }, ...mapped.map((m) => el("li", {}, "mapped at ", el("code", {}, hex(m.address)), " ",
        rightsElement(m.rights), ` in a page of ${bytes(Number(m.size))}`))));
    this.crumbs.replaceChildren(...this.crumbElements());
  }

  /* Of one byte, how often its instruction was executed. */
  timesElements(address) {
    const times = this.view.size === 1 ? timesExecuted(pageAt(address), address % PAGE) : 0;
    return times > 0 ? [el("span", { class: "quiet" }, plural(times, "time"))] : [];
  }

  crumbElements() {
    const steps = this.views.flatMap((view, i) => {
      const isHere = i === this.views.length - 1;
      const name = isHere ? el("span", { class: "here" }, view.title)
        : el("button", { class: "button", type: "button", onclick: () => this.zoomOut(i + 1) }, view.title);
      return i === 0 ? [name] : ["›", name];
    });
    const tools = el("span", { class: "tools" });
    if (this.view.into)
      tools.append(el("button", { class: "button", type: "button", onclick: () => { this.zoomIn(); this.canvas.focus(); } }, "Zoom in"));
    return [...steps, tools];
  }
}

function legendElement(map) {
  return el("div", { class: "tools", role: "group", "aria-label": "What is shown" }, ...LAYERS.map((layer) => {
    const button = el("button", { class: "button", type: "button", "aria-pressed": "true" }, el("span", { class: "swatch" }), layer.label);
    button.style.setProperty("--c", `var(--${layer.name})`);
    button.addEventListener("click", () => {
      const isOn = !shown.has(layer.name);
      shown[isOn ? "add" : "delete"](layer.name);
      button.setAttribute("aria-pressed", String(isOn));
      map.draw();
    });
    return button;
  }));
}

function memoryNotes() {
  const notes = [];
  if (!memory.knows_accesses)
    notes.push("The guest ran on KVM, which does not say what it read and executed there. " +
      (memory.knows_writes ? "Writes are known by pages of 4 KB, changes by 64 bytes."
                           : "Of what it wrote, what differs from the start is known."));
  else
    notes.push("Reads are known by pages of 4 KB, changes by 64 bytes" +
      (executions ? ", execution by bytes." : ", execution by pages."));
  return el("p", { class: "note" }, notes.join(" "));
}

function memorySection() {
  if (!memory)
    return null;
  const canvas = el("canvas", { tabindex: "0", role: "application",
    "aria-label": "Memory map. Arrow keys select, Enter zooms in, Escape zooms out." });
  const inspect = el("div", { class: "inspect", "aria-live": "polite" });
  const crumbs = el("div", { class: "crumbs" });
  const holder = el("div", { class: "scroll" }, canvas);
  const map = new MemoryMap(canvas, holder, inspect, crumbs);
  redraws.push(() => map.draw());
  const used = memory.page.reduce((sum, flags) => sum + ((flags & (READ | WRITTEN | EXECUTED | CHANGED)) !== 0), 0);
  const about = `${bytes(memory.ram_pages * PAGE)}; ${plural(used, "page")} of 4 KB touched`;
  return section("memory", "Memory", about,
    el("div", { class: "panel memory" }, legendElement(map), crumbs, holder, inspect),
    memoryNotes());
}
