/* The page as a whole. */

const redraws = []; /* what depends on colors */

function processorFacts() {
  return Object.fromEntries(textOf(facts.processor).split("\n").filter((line) => line.includes(": "))
    .map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
}

function summaryElements() {
  const processor = processorFacts();
  const exits = facts.exits.reduce((sum, exit) => sum + exit.count, 0);
  const items = [
    ["Instructions", processor.instructions ? count(processor.instructions) : "not counted", ""],
    ["Processor", processor.processor, ""],
    ["Memory", bytes(facts.machine.ram), `pages of ${bytes(facts.machine.page)}`],
    ["Exits", count(exits), ""],
    ["Time", duration(facts.timeline.ns), `${duration(facts.guest_ns)} in the guest`],
    ["Serial port", bytes(facts.serial_out.total), `out; ${bytes(facts.serial_in.total)} in`],
  ];
  return items.map(([name, value, more]) => el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("small", {}, more) : null)));
}

function header() {
  const name = nameOf(facts.machine.name);
  const verdict = document.getElementById("verdict");
  document.title = `${name}: ${facts.end.crash ? "crashed" : facts.end.kind}`;
  document.getElementById("name").textContent = name;
  verdict.append(el("span", {}, textOf(facts.end.text).split("\n")[0].replace(/0x0+(?=[0-9a-f])/g, "0x")));
  verdict.classList.toggle("crash", facts.end.crash);
  document.getElementById("image").textContent = nameOf(facts.machine.image);
  document.getElementById("summary").append(...summaryElements());
}

function contents(sections) {
  const links = sections.map((part) => el("a", { href: `#${part.id}` }, part.id === "crash" ? "Crash" : part.querySelector("h2").textContent));
  document.getElementById("contents").append(...links.map((link) => el("li", {}, link)));
  const mark = () => {
    const current = sections.filter((part) => part.getBoundingClientRect().top < innerHeight * .35).at(-1);
    for (const link of links) {
      if (link.hash === `#${current?.id}`)
        link.setAttribute("aria-current", "true");
      else
        link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

function themeButton() {
  const button = document.getElementById("theme");
  const show = () => {
    applyTheme();
    button.textContent = document.documentElement.dataset.theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} theme`);
    for (const redraw of redraws)
      redraw();
  };
  button.addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", next);
    } catch {
      /* it lasts until the page is closed */
    }
    document.documentElement.dataset.theme = next;
    show();
  });
  dark.addEventListener("change", show);
  show();
}

function start() {
  header();
  const sections = [crashSection(), sourceSection(), memorySection(), tablesSection(), timelineSection(), filesSection(), serialSection(),
                    registersSection()].filter((part) => part !== null);
  document.getElementById("content").replaceChildren(...sections);
  contents(sections);
  themeButton();
}

start();
