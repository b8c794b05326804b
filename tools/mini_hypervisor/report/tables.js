/* The walk of an address, drawn; and the page tables as a tree. */

const BITS = [["NX", NX, "no execute"], ["PS", LARGE, "a page, not a table"], ["D", 0x40n, "dirty: written through it"],
              ["A", 0x20n, "accessed"], ["U", USER, "ring 3 may"], ["W", WRITE, "writable"], ["P", PRESENT, "present"]];

function bitField(address, high, low) {
  const width = high - low + 1;
  return ((address >> BigInt(low)) & ((1n << BigInt(width)) - 1n)).toString(2).padStart(width, "0");
}

function addressPart(label, value, bits, used) {
  return el("div", { class: used ? "" : "unused" }, el("div", { class: "label" }, label),
    el("div", { class: "value" }, value), el("div", { class: "bits" }, bits));
}

/* An address, split as the processor splits it. */
function addressElement(result) {
  const levels = facts.tables.levels;
  const low = 12 + 9 * levels;
  const parts = [addressPart(`bits 63–${low}`, hex(result.address >> BigInt(low)), "repeat the bit below", false)];
  for (let level = levels; level > 0; level--) {
    const shift = 3 + 9 * level;
    const index = Number((result.address >> BigInt(shift)) & 511n);
    parts.push(addressPart(`${LEVELS[level]} index`, String(index), bitField(result.address, shift + 8, shift),
      result.steps.some((step) => step.level === level)));
  }
  const offsetBits = result.size ? result.size.toString(2).length - 1 : 12;
  parts.push(addressPart("offset", hex(result.address & ((1n << BigInt(offsetBits)) - 1n)),
    `${offsetBits} bits`, result.end === "mapped"));
  return el("div", { class: "address" }, ...parts);
}

/* Where in its table the entry is, among those that are present. */
function stripElement(step) {
  const strip = el("div", { class: "strip", "aria-hidden": "true" });
  for (const run of presentRuns(step.entries)) {
    const bar = el("i");
    bar.style.left = `${run.first / 5.12}%`;
    bar.style.width = `${run.length / 5.12}%`;
    strip.append(bar);
  }
  const mark = el("b");
  mark.style.left = `min(${step.index / 5.12}%, 100% - 3px)`;
  strip.append(mark);
  return strip;
}

function presentRuns(entries) {
  const runs = [];
  for (let index = 0; index < 512; index++) {
    if ((entries[index] & PRESENT) === 0n)
      continue;
    const last = runs.at(-1);
    if (last && last.first + last.length === index)
      last.length++;
    else
      runs.push({ first: index, length: 1 });
  }
  return runs;
}

function chips(entry, level) {
  const shown = BITS.filter(([name]) => name !== "PS" || level > 1);
  return el("div", { class: "chips" }, ...shown.map(([name, bit, meaning]) => {
    const isSet = (entry & bit) !== 0n;
    return el("span", { class: isSet ? "chip" : "chip off", title: `${meaning}: ${isSet ? "yes" : "no"}` }, name);
  }));
}

function stepElement(step, why) {
  const title = el("h3", {}, LEVELS[step.level], el("span", {}, `entry ${step.index}`));
  const where = el("p", { class: "where" }, `of the table at ${hex(step.table)}`);
  const children = step.entries
    ? [stripElement(step), el("p", { class: "entry" }, hex(step.entry)), chips(step.entry, step.level)] : [];
  return el("div", { class: why ? "step stop" : "step" }, title, where, ...children,
    why ? el("p", { class: "why" }, why) : null);
}

const WALK_ENDS = {
  missing: "Not present. The walk stops here.",
  memory: "The table is where the machine has no memory.",
  unknown: "This table is not among those in this page.",
};

/* `missing`: the right that the access lacked. */
function endElement(result, missing) {
  const page = el("div", { class: missing ? "step stop" : "step" }, el("h3", {}, "Page", el("span", {}, bytes(Number(result.size)))),
    el("p", { class: "where" }, "guest-physical"), el("p", { class: "entry" }, hex(result.physical)),
    el("p", { class: "entry" }, rightsElement(result.rights)));
  if (missing)
    page.append(el("p", { class: "why" }, `${missing[0].toUpperCase()}${missing.slice(1)}.`));
  return page;
}

function walkElement(result, missing = "") {
  const steps = result.steps.map((step, i) =>
    stepElement(step, i === result.steps.length - 1 ? WALK_ENDS[result.end] : ""));
  if (result.end === "mapped")
    steps.push(endElement(result, missing));
  if (result.end === "canonical")
    steps.push(el("div", { class: "step stop" }, el("p", { class: "why" },
      "The address is not canonical: its upper bits do not repeat the highest bit that is translated. No table is read.")));
  return el("div", {}, addressElement(result), el("div", { class: "walk" }, ...steps));
}

/* ---- the tree ---- */

function indexText(run) {
  return run.length > 1 ? `${run.first}–${run.first + run.length - 1}` : String(run.first);
}

function leafElement(run, level, start, rights) {
  const size = span(level);
  const physical = run.entry & ADDRESS & ~(size - 1n);
  const levels = facts.tables.levels;
  return el("div", { class: "row leaf" }, el("span", { class: "index" }, indexText(run)),
    el("span", {}, `${hex(canonical(start, levels))}–${hex(canonical(start + BigInt(run.length) * size - 1n, levels))}`),
    el("span", { class: "to" }, `→ ${hex(physical)}`),
    el("span", { class: "to" }, `${run.length} × ${bytes(Number(size))}`), rightsElement(rights));
}

function branchElement(run, level, start, rights) {
  const at = run.entry & ADDRESS;
  const entries = tables.get(Number(at));
  const row = el("span", { class: "row" }, el("span", { class: "index" }, indexText(run)),
    el("span", {}, hex(canonical(start, facts.tables.levels))),
    el("span", { class: "to" }, `→ ${LEVELS[level - 1]} at ${hex(at)}`),
    entries ? rightsElement(rights) : el("span", { class: "why" }, pageAt(Number(at)) < 0 ? "no memory there" : "not in this page"));
  if (!entries)
    return el("div", { class: "leaf" }, row);
  const details = el("details", {}, el("summary", {}, row));
  details.fill = () => {
    if (details.children.length === 1)
      details.append(tableElement(entries, level - 1, start, rights));
  };
  details.addEventListener("toggle", details.fill);
  return details;
}

/* A table's entries; of those that lead to other tables, what is in them comes when they are opened. */
function tableElement(entries, level, base, rights) {
  return el("ul", {}, ...runsOf(entries, level).map((run) => {
    const start = base + BigInt(run.first) * span(level);
    const below = narrow(rights, run.entry);
    return el("li", {}, run.leaf ? leafElement(run, level, start, below) : branchElement(run, level, start, below));
  }));
}

/* Open what leads somewhere, as long as it is not much. */
const OPEN_ROWS = 12;

function openSome(list, rows = 0) {
  for (const details of list.querySelectorAll(":scope > li > details")) {
    if (rows + list.children.length > OPEN_ROWS)
      return;
    details.fill();
    details.open = true;
    openSome(details.lastChild, rows + list.children.length);
  }
}

function lookupElement(output) {
  const input = el("input", { type: "text", id: "address", value: facts.registers?.general.rip ?? "0x0", spellcheck: "false",
                              autocomplete: "off", inputmode: "text" });
  const show = (event) => {
    event.preventDefault();
    const text = input.value.trim();
    const isNumber = /^(0x[0-9a-f]+|\d+)$/i.test(text) && BigInt(text) < 1n << 64n;
    input.setAttribute("aria-invalid", String(!isNumber));
    output.replaceChildren(isNumber ? walkElement(walk(BigInt(text)))
      : el("p", { class: "why" }, "Say an address of at most 64 bits, such as 0x1000."));
  };
  return el("form", { class: "lookup", onsubmit: show }, el("label", { for: "address", class: "quiet" }, "Translate"),
    input, el("button", { class: "button", type: "submit" }, "Show the walk"));
}

function tablesSection() {
  if (!facts.tables?.levels)
    return section("tables", "Page tables", "the machine was not in 64-bit mode: there are none to follow");
  const top = BigInt(facts.tables.cr3) & ADDRESS;
  const entries = tables.get(Number(top));
  const output = el("div", { class: "walked" });
  const tree = el("div", { class: "tree" });
  const about = `cr3 ${facts.tables.cr3}, ${plural(tables.size, "table")}, ` +
    `${mappings.length < MAPPINGS_MAX ? "" : "at least "}${plural(mappings.length, "run")} of pages`;
  const panel = el("div", { class: "panel stack" }, lookupElement(output), output, tree);
  if (entries) {
    const list = tableElement(entries, facts.tables.levels, 0n, ALL_RIGHTS);
    tree.append(list);
    openSome(list);
  } else {
    tree.append(el("p", { class: "why" }, `The machine has no memory at ${hex(top)}.`));
  }
  const cut = facts.tables.complete ? null
    : el("p", { class: "note" }, "There are more tables than a page can hold; the highest levels are complete.");
  return section("tables", "Page tables", about, panel, cut);
}

function crashSection() {
  const fault = facts.end.fault;
  if (!facts.end.crash)
    return null;
  const what = fault ? `${fault.name}${fault.meaning ? `: ${fault.meaning}` : ""}` : facts.end.kind;
  const children = [];
  if (fault?.address && facts.tables?.levels)
    children.push(walkElement(walk(BigInt(fault.address)), fault.missing));
  const text = el("details", {}, el("summary", { class: "quiet" }, "As the terminal shows it"),
    el("pre", { class: "note" }, textOf(facts.end.text)));
  text.open = children.length === 0;
  const about = fault?.address ? `at ${facts.registers?.general.rip ?? "?"}, for the address ${fault.address}` : "";
  return section("crash", what[0].toUpperCase() + what.slice(1), about, el("div", { class: "panel stack" }, ...children, text));
}
