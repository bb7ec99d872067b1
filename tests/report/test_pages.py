"""The report as a reader gets it: whole, self-contained, escaped, and there for any input."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from popscan.report import FlaggedSubject, StudyContext, render_study
from popscan.report.pages import page_name
from popscan.report.text import stage_title
from popscan.report.units import status_matrix

SECTIONS = (
    "glance", "cohort", "attrition", "reconstruction", "segmentation", "qc", "biomarkers", "atlas",
    "fairness", "cost", "methods", "limits",
)  # fmt: skip
VOID = {"meta", "img", "br", "line", "path", "circle", "use", "rect", "link", "input", "hr"}


class Checker(HTMLParser):
    """Collects tags, ids and attributes, and complains of tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def parse(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def study(make_context, tmp_path_factory):
    context = make_context(40, flagged=4)
    index = render_study(context, tmp_path_factory.mktemp("study"), max_subject_pages=3)
    return context, index, index.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def nasty(make_context, make_hostile, tmp_path_factory):
    context = make_hostile(make_context(40, flagged=3))
    return render_study(context, tmp_path_factory.mktemp("nasty"))


def test_html_is_well_formed_with_every_section_and_unique_ids(study):
    checker = parse(study[2])
    assert len(checker.ids) == len(set(checker.ids))
    assert set(SECTIONS) <= set(checker.ids)
    hrefs = [a.get("href", "") for tag, a in checker.tags if tag == "a"]  # points may open none
    links = {href for href in hrefs if href.startswith("#")}
    assert {f"#{name}" for name in SECTIONS} <= links
    assert all(link[1:] in checker.ids for link in links)


def test_nothing_is_fetched_from_anywhere(study):
    for page in (study[1], *sorted((study[1].parent / "subjects").iterdir())):
        html = page.read_text(encoding="utf-8")
        assert not re.search(r"https?://|//\w+\.\w+/|@import|@font-face", html)
        for tag, attributes in parse(html).tags:
            source = attributes.get("src", "data:")
            assert source.startswith("data:"), tag
            target = attributes.get("href", "#")
            assert target.startswith(("#", "subjects/", "../index.html", "data:")), target


def test_pictures_and_tables_are_described(study):
    checker = parse(study[2])
    pictures = [a for tag, a in checker.tags if tag == "img"]
    assert pictures
    assert all(a.get("alt") for a in pictures)
    drawings = [a for tag, a in checker.tags if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in drawings)
    tables = [tag for tag, _ in checker.tags if tag in ("table", "caption")]
    assert tables.count("table") == tables.count("caption") > 8


def test_headings_descend_without_gaps(study):
    levels = [int(t[1]) for t, _ in parse(study[2]).tags if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_links_to_subjects_lead_somewhere(study):
    links = [a["href"] for tag, a in parse(study[2]).tags if a.get("href", "").startswith("subj")]
    assert links
    assert all((study[1].parent / link).is_file() for link in links)
    assert len(list((study[1].parent / "subjects").iterdir())) == 3


def test_statuses_add_up(study, read_tables):
    context, _, html = study
    table = read_tables(html, "every row adds up")[0]
    matrix = status_matrix(context)
    assert list(table["Stage"])[: matrix.shape[1]] == [stage_title(stage) for stage in matrix]
    assert (table.iloc[:, 1:-1].sum(axis=1) == table["Total"]).all()
    assert (table["Total"] == len(context.participants)).all()
    ok = (matrix == "ok").sum()
    assert list(table["Ok"])[: matrix.shape[1]] == list(ok)


def test_a_subject_without_record_is_counted(make_context, tmp_path, read_tables):
    context = make_context(12, flagged=0)
    torn = context.ledger.drop(context.ledger.index[-1])
    only = StudyContext(participants=context.participants, ledger=torn)
    html = render_study(only, tmp_path).read_text(encoding="utf-8")
    table = read_tables(html, "every row adds up")[0]
    assert (table["Total"] == 12).all()
    assert table["No record"].sum() >= 1
    assert "the run is not complete" in html


def test_training_subjects_stay_apart(study, read_tables):
    context, _, html = study
    seen, unseen = html.index("Subjects seen in training"), html.index("has not seen")
    assert unseen < seen
    n = context.scores.groupby("seen_in_training")["unit"].nunique()
    tables = read_tables(html, "Dice mean")
    assert list(tables[0]["Subjects"].unique()) == [n[False]]
    assert list(tables[1]["Subjects"].unique()) == [n[True]]
    # By hand: the first cell is the mean over unseen subjects only.
    rows = context.scores.query("structure == 'lv' and phase == 'ED' and not seen_in_training")
    assert float(tables[0]["Dice mean"][0]) == pytest.approx(rows["dice"].mean(), abs=5e-4)


def test_hidden_truth_is_never_shown(study):
    assert "truth" not in study[2].lower().replace("ground truth", "")


def test_markup_in_data_stays_text(nasty):
    for page in (nasty, *(nasty.parent / "subjects").iterdir()):
        html = page.read_text(encoding="utf-8")
        checker = parse(html)
        assert sum(tag == "script" for tag, _ in checker.tags) == 1
        assert not any(name.startswith("on") for name, _ in checker.attributes)
        assert not any(a.get("src") == "x" for _, a in checker.tags)
    html = nasty.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html
    assert "$\\frac{1}{" in html
    assert "x" * 290 not in html


def test_pages_stay_in_their_folder(nasty):
    inside = {page.name for page in (nasty.parent / "subjects").iterdir()}
    assert all("/" not in name and ".." not in name for name in inside)
    assert page_name("../../x") == page_name("../../x") != page_name("../x")
    assert page_name("sub-01_ses-2") == "sub-01_ses-2.html"
    assert sorted(p.name for p in nasty.parent.iterdir()) == ["index.html", "subjects"]


def test_same_input_same_bytes(make_context, tmp_path):
    pages = [
        render_study(make_context(9, flagged=2), tmp_path / name).parent for name in ("a", "b")
    ]
    for page in sorted(pages[0].rglob("*.html")):
        assert page.read_bytes() == (pages[1] / page.relative_to(pages[0])).read_bytes()


@pytest.mark.parametrize("share", [False, True])
def test_an_empty_study_says_why_everywhere(share, tmp_path):
    html = render_study(StudyContext(name="Nothing"), tmp_path, share=share).read_text("utf-8")
    parse(html)
    for ident in SECTIONS:
        section = html.split(f'<section id="{ident}"')[1].split("</section>")[0]
        assert 'class="empty"' in section
    assert "Traceback" not in html


def sick(context: StudyContext, how: str) -> StudyContext:
    """Return the study with one thing missing or broken."""
    changes: dict[str, dict] = {
        "no_labels": {"scores": pd.DataFrame(), "biomarkers": pd.DataFrame(), "atlas": {}},
        "no_ledger": {"ledger": pd.DataFrame()},
        "no_columns": {
            name: pd.DataFrame({"unit": ["sub-0001_ses-01"]})
            for name in ("ledger", "qc", "qc_checks", "biomarkers", "scores", "recon_scores",
                         "associations", "fairness_groups", "fairness_gaps", "participants")
        },
    }  # fmt: skip
    if how in changes:
        return replace(context, **changes[how])
    if how == "one_sex":
        return replace(context, participants=context.participants.assign(sex="female"))
    if how == "no_sex":
        return replace(context, participants=context.participants.drop(columns="sex"))
    if how == "all_nan":
        broken = {}
        for name in ("biomarkers", "scores", "recon_scores", "associations", "fairness_gaps",
                     "fairness_groups", "qc_checks"):  # fmt: skip
            table = getattr(context, name).copy()
            numeric = table.select_dtypes("float").columns
            table[numeric] = np.nan
            broken[name] = table
        return replace(context, **broken)
    if how == "infinite":
        table = context.biomarkers.copy()
        table.loc[0, "lvedv_ml"] = np.inf
        table["lvef_pct"] = 60.0
        return replace(context, biomarkers=table)
    if how == "all_failed":
        table = context.ledger.assign(status="skipped", reason="x")
        table.loc[table["stage"] == "ingest", "status"] = "failed"
        return replace(context, ledger=table, qc=pd.DataFrame(), biomarkers=pd.DataFrame())
    raise AssertionError(how)


def test_costs_per_1000_subjects_add_up(study):
    """1.75 core-hours and 0.75 GPU-hours in all; an unknown start-up is a dash."""
    html = study[2]
    table = html[html.index("Per 1,000 subjects.") :].split("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S) for row in table.split("<tr")]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:4]] for row in rows if row}
    assert cells[stage_title("ingest")] == ["0.250", "0", "\u2013"]
    assert cells[stage_title("in all")][:2] == ["1.75", "0.750"]


@pytest.mark.parametrize(
    "how",
    ["no_labels", "no_ledger", "no_columns", "one_sex", "no_sex", "all_nan", "infinite",
     "all_failed"],
)  # fmt: skip
def test_what_is_missing_costs_only_its_section(how, make_context, tmp_path):
    light = replace(make_context(9, flagged=1), atlas={}, recon_scores=pd.DataFrame())
    context = sick(light, how)
    html = render_study(context, tmp_path).read_text(encoding="utf-8")
    checker = parse(html)
    assert set(SECTIONS) <= set(checker.ids)
    assert "nan" not in re.sub(r"<[^>]+>", " ", html.split("<main")[1]).split()


def test_odd_flagged_subjects(tmp_path):
    image = np.zeros((20, 18, 1, 1), dtype=np.int16)
    flagged = [
        FlaggedSubject(unit="a", image=image, labels=np.zeros((2, 2, 2, 2), dtype=np.uint8)),
        FlaggedSubject(unit="b", image=np.full((8, 9, 2, 2), np.nan), volume_curve_ml=np.array([])),
        FlaggedSubject(unit="c", volume_curve_ml=np.array([np.nan, 80.0, np.nan, 90.0])),
        FlaggedSubject(unit="c", verdict="fail", reasons=["again"], frame_times_ms=np.arange(3.0)),
    ]
    index = render_study(StudyContext(flagged=iter(flagged)), tmp_path)
    names = sorted(page.name for page in (index.parent / "subjects").iterdir())
    assert names == ["a.html", "b.html", "c.html"]
    for name in names:
        parse((index.parent / "subjects" / name).read_text(encoding="utf-8"))
    assert "again" in index.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_thousand_subjects_stay_small(make_context, tmp_path):
    context = make_context(1000, flagged=30)
    index = render_study(context, tmp_path, max_subject_pages=25)
    assert index.stat().st_size < 8_000_000
    assert index.read_text(encoding="utf-8").count('class="tile"') <= 24


@pytest.mark.browser
def test_chromium_renders_it(nasty, study, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium; on Debian: apt-get install chromium")
    for index in (study[1], nasty):
        found = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000",
             f"--user-data-dir={tmp_path}", "--dump-dom", index.as_uri()],
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        for title in ("At a glance", "Attrition", "Fairness", "Problems and limits"):
            assert title in found.stdout
        # The script ran (it makes sort buttons) and broke nothing, and the policy let it.
        assert "<button" in found.stdout
        assert "CONSOLE" not in found.stderr, found.stderr
