"use strict";
/* The facts, and what follows from them. Strings are bytes, as characters of Latin-1. */

const facts = JSON.parse(document.getElementById("facts").textContent);
const source = JSON.parse(document.getElementById("source").textContent);

const PAGE = 0x1000;
const IMAGE = 1, TABLE = 2, STACK = 4, MAPPED = 8, READ = 16, WRITTEN = 32, EXECUTED = 64, CHANGED = 128;

/* ---- text ---- */

const utf8 = new TextDecoder("utf-8");

function bytesOf(latin1) {
  return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
}

function textOf(latin1) {
  return utf8.decode(bytesOf(latin1));
}

/* A name on one line: control characters as terminals show them, such as ^[. */
function nameOf(latin1) {
  return textOf(latin1).replace(/[\0-\x1f\x7f]/g, caretOf);
}

function caretOf(character) {
  return "^" + String.fromCharCode(character.charCodeAt(0) ^ 0x40);
}

function hex(value) {
  return "0x" + value.toString(16);
}

function count(value) {
  return Number(value).toLocaleString("en-US");
}

function plural(value, one, many = one + "s") {
  return `${count(value)} ${Number(value) === 1 ? one : many}`;
}

function bytes(value) {
  const units = [[1 << 20, "MB"], [1 << 10, "KB"]];
  for (const [size, unit] of units) {
    if (value >= size)
      return `${value % size === 0 ? value / size : (value / size).toFixed(1)} ${unit}`;
  }
  return plural(value, "byte");
}

function duration(ns) {
  const units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]];
  for (const [size, unit] of units) {
    if (ns >= size)
      return `${Number((ns / size).toPrecision(3))} ${unit}`;
  }
  return `${ns} ns`;
}

/* ---- the document ---- */

/* An element; text is always text. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on"))
      element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false)
      element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function section(id, title, about, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("div", { class: "head" }, el("h2", { id: `${id}-title` }, title), el("p", {}, about)),
    ...children);
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/* ---- memory ---- */

/* What each page is, and which 64 bytes of it changed. */
function expandPages(memory) {
  const page = new Uint8Array(memory.pages);
  const changed = new Map();
  let at = 0;
  for (const [length, flags] of memory.runs) {
    page.fill(flags, at, at + length);
    at += length;
  }
  for (const [number, bits] of memory.changed)
    changed.set(number, BigInt(bits));
  return { page, changed };
}

const memory = facts.memory ? { ...facts.memory, ...expandPages(facts.memory), area: Number(facts.memory.area) } : null;

function addressOfPage(page) {
  return page < memory.ram_pages ? page * PAGE : memory.area + (page - memory.ram_pages) * PAGE;
}

/* The number of the page at a guest-physical address; -1: there is no memory. */
function pageAt(physical) {
  if (!memory)
    return -1;
  if (physical < memory.area)
    return physical < memory.ram_pages * PAGE ? Math.floor(physical / PAGE) : -1;
  const page = memory.ram_pages + Math.floor((physical - memory.area) / PAGE);
  return page < memory.pages ? page : -1;
}

/* ---- page tables ---- */

const PRESENT = 1n, WRITE = 2n, USER = 4n, LARGE = 0x80n, NX = 1n << 63n;
const ADDRESS = 0x000ffffffffff000n;
const LEVELS = ["", "PT", "PD", "PDPT", "PML4", "PML5"];

/* Tables by their guest-physical addresses: 512 entries each. */
const tables = new Map((facts.tables?.tables ?? []).map((table) => [Number(table.at), expandTable(table)]));

function expandTable(table) {
  const entries = new BigUint64Array(512);
  for (const [first, length, entry, difference = "0x0"] of table.runs) {
    for (let i = 0; i < length; i++)
      entries[first + i] = BigInt(entry) + BigInt(i) * BigInt(difference);
  }
  return entries;
}

function isLeaf(entry, level) {
  return level === 1 || (level <= 3 && (entry & LARGE) !== 0n);
}

function span(level) {
  return 1n << BigInt(3 + 9 * level);
}

function narrow(rights, entry) {
  return {
    writable: rights.writable && (entry & WRITE) !== 0n,
    user: rights.user && (entry & USER) !== 0n,
    executable: rights.executable && (!facts.tables.nx || (entry & NX) === 0n),
  };
}

const ALL_RIGHTS = { writable: true, user: true, executable: true };

/* Follow an address, as the processor does. `end`: mapped, missing, canonical, memory, or unknown. */
function walk(address) {
  const levels = facts.tables.levels;
  const bits = BigInt(12 + 9 * levels);
  const result = { address, steps: [], rights: ALL_RIGHTS, end: "canonical" };
  if (BigInt.asUintN(64, BigInt.asIntN(Number(bits), address)) !== address)
    return result;
  let at = BigInt(facts.tables.cr3) & ADDRESS;
  for (let level = levels; level > 0; level--) {
    const index = Number((address / span(level)) & 511n);
    const step = { level, table: at, index, entries: tables.get(Number(at)) };
    result.steps.push(step);
    if (!step.entries)
      return { ...result, end: pageAt(Number(at)) < 0 ? "memory" : "unknown" };
    step.entry = step.entries[index];
    if ((step.entry & PRESENT) === 0n)
      return { ...result, end: "missing" };
    result.rights = narrow(result.rights, step.entry);
    if (isLeaf(step.entry, level)) {
      const size = span(level);
      const physical = (step.entry & ADDRESS & ~(size - 1n)) | (address & (size - 1n));
      return { ...result, end: "mapped", physical, size };
    }
    at = step.entry & ADDRESS;
  }
  return result;
}

/* Entries of a table that follow each other and lead to pages that do, with the same rights. */
function runsOf(entries, level) {
  const runs = [];
  const same = ~0x60n & 0xffffffffffffffffn; /* A and D do not matter */
  for (let index = 0; index < 512; index++) {
    const entry = entries[index];
    if ((entry & PRESENT) === 0n)
      continue;
    const last = runs.at(-1);
    if (isLeaf(entry, level) && last?.leaf && last.first + last.length === index &&
        (entry & same) === (last.entry & same) + BigInt(last.length) * span(level))
      last.length++;
    else
      runs.push({ first: index, length: 1, entry, leaf: isLeaf(entry, level) });
  }
  return runs;
}

function canonical(address, levels) {
  return BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, address));
}

/* All that is mapped, as runs of pages; not more than anybody reads. */
const MAPPINGS_MAX = 4096;
const mappings = facts.tables?.levels ? listMappings(MAPPINGS_MAX) : [];

function listMappings(most) {
  const found = [];
  const levels = facts.tables.levels;
  let tablesLeft = 4096;
  const visit = (at, level, base, rights) => {
    const entries = tables.get(Number(at));
    if (!entries || tablesLeft-- <= 0)
      return;
    for (const run of runsOf(entries, level)) {
      const start = base + BigInt(run.first) * span(level);
      const below = narrow(rights, run.entry);
      if (!run.leaf)
        visit(run.entry & ADDRESS, level - 1, start, below);
      else if (found.length < most)
        found.push({ start: canonical(start, levels), length: BigInt(run.length) * span(level), rights: below,
                     physical: run.entry & ADDRESS & ~(span(level) - 1n), size: span(level) });
    }
  };
  visit(BigInt(facts.tables.cr3) & ADDRESS, levels, 0n, ALL_RIGHTS);
  return found;
}

/* The virtual addresses of a guest-physical one. */
function virtualAddresses(physical) {
  const at = BigInt(physical);
  return mappings.filter((m) => m.physical <= at && at < m.physical + m.length)
    .map((m) => ({ address: m.start + (at - m.physical), rights: m.rights, size: m.size }));
}

function rightsText(rights) {
  return `r${rights.writable ? "w" : "-"}${rights.executable ? "x" : "-"}, ${rights.user ? "rings 0 to 3" : "ring 0"}`;
}

function rightsElement(rights) {
  return el("span", { class: "rights", title: rightsText(rights) }, "r",
    el("span", { class: "w" }, rights.writable ? "w" : "-"),
    el("span", { class: "x" }, rights.executable ? "x" : "-"), " ",
    el("span", { class: "u" }, rights.user ? "rings 0-3" : "ring 0"));
}
