"use strict";
(function () {
  const $$ = (what, root) => Array.from((root || document).querySelectorAll(what));
  function make(tag, attributes, text) {
    const node = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([k, v]) => node.setAttribute(k, v));
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // --- tables: sorting, filter, download as they are shown --------------------------------------
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
  const isHead = (row) => row.classList.contains("group") || row.classList.contains("aside");
  function blocksOf(body) {
    const blocks = [];
    Array.from(body.rows).forEach(function (row) {
      if (isHead(row) && (!blocks.length || blocks[blocks.length - 1].rows.length))
        blocks.push({ heads: [row], rows: [] });
      else if (isHead(row)) blocks[blocks.length - 1].heads.push(row);
      else if (blocks.length) blocks[blocks.length - 1].rows.push(row);
      else blocks.push({ heads: [], rows: [row] });
    });
    return blocks;
  }
  function sortable(table) {
    const body = table.tBodies[0], first = blocksOf(body);
    if (first.every((block) => block.rows.length < 2)) return;
    $$("thead th", table).forEach(function (head, i) {
      if (!head.textContent.trim()) return;
      const button = make("button", { type: "button" });
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        const was = head.getAttribute("aria-sort");
        $$("th[aria-sort]", table).forEach((th) => th.removeAttribute("aria-sort"));
        const next = { ascending: "descending", descending: "" }[was];
        const sign = next === undefined ? 1 : next ? -1 : 0;
        if (sign) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        first.forEach(function (block) {
          block.heads.forEach((row) => body.appendChild(row));
          const rows = sign
            ? block.rows.map((row) => [key(row.cells[i]), row])
                .sort((a, b) => sign * compare(a[0], b[0])).map((pair) => pair[1])
            : block.rows;
          rows.forEach((row) => body.appendChild(row));
        });
      });
    });
  }
  function filter(table, text) {
    const wanted = text.trim().toLowerCase();
    blocksOf(table.tBodies[0]).forEach(function (block) {
      const head = block.heads.some((row) => row.textContent.toLowerCase().includes(wanted));
      let left = 0;
      block.rows.forEach(function (row) {
        row.hidden = !head && !row.textContent.toLowerCase().includes(wanted);
        left += !row.hidden;
      });
      block.heads.forEach((row) => { row.hidden = !left; });
    });
  }
  function quoted(text) {
    const flat = text.replace(/\s+/g, " ").trim().replace(/^\u2212(?=[\d.])/, "-");
    const number = /^[-+]?[\d.,]+%?$/.test(flat);
    // What a spreadsheet would compute stays text.
    const safe = /^[=+@\-\t]/.test(flat) && !number ? "'" + flat : flat;
    return /[",\n]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
  }
  const shown = (cell) => $$("svg", cell).length && !cell.innerText.trim()
    ? $$("svg", cell).map((s) => s.getAttribute("aria-label") || "").join(" ")
    : $$("svg", cell).reduce((t, s) => t.replace(s.textContent, ""), cell.textContent);
  function csv(table) {
    const blocks = blocksOf(table.tBodies[0]), grouped = blocks.some((b) => b.heads.length);
    const titles = $$("thead th", table).map(shown);
    const lines = [(grouped ? ["Of"] : []).concat(titles)];
    blocks.forEach(function (block) {
      const of = block.heads.filter((r) => r.classList.contains("group")).map((r) => r.textContent);
      block.rows.filter((row) => !row.hidden).forEach(function (row) {
        lines.push((grouped ? [of.join(" ")] : []).concat(Array.from(row.cells).map(shown)));
      });
    });
    return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }
  function save(name, type, text) {
    const url = URL.createObjectURL(new Blob(["\ufeff" + text], { type: type }));
    const link = make("a", { href: url, download: name });
    document.body.appendChild(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
  function tools(table) {
    const caption = table.caption ? table.caption.textContent : "table";
    const bar = make("div", { class: "tools" });
    if ($$("tbody tr", table).length > 7) {
      const field = make("input", {
        type: "search", placeholder: "Filter rows", "aria-label": "Filter rows of: " + caption,
      });
      field.addEventListener("input", () => filter(table, field.value));
      bar.appendChild(field);
    }
    const button = make("button", {
      type: "button", title: "The table as it is shown, as CSV",
      "aria-label": "Download as CSV: " + caption,
    }, "CSV");
    const stem = caption.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    button.addEventListener("click", () =>
      save((stem.slice(0, 60) || "table") + ".csv", "text/csv", csv(table)));
    bar.appendChild(button);
    const wrap = table.closest(".table-wrap") || table;
    wrap.parentNode.insertBefore(bar, wrap);
  }

  // --- sections: opened by links, and all for print; what is folded in them stays as it is -------------------------------------------------
  const sections = $$("details.section");
  function reveal(id) {
    const target = id && document.getElementById(id);
    if (!target) return;
    $$("details", target).slice(0, 1).forEach((d) => { d.open = true; });
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  }
  const hash = () => reveal(decodeURIComponent(location.hash.slice(1)));
  $$("a[href^='#']").forEach(function (link) {
    link.addEventListener("click", () => setTimeout(() => reveal(link.hash.slice(1)), 0));
  });
  window.addEventListener("hashchange", hash);
  let closed = [];
  window.addEventListener("beforeprint", function () {
    closed = $$("details.section").filter((d) => !d.open);
    closed.forEach((d) => { d.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));

  // --- toolbar: light or dark, all sections, subjects, groups -----------------------------------
  const root = document.documentElement;
  const stored = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("popscan-theme");
      localStorage.setItem("popscan-theme", value);
    } catch (error) { /* a browser that keeps nothing */ }
    return null;
  };
  if (stored()) root.dataset.theme = stored();
  const bar = document.getElementById("toolbar");
  if (bar) {
    bar.hidden = false;
    const theme = bar.querySelector("[data-do='theme']");
    theme.addEventListener("click", function () {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      stored(root.dataset.theme);
    });
    const all = bar.querySelector("[data-do='all']");
    if (all) all.addEventListener("click", function () {
      const open = sections.some((d) => !d.open);
      sections.forEach((d) => { d.open = open; });
      all.textContent = open ? "Close all" : "Open all";
    });
  }

  // --- subjects: search, points of plots, groups ------------------------------------------------
  const data = document.getElementById("subject-index");
  let known = null;
  function subjects() {
    if (known) return known;
    const lines = data.content.textContent.split("\n");
    const head = JSON.parse(lines[0]);
    known = { head: head, rows: lines.slice(1).filter(Boolean).map((l) => l.split("\t")) };
    known.at = new Map(known.rows.map((row) => [row[0], row]));
    return known;
  }
  const page = (row) => row[2] ? "subjects/" + encodeURIComponent(row[2] === "1" ? row[0] + ".html" : row[2]) : "";
  function describe(row) {
    const head = subjects().head;
    const item = make("li");
    const where = page(row);
    item.appendChild(where ? make("a", { href: where }, row[0]) : make("b", {}, row[0]));
    const words = [head.status[row[1]]];
    head.groups.forEach((group, i) => words.push(group.levels[row[3 + i]]));
    item.appendChild(make("span", {}, " " + words.filter(Boolean).join(", ")));
    if (!where) item.appendChild(make("code", {}, "popscan page " + row[0]));
    return item;
  }
  if (bar && data) {
    const field = bar.querySelector("input[type='search']"), list = bar.querySelector("ol");
    const look = function () {
      const wanted = field.value.trim().toLowerCase();
      list.replaceChildren();
      list.hidden = !wanted;
      if (!wanted) return;
      const hits = [];
      for (const row of subjects().rows) {
        if (row[0].toLowerCase().includes(wanted)) hits.push(row);
        if (hits.length > 12) break;
      }
      hits.slice(0, 12).forEach((row) => list.appendChild(describe(row)));
      if (hits.length > 12) list.appendChild(make("li", { class: "more" }, "… and more"));
      if (!hits.length) {
        const others = subjects().head.others;
        const words = others ? "Not among those listed here; " + others + " others are not: " : "No such subject";
        const item = make("li", {}, words);
        if (others) item.appendChild(make("code", {}, "popscan page " + field.value.trim()));
        list.appendChild(item);
      }
    };
    field.addEventListener("input", look);
    field.addEventListener("keydown", function (event) {
      if (event.key === "Escape") { field.value = ""; look(); }
      if (event.key === "Enter" && list.querySelector("a")) list.querySelector("a").click();
    });
    document.addEventListener("keydown", function (event) {
      if (event.key !== "/" || /INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName)) return;
      event.preventDefault();
      field.focus();
    });
    const points = () => $$(".pt");
    const mark = (unit) => points().forEach((p) => p.classList.toggle("same", p.dataset.u === unit));
    document.addEventListener("mouseover", function (event) {
      const point = event.target.closest && event.target.closest(".pt");
      if (point) mark(point.dataset.u);
    });
    document.addEventListener("focusin", function (event) {
      const point = event.target.closest(".pt");
      if (point) mark(point.dataset.u);
    });
    document.addEventListener("click", function (event) {
      const point = event.target.closest && event.target.closest(".pt");
      if (!point || point.getAttribute("href")) return;
      field.value = point.dataset.u;
      look();
      field.focus();
    });
    // One stop of the tab key per drawing; arrows go from point to point.
    $$("svg.chart").forEach(function (chart) {
      const own = $$(".pt", chart);
      if (!own.length) return;
      own[0].setAttribute("tabindex", "0");
      chart.addEventListener("keydown", function (event) {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        const at = own.indexOf(document.activeElement);
        if (event.key === "Enter" && at >= 0 && !own[at].getAttribute("href"))
          own[at].dispatchEvent(new MouseEvent("click", { bubbles: true }));
        if (!step || at < 0) return;
        event.preventDefault();
        own[(at + step + own.length) % own.length].focus();
      });
    });
    const brush = bar.querySelector("select");
    const head = JSON.parse(data.content.textContent.split("\n", 1)[0]);
    head.groups.forEach(function (group, i) {
      const set = make("optgroup", { label: group.title });
      group.levels.forEach((level, j) =>
        set.appendChild(make("option", { value: i + "," + j }, level)));
      brush.appendChild(set);
    });
    brush.hidden = !head.groups.length || !document.querySelector(".pt");
    brush.addEventListener("change", function () {
      const [i, j] = brush.value.split(",");
      points().forEach(function (p) {
        const row = brush.value && subjects().at.get(p.dataset.u);
        p.classList.toggle("out", Boolean(brush.value) && !(row && row[3 + Number(i)] === j));
      });
    });
  }

  // --- loops over frames ----------------------------------------------------------------------------
  $$(".loop").forEach(function (loop) {
    const frames = Number(loop.dataset.frames), height = 100 / frames;
    const sheet = loop.querySelector("img"), layers = $$("g[data-frame]", loop);
    const slider = loop.querySelector("input"), play = loop.querySelector("[data-do='play']");
    const lines = loop.querySelector("[data-do='lines']");
    let at = 0, timer = 0;
    function show(frame) {
      at = (frame + frames) % frames;
      sheet.style.transform = "translateY(" + -at * height + "%)";
      layers.forEach((g) => g.setAttribute("display", Number(g.dataset.frame) === at ? "inline" : "none"));
      slider.value = at;
      slider.setAttribute("aria-valuetext", "frame " + (at + 1) + " of " + frames);
      loop.dispatchEvent(new CustomEvent("frame", { detail: at, bubbles: true }));
    }
    function run(on) {
      clearInterval(timer);
      timer = on ? setInterval(() => show(at + 1), 1200 / frames) : 0;
      play.textContent = on ? "Pause" : "Play";
      play.setAttribute("aria-pressed", String(on));
    }
    loop.querySelector(".controls").hidden = frames < 2;
    play.addEventListener("click", () => run(!timer));
    slider.addEventListener("input", () => { run(false); show(Number(slider.value)); });
    lines.addEventListener("click", function () {
      const off = loop.classList.toggle("bare");
      lines.setAttribute("aria-pressed", String(!off));
    });
    loop.addEventListener("loop", function (event) {
      if (event.detail === "play") run(!timer);
      if (event.detail === "stop") run(false);
      if (event.detail === "start") run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
      if (event.detail === "lines") lines.click();
      if (typeof event.detail === "number") { run(false); show(at + event.detail); }
    });
    show(0);
    if (!loop.closest("[hidden]") && !matchMedia("(prefers-reduced-motion: reduce)").matches) run(frames > 1);
  });

  // --- contents: what is being read -------------------------------------------------------------
  const links = new Map();
  $$(".toc a[href^='#']").forEach((link) => links.set(link.getAttribute("href").slice(1), link));
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
  // Behind the first paint.
  setTimeout(function () {
    $$("table[data-sortable]").forEach(sortable);
    $$("table").forEach(tools);
    // On a narrow screen drawings scroll sideways: by keys, too.
    if (window.innerWidth <= 900)
      $$("figure").filter((f) => f.querySelector("svg.chart, img.wide"))
        .forEach((f) => { f.tabIndex = 0; });
    if (location.hash) hash();
  }, 0);
})();
