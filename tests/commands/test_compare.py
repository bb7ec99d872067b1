"""Two runs of one study: what moved, by how much, and for whom."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import popscan
from popscan.commands.compare import as_text, compare_studies
from popscan.config import Config
from popscan.records import PopscanError

UNITS = [f"sub-{n:02d}" for n in range(1, 13)]
SEX = ["female"] * 6 + ["male"] * 6
LVEF = np.linspace(50.0, 61.0, 12)


def study(
    folder: Path,
    *,
    units: list[str] = UNITS,
    shift: Any = 0.0,
    fails: tuple[str, ...] = (),
    **config: Any,
) -> popscan.opened.OpenedStudy:
    """A study's tables; `shift` is added to LVEF, `fails` are excluded by QC."""
    (folder / "plan").mkdir(parents=True)
    (folder / "tables").mkdir()
    registry = pd.DataFrame({"unit": units, "sub": units, "ses": "", "shard": "00000"})
    registry.to_csv(folder / "plan" / "registry.tsv", sep="\t", index=False)
    rows = pd.DataFrame({"unit": UNITS, "sex": SEX, "lvef_pct": LVEF + shift})
    rows = rows[rows["unit"].isin(units)]
    verdict = np.where(rows["unit"].isin(fails), "fail", "pass")
    tables = {
        "participants": rows[["unit", "sex"]],
        "qc": pd.DataFrame({"unit": rows["unit"], "verdict": verdict}),
        "biomarkers": rows.drop(columns="sex").assign(analysed=verdict == "pass"),
        "ledger": pd.DataFrame(
            {
                "unit": rows["unit"],
                "stage": "qc",
                "status": np.where(verdict == "pass", "ok", "excluded"),
            }
        ),
    }
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    whole = Config.model_validate({"fairness": {"attributes": ["sex"]}, **config}).model_dump(
        mode="json"
    )
    facts = {"config": whole, "popscan": "0.1.0", "stages": {"qc": "1"}}
    (folder / "provenance.json").write_text(json.dumps(facts))
    return popscan.open_study(folder)


def test_the_same_study_twice_differs_in_nothing(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    assert as_text(compare_studies(a, b)) == "nothing differs"


def test_a_shift_of_one_group_is_found_for_that_group(tmp_path: Path) -> None:
    shift = np.where(np.array(SEX) == "female", 2.0, 0.0)
    shift[0] = 3.0
    found = compare_studies(study(tmp_path / "a"), study(tmp_path / "b", shift=shift))
    row = found.biomarkers.set_index("biomarker").loc["lvef_pct"]
    assert (row["n"], row["changed"], row["largest_unit"]) == (12, 6, "sub-01")
    assert row["mean_difference"] == pytest.approx(13 / 12)
    by = found.groups.set_index("group")["mean_difference"]
    assert by["female"] == pytest.approx(13 / 6)
    assert by["male"] == 0.0


def test_verdicts_statuses_and_subjects_of_one_study(tmp_path: Path) -> None:
    a = study(tmp_path / "a", units=UNITS[:10])
    b = study(tmp_path / "b", units=UNITS[1:], fails=("sub-02",))
    found = compare_studies(a, b)
    assert (found.only_a, found.only_b) == (["sub-01"], ["sub-11", "sub-12"])
    assert found.verdicts.to_dict("records") == [{"unit": "sub-02", "a": "pass", "b": "fail"}]
    assert found.statuses.to_dict("records") == [
        {"unit": "sub-02", "stage": "qc", "a": "ok", "b": "excluded"}
    ]
    # Whom B excludes is in no difference of biomarkers.
    assert found.biomarkers["n"].tolist() == [8]


def test_keys_of_the_config_that_differ(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b", plan={"shard_size": 8})
    found = compare_studies(a, b)
    assert found.config == {"plan.shard_size": (64, 8)}
    assert "config: plan.shard_size: 64 -> 8" in as_text(found)


def test_values_of_one_study_alone_are_counted(tmp_path: Path) -> None:
    """A biomarker that B does not measure any more was no difference."""
    lost = np.where(np.arange(12) < 7, np.nan, 0.0)
    found = compare_studies(study(tmp_path / "a"), study(tmp_path / "b", shift=lost))
    row = found.biomarkers.set_index("biomarker").loc["lvef_pct"]
    assert (row["n"], row["changed"], row["only_a"], row["only_b"]) == (5, 0, 7, 0)
    assert "lvef_pct" in as_text(found)
    # Six women have no value in both: none of them is counted.
    assert found.groups[["group", "n"]].to_dict("records") == [{"group": "male", "n": 5}]


def test_a_biomarker_that_one_study_has_alone(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    path = b.root / "tables" / "biomarkers.parquet"
    table = pd.read_parquet(path)
    table.rename(columns={"lvef_pct": "rvef_pct"}).to_parquet(path)
    found = compare_studies(a, b).biomarkers.set_index("biomarker")
    assert found[["n", "only_a", "only_b"]].to_dict("index") == {
        "lvef_pct": {"n": 0, "only_a": 12, "only_b": 0},
        "rvef_pct": {"n": 0, "only_a": 0, "only_b": 12},
    }


def test_attributes_that_differ_are_named(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    path = b.root / "tables" / "participants.parquet"
    table = pd.read_parquet(path)
    table.loc[2, "sex"] = "male"
    table.to_parquet(path)
    found = compare_studies(a, popscan.open_study(b.root))
    assert found.attributes.to_dict("records") == [
        {"unit": "sub-03", "attribute": "sex", "a": "female", "b": "male"}
    ]
    assert "attributes that changed (1)" in as_text(found)


def test_gaps_of_one_study_alone_are_differences(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    gaps = pd.DataFrame(
        {
            "attribute": "sex",
            "stage": ["biomarkers", "segment"],
            "outcome": ["lvef_pct", "dice_lv"],
            "group": "female",
            "reference": "male",
            "gap": [1.0, np.nan],
        }
    )
    gaps.to_parquet(a.root / "tables" / "fairness_gaps.parquet")
    gaps.iloc[1:].to_parquet(b.root / "tables" / "fairness_gaps.parquet")
    found = compare_studies(a, b).gaps
    assert found[["outcome", "gap_a"]].to_dict("records") == [{"outcome": "lvef_pct", "gap_a": 1.0}]
    assert found["gap_b"].isna().all()


def test_small_groups_are_left_out(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b", shift=1.0)
    assert compare_studies(a, b, min_group=7).groups.empty


def test_no_study_there(tmp_path: Path) -> None:
    with pytest.raises(PopscanError, match="no study there"):
        popscan.open_study(tmp_path)


def test_a_study_without_a_report_yet(tmp_path: Path) -> None:
    study(tmp_path / "a")
    (tmp_path / "a" / "provenance.json").unlink()
    with pytest.raises(PopscanError, match="run it to its report first"):
        popscan.open_study(tmp_path / "a")


def test_a_table_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    opened = study(tmp_path / "a")
    assert opened.tables == ["biomarkers", "ledger", "participants", "qc"]
    with pytest.raises(PopscanError, match="there are biomarkers, ledger"):
        opened.table("../plan")
    with pytest.raises(PopscanError, match="no such subject"):
        opened.images("sub-99")


def _change(one: popscan.opened.OpenedStudy, name: str, table: pd.DataFrame) -> None:
    table.to_parquet(one.root / "tables" / f"{name}.parquet")


def test_a_record_that_one_study_lacks_is_a_difference(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    for name in ("ledger", "qc"):
        _change(b, name, b.table(name).iloc[1:])
    found = compare_studies(a, b)
    assert found.statuses[["unit", "a", "b"]].to_numpy().tolist() == [["sub-01", "ok", "none"]]
    assert found.verdicts[["unit", "a", "b"]].to_numpy().tolist() == [["sub-01", "pass", "none"]]


def test_a_subject_that_one_study_alone_analyses_is_named(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    _change(b, "biomarkers", b.table("biomarkers").assign(analysed=np.arange(12) > 1))
    found = compare_studies(a, b)
    assert found.analysed_a == ["sub-01", "sub-02"]
    assert "analysed only in A: 2 subjects, sub-01, sub-02" in as_text(found)


def test_gaps_of_one_outcome_at_two_stages_are_not_exchanged(tmp_path: Path) -> None:
    gaps = pd.DataFrame(
        {"attribute": "sex", "stage": ["segment", "rca"], "outcome": "dice", "group": "female",
         "reference": "male", "gap": [0.01, 0.02]}
    )  # fmt: skip
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    _change(a, "fairness_gaps", gaps)
    _change(b, "fairness_gaps", gaps.iloc[::-1])
    assert compare_studies(popscan.open_study(a.root), popscan.open_study(b.root)).gaps.empty


def test_a_stage_that_one_study_has_alone(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    path = a.root / "tables" / "ledger.parquet"
    table = pd.read_parquet(path)
    pd.concat([table, table.assign(stage="score", status="failed")]).to_parquet(path)
    found = compare_studies(popscan.open_study(a.root), b)
    assert (found.stages_a, found.stages_b) == (["score"], [])
    assert "stages only in A: score" in as_text(found)
    table.iloc[:0].to_parquet(path)
    assert "stages only in B: qc" in as_text(compare_studies(popscan.open_study(a.root), b))


def test_gaps_that_one_study_has_alone(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    keys = {"attribute": "sex", "stage": "qc", "outcome": "x", "group": "male",
            "reference": "female"}  # fmt: skip
    pd.DataFrame([{**keys, "gap": 0.5}]).to_parquet(a.root / "tables" / "fairness_gaps.parquet")
    found = compare_studies(popscan.open_study(a.root), b)
    assert found.gaps["gap_a"].tolist() == [0.5]
    assert found.gaps["gap_b"].isna().all()
    assert "gaps that changed (1)" in as_text(found)


def test_the_groups_that_changed_most_are_named_first(tmp_path: Path) -> None:
    """Of many, the first dozen in order of the config stood under 'where it is largest'."""
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    rng = np.random.default_rng(0)
    for one in (a, b):
        table = one.table("biomarkers")
        for k in range(9):
            table[f"size{k}_ml"] = 100.0 + rng.normal(0, 1, 12)
        table["last_ml"] = np.linspace(1.0, 2.0, 12) + (40.0 if one is b else 0.0)
        table.to_parquet(one.root / "tables" / "biomarkers.parquet")
    opened = [popscan.open_study(one.root) for one in (a, b)]
    found = compare_studies(*opened)
    assert found.groups["biomarker"].iloc[:2].tolist() == ["last_ml", "last_ml"]
    assert found.groups["in_sd"].abs().is_monotonic_decreasing
    shown = as_text(found).split("by group")[1].split("\n")
    assert "last_ml" in shown[2]


def test_visits_of_few_subjects_are_a_small_group(tmp_path: Path) -> None:
    found = []
    for name, shift in (("a", 0.0), ("b", 2.0)):
        one = study(tmp_path / name, shift=shift)
        for table in ("participants", "qc", "biomarkers", "ledger"):
            path = one.root / "tables" / f"{table}.parquet"
            rows = pd.read_parquet(path)
            rows["unit"] = [f"sub-{k // 3}_ses-{k % 3}" for k in range(12)]
            rows.to_parquet(path)
        found.append(popscan.open_study(one.root))
    assert compare_studies(*found, min_group=2).groups["n"].tolist() == [6, 6]
    assert compare_studies(*found, min_group=5).groups.empty


def test_a_group_is_as_large_as_its_subjects_with_that_biomarker(tmp_path: Path) -> None:
    """Three visits of two women were shared as a group of five, since six are in the study."""
    found = []
    for name, shift in (("a", 0.0), ("b", 2.0)):
        one = study(tmp_path / name, shift=shift)
        units = [f"sub-{k // 2}_ses-{k % 2}" for k in range(12)]
        for table in ("participants", "qc", "biomarkers", "ledger"):
            rows = one.table(table).assign(unit=units)
            if table == "biomarkers":
                rows["mass_g"] = rows["lvef_pct"].where(np.arange(12) < 3)
            _change(one, table, rows)
        found.append(popscan.open_study(one.root))
    groups = compare_studies(*found, min_group=3).groups
    assert groups["biomarker"].unique().tolist() == ["lvef_pct"]
    assert groups[["n", "n_subjects"]].to_numpy().tolist() == [[6, 3], [6, 3]]
    groups = compare_studies(*found, min_group=2).groups.set_index("biomarker")
    assert groups.loc["mass_g", ["n", "n_subjects"]].tolist() == [3, 2]


def test_studies_without_a_biomarker_are_compared(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        one = study(tmp_path / name)
        _change(one, "biomarkers", one.table("biomarkers")[["unit", "analysed"]])
        found.append(popscan.open_study(one.root))
    compared = compare_studies(*found)
    assert compared.groups.empty
    assert compared.biomarkers.empty
    assert as_text(compared) == "nothing differs"
