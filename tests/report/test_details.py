"""Details that mislead a reader: interval ends, odd numbers, orders, empty charts, counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.report import StudyContext
from popscan.report.blocks import Details, Figure, Table, Text
from popscan.report.sections.biomarkers import interval_ends, measured
from popscan.report.sections.biomarkers import section as biomarkers
from popscan.report.sections.cohort import _levels
from popscan.report.sections.cohort import section as cohort
from popscan.report.sections.common import Options
from popscan.report.sections.gaps import forests, gap_table
from popscan.report.sections.methods import limits, problems
from popscan.report.sections.overview import section as glance
from popscan.report.sections.qc import FlaggedPage, _in_words
from popscan.report.sections.qc import section as qc
from popscan.report.sections.quality import segmentation
from popscan.report.sections.reviewed import headline_table
from popscan.report.subject import SubjectTables, check_sentences, check_table
from popscan.report.text import interval, places_for
from popscan.stages.report.uncertainty import reference_sentences

N = 30


@pytest.fixture
def table(rng):
    values = rng.normal(60, 6, N)
    return pd.DataFrame(
        {"unit": [f"sub-{i}" for i in range(N)], "lvef_pct": values, "lvef_low_pct": values - 4,
         "lvef_high_pct": values + 4, "rvef_pct": values - 5, "low_density_ml": values}
    )  # fmt: skip


def test_ends_of_intervals_are_no_biomarkers(table):
    context = StudyContext(biomarkers=table)
    assert measured(context) == ["lvef_pct", "rvef_pct", "low_density_ml"]
    assert interval_ends(context) == ["lvef_low_pct", "lvef_high_pct"]
    lead = biomarkers(context, Options()).lead
    assert lead == "3 biomarkers of 30 subjects; 2 columns of the table are ends of intervals."


def test_headline_numbers_with_and_without_the_reviewed(table):
    verdict = ["review"] * 5 + ["fail"] + ["pass"] * (N - 6)
    status = ["ok"] * 5 + ["excluded"] + ["ok"] * (N - 6)
    ledger = pd.DataFrame({"unit": table["unit"], "stage": "qc", "status": status})
    qc_table = pd.DataFrame({"unit": table["unit"], "verdict": verdict})
    table.loc[:4, "lvef_pct"] = 30.0
    context = StudyContext(biomarkers=table, qc=qc_table, ledger=ledger)
    shown = headline_table(context, Options())
    assert shown is not None
    row = next(row for row in shown.rows if row[0].text == "LVEF (%)")
    with_them, without = table["lvef_pct"].drop(5), table["lvef_pct"][6:]
    assert [row[1].text, row[3].text] == ["29", "24"]
    shown_means = [float(row[k].text.split()[0]) for k in (2, 4)]
    assert shown_means == pytest.approx([with_them.mean(), without.mean()], abs=0.6)
    assert shown in glance(context, Options()).blocks
    # Mean with them less mean without gives a few people away.
    assert headline_table(context, Options(share=True)) is None
    passed = StudyContext(biomarkers=table, qc=qc_table.assign(verdict="pass"), ledger=ledger)
    assert headline_table(passed, Options()) is None


def test_a_value_that_no_heart_has_is_not_drawn_but_counted(table):
    table.loc[3, "rvef_pct"] = -1327.0
    figure = next(
        block
        for block in biomarkers(StudyContext(biomarkers=table), Options()).blocks
        if isinstance(block, Figure)
    )
    assert "RVEF (%) (1: −1,327)" in figure.caption
    assert "LVEF" not in figure.caption.partition("Too far off")[2]
    shared = biomarkers(StudyContext(biomarkers=table), Options(share=True)).blocks
    assert not any("1,327" in block.caption for block in shared if isinstance(block, Figure))


def test_a_constant_is_one_number():
    assert interval(281.6, 281.6, 4) == "281.6"
    assert interval(281.6, 281.6000000001, 4) == "281.6"
    assert interval(100, 100, 0) == "100"
    assert interval(1.0, 1.04, 1) == "1.0 to 1.0"
    assert places_for(3e-14) == 2


def levels(context, title):
    first = next(b for b in cohort(context, Options()).blocks if isinstance(b, Table))
    start = next(i for i, heading in first.groups.items() if heading.startswith(title))
    later = [i for i in first.groups if i > start]
    return [row[0].text.strip() for row in first.rows[start : min(later, default=len(first.rows))]]


def test_bands_are_in_order_and_measurements_are_no_categories():
    people = pd.DataFrame(
        {"unit": list("abcdef"), "sex": ["female", "male"] * 3,
         "age_band": ["75+", "45-54", "under 45", "45-54", "missing", "75+"],
         "bmi_class": ["obese", "normal", "obese", "overweight", "underweight", "obese"],
         "scanner": ["B", "A", "B", "B", "A", "A"], "field_strength_t": [1.5, 3, 3, 3, 1.5, 3],
         "bsa_m2": [1.873456789012345, 1.9, 2.0, 1.9, 2.0, 1.9]}
    )  # fmt: skip
    context = StudyContext(participants=people)
    assert levels(context, "Age band") == ["under 45", "45-54", "75+", "not recorded"]
    assert levels(context, "BMI class") == ["underweight", "normal", "overweight", "obese"]
    assert levels(context, "Field strength") == ["1.5", "3.0"]
    rows = [row[0].text for row in cohort(context, Options()).blocks[0].rows]
    assert "Body surface area (m²), mean (SD)" in rows
    assert not any("873456" in text for text in rows)


def test_checks_that_could_not_be_made_give_no_empty_chart():
    checks = pd.DataFrame(
        {"unit": ["a", "b"], "check": "frame_times_pct", "kind": "image", "value": np.nan,
         "threshold": "", "unit_of_value": "%", "verdict": "not_assessed"}
    )  # fmt: skip
    blocks = qc(StudyContext(qc_checks=checks), Options(), []).blocks
    assert not any(isinstance(block, Figure) for block in blocks)


def test_flagged_subjects_are_counted_once_and_alike():
    verdict = ["pass", "review", "fail", "review"] + ["review"] * 12
    table = pd.DataFrame({"unit": [f"s{i}" for i in range(16)], "verdict": verdict})
    ledger = pd.DataFrame(
        [{"unit": u, "stage": s, "status": "ok"} for u in table["unit"] for s in ("ingest", "qc")]
        + [{"unit": "lost", "stage": "ingest", "status": "failed"}]
    )
    context = StudyContext(qc=table, ledger=ledger)
    pages = [
        FlaggedPage(unit="lost", verdict="failed", reasons=["no image"], thumbnail="", href="")
    ]
    card = next(c for c in glance(context, Options()).blocks[1].cards if "flagged" in c.label)
    details = next(b for b in qc(context, Options(), pages).blocks if isinstance(b, Details))
    assert card.value == "15"
    assert "16 subjects to look at (15 flagged by QC, 1 failed at a stage" in details.summary


def test_a_mean_distance_says_how_many_failed():
    scores = pd.DataFrame(
        {"unit": list("abcd"), "structure": "lv", "phase": "ED", "dice": [0.9, 0.8, 0.9, 0.0],
         "hd95_mm": [4.0, 6.0, 5.0, np.nan], "seen_in_training": False}
    )  # fmt: skip
    blocks = segmentation(StudyContext(scores=scores), Options()).blocks
    row = next(b for b in blocks if isinstance(b, Table)).rows[0]
    assert row[-1].text == "5.0 (1 failed)"


def test_references_that_failed_are_in_no_mean_and_counted():
    scores = pd.DataFrame(
        {"unit": list("abcd"), "structure": "lv", "phase": "ED", "dice": [0.9, 0.8, 0.1, 0.2],
         "hd95_mm": 5.0, "seen_in_training": [False, False, False, True],
         "reference_verdict": ["pass", "review", "fail", "pass"]}
    )  # fmt: skip
    context = StudyContext(scores=scores)
    made = segmentation(context, Options())
    assert made.lead == "Mean Dice 0.850 over 2 unseen subjects with references."
    texts = [b.text for b in made.blocks if isinstance(b, Text)]
    assert any(
        t.startswith("The references of 1 unseen subject failed their checks") for t in texts
    )
    assert next(b for b in made.blocks if isinstance(b, Table)).rows[0][2].text == "2"
    ledger = pd.DataFrame(
        {"unit": list("abcd"), "stage": ["ingest", *["score"] * 3],
         "status": ["ok", *["not_applicable"] * 3],
         "reason": ["", "label_coding", "label_coding", "no_reference"],
         "message": ["", *["set source.label_codes: {1: lv, 2: myo, 3: rv}"] * 2, ""]}
    )  # fmt: skip
    for share, count in ((False, "(2)"), (True, "(< 5)")):
        (unused,) = segmentation(StudyContext(ledger=ledger), Options(share=share)).blocks
        assert f"codes that look exchanged {count}" in unused.text
        assert ("source.label_codes" in unused.text) is not share


def test_groups_too_small_for_some_outcomes_are_not_called_too_small_for_all():
    groups = pd.DataFrame(
        {"attribute": "sex", "group": ["female", "female", "other", "other"],
         "outcome": ["a", "b"] * 2, "too_few": [False, True, True, True]}
    )  # fmt: skip
    said = " ".join(problems(StudyContext(fairness_groups=groups), Options()))
    assert "Too few subjects for any statement: other (Sex)." in said


def test_no_test_is_no_test():
    gaps = pd.DataFrame(
        {"attribute": "sex", "outcome": ["a", "b"], "group": "female", "reference": "male",
         "gap": [0.1, 0.0], "ci_low": [0.0, 0.0], "ci_high": [0.2, 0.0], "p": [0.03, np.nan],
         "p_adj": [0.03, np.nan], "n": 20, "n_reference": 20, "test": ["welch t", "none"],
         "kind": "continuous", "better_is": "higher"}
    )  # fmt: skip
    notes = [b.note for b in forests(gap_table(StudyContext(fairness_gaps=gaps)), Options())]
    assert notes == ["Tests: Welch's t-test. "]


def test_a_failed_segmentation_is_not_blamed_on_its_reference():
    scores = pd.DataFrame({"unit": list("abc"), "reference_verdict": ["review", "fail", "pass"]})
    checks = pd.DataFrame(
        {"unit": ["a", "b", "b"], "verdict": ["review", "fail", "review"],
         "check": ["reference_dice_lv", "reference_contrast_pct", "reference_dice_lv"]}
    )  # fmt: skip
    image, both = reference_sentences(scores, Options(), checks)
    assert image.startswith("The references of 1 of 3 subjects do not fit their image")
    assert "In 1 of 3 subjects the reference fits its image" in both
    assert "segmentation failed" in both


def test_missing_values_stand_beside_every_gap():
    gaps = pd.DataFrame(
        {"attribute": "sex", "outcome": "a", "group": "female", "reference": "male", "gap": [8.1],
         "ci_low": 4.0, "ci_high": 12.0, "p": 0.001, "p_adj": 0.001, "n": 60, "n_reference": 100,
         "test": "welch t", "kind": "continuous", "better_is": "higher", "missing_pct": 46.2,
         "missing_reference_pct": 0.4, "sign_open": True}
    )  # fmt: skip
    (table,) = forests(gap_table(StudyContext(fairness_gaps=gaps)), Options())
    assert table.rows[0][1].text == "60 (46% missing)"
    assert table.rows[0][3].text.endswith("†")
    assert "turn the sign" in table.note
    assert "(n = 100 (< 1% missing))" in table.groups[0]


def test_a_side_branch_that_failed_loses_nobody_in_the_limits_either():
    ledger = pd.DataFrame(
        [{"unit": u, "stage": s, "status": "failed" if s == "rca" else "ok"}
         for u in "ab" for s in ("ingest", "biomarkers", "rca")]
    )  # fmt: skip
    said = problems(StudyContext(ledger=ledger, stages=("ingest", "biomarkers", "rca")), Options())
    assert any(
        s.startswith(
            "Subjects failed at reverse classification accuracy (2), which decides nothing"
        )
        for s in said
    )
    assert not any("no later number" in s for s in said)


@pytest.mark.parametrize("share", [False, True])
def test_a_run_that_analysed_nobody_is_no_run_without_problems(share):
    ledger = pd.DataFrame(
        [{"unit": u, "stage": s, "status": "excluded" if s == "qc" else "ok"}
         for u in "ab" for s in ("ingest", "qc")]
    )  # fmt: skip
    context = StudyContext(ledger=ledger, stages=("ingest", "qc"))
    text = " ".join(
        item
        for block in limits(context, Options(share=share)).blocks
        for item in [*getattr(block, "items", []), getattr(block, "text", "")]
    )
    assert "No problem was found" not in text
    assert ("Subjects were excluded at quality control (2)." in text) is not share
    assert ("No subject was analysed" in text) is not share
    fine = StudyContext(ledger=ledger.assign(status="ok"), stages=("ingest", "qc"))
    assert problems(fine, Options()) == []


def test_values_that_were_not_measured_have_no_unit_and_counts_no_decimals():
    checks = pd.DataFrame(
        {"unit": "a", "check": ["slice_count", "lv_volume_ml"], "kind": "image",
         "value": [2.0, np.nan], "threshold": ["< 3", "> 9"], "unit_of_value": ["slices", "mL"],
         "verdict": ["review", "fail"], "message": ["2 slices", "could not be measured: no LV"]}
    )  # fmt: skip
    tables = SubjectTables.of(StudyContext(qc_checks=checks, with_pages=frozenset("a")))
    lost, few = check_sentences(tables, "a")
    assert ": 2 slices" in few
    assert "–" not in lost
    assert "mL (" not in lost
    (table,) = check_table(tables, "a")
    assert [[cell.text for cell in row][2:4] for row in table.rows] == [["–", ""], ["2", "slices"]]


def test_whole_numbers_with_a_missing_value_stay_whole():
    levels = _levels(pd.Series([12.0, 12.0, 15.0, np.nan]))
    assert list(levels) == ["12", "12", "15", "not recorded"]
    assert list(_levels(pd.Series([1.5, 3.0]))) == ["1.5", "3.0"]


def test_subjects_are_flagged_in_words_not_by_names_of_columns():
    assert _in_words(["lv_missing_frames_pct", "lvef_pct"]) == "Frames without LV, LVEF"
    assert _in_words(["ingest: nan_values: 3 of 9"]) == "ingest: nan_values: 3 of 9"
    assert _in_words([]) == ""
