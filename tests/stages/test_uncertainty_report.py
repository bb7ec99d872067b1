"""The report's section on uncertainty says what the tables say."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from plain_table import plain_table
from popscan.report import StudyContext, render_study
from popscan.report.sections.common import Options
from popscan.stages.report.extras import extra_sections
from popscan.stages.report.uncertainty import (
    reference_sentences,
    training_sentences,
    uncertainty_section,
)

#: Unit, whether the model was trained on it, share of its voxels that are flipped.
PEOPLE = (("sub-1", False, 2.0), ("sub-2", False, 4.0), ("sub-3", True, 50.0))

_NO_ATLAS = {"atlas": {"enabled": False}}


def segmentation(lowest=(0.9, 0.6, 0.8)) -> pd.DataFrame:
    table = pd.DataFrame({"unit": ["sub-1", "sub-2", "sub-3"]})
    for name in ("rv", "myo", "lv"):
        table[f"expected_dice_{name}"] = [0.9, 0.8, 0.85]
        table[f"expected_dice_{name}_lowest"] = lowest
        table[f"mean_entropy_{name}"] = [0.1, 0.2, 0.3]
        table[f"mean_information_{name}"] = np.nan
        table[f"flip_risk_{name}"] = [0.01, 0.05, 0.02]
        table[f"volume_spread_{name}_pct"] = np.nan
    return table


def scores() -> pd.DataFrame:
    rows = [
        {
            "unit": unit,
            "structure": name,
            "seen_in_training": seen,
            "reference_verdict": "fail" if unit == "sub-2" else "pass",
            **dict.fromkeys(("correct_pct", "missed_pct", "spurious_pct", "taken_pct"), 10.0),
            "flipped_pct": flipped,
        }
        for unit, seen, flipped in PEOPLE
        for name in ("rv", "myo", "lv")
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def study(tmp_path):
    plain_table(tmp_path, "segmentation", segmentation())
    plain_table(tmp_path, "scores", scores())
    biomarkers = pd.DataFrame(
        {"unit": ["sub-1"], "lvef_pct": [60.0], "lvef_low_pct": [55.0], "lvef_high_pct": [65.0]}
    )
    plain_table(tmp_path, "biomarkers", biomarkers)
    return tmp_path


def test_section_says_what_the_tables_say(study):
    section = uncertainty_section(study, {"biomarkers": {"interval_level": 0.8}})
    assert "In 1 of 3 subjects" in section.sentences[0]
    assert "references of 1 of 3 subjects" in section.sentences[1]
    doubt, widths, kinds = (table for _, table in section.tables)
    assert doubt["flip_risk"].tolist() == [0.02] * 3
    assert "information_nats" not in doubt  # one sample: nowhere known
    assert widths.iloc[0].to_dict() == {
        "biomarker": "lvef_pct",
        "n": 1,
        "median": 60.0,
        "half_width": 5.0,
    }
    assert kinds["flipped_pct"].tolist() == [2.0] * 3  # sub-3 was trained on, sub-2 has failed
    assert any("80%" in note for note in section.notes)


def test_the_shared_report_has_no_small_count_of_subjects(tmp_path):
    units = [f"sub-{i:02d}" for i in range(81)]
    table = pd.concat([segmentation().iloc[:1]] * 81, ignore_index=True).assign(unit=units)
    for name in ("rv", "myo", "lv"):
        table.loc[0, f"expected_dice_{name}_lowest"] = 0.5
    verdicts = ["fail", "review", *["pass"] * 79]
    checked = pd.concat([scores().iloc[[0]]] * 81, ignore_index=True)
    plain_table(tmp_path, "segmentation", table)
    plain_table(tmp_path, "scores", checked.assign(unit=units, reference_verdict=verdicts))
    plain_table(tmp_path, "biomarkers", pd.DataFrame({"unit": units}))
    context = StudyContext(
        extras=extra_sections(tmp_path, {"report": {"min_cell": 5}, **_NO_ATLAS})
    )
    html = render_study(context, tmp_path / "out").read_text(encoding="utf-8")
    assert "In 1 of 81 subjects" in html
    shared = render_study(context, tmp_path / "share", share=True).read_text(encoding="utf-8")
    assert "In &lt; 5 of 80 subjects" in shared
    assert "references of &lt; 5 of 80 subjects" in shared
    assert "81" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", shared, flags=re.S)


def test_scans_of_the_training_and_unlike_it_are_counted():
    table = segmentation().assign(
        ood_score=[0.5, 1.2, np.nan], seen_by=["images", "name, other images", ""]
    )
    unlike, known, named = training_sentences(table, Options())
    assert unlike.startswith("The scans of 1 of 3 subjects are unlike all training scans")
    assert known.startswith("The scans of 1 of 3 subjects are among those")
    assert named.startswith("1 of 3 subjects have the name")
    assert training_sentences(segmentation(), Options()) == []
    assert training_sentences(table, Options(share=True))[0].startswith("The scans of < 5 of < 5")


def test_the_key_that_recodes_references_is_named():
    checks = pd.DataFrame(
        {
            "unit": ["sub-2"],
            "check": ["reference_coding_gain"],
            "verdict": ["fail"],
            "message": ["0.6 Dice: 0.85 with source.label_codes: {1: lv, 2: myo}"],
        }
    )
    said = reference_sentences(scores(), Options(), checks)
    assert "they enter no mean" in said[0]
    assert "source.label_codes: {1: lv, 2: myo}" in said[1]
    assert reference_sentences(scores(), Options(), checks.assign(verdict="pass"))[1:] == []


def test_uncalibrated_bundles_and_older_studies(tmp_path):
    assert uncertainty_section(tmp_path, {}) is None
    plain_table(tmp_path, "segmentation", segmentation((np.nan,) * 3))
    section = uncertainty_section(tmp_path, {})
    assert section.sentences == [
        "The model bundle is not calibrated: no expected Dice and no intervals."
    ]
    assert len(section.tables) == 1


def test_section_is_in_the_report(study, tmp_path):
    extras = extra_sections(study, _NO_ATLAS)
    html = render_study(StudyContext(extras=extras), tmp_path / "out").read_text(encoding="utf-8")
    assert "Uncertainty of the segmentation" in html
    assert "lvef_pct" in html
