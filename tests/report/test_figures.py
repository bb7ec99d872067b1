"""Figures and words: hand-computed cases and laws."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.labels import Label
from popscan.report import StudyContext
from popscan.report import share as share_module
from popscan.report import text as text_module
from popscan.report.blocks import Table
from popscan.report.figures import base, curve, forest, overlays
from popscan.report.figures.attrition import flow
from popscan.report.figures.curve import volume_curve
from popscan.report.figures.distributions import Violins, stacked, thin, violins
from popscan.report.figures.forest import axis_limits, heat, interval_cell
from popscan.report.figures.overlays import label_box, middle_slice, slice_grid, thumbnail, tile
from popscan.report.pages import _environment
from popscan.report.sections.attrition import section as lost
from popscan.report.sections.common import Options
from popscan.report.sections.methods import methods
from popscan.report.sections.overview import section as glance
from popscan.report.text import stage_title
from popscan.report.units import final_status, status_matrix, unit_column, verdicts
from popscan.stages import FINAL_STAGE, SUBJECT_STAGES

OUTLINES = get_protocol("cine_sax").labels.outlines


@pytest.mark.parametrize("module", [text_module, share_module, base, curve, forest, overlays])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_contours_lie_on_the_edge_of_the_label():
    image = np.full((40, 40), 100.0)
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[10:20, 12:30] = Label.LV
    picture = np.asarray(tile(image, labels, outlines=OUTLINES, size_px=160)).astype(int)
    coloured = (np.ptp(picture, axis=2) > 60).nonzero()
    # 160 pixels for 40 voxels: x runs right (columns), y down (rows).
    assert coloured[1].min() == pytest.approx(40, abs=3)
    assert coloured[1].max() == pytest.approx(80, abs=3)
    assert coloured[0].min() == pytest.approx(48, abs=3)
    assert coloured[0].max() == pytest.approx(120, abs=3)


def test_anisotropic_voxels_keep_their_shape():
    image = np.zeros((20, 40))
    image[:, :] = 1.0
    image[0, 0] = 0.0
    picture = np.asarray(tile(image, None, outlines=OUTLINES, size_px=100, spacing_mm=(2.0, 1.0)))
    assert (picture.sum(axis=2) > 30).mean() > 0.95


def test_box_holds_all_labels_and_stays_inside():
    labels = np.zeros((50, 60, 3, 2), dtype=np.uint8)
    labels[2:10, 40:58, 1, 1] = 1
    x, y = label_box(labels, labels.shape)
    assert x.start == 0
    assert x.stop >= 10
    assert y.start <= 40
    assert y.stop <= 60
    assert label_box(None, (5, 6, 1, 1)) == (slice(0, 5), slice(0, 6))
    assert middle_slice(labels[..., 1], 3) == 1
    assert middle_slice(None, 7) == 3


def test_grid_holds_every_slice(rng):
    image = rng.normal(size=(32, 32, 7, 2))
    sheet = slice_grid(image, None, frame=1, outlines=OUTLINES, columns=4, size_px=50)
    assert sheet.size == (4 * 53 - 3, 2 * 53 - 3)
    assert thumbnail(image, None, outlines=OUTLINES, size_px=64).size == (64, 64)


def test_grey_is_monotone_and_safe(rng):
    plane = np.sort(rng.normal(size=400)).reshape(20, 20)
    shades = base.grey(plane).ravel().astype(int)
    assert (np.diff(shades) >= 0).all()
    assert base.grey(np.full((3, 3), 5.0)).tolist() == [[127] * 3] * 3
    assert not base.grey(np.full((3, 3), np.nan)).any()


def test_interval_is_drawn_where_it_is():
    limits = axis_limits([-1.0, -2.0], [1.0, 2.0])
    assert limits == (-limits[1], limits[1])
    middle = interval_cell(0.0, -1.0, 1.0, limits=(-2.0, 2.0))
    assert 'cx="115.0"' in middle
    assert 'x1="61.5"' in middle
    assert 'x2="168.5"' in middle
    assert "circle" not in interval_cell(math.nan, math.nan, math.nan, limits=limits)
    assert "path" in interval_cell(0.0, -9.0, 1.0, limits=(-2.0, 2.0))
    assert axis_limits([math.nan], [math.nan]) == (-1.0, 1.0)


def test_heat_ink_has_contrast():
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for side in (1.0, -1.0, math.nan):
        for size in np.linspace(0, 1.5, 31):
            back, ink = heat(float(size), side=side)
            light, dark = sorted((luminance(back), luminance(ink)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 3.9


def test_thinning_keeps_extremes_and_ranks(rng):
    values = rng.normal(size=1000)
    kept = thin(values, 50)
    assert kept.size == 50
    assert kept[0] == values.min()
    assert kept[-1] == values.max()
    assert np.median(kept) == pytest.approx(np.median(values), abs=0.1)


def test_constant_and_tiny_groups_are_drawn():
    panel = Violins(
        title="x", groups={"a": np.full(20, 3.0), "b": np.array([1.0]), "c": np.array([])},
        ranges={"a": (1.0, 4.0)},
    )  # fmt: skip
    assert "n = 20" in violins([panel], name="v", alt="v")


def test_private_violins_draw_no_single_value(rng):
    panel = Violins(title="x", groups={"a": rng.normal(size=40)}, ranges={})
    public = violins([panel], name="v", alt="v")
    private = violins([panel], name="v", alt="v", private=True)
    assert public.count("<use") - private.count("<use") >= 40


def test_curve_breaks_at_gaps():
    values = np.array([100.0, 80.0, np.nan, 60.0, 90.0])
    assert volume_curve({"lv": values}, None).count("<polyline") == 2
    assert volume_curve({"lv": np.array([50.0])}, np.array([0.0])).count("<circle") == 1


def test_flow_names_every_number():
    matrix = pd.DataFrame(
        {"ingest": ["ok"] * 7 + ["failed"], "qc": ["ok"] * 6 + ["excluded", "skipped"]}
    )
    drawn = flow(matrix)
    words = "Ingestion: 7 ok, 1 failed; Quality control: 6 ok, 1 excluded, 1 skipped"
    assert words in drawn


def test_a_side_branch_never_decides_who_is_analysed():
    units, main = ["a", "b", "c", "d"], ("ingest", "segment", "qc", "biomarkers")
    rows = [{"unit": u, "stage": s, "status": "ok"} for u in units for s in main]
    side = {"a": "failed", "b": "not_applicable", "c": "ok", "d": "skipped"}
    rows += [{"unit": u, "stage": "rca", "status": s} for u, s in side.items()]
    rows += [{"unit": u, "stage": "score", "status": "failed"} for u in units]
    rows += [{"unit": u, "stage": "strain", "status": "failed"} for u in units]  # not listed
    ledger = pd.DataFrame(rows)
    ledger.loc[(ledger["unit"] == "d") & (ledger["stage"] == "qc"), "status"] = "failed"
    context = StudyContext(ledger=ledger, stages=(*main, "score", "rca"))
    assert list(final_status(context)) == ["ok", "ok", "ok", "failed"]
    headline = glance(context, Options()).blocks[0].text
    assert headline == "Of 4 subjects, 3 (75%) were analysed. 1 failed at QC."
    attrition = lost(context, Options())
    assert attrition.lead == "Of 4 subjects, 3 are in the results."
    notes = [block.note for block in attrition.blocks if isinstance(block, Table)]
    assert any("fail at score, rca and strain are still analysed" in note for note in notes)
    assert set(map(str, status_matrix(context))) == {*main, "score", "rca", "strain"}


def test_the_code_of_a_reason_is_shown_on_hover():
    """As docs/reasons.md lists it; a reason that is no code has none."""
    rows = [("a", "ingest", "truncated_file"), ("b", "qc", ""), ("c", "qc", 'Odd "words"')]
    ledger = pd.DataFrame(rows, columns=["unit", "stage", "reason"]).assign(status="failed")
    blocks = lost(StudyContext(ledger=ledger), Options()).blocks
    page = _environment().get_template("blocks.html.j2").module.render(blocks)
    assert page.count('title="truncated_file">Truncated file</span>') == 2  # both tables
    assert "No reason given</td>" in page
    assert "Odd &#34;words&#34;</td>" in page


def test_provenance_has_titles():
    facts = {
        "popscan": "1.0", "packages": {"numpy": "2.0"}, "machine": {"system": "Linux"},
        "model": {"digest": "abc"}, "stages": {"rca_references": "4", "score": "8+segment-6"},
        "cohort": {"n_subjects": 3, "withdrawn": {"no_longer_in_cohort": 0}, "problems": []},
    }  # fmt: skip
    section = methods(StudyContext(provenance=facts), Options())
    (table,) = (b for b in section.blocks if getattr(b, "caption", "").startswith("Where these"))
    assert [row[0].text for row in table.rows] == [
        "popscan", "Package numpy", "Machine: system", "Segmentation model: digest",
        f"Version of stage: {stage_title('rca_references')}",
        f"Version of stage: {stage_title('score')}", "Cohort: subjects",
        "Cohort: withdrawn, no longer in cohort", "Cohort: problems",
    ]  # fmt: skip
    assert [row[1].text for row in table.rows][-1] == "none"


def test_stages_of_a_report_are_those_of_the_pipeline():
    listed = StudyContext().stages
    assert set(listed) <= set(SUBJECT_STAGES)
    assert FINAL_STAGE in listed
    assert not SUBJECT_STAGES[FINAL_STAGE].side


def test_units_from_a_cohort_table():
    table = pd.DataFrame({"participant_id": ["01", "sub-02"], "session_id": ["1", ""]})
    assert list(unit_column(table, known=["sub-01_ses-1", "sub-02"])) == ["sub-01_ses-1", "sub-02"]
    assert list(unit_column(table, known=["01", "sub-02"])) == ["01", "sub-02"]


def test_overrides_decide_who_is_analysed():
    units = ["a", "b", "c", "d"]
    ledger = pd.DataFrame(
        [
            {"unit": unit, "stage": stage, "status": status}
            for unit, statuses in zip(
                units,
                [("ok", "ok"), ("excluded", "ok"), ("excluded", "ok"), ("failed", "skipped")],
                strict=True,
            )
            for stage, status in zip(("qc", "biomarkers"), statuses, strict=True)
        ]
    )
    qc = pd.DataFrame(
        {"unit": ["a", "b", "c"], "verdict_auto": ["pass", "fail", "fail"],
         "verdict": ["pass", "pass", ""]}
    )  # fmt: skip
    context = StudyContext(ledger=ledger, qc=qc)
    assert dict(verdicts(context)) == {"a": "pass", "b": "pass", "c": "fail"}
    assert list(final_status(context)) == ["ok", "ok", "excluded", "failed"]
    assert list(status_matrix(context).index) == units


def test_figures_that_are_laid_out_and_not_drawn_twice_have_the_same_bytes(monkeypatch):
    values = np.random.default_rng(1).normal(size=(2, 40))
    items = [
        Violins(title=f"t{i}", groups={"female": values[0], "male": values[1, :20]}, ranges={})
        for i in range(3)
    ]
    verdicts_of = {"a check": {"pass": 3.0, "review": 2.0, "fail": 1.0}}

    def drawn() -> list[str]:
        return [
            str(violins(items, name="v", alt="a")),
            str(stacked(verdicts_of, colours=base.VERDICT_COLOURS, name="s", alt="a")),
        ]

    once = drawn()
    monkeypatch.setattr(base, "_DrawnOnce", Figure)
    assert drawn() == once
