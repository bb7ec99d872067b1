"use strict";
(function () {
  function key(cell) {
    if (!cell) return "";
    const raw = cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim();
    const value = Number(raw.replace(/,/g, "").replace("\u2212", "-").replace("%", ""));
    return raw === "" || raw === "nan" || Number.isNaN(value) ? raw.toLowerCase() : value;
  }
  function compare(a, b) {
    const left = typeof a === "number", right = typeof b === "number";
    if (left && right) return a - b;
    if (left !== right) return left ? -1 : 1;
    return String(a).localeCompare(String(b));
  }
  document.querySelectorAll("table[data-sortable]").forEach(function (table) {
    const body = table.tBodies[0];
    table.querySelectorAll("thead th").forEach(function (head, i) {
      const button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        const up = head.getAttribute("aria-sort") !== "ascending";
        table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        Array.from(body.rows)
          .map((row) => [key(row.cells[i]), row])
          .sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0]))
          .forEach((pair) => body.appendChild(pair[1]));
      });
    });
  });
  const links = new Map();
  document.querySelectorAll(".toc a[href^='#']").forEach(function (link) {
    links.set(link.getAttribute("href").slice(1), link);
  });
  if (links.size && "IntersectionObserver" in window) {
    const seen = new Set();
    const observer = new IntersectionObserver(function (entries) {
      entries.forEach((e) => (e.isIntersecting ? seen.add(e.target.id) : seen.delete(e.target.id)));
      let first = true;
      links.forEach(function (link, id) {
        if (seen.has(id) && first) { link.setAttribute("aria-current", "true"); first = false; }
        else link.removeAttribute("aria-current");
      });
    }, { rootMargin: "-8% 0px -60% 0px" });
    links.forEach((_, id) => observer.observe(document.getElementById(id)));
  }
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach((d) => { d.open = true; });
  });
})();
