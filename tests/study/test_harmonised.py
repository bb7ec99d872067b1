"""Harmonisation in a study: read-model, tables, audit, report; values as measured stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from popscan.commands.table_harmonised import Between
from popscan.commands.table_ranges import ranges_of_table
from popscan.config import Config, Harmonise
from popscan.report.context import StudyContext
from popscan.report.names import name_of
from popscan.stages.associate.job import associate_study
from popscan.stages.associate.report import associate_sections
from popscan.stages.fairness.inputs import audit_inputs
from popscan.stages.report.extras import extra_sections
from popscan.stages.report.methods import _harmonisation
from popscan.study.columns import study_columns
from popscan.study.study import Study
from popscan.study.tables import read_table

pytest.importorskip("combatlearn", reason="pip install 'popscan[harmonise]'")

N = 160
OPTIONS: dict[str, Any] = {
    "study": {"seed": 1},
    "associate": {"outcomes": ["lvedv_ml"], "terms": ["age_years", "sex"]},
    "fairness": {"biomarkers": ["lvedv_ml", "lvef_pct"], "attributes": ["sex", "scanner"]},
    "cohort": {},
    "atlas": {"enabled": False},
    "source": {"kind": "bids"},
    "harmonise": {"by": "scanner", "preserve": ["age_years", "sex"]},
}


@pytest.fixture
def study_root(tmp_path: Path) -> Path:
    """Two scanners, of which one measures larger hearts; older people at that one; one mobile."""
    rng = np.random.default_rng(4)
    units = [f"sub-{i:03d}" for i in range(N)]
    late = np.arange(N) % 2 == 1
    male = rng.random(N) < 0.5
    age = rng.uniform(45, 75, N) + 3 * late
    scanner = np.where(late, "vendor b", "vendor a").astype(object)
    scanner[0] = "mobile"
    people = pd.DataFrame(
        {"unit": units, "sub": units, "sex": np.where(male, "male", "female"),
         "age_years": age, "scanner": scanner}
    )  # fmt: skip
    biology = 140 + 30 * male - 0.8 * (age - 60)
    numbers = pd.DataFrame(
        {"unit": units, "analysed": [True] * (N - 1) + [False],
         "lvedv_ml": biology + np.where(late, 25, 0) + np.where(late, 1.6, 1) * rng.normal(0, 8, N),
         "lvef_pct": 60 - 4.0 * late + rng.normal(0, 4, N)}
    )  # fmt: skip
    verdicts = pd.DataFrame({"unit": units, "verdict": ["pass"] * N})
    ledger = pd.DataFrame({"unit": units, "stage": "segment", "status": "ok", "reason": "",
                           "message": ""})  # fmt: skip
    (tmp_path / "tables").mkdir()
    tables = {"participants": people, "biomarkers": numbers, "qc": verdicts, "ledger": ledger}
    for name, table in tables.items():
        table.to_parquet(tmp_path / "tables" / f"{name}.parquet", index=False)
    return tmp_path


def with_section(**section: object) -> dict[str, Any]:
    return {**OPTIONS, "harmonise": section}


def test_without_the_section_nothing_is_harmonised(study_root: Path) -> None:
    study = Study.of_tables(study_root, with_section())
    assert study.harmonisation is None
    assert not any("harmonised" in name for name in study.biomarkers)


def test_values_as_measured_stay_and_harmonised_ones_stand_beside(study_root: Path) -> None:
    study = Study.of_tables(study_root, OPTIONS)
    plain = Study.of_tables(study_root, with_section())
    both = study.biomarkers
    pd.testing.assert_frame_equal(both[list(plain.biomarkers)], plain.biomarkers)
    assert list(both)[-2:] == ["lvedv_harmonised_ml", "lvef_harmonised_pct"]
    assert both["lvedv_harmonised_ml"].isna().tolist() == [True] + [False] * (N - 2)
    late = (np.arange(N - 1) % 2 == 1)[1:]
    after = both["lvef_harmonised_pct"].to_numpy()[1:]
    assert abs(after[late].mean() - after[~late].mean()) < 0.5
    made = study.harmonisation
    assert made is not None
    assert made.n_fitted == N - 2


def test_tables_and_associations_hold_both(study_root: Path) -> None:
    associate_study(study_root, OPTIONS)
    table = read_table(study_root, "biomarkers_harmonised")
    assert list(table) == ["unit", "lvedv_ml", "lvedv_harmonised_ml", "lvef_pct",
                           "lvef_harmonised_pct"]  # fmt: skip
    described = json.loads((study_root / "tables" / "harmonisation.json").read_text())
    assert described["shift"]["unit"] == "unit"
    account = read_table(study_root, "harmonisation").set_index(["outcome", "site"])
    shift = account.loc[("lvedv_ml", "vendor b"), "shift"] - account.loc[
        ("lvedv_ml", "vendor a"), "shift"
    ]  # fmt: skip
    assert shift == pytest.approx(25, abs=4)
    found = read_table(study_root, "associations").set_index(["outcome", "term"])
    assert {"lvedv_ml", "lvedv_harmonised_ml"} == set(found.index.get_level_values(0))
    after = found.loc[("lvedv_harmonised_ml", "age_years")]
    assert after["estimate"] == pytest.approx(-0.8, abs=2.5 * after["se"])
    before = found.loc[("lvedv_ml", "age_years")]
    assert abs(before["estimate"] + 0.8) > abs(after["estimate"] + 0.8)
    assert after["se"] < 0.8 * before["se"]
    associate_study(study_root, with_section())
    assert not list((study_root / "tables").glob("*harmonis*"))


def test_the_audit_compares_both(study_root: Path) -> None:
    outcomes = audit_inputs(Study.of_tables(study_root, OPTIONS)).outcomes
    assert {"lvedv_ml", "lvedv_harmonised_ml", "lvef_harmonised_pct"} <= set(outcomes["outcome"])


def test_the_report_states_what_was_done(study_root: Path) -> None:
    extra = associate_sections(study_root, OPTIONS)[1]
    assert extra is not None
    text = " ".join(extra.sentences)
    assert "effects of age and sex were preserved, and nothing else entered the fit" in text
    assert "158 subjects" in text
    assert "mobile (1)" in text
    assert "mobile" not in " ".join([*extra.shared_sentences, *extra.notes])
    sections = extra_sections(study_root, {**Config().model_dump(), **OPTIONS})
    assert "harmonisation" in [section.ident for section in sections]
    made = Study.of_tables(study_root, OPTIONS).harmonisation
    sentence = " ".join(_harmonisation(StudyContext(harmonisation=made)))
    assert "between groups of scanner by ComBat [@combat; @neurocombat]" in sentence
    assert "preserving the effects of age and sex; the fit rests on 158 subjects" in sentence
    assert name_of("lvedv_harmonised_ml").full() == "LVEDV, harmonised (mL)"


def test_a_scanner_that_is_an_audited_group_is_reported_not_removed(study_root: Path) -> None:
    path = study_root / "tables" / "participants.parquet"
    people = pd.read_parquet(path)
    people["sex"] = np.where(people["scanner"] == "vendor b", "male", "female")
    people.to_parquet(path, index=False)
    options = with_section(by="scanner", preserve=["age_years"])
    associate_study(study_root, options)
    assert not any("harmonised" in n for n in Study.of_tables(study_root, options).biomarkers)
    extra = associate_sections(study_root, options)[1]
    assert extra is not None
    assert "scanner and sex are not separable" in extra.headline[0]
    assert read_table(study_root, "harmonisation")["note"].str.contains("not separable").all()
    made = Study.of_tables(study_root, options).harmonisation
    assert "were not harmonised" in next(_harmonisation(StudyContext(harmonisation=made)))


def test_the_config_must_state_what_is_preserved() -> None:
    with pytest.raises(ValidationError, match="state whose effects are kept"):
        Harmonise.model_validate({"by": "site"})
    with pytest.raises(ValidationError, match="site is what is harmonised"):
        Harmonise.model_validate({"by": "site", "preserve": ["site"]})
    rows = pd.DataFrame({"participant_id": ["sub-1"], "age_years": [60.0], "site": ["a"]})
    config = Config.model_validate(
        {"source": {"kind": "bids"}, "harmonise": {"by": "sitee", "preserve": ["ages"]}}
    )
    problems, _ = study_columns(config, rows)
    assert any("harmonise.by" in one and "'site'" in one for one in problems)
    assert any("harmonise.preserve" in one for one in problems)


def test_ranges_of_a_table_give_both(study_root: Path, tmp_path: Path) -> None:
    tables = study_root / "tables"
    people = pd.read_parquet(tables / "participants.parquet").drop(columns="sub")
    rows = people.merge(pd.read_parquet(tables / "biomarkers.parquet").drop(columns="analysed"))
    rows["scanner"] = rows["scanner"].map({"vendor a": "1", "vendor b": "2", "mobile": "3"})
    rows = rows.rename(columns={"unit": "participant_id"})
    rows.to_csv(tmp_path / "people.csv", index=False)
    out = tmp_path / "out"
    page, notes = ranges_of_table(
        tmp_path / "people.csv", out, columns=["lvedv_ml"], draws=0, between=Between(site="scanner")
    )
    centiles = pd.read_parquet(out / "tables" / "reference_centiles.parquet")
    assert set(centiles["outcome"]) == {"lvedv_ml", "lvedv_harmonised_ml"}
    wide = centiles[(centiles["sex"] == "male") & (centiles["age_years"] == 60)].pivot(
        index="outcome", columns="centile", values="value"
    )
    spread = wide[97.5] - wide[2.5]
    assert spread["lvedv_harmonised_ml"] < 0.8 * spread["lvedv_ml"]
    values = pd.read_parquet(out / "tables" / "harmonised_values.parquet")
    assert list(values) == ["participant_id", "lvedv_ml", "lvedv_harmonised_ml"]
    assert any("have no harmonised value: 3 (1)" in note for note in notes)
    assert "effects of age and sex were preserved" in page.read_text()
