"use strict";
(function () {
  // Plots with points: closer, away, whole; dragged when close. Points keep their size, so that
  // those which lie on each other come apart.
  const CLOSEST = 16;
  function zoomable(chart) {
    const whole = chart.getAttribute("viewBox").split(" ").map(Number);
    let closer = 1, left = whole[0], top = whole[1];
    const marks = Array.from(chart.querySelectorAll(".pt use")).map((mark) =>
      [mark, Number(mark.getAttribute("x")), Number(mark.getAttribute("y"))]);
    const shown = () => [left, top, whole[2] / closer, whole[3] / closer];
    const between = (value, low, high) => Math.min(Math.max(value, low), high);
    function show() {
      left = between(left, whole[0], whole[0] + whole[2] * (1 - 1 / closer));
      top = between(top, whole[1], whole[1] + whole[3] * (1 - 1 / closer));
      chart.setAttribute("viewBox", shown().map((n) => +n.toFixed(3)).join(" "));
      // Not by CSS: browsers disagree about where the middle of a <use> with x and y is.
      marks.forEach(([mark, x, y]) => mark.setAttribute("transform",
        `translate(${x} ${y}) scale(${1 / closer}) translate(${-x} ${-y})`));
      chart.classList.toggle("close", closer > 1);
    }
    function to(scale, across, down) {
      const next = between(scale, 1, CLOSEST), box = shown();
      left = box[0] + across * (box[2] - whole[2] / next);
      top = box[1] + down * (box[3] - whole[3] / next);
      closer = next;
      show();
    }
    const caption = chart.getAttribute("aria-label") || "plot";
    const bar = document.createElement("div");
    bar.className = "tools";
    [["+", "Closer", () => to(closer * 1.6, 0.5, 0.5)], ["\u2212", "Away", () => to(closer / 1.6, 0.5, 0.5)],
      ["1:1", "Whole", () => to(1, 0.5, 0.5)]].forEach(function ([sign, word, act]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.title = word;
      button.setAttribute("aria-label", word + ": " + caption);
      button.addEventListener("click", act);
      bar.appendChild(button);
    });
    chart.parentNode.insertBefore(bar, chart);
    const place = function (event) {
      const box = chart.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    chart.addEventListener("dblclick", (event) => to(closer * 1.6, ...place(event)));
    // The wheel scrolls the page; with Ctrl, or two fingers apart, it brings the plot closer.
    chart.addEventListener("wheel", function (event) {
      if (!event.ctrlKey) return;
      event.preventDefault();
      to(closer * Math.exp(-event.deltaY / 200), ...place(event));
    }, { passive: false });
    let from = null;
    chart.addEventListener("pointerdown", function (event) {
      if (closer > 1 && !event.target.closest(".pt")) from = [...place(event), left, top];
    });
    chart.addEventListener("pointermove", function (event) {
      if (!from) return;
      const now = place(event);
      left = from[2] - ((now[0] - from[0]) * whole[2]) / closer;
      top = from[3] - ((now[1] - from[1]) * whole[3]) / closer;
      show();
    });
    ["pointerup", "pointerleave", "pointercancel"].forEach((what) =>
      chart.addEventListener(what, () => { from = null; }));
    window.addEventListener("beforeprint", () => to(1, 0.5, 0.5));
  }
  setTimeout(() => document.querySelectorAll("figure > svg.chart").forEach(function (chart) {
    if (chart.querySelector(".pt")) zoomable(chart);
  }), 0);
})();
