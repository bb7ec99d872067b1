(function () {
  const form = document.getElementById("judge");
  if (!form) return;
  const articles = Array.from(document.querySelectorAll("article.subject"));
  const by = (id) => document.getElementById(id);
  const name = by("name"), reason = by("reason"), hint = by("hint"), place = by("place");
  const reasons = Array.from(by("reasons").children).map((option) => option.value);
  const verdicts = new Map(), buttons = Array.from(form.querySelectorAll("[data-verdict]"));
  // Rows of the overrides that the study has already: kept unless judged anew.
  JSON.parse(by("earlier").content.textContent).forEach((row) => verdicts.set(row.unit, row));
  let at = 0, chosen = "", saved = true;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());

  const unit = () => articles[at].dataset.unit;
  const loop = () => articles[at].querySelector(".loop");
  const send = (what) => loop() && loop().dispatchEvent(new CustomEvent("loop", { detail: what }));
  function press(verdict) {
    chosen = verdict;
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.verdict === verdict)));
  }
  function show(next) {
    send("stop");
    at = Math.max(0, Math.min(articles.length - 1, next));
    articles.forEach((article, i) => { article.hidden = i !== at; });
    const row = verdicts.get(unit());
    press(row ? row.verdict : "");
    reason.value = row ? row.reason : "";
    const done = articles.filter((article) => verdicts.has(article.dataset.unit)).length;
    place.textContent = (at + 1) + " of " + articles.length + ", " + done + " judged";
    hint.textContent = row ? "Judged by " + row.name + (row.date ? ", " + row.date : "") : "";
    send("start");
  }
  function keep() {
    const why = reason.value.replace(/\s+/g, " ").trim(), who = name.value.replace(/\s+/g, " ").trim();
    if (!chosen) { hint.textContent = "First a verdict: p, r or f"; return; }
    if (!why) { hint.textContent = "A reason is needed"; reason.focus(); return; }
    if (!who) { hint.textContent = "Your name is needed"; name.focus(); return; }
    const date = new Date().toISOString().slice(0, 10);
    verdicts.set(unit(), { unit: unit(), verdict: chosen, reason: why, name: who, date: date });
    saved = false;
    document.activeElement.blur();
    if (at === articles.length - 1) { show(at); hint.textContent = "That was the last one: s saves"; }
    else show(at + 1);
  }
  function clear() {
    saved = !verdicts.delete(unit()) && saved;
    show(at);
  }
  const cell = (text) => /["\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  function save() {
    const columns = ["unit", "verdict", "reason", "name", "date"];
    const lines = [columns.join("\t")];
    verdicts.forEach((row) => lines.push(columns.map((c) => cell(row[c] || "")).join("\t")));
    const url = URL.createObjectURL(
      new Blob([lines.join("\n") + "\n"], { type: "text/tab-separated-values" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "overrides.tsv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    saved = true;
    hint.textContent = verdicts.size + " verdicts saved to overrides.tsv";
  }
  const root = document.documentElement;
  function theme() {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }
  const verdict = (what) => { press(what); reason.focus(); reason.select(); };
  const does = {
    next: () => show(at + 1), back: () => show(at - 1), save: save, clear: clear, theme: theme,
  };
  form.addEventListener("click", function (event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.verdict) verdict(button.dataset.verdict);
    else does[button.dataset.do]();
  });
  const keys = {
    n: does.next, b: does.back, s: save, u: clear, c: () => send("lines"), " ": () => send("play"),
    p: () => verdict("pass"), r: () => verdict("review"), f: () => verdict("fail"),
    ArrowRight: () => send(1), ArrowLeft: () => send(-1), Enter: keep,
  };
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const field = event.target, writes = field === name || field === reason;
    if (event.key === "Escape") { field.blur(); return; }
    const preset = field === reason && !reason.value || !writes ? reasons[Number(event.key) - 1] : "";
    if (preset && chosen) { event.preventDefault(); reason.value = preset; keep(); return; }
    if (writes && event.key !== "Enter") return;
    if (field.matches("button, input[type='range'], summary, a") && [" ", "Enter", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  window.addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
  if (articles.length) show(0);
})();
