"""The methods paragraph says what this study did, and nothing that it did not do."""

from typing import Any

import pandas as pd
import pytest

from popscan.config import Config
from popscan.report import boilerplate
from popscan.report.context import StudyContext
from popscan.stages.report.methods import methods_sentences

FACTS = {
    "popscan": "1.2.3",
    "packages": dict.fromkeys(("snakemake", "torch", "simpleitk", "statsmodels"), "9"),
    "seed": 4,
    "model": {"name": "cine_sax", "digest": "abcdef0123456789"},
}


def ledger(**lost: tuple[str, str]) -> pd.DataFrame:
    """Four subjects through three stages; `lost`: unit -> stage and status."""
    rows, stages = [], ("ingest", "qc", "biomarkers")
    for unit in ("a", "b", "c", "d"):
        gone = False
        for stage in stages:
            status = "skipped" if gone else "ok"
            if unit in lost and lost[unit][0] == stage:
                status, gone = lost[unit][1], True
            rows.append({"unit": unit, "stage": stage, "status": status, "reason": "x"})
    return pd.DataFrame(rows)


def text(context: StudyContext, **sections: Any) -> str:
    config = Config.model_validate(sections).model_dump()
    sentences = methods_sentences(context, config, FACTS)
    boilerplate.cited(sentences)
    return " ".join(sentences)


def test_nothing_was_lost() -> None:
    written = text(StudyContext(ledger=ledger()), source={"kind": "dicom", "root": "x"})
    assert "Of 4 subjects, 4 were analysed." in written
    assert "read from DICOM" in written
    assert "simulated" not in written


def test_losses_are_counted_by_stage() -> None:
    gone = ledger(a=("ingest", "failed"), b=("qc", "excluded"))
    written = text(StudyContext(ledger=gone))
    assert "2 were analysed (1 failed at ingestion and 1 excluded by quality control)." in written


def test_an_override_counts_as_the_person_decided() -> None:
    qc = pd.DataFrame(
        {"unit": ["a", "b", "c", "d"], "verdict": ["fail", "pass", "pass", "pass"], "kind": "qc"}
    )
    written = text(StudyContext(ledger=ledger(), qc=qc))
    assert "Of 4 subjects, 3 were analysed (1 excluded)." in written


@pytest.mark.parametrize("enabled", [True, False])
def test_optional_stages_are_named_only_where_they_ran(enabled: bool) -> None:
    written = text(StudyContext(), rca={"enabled": enabled}, atlas={"enabled": enabled})
    assert ("reverse classification accuracy" in written) is enabled
    assert ("Population averages" in written) is enabled


@pytest.mark.parametrize(("growth", "named"), [(0, False), (10, True)])
def test_averages_that_are_kept_while_a_study_grows_are_described(growth: int, named: bool) -> None:
    written = text(StudyContext(), atlas={"max_growth_pct": growth})
    assert ("kept until the study had grown by more than 10%" in written) is named


@pytest.mark.parametrize(("correction", "name"), [("holm", "Holm"), ("bh", "Benjamini")])
def test_the_audit_is_described_as_it_was_set(correction: str, name: str) -> None:
    gaps = pd.DataFrame({"attribute": ["sex"], "test": ["Welch's t test"]})
    section = {"attributes": ["sex", "age_band"], "correction": correction, "alpha": 0.1}
    written = text(StudyContext(fairness_gaps=gaps), fairness=section)
    assert "groups by sex and age band" in written
    assert "by Welch's t test" in written
    assert "90% level" in written
    assert f"corrected by {'the method of ' if name != 'Holm' else ''}{name}" in written


def test_without_statistics_none_are_described() -> None:
    written = text(StudyContext())
    assert "p values" not in written
    assert "regress" not in written


@pytest.mark.parametrize(("model", "named"), [("cine_sax", True), ("models/mine", False)])
def test_the_kind_of_network_is_said_of_the_shipped_one_only(model: str, named: bool) -> None:
    written = text(StudyContext(), segment={"model": model})
    assert ("U-Net type" in written) is named


@pytest.mark.parametrize(("estimate", "named"), [(float("nan"), False), (1.5, True)])
def test_a_regression_is_described_only_where_one_was_fitted(estimate: float, named: bool) -> None:
    fits = pd.DataFrame({"outcome": ["a"], "term": ["age_years"], "estimate": [estimate]})
    assert ("ordinary least squares" in text(StudyContext(associations=fits))) == named


def test_tests_are_named_as_a_paper_names_them() -> None:
    gaps = pd.DataFrame({"test": ["fisher exact", "permutation (welch t)"]})
    written = text(StudyContext(fairness_gaps=gaps))
    assert "by Fisher's exact test and permutation tests of Welch's t, with" in written
