"""Points of plots name their subject and open its page; in a shared report they name nobody."""

from __future__ import annotations

import csv
import io
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from browser import Browser
from popscan.report import render_study


@pytest.fixture(scope="module")
def pages(make_context, tmp_path_factory):
    context = make_context(40, flagged=3)
    folder = tmp_path_factory.mktemp("points")
    inner = render_study(context, folder / "report")
    shared = render_study(context, folder / "share", share=True)
    return context, inner, shared


def points(html: str) -> list[tuple[str, str, str]]:
    """Unit, page and words of every point."""
    found = re.findall(
        r'<a class="pt" tabindex="-1" data-u="([^"]*)"(?: href="([^"]*)")?>'
        r"<title>(.*?)</title><use",
        html,
    )
    return [tuple(one) for one in found]


def test_a_point_is_the_subject_that_it_names(pages):
    context, inner, _ = pages
    html = inner.read_text(encoding="utf-8")
    named = points(html)
    values = context.biomarkers.set_index("unit")["lvef_pct"]
    here = {unit: words for unit, _, words in named if ": LVEF (%)" in words}
    assert set(here) == set(values.dropna().index)
    for unit, words in here.items():
        shown = float(re.search(r"LVEF \(%\) ([\d.]+),", words)[1])
        assert shown == pytest.approx(values[unit], abs=0.06)
    there = {page.stem for page in (inner.parent / "subjects").glob("*.html")}
    assert there
    for unit, href, _ in named:
        assert href == (f"subjects/{unit}.html" if unit in there else "")
    dice = context.scores.query("structure == 'rv' and phase == 'ES' and not seen_in_training")
    drawn = [words for _, _, words in named if "RV cavity" in words and words.endswith(", ES")]
    assert len(drawn) == dice["dice"].notna().sum()


def test_a_shared_report_has_no_points_and_no_index(pages):
    html = pages[2].read_text(encoding="utf-8")
    body = html.split("</style>")[1].split("<script>")[0]
    assert points(html) == []
    for trace in ("data-u=", "subject-index", "sub-", "popscan page", 'class="loop"'):
        assert trace not in body


@pytest.mark.browser
def test_downloads_hold_what_is_shown_and_nothing_else(pages, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.downloads(tmp_path)
        browser.open(pages[2])
        browser.wait("document.querySelectorAll('.tools button').length > 5")
        wrap = "Array.from(document.querySelectorAll('table')).find((t) => t.caption.textContent"
        table = f"{wrap}.startsWith('Subjects by stage'))"
        text = browser.run(f"{table}.textContent")
        button = f"{table}.closest('.table-wrap').previousElementSibling.querySelector('button')"
        browser.run(f"{button}.click()")
        for _ in range(200):
            saved = list(tmp_path.glob("subjects-by-stage*.csv"))
            if saved and saved[0].stat().st_size:
                break
            browser.run("new Promise((done) => setTimeout(done, 20))")
        assert browser.errors == []
    rows = list(csv.reader(io.StringIO(saved[0].read_text(encoding="utf-8-sig"))))
    cells = [cell for row in rows[1:] for cell in row]
    assert "< 5" in cells
    assert [cell for cell in cells if cell not in text] == []
    numeric = pd.to_numeric(pd.Series(cells).str.replace(",", ""), errors="coerce").dropna()
    assert (numeric % 5 == 0).all()


@pytest.mark.browser
def test_sorting_filter_search_and_groups(pages, tmp_path):
    context, inner, _ = pages
    with Browser(tmp_path) as browser:
        browser.open(inner)
        browser.wait("document.querySelectorAll('th button').length > 20")
        browser.run("document.querySelector('[data-do=all]').click()")
        grouped = "document.querySelector('#biomarkers table')"
        before = browser.run(f"{grouped}.tBodies[0].innerText")
        heads = f"Array.from({grouped}.querySelectorAll('tr.group')).map((r) => r.innerText)"
        order = browser.run(heads)
        button = f"{grouped}.querySelectorAll('th button')[3]"
        browser.run(f"{button}.click()")
        means = (
            f"Array.from({grouped}.querySelectorAll('tr.group + tr')).map((r) => "
            "[r.cells[3].innerText, r.nextElementSibling.cells[3].innerText].map(Number))"
        )
        assert all(first <= second for first, second in browser.run(means) if second == second)
        assert browser.run(heads) == order
        browser.run(f"{button}.click(); {button}.click()")  # downwards, then as it was
        assert browser.run(f"{grouped}.tBodies[0].innerText") == before
        unit = context.biomarkers["unit"].iloc[0]
        browser.press("/")
        browser.press(unit)
        hits = "Array.from(document.querySelectorAll('#toolbar ol li')).map((l) => l.innerText)"
        assert len(browser.run(hits)) == 1
        assert unit in browser.run(hits)[0]
        women = (
            "(() => { const s = document.querySelector('#toolbar select');"
            " s.value = Array.from(s.options).find((o) => o.textContent === 'female').value;"
            " s.dispatchEvent(new Event('change'));"
            " const lit = document.querySelectorAll('.pt:not(.out)');"
            " return Array.from(lit).map((p) => p.dataset.u) })()"
        )
        lit = set(browser.run(women))
        people = context.participants
        female = people.loc[people["sex"] == "female", "participant_id"] + "_ses-01"
        assert lit
        assert lit <= set(female)
        assert browser.errors == []


@pytest.mark.browser
def test_plots_come_closer_and_points_come_apart(pages, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(pages[1])
        browser.wait("document.querySelectorAll('figure > .tools').length > 0")
        browser.run("document.querySelector('[data-do=all]').click()")
        chart = "document.querySelector('svg.chart:has(.pt)')"
        two = (
            f"Array.from({chart}.querySelectorAll('.pt use')).slice(0, 2)"
            ".map((u) => u.getBoundingClientRect())"
        )
        where = f"(() => {{ const [a, b] = {two}; return [b.x - a.x, b.y - a.y, a.width] }})()"
        box = f"{chart}.getAttribute('viewBox').split(' ').map(Number)"
        before, whole = browser.run(where), browser.run(box)
        buttons = f"{chart}.previousElementSibling.querySelectorAll('button')"
        browser.run(f"{buttons}[0].click()")
        after, close = browser.run(where), browser.run(box)
        assert close[2:] == pytest.approx([side / 1.6 for side in whole[2:]], abs=1e-3)
        assert after[:2] == pytest.approx([1.6 * step for step in before[:2]], abs=0.5)
        assert after[2] == pytest.approx(before[2], rel=0.05)
        for _ in range(20):
            browser.run(f"{buttons}[0].click()")
        assert browser.run(box)[2] == pytest.approx(whole[2] / 16, abs=1e-3)
        browser.run(f"{buttons}[2].click()")
        assert browser.run(box) == whole
        assert browser.errors == []


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(pages, tmp_path, theme):
    script = _axe()
    with Browser(tmp_path) as browser:
        browser.send("Page.setBypassCSP", enabled=True)
        for page in (pages[1], next((pages[1].parent / "subjects").glob("*.html"))):
            browser.open(page)
            browser.run(f"document.documentElement.dataset.theme = '{theme}'")
            browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            browser.wait("document.querySelectorAll('.tools button').length > 0")
            browser.run(script + "; true")
            found = browser.run(
                "axe.run({resultTypes: ['violations']}).then((r) => r.violations"
                ".filter((v) => ['serious', 'critical'].includes(v.impact))"
                ".map((v) => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200)]))"
            )
            assert found == []


def _axe() -> str:
    """Text of axe-core: of the file in POPSCAN_AXE, else as axe-playwright-python brings it."""
    named = os.environ.get("POPSCAN_AXE")
    if named:
        return Path(named).read_text(encoding="utf-8")
    package = find_spec("axe_playwright_python")  # not imported: Playwright is not needed
    if package is None:
        pytest.skip("no axe-core: pip install axe-playwright-python, or POPSCAN_AXE=.../axe.min.js")
    folder = Path(package.submodule_search_locations[0])
    return (folder / "axe.min.js").read_text(encoding="utf-8")
