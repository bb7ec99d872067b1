"""The audit of a study from its collected tables: what was put in is found, nothing is lost."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.config import Fairness
from popscan.fairness.ledger import TOTAL
from popscan.fairness.suppress import share
from popscan.protocols import get_protocol
from popscan.report import StudyContext, render_study
from popscan.stages.fairness.inputs import AuditInputs, ledger_steps
from popscan.stages.fairness.job import TABLES, audit_study
from popscan.stages.fairness.report import audit_tables_of, with_whole_audit
from popscan.stages.fairness.tables import audit_tables
from popscan.study import dictionary
from popscan.study.overrides import final_ledger
from popscan.study.tables import read_table

FOLLOWED = [outcome.name for outcome in get_protocol("cine_sax").outcomes]


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_tables, audit_config):
    """Folder of an audited study, and the tables it was made of."""
    root = tmp_path_factory.mktemp("audited")
    tables = write_study_tables(root, 260)
    audit_study(root, audit_config)
    return root, tables


def test_every_table_is_written_with_its_dictionary(study):
    root, _ = study
    for name in TABLES:
        table = read_table(root, f"fairness_{name}")
        assert len(table), name
        told = json.loads((root / "tables" / f"fairness_{name}.json").read_text())
        assert list(told) == list(table), name
        assert all(entry["meaning"] for entry in told.values()), name
        assert (root / "tables" / f"fairness_{name}.tsv").exists()


def test_every_stage_has_outcomes(study):
    root, _ = study
    outcomes = read_table(root, "fairness_outcomes")
    assert [*outcomes, "applies"] == list(dictionary.of("fairness_outcomes"))
    found = set(outcomes["outcome"])
    assert {
        "ingest_failed", "psnr_db", "ssim", "dice_lv", "dice_mean", "hd95_mm_lv", "mean_entropy_lv",
        "qc_fail", "qc_not_pass", "check_snr", "lvedv_ml", "lvedv_ml_error",
        "lvedv_ml_abs_error", "not_analysed", "atlas_distance_mm",
    } <= found  # fmt: skip


def test_who_is_not_analysed_counts_failures_exclusions_and_overrides(study):
    root, tables = study
    outcomes = read_table(root, "fairness_outcomes")
    lost = outcomes[outcomes["outcome"] == "not_analysed"].set_index("unit")["value"]
    kept = tables["biomarkers"].loc[tables["biomarkers"]["analysed"], "unit"]
    assert set(lost.index[lost == 0]) == set(kept)
    assert len(lost) == len(tables["participants"])


def test_a_persons_override_counts_in_the_funnel(study):
    root, tables = study
    ledger = final_ledger(tables["ledger"], tables["qc"])
    excluded = ledger[(ledger["stage"] == "qc") & (ledger["status"] == "excluded")]
    assert set(excluded["unit"]) == set(tables["qc"].loc[tables["qc"]["verdict"] == "fail", "unit"])
    raw = (tables["ledger"]["status"] == "excluded").sum()
    assert len(excluded) == raw - 1
    funnel = read_table(root, "fairness_funnel")
    assert "score" not in set(funnel["stage"])
    at_qc = funnel[(funnel["attribute"] == "sex") & (funnel["stage"] == "qc")]
    assert at_qc["n_excluded"].sum() == len(excluded)


def test_the_ledger_puts_the_bias_where_it_was_put_in(study):
    root, _ = study
    ledger = read_table(root, "fairness_ledger")
    sex = ledger[(ledger["attribute"] == "sex") & (ledger["biomarker"] == "lvedv_ml")]
    steps = list(sex["step"])
    assert steps == [
        "truth", "measurement on true labels", "segmentation of reference images",
        "reconstruction", "QC exclusion", "adjustment for age_years, bsa_m2", TOTAL,
    ]  # fmt: skip
    row = sex.set_index("step").loc["segmentation of reference images"]
    sign = 1 if row["group"] == "male" else -1
    assert row["ci_low"] < 6 * sign < row["ci_high"]
    assert row["p_adj"] < 1e-6
    chain = sex[sex["step"] != TOTAL]
    assert chain["contribution"].sum() == pytest.approx(chain["gap"].iloc[-1])


def test_the_ledger_of_a_labelled_image_study_has_the_steps_that_exist(study):
    root, tables = study
    references = tables["reference_biomarkers"]
    labels = references[references["source"] == "reference_labels"].drop(columns="source")
    assert next(iter(ledger_steps(root, labels, simulated=False))) == "reference labels"
    assert ledger_steps(root, pd.DataFrame(), simulated=False) == {}


def test_qc_is_compared_at_equal_quality(study):
    root, _ = study
    exclusion = read_table(root, "fairness_exclusion")
    sex = exclusion[(exclusion["attribute"] == "sex") & np.isfinite(exclusion["gap"])]
    assert len(sex)
    # One of ten women is excluded whatever her quality.
    worse = sex["gap"] * np.where(sex["group"] == "male", -1, 1)
    assert (worse > 0.02).all()


def test_agreement_has_the_bias_of_each_group(study):
    root, _ = study
    agreement = read_table(root, "fairness_agreement").set_index(["biomarker", "group"])
    assert agreement.loc[("lvedv_ml", "female"), "bias"] == pytest.approx(-7, abs=1)
    assert agreement.loc[("lvedv_ml", "male"), "bias"] == pytest.approx(-1, abs=1)
    assert agreement["slope_against"].dropna().eq("reference").all()  # the simulator's truth


def test_notes_name_impossible_values_and_absent_columns(study):
    root, _ = study
    said = (root / "tables" / "fairness_sentences.txt").read_text()
    assert "2 values outside 25 to 300 (0, 710)" in said
    assert "shoe_size is not recorded" in said
    assert "social categories" in said
    assert "compatible with" in said


def test_visits_of_a_subject_are_not_counted_as_people():
    sub = np.repeat([f"sub-{i:02d}" for i in range(40)], 5)
    units = [f"{name}_ses-{i % 5}" for i, name in enumerate(sub)]
    subject = np.repeat(np.arange(40), 5)
    failed = subject < 4  # the same four of group a at all visits
    people = pd.DataFrame(
        {"sub": sub, "sex": np.where(subject < 20, "a", "b"), "site": np.where(failed, "x", "y")},
        index=pd.Index(units, name="unit"),
    )
    status = np.where(failed, "failed", "ok")
    empty = pd.DataFrame()
    inputs = AuditInputs(
        outcomes=pd.DataFrame(
            {"unit": units, "stage": "ingest", "outcome": "ingest_failed",
             "value": failed.astype(float), "better_is": "lower", "kind": "binary"}
        ),
        attributes=people,
        ledger=pd.DataFrame({"unit": units, "stage": "ingest", "status": status}),
        stages=("ingest",), measured=empty, reference=empty, steps={}, qc=empty,
    )  # fmt: skip
    section = Fairness(attributes=["sex"], n_boot=200, biomarkers=FOLLOWED)
    tables, notes = audit_tables(inputs, section, seed=0)
    by_subject = stats.fisher_exact([[4, 16], [0, 20]]).pvalue
    tested = tables["funnel"]["p"].dropna()
    assert len(tested)
    assert tested.to_numpy() == pytest.approx(by_subject)
    assert tables["funnel"]["n_units"].eq(20).all()
    confounding = tables["confounding"].set_index("confounder")
    assert confounding.loc["site", "n"] == 40
    (told,) = (note for note in notes if "repeated visits" in note)
    assert "funnel" in told
    assert "confounding" in told


def test_what_is_shared_has_no_small_cell(study):
    root, tables = study
    safe = share(audit_tables_of(root), min_cell=5)
    assert "outcomes" not in safe
    for name, table in safe.items():
        counts = [c for c in table if c in ("n", "n_units", "n_reference", "n_lost", "n_other")]
        assert ((table[counts] == 0) | (table[counts] >= 5) | table[counts].isna()).all(axis=None)
        assert (table[counts].fillna(0) % 5 == 0).all(axis=None), name
    small = tables["participants"]["race"].value_counts()
    assert small["Asian"] < 10
    groups = safe["groups"]
    events = groups[groups["kind"] == "binary"].eval("n * mean")
    assert ((events < 1e-6) | (events > 3) | events.isna()).all()
    assert not {"missing_pct", "bound_low"} & set(safe["gaps"])  # they tell of small numbers
    text = "".join(table.to_csv(index=False) for table in safe.values())
    assert "sub-" not in text


def test_the_report_shows_every_part(study, tmp_path):
    root, tables = study
    context = StudyContext(
        name="audited", participants=tables["participants"], ledger=tables["ledger"],
        qc=tables["qc"], biomarkers=tables["biomarkers"].drop(columns=["qc_verdict", "analysed"]),
    )  # fmt: skip
    context = with_whole_audit(context, root, alpha=0.05)
    html = render_study(context, tmp_path).read_text(encoding="utf-8")
    for heading in (
        "Where groups cross", "Adjusted for confounders", "Who is lost on the way",
        "at equal true quality?", "Agreement with the reference, by group",
        "Where the gap of a biomarker arises",
    ):  # fmt: skip
        assert heading in html, heading
    shared = render_study(context, tmp_path / "share", share=True).read_text(encoding="utf-8")
    assert "sub-" not in shared
