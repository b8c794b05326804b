"use strict";
(function () {
  const body = document.querySelector("tbody");
  const rows = [...body.querySelectorAll("tr.row")];
  const heads = [...document.querySelectorAll("th")];
  const filter = document.getElementById("filter"), status = document.getElementById("status");
  const buttonOf = (row) => row.querySelector("td.name button");
  const nameOf = (row) => buttonOf(row).textContent;
  const visible = () => [...body.querySelectorAll("tr.row:not([hidden])")];

  async function unpack(link) {
    const bytes = Uint8Array.from(atob(link.dataset.gz), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const blob = await new Response(stream).blob();
    link.href = URL.createObjectURL(new Blob([blob], {type: "application/octet-stream"}));
    delete link.dataset.gz;
  }

  function open(row) {
    const button = buttonOf(row), below = document.createElement("tr"), cell = document.createElement("td");
    below.className = "open";
    cell.colSpan = row.cells.length;
    cell.append(document.getElementById("s" + button.dataset.index).content.cloneNode(true));
    below.append(cell);
    row.after(below);
    button.setAttribute("aria-expanded", "true");
    if (window.DecompressionStream)
      cell.querySelectorAll("a[data-gz]").forEach(unpack);
  }

  function close(row) {
    const below = row.nextElementSibling;
    if (below && below.classList.contains("open")) {
      below.querySelectorAll("a[href^='blob:']").forEach((link) => URL.revokeObjectURL(link.href));
      below.remove();
    }
    buttonOf(row).setAttribute("aria-expanded", "false");
  }

  function toggle(row) {
    if (buttonOf(row).getAttribute("aria-expanded") === "true")
      close(row);
    else
      open(row);
  }

  function choose() {
    const words = filter.value.toLowerCase(), wanted = status.value;
    for (const row of rows) {
      row.hidden = !nameOf(row).toLowerCase().includes(words) || (wanted !== "" && row.dataset.status !== wanted);
      if (row.hidden)
        close(row);
    }
    const count = visible().length;
    document.getElementById("shown").textContent = count === rows.length ? "" : count + " of " + rows.length;
  }

  function valueOf(row, column, isNumber) {
    const cell = row.cells[column];
    return isNumber ? Number(cell.dataset.value) : cell.textContent;
  }

  function sort(column) {
    const head = heads[column], isNumber = head.firstChild.dataset.kind === "number";
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : isNumber;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const collator = new Intl.Collator(undefined, {numeric: true});
    rows.forEach(close);
    rows.sort(function (one, other) {
      const a = valueOf(one, column, isNumber), b = valueOf(other, column, isNumber);
      const order = isNumber ? a - b : collator.compare(a, b);
      return (down ? -order : order) || collator.compare(nameOf(one), nameOf(other));
    });
    body.append(...rows);
  }

  function move(by) {
    const list = visible(), at = list.findIndex((row) => row.contains(document.activeElement));
    const next = list[at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + by))];
    if (next)
      buttonOf(next).focus();
  }

  body.addEventListener("click", function (event) {
    const row = event.target.closest("tr.row");
    if (row)
      toggle(row);
  });
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sort(column)));
  document.getElementById("sort").addEventListener("change", (event) => sort(Number(event.target.value)));
  filter.addEventListener("input", choose);
  status.addEventListener("change", choose);
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", function (event) {
    const typing = event.target.matches("input, select");
    if (event.ctrlKey || event.altKey || event.metaKey)
      return;
    if (event.key === "/" && !typing) {
      event.preventDefault();
      filter.focus();
    } else if (event.key === "Escape") {
      rows.forEach(close);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !event.target.matches("select, pre")) {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    }
  });
})();
