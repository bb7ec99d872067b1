"""Realised coverage of intervals: counted by hand, by group, and never shared in small numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.coverage import DICTIONARY, coverage_table, covered, too_narrow
from popscan.fairness.outcomes import outcomes_table

UNITS = [f"sub-{i:03d}" for i in range(60)]


@pytest.fixture(scope="module")
def study():
    """Sixty subjects with errors of 3; intervals reach 4 on either side, in half the women 2."""
    women = np.arange(60) % 2 == 0
    narrow = women & (np.arange(60) % 4 == 0)
    half = np.where(narrow, 2.0, 4.0)
    people = pd.DataFrame({"sex": np.where(women, "female", "male")}, index=UNITS)
    measured = pd.DataFrame(
        {"unit": UNITS, "lvef_pct": 60.0, "lvef_low_pct": 60.0 - half, "lvef_high_pct": 60.0 + half,
         "lvedv_ml": 100.0, "interval_level_pct": 90.0}
    )  # fmt: skip
    reference = pd.DataFrame({"unit": UNITS, "truth_lvef_pct": 63.0, "truth_lvedv_ml": 100.0})
    return measured, reference, people


def test_coverage_is_counted_over_all_and_by_group(study):
    measured, reference, people = study
    table = coverage_table(measured, reference, people, attributes_to_test=["sex"])
    assert list(table) == list(DICTIONARY)
    whole, female, male = table.to_dict("records")
    assert (whole["group"], whole["n"], whole["n_covered"]) == ("all", 60, 45)
    assert (female["n"], female["n_covered"], male["n_covered"]) == (30, 15, 30)
    # Clopper-Pearson by its closed form: all of n covered, the lower limit is (alpha/2)^(1/n).
    assert male["coverage_low_pct"] == pytest.approx(100 * 0.025 ** (1 / 30), abs=0.05)
    assert male["coverage_high_pct"] == 100.0
    assert [row["too_narrow"] for row in (whole, female, male)] == [True, True, False]
    assert len(too_narrow(table, overall=False)) == 1


def test_what_lacks_an_end_or_a_reference_does_not_count(study):
    measured, reference, people = study
    part = measured.assign(lvef_low_pct=measured["lvef_low_pct"].mask(measured.index < 10))
    assert covered(part, reference, "lvef_pct").notna().sum() == 50
    assert coverage_table(part, reference.iloc[10:30], people).iloc[0]["n"] == 20
    assert coverage_table(measured, pd.DataFrame(), people).empty


def test_coverage_is_an_outcome_of_the_audit(study):
    measured, reference, _ = study
    table = outcomes_table(
        biomarkers=measured, biomarker_columns=["lvef_pct", "lvedv_ml"], truth=reference
    )
    rows = table[table["outcome"] == "lvef_pct_covered"]
    assert (len(rows), rows["value"].sum()) == (60, 45)
    assert set(rows["better_is"]) == {"higher"}
    assert set(rows["kind"]) == {"binary"}
    assert "lvedv_ml_covered" not in set(table["outcome"])


def test_the_report_says_it_and_the_shared_one_rounds(study, tmp_path):
    pytest.importorskip("skimage", reason="the report draws outlines with scikit-image")
    from popscan.report import StudyContext, render_study
    from popscan.stages.fairness.coverage import coverage_section
    from popscan.study import dictionary
    from popscan.study.tables import write_table

    measured, reference, people = study
    table = coverage_table(measured, reference, people, attributes_to_test=["sex"])
    write_table(tmp_path, "interval_coverage", table, dictionary.of("interval_coverage"))
    extra = coverage_section(tmp_path, {"report": {"min_cell": 5}, "share": {"rounding": 10}})
    assert "LVEF in 45 of 60 subjects" in extra.headline[0]
    assert "LVEF in 40 of 60 subjects" in extra.shared_headline[0]
    context = StudyContext(extras=[extra], participants=people.reset_index(names="unit"))
    html = render_study(context, tmp_path / "own").read_text(encoding="utf-8")
    assert html.count("LVEF in 45 of 60") == 2  # at a glance, and in its section
    shared = render_study(
        context, tmp_path / "shared", share=True, min_cell=5, rounding=10
    ).read_text(encoding="utf-8")
    assert "LVEF in 40 of 60" in shared
    assert "45" not in shared.split("Do the intervals hold the reference?")[-1][:3000]
    assert coverage_section(tmp_path / "none", {}) is None


def test_right_intervals_are_seldom_called_too_narrow_however_many_groups_there_are():
    rng = np.random.default_rng(3)
    units = [f"sub-{i:03d}" for i in range(400)]
    flagged = 0
    for _ in range(6):
        people = pd.DataFrame(
            {f"a{k}": rng.integers(0, 4, 400).astype(str) for k in range(4)}, index=units
        )
        names = [f"v{k}" for k in range(10)]
        ends = {f"{name}_low_ml": -1.6449 for name in names}
        ends |= {f"{name}_high_ml": 1.6449 for name in names}
        measured = pd.DataFrame(
            {"unit": units, **dict.fromkeys([f"{name}_ml" for name in names], 0.0), **ends,
             "interval_level_pct": 90.0}
        )  # fmt: skip
        errors = {f"{name}_ml": rng.normal(size=400) for name in names}
        reference = pd.DataFrame({"unit": units, **errors})
        table = coverage_table(measured, reference, people, attributes_to_test=list(people))
        assert len(table) == 10 * (1 + 16)
        flagged += bool(len(too_narrow(table, overall=False)))
    assert flagged <= 1  # without correction 5 or 6 of the 6 studies


def test_one_group_with_intervals_far_too_narrow_is_found_among_many():
    units = [f"sub-{i:03d}" for i in range(400)]
    rng = np.random.default_rng(4)
    people = pd.DataFrame({"a": (np.arange(400) % 10).astype(str)}, index=units)
    half = np.where(people["a"] == "7", 0.8, 1.6449)
    measured = pd.DataFrame(
        {"unit": units, "v_ml": 0.0, "v_low_ml": -half, "v_high_ml": half,
         "interval_level_pct": 90.0}
    )  # fmt: skip
    reference = pd.DataFrame({"unit": units, "v_ml": rng.normal(size=400)})
    table = coverage_table(measured, reference, people, attributes_to_test=["a"])
    assert too_narrow(table, overall=False)["group"].tolist() == ["7"]


@pytest.mark.parametrize("p", [0.01, 0.2])
def test_groups_that_fall_short_before_correction_alone_are_counted(p):
    pytest.importorskip("skimage", reason="the report draws outlines with scikit-image")
    from popscan.report.sections.common import Options
    from popscan.stages.fairness.coverage import said_of_groups

    table = pd.DataFrame(
        {"biomarker": "lvef_pct", "attribute": ["", *["g"] * 20], "group": range(21),
         "n": 20, "n_covered": 14, "p": [0.5, p, *[0.5] * 19], "p_adj": 1.0, "too_narrow": False}
    )  # fmt: skip
    for level in (0.05, 0.25):  # fairness.alpha
        said = said_of_groups(table, Options(), level=level)
        assert [line[:40] for line in said] == (
            ["In 1 of 20 combinations of group and bio"] * (p < level)
        )
        assert all(f"; {10 * level:.1f} would be expected by chance" in line for line in said)


def test_the_section_counts_at_the_level_of_the_study(tmp_path):
    pytest.importorskip("skimage", reason="the report draws outlines with scikit-image")
    from popscan.stages.fairness.coverage import coverage_section
    from popscan.study.tables import write_table

    table = pd.DataFrame(
        {"biomarker": "lvef_pct", "attribute": ["", *["g"] * 20], "group": map(str, range(21)),
         "n": 20.0, "n_covered": 14.0, "n_outside": 6.0, "half_width": 1.0, "coverage_pct": 70.0,
         "coverage_low_pct": 50.0, "coverage_high_pct": 90.0, "nominal_pct": 90.0,
         "p": [0.5, 0.08, *[0.5] * 19], "p_adj": 1.0, "too_narrow": False}
    )  # fmt: skip
    write_table(tmp_path, "interval_coverage", table, DICTIONARY)
    for alpha, sentences in ((0.05, 0), (0.1, 1)):
        extra = coverage_section(tmp_path, {"fairness": {"alpha": alpha}})
        assert extra is not None
        assert len(extra.sentences) == sentences
