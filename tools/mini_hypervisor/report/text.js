/* Files, the serial port, registers, and source. */

function filesSection() {
  if (facts.files.length === 0)
    return null;
  const columns = ["open", "read", "write", "seek", "size", "close"];
  const rows = facts.files.map((file) => el("tr", {}, el("td", { class: "mono" }, nameOf(file.name)),
    ...columns.map((column) => el("td", { class: file[column] ? "num" : "num quiet" }, count(file[column]))),
    el("td", { class: "num" }, bytes(file.bytes_read)), el("td", { class: "num" }, bytes(file.bytes_written)),
    el("td", { class: file.failed ? "num" : "num quiet" }, count(file.failed))));
  const head = ["file", ...columns, "bytes read", "bytes written", "failed"];
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head.map((name, i) =>
    el("th", { scope: "col", class: i > 0 ? "num" : null }, name)))), el("tbody", {}, ...rows));
  const cut = facts.unlisted_calls > 0 ? el("p", { class: "note" },
    `The first ${facts.files.length} names are shown; ${plural(facts.unlisted_calls, "call")} of files with other names ${facts.unlisted_calls === 1 ? "is" : "are"} not.`) : null;
  return section("files", "Files", `calls through the file port`, el("div", { class: "panel scroll" }, table), cut);
}

/* ---- the serial port ---- */

/* Text as a terminal would break it into lines; other control characters are shown as ^ and a letter. */
function serialNodes(latin1) {
  const nodes = [];
  for (const part of textOf(latin1).replace(/\r\n/g, "\n").split(/([\0-\x08\x0b-\x1f\x7f]+)/)) {
    const isControl = /^[\0-\x08\x0b-\x1f\x7f]/.test(part);
    if (part !== "")
      nodes.push(isControl ? el("span", { class: "ctrl" }, part.replace(/[^]/g, caretOf)) : part);
  }
  return nodes;
}

function serialElement(title, text) {
  const pre = el("pre", { class: "serial", tabindex: "0", "aria-label": title }, ...serialNodes(text.first));
  if (text.missing > 0)
    pre.append(el("span", { class: "ctrl" }, `\n[${count(text.missing)} bytes are left out here]\n`));
  pre.append(...serialNodes(text.last));
  return el("div", { class: "panel stack" }, el("h3", {}, title, el("span", { class: "quiet" }, `  ${bytes(text.total)}`)), pre);
}

function serialSection() {
  const out = facts.serial_out, into = facts.serial_in;
  const panels = [];
  if (out.total > 0)
    panels.push(serialElement("Output", out));
  if (into.total > 0)
    panels.push(serialElement("Input", into));
  const about = panels.length ? "port 0xe9" : "the guest did not use port 0xe9";
  return section("serial", "Serial port", about, el("div", { class: "stack" }, ...panels));
}

/* ---- registers ---- */

const BIT_NAMES = {
  rflags: { 0: "CF", 2: "PF", 4: "AF", 6: "ZF", 7: "SF", 8: "TF", 9: "IF", 10: "DF", 11: "OF", 14: "NT", 16: "RF", 18: "AC", 21: "ID" },
  cr0: { 0: "PE", 1: "MP", 2: "EM", 3: "TS", 4: "ET", 5: "NE", 16: "WP", 18: "AM", 29: "NW", 30: "CD", 31: "PG" },
  cr4: { 0: "VME", 1: "PVI", 2: "TSD", 3: "DE", 4: "PSE", 5: "PAE", 6: "MCE", 7: "PGE", 8: "PCE", 9: "OSFXSR", 10: "OSXMMEXCPT",
         11: "UMIP", 12: "LA57", 16: "FSGSBASE", 17: "PCIDE", 18: "OSXSAVE", 20: "SMEP", 21: "SMAP" },
  efer: { 0: "SCE", 8: "LME", 10: "LMA", 11: "NXE" },
};

function bitNames(name, value) {
  const names = BIT_NAMES[name];
  return names ? Object.entries(names).filter(([bit]) => (BigInt(value) >> BigInt(bit) & 1n) !== 0n).map(([, word]) => word).join(" ") : "";
}

function registerElement(name, value) {
  const bits = bitNames(name, value);
  return el("div", {}, el("dt", {}, name), el("dd", { class: BigInt(value) === 0n ? "zero" : null }, value,
    bits ? el("small", {}, bits) : null));
}

function registerGroup(title, registers) {
  return el("div", {}, el("h3", {}, title), el("dl", { class: "registers" },
    ...Object.entries(registers).map(([name, value]) => registerElement(name, value))));
}

function segmentsElement(segments) {
  const rows = Object.entries(segments).map(([name, segment]) => el("tr", {}, el("td", { class: "mono quiet" }, name),
    ...["selector", "base", "limit", "attributes"].map((key) => el("td", { class: "num" }, segment[key]))));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "segment"),
    ...["selector", "base", "limit", "attributes"].map((key) => el("th", { class: "num", scope: "col" }, key)))), el("tbody", {}, ...rows)));
}

function registersSection() {
  const registers = facts.registers;
  if (!registers)
    return section("registers", "Registers", "the processor did not give them");
  return section("registers", "Registers", "at the end", el("div", { class: "panel stack" },
    registerGroup("General", registers.general), registerGroup("Control", registers.control), segmentsElement(registers.segments)));
}

/* ---- source, with how often each line was executed ---- */

function lineRow(file, text, i) {
  const number = i + 1, hits = file.counts[number];
  const state = number === file.here ? "here" : hits === undefined ? "" : hits > 0 ? "hit" : "miss";
  return el("tr", { class: state || null }, el("td", { class: "n" }, String(number)),
    el("td", { class: "c" }, hits === undefined ? "" : count(hits)), el("td", { class: "t" }, text));
}

function fileElement(file) {
  return el("div", { class: "source", tabindex: "0", role: "region", "aria-label": file.name },
    el("table", {}, el("tbody", {}, ...file.lines.map((text, i) => lineRow(file, text, i)))));
}

function coverageOf(file) {
  const counts = Object.values(file.counts);
  return { lines: counts.length, hit: counts.filter((hits) => hits > 0).length };
}

function sourceSection() {
  if (!source || source.files.length === 0)
    return null;
  const output = el("div");
  const select = el("select", { class: "button", "aria-label": "File" }, ...source.files.map((file, i) => {
    const { lines, hit } = coverageOf(file);
    return el("option", { value: String(i) }, `${file.name} (${hit} of ${lines} lines)`);
  }));
  const show = () => {
    const file = source.files[Number(select.value)];
    output.replaceChildren(fileElement(file));
    const first = output.querySelector("tr.here") ?? output.querySelector("tr.hit");
    if (first)
      output.firstChild.scrollTop = Math.max(0, first.offsetTop - 160);
  };
  const first = source.files.find((file) => file.here) ?? source.files.find((file) => file.main) ?? source.files[0];
  select.value = String(source.files.indexOf(first));
  select.addEventListener("change", show);
  addEventListener("load", show);
  show();
  return section("source", "Source", "how often each line was executed", el("div", { class: "stack" }, el("div", { class: "tools" }, select), output));
}
