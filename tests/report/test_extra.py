"""Sections that other parts of popscan add: shown where they may be, without small cells."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from popscan.report import Extra, StudyContext, render_study
from popscan.report.figures.forest import interval_cell
from popscan.stages.report import extras
from popscan.stages.report.extras import extra_sections

TABLE = pd.DataFrame(
    {"group": ["women", "men", "few"], "n": [103, 98, 3], "auc": [0.81, 0.79, 0.5]}
)


def made(study_root, config):
    """Return a section as another part of popscan would."""
    return Extra(
        ident="seen", title="Can sex be seen?", sentences=["It can, at an AUC of 0.81."],
        tables=[("AUC by group", TABLE)], notes=["Not a biomarker."], shared=config["shared"],
        figures=[(interval_cell(0.8, 0.7, 0.9, limits=(-1, 1)), "AUC")],
    )  # fmt: skip


def nothing(study_root, config):
    """Return no section."""
    return


def test_registered_functions_make_sections(monkeypatch, tmp_path):
    here = made.__module__
    monkeypatch.setattr(extras, "EXTRAS", {"none": f"{here}:nothing", "seen": f"{here}:made"})
    (section,) = extra_sections(tmp_path, {"shared": True})
    assert section.title == "Can sex be seen?"


def test_a_section_is_shared_only_if_it_says_so(tmp_path, make_context):
    context = replace(make_context(12, flagged=0), extras=[made(None, {"shared": False})])
    html = render_study(context, tmp_path).read_text(encoding="utf-8")
    assert 'id="seen"' in html
    assert "Can sex be seen?" in html
    assert "few" in html
    shared = render_study(context, tmp_path / "s", share=True).read_text(encoding="utf-8")
    assert "Can sex be seen?" not in shared


def test_small_cells_of_a_shared_section_are_left_out(tmp_path, read_tables):
    context = StudyContext(name="x", extras=[made(None, {"shared": True})])
    html = render_study(context, tmp_path, share=True).read_text(encoding="utf-8")
    (table,) = read_tables(html, "AUC by group")
    assert table["Group"].tolist() == ["women", "men"]
    assert table["n"].tolist() == [105, 100]
    assert "AUC of 0.81" not in html
    masked = replace(context.extras[0], shared_sentences=["It can, in < 5 places."])
    context = replace(context, extras=[masked])
    shared = render_study(context, tmp_path, share=True).read_text(encoding="utf-8")
    assert "It can, in &lt; 5 places." in shared


def test_text_of_a_section_is_escaped(tmp_path):
    extra = Extra(ident="x", title="a <b>", figures=[(Markup("<svg></svg>"), "<i>c</i>")])
    html = render_study(StudyContext(extras=[extra]), tmp_path).read_text(encoding="utf-8")
    assert "a &lt;b&gt;" in html
    assert "&lt;i&gt;c" in html
