"""`popscan ranges` and `popscan qc tune`: from tables and studies to pages, small cells hidden."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.cli.main import main
from popscan.commands import qc_tune
from popscan.commands.qc_tune import tune_study
from popscan.commands.table_ranges import ranges_of_table
from popscan.config import Config
from popscan.records import PopscanError
from popscan.study.cohort import first_visits

N = 240


def cohort() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    sex = np.array(["female", "male"])[np.arange(N) % 2]
    age = rng.uniform(45, 75, N).round(1)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(N)],
            "sex": sex,
            "age_years": age,
            "lvedv_ml": 124 + 42 * (sex == "male") - 0.7 * (age - 60) + rng.normal(0, 21, N),
            "lvef_pct": rng.normal(60, 5, N),
        }
    )


def study(folder: Path) -> Path:
    """A study of the cohort, whose check ``snr`` is low in every eighth subject."""
    rows = cohort().rename(columns={"participant_id": "unit"})
    (folder / "plan").mkdir(parents=True)
    (folder / "tables").mkdir()
    registry = pd.DataFrame({"unit": rows["unit"], "sub": rows["unit"], "ses": "", "shard": "0"})
    registry.to_csv(folder / "plan" / "registry.tsv", sep="\t", index=False)
    snr = np.random.default_rng(1).normal(12, 1, N) - 6 * (np.arange(N) % 8 == 0)
    checks = [
        pd.DataFrame({"unit": rows["unit"], "check": name, "value": value})
        for name, value in (("snr", snr), ("contrast_pct", 30.0))
    ]
    tables = {
        "participants": rows[["unit", "sex", "age_years"]],
        "qc": rows[["unit"]].assign(verdict="pass"),
        "qc_checks": pd.concat(checks),
        "biomarkers": rows[["unit", "lvedv_ml", "lvef_pct"]].assign(analysed=True),
        "ledger": rows[["unit"]].assign(stage="qc", status="ok"),
    }
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    facts = {"config": Config.model_validate({}).model_dump(mode="json"), "popscan": "0.1.0"}
    (folder / "provenance.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def of_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("results") / "small")


def read(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "tables" / f"{name}.parquet")


def test_a_table_gets_centiles_scores_and_published_ranges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort().to_csv(tmp_path / "people.csv", index=False)
    out = tmp_path / "out"
    main(["ranges", str(tmp_path / "people.csv"), "--out", str(out), "--draws", "20"])
    assert capsys.readouterr().out.strip() == str(out / "ranges.html")
    centiles, scores = read(out, "reference_centiles"), read(out, "z_scores")
    assert set(centiles["outcome"]) == {"lvedv_ml", "lvef_pct"}
    assert set(centiles["sex"]) == {"female", "male"}
    assert len(scores) == 2 * N
    assert scores["z"].abs().median() < 1
    published = read(out, "published_ranges").set_index(["outcome", "sex"])
    assert published.loc[("lvedv_ml", "male"), "published_mean"] == 166
    assert published.loc[("lvedv_ml", "female"), "shift_sd"] == pytest.approx(0, abs=0.4)
    page = (out / "ranges.html").read_text(encoding="utf-8")
    assert "Petersen" in page
    assert "<svg" in page
    assert "sub-0" not in page


def test_what_may_leave_has_no_scores_and_no_small_counts(tmp_path: Path) -> None:
    cohort().to_csv(tmp_path / "people.csv", index=False)
    ranges_of_table(tmp_path / "people.csv", tmp_path / "out", min_near=20, draws=0)
    names = {p.name for p in (tmp_path / "out" / "share" / "tables").iterdir()}
    assert {name.partition(".")[0] for name in names} == {"reference_centiles"}
    shared = pd.read_parquet(tmp_path / "out/share/tables/reference_centiles.parquet")
    assert shared["value"].notna().all()
    assert (shared["n_near"] >= 20).all()
    assert (shared["n_near"] % 5 == 0).all()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    cohort().to_csv(tmp_path / "people.csv", index=False)
    for out in ("a", "b"):
        ranges_of_table(tmp_path / "people.csv", tmp_path / out, columns=["lvef_pct"], draws=20)
    for name in ("reference_centiles", "z_scores"):
        one, other = (tmp_path / out / "tables" / f"{name}.tsv" for out in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_a_study_is_read_as_it_is(of_study: Path, tmp_path: Path) -> None:
    ranges_of_table(of_study, tmp_path, draws=0)
    assert set(read(tmp_path, "reference_centiles")["outcome"]) == {"lvedv_ml", "lvef_pct"}
    assert read(tmp_path, "z_scores")["unit"].nunique() == N


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"age": "years"}, "no column 'years'"),
        ({"columns": ["lvm_g"]}, "no column 'lvm_g'"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, options: dict, words: str) -> None:
    cohort().to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(PopscanError, match=words):
        ranges_of_table(tmp_path / "people.csv", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_too_few_people_are_an_error_not_a_curve(tmp_path: Path) -> None:
    cohort().head(30).to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(PopscanError, match="too few: 15 subjects, 40 needed"):
        ranges_of_table(tmp_path / "people.csv", tmp_path / "out")


def verdicts(path: Path, *, bad: str = "fail") -> Path:
    table = pd.DataFrame({"participant_id": cohort()["participant_id"]})
    table["verdict"] = np.where(np.arange(N) % 8 == 0, bad, "pass")
    table.assign(reason="seen", name="R").to_csv(path, sep="\t", index=False)
    return path


def test_verdicts_give_limits_that_the_config_takes(
    of_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = verdicts(tmp_path / "verdicts.tsv"), tmp_path / "out"
    before = (of_study / "provenance.json").read_bytes()
    main(["qc", "tune", str(table), "--study", str(of_study), "--out", str(out)])
    assert capsys.readouterr().out.strip() == str(out / "qc_tuning.html")
    limits = yaml.safe_load((out / "thresholds.yaml").read_text())
    Config.model_validate(limits)
    assert 6 < limits["qc"]["thresholds"]["snr"]["review"] < 11
    checks = read(out, "qc_tuning").set_index("check")
    assert checks.loc["snr", "auc"] > 0.99
    assert checks.loc["snr", "found_pct"] > 95
    assert checks.loc["contrast_pct", "review_proposed"] == ""
    together = read(out, "qc_tuning_together").set_index(["limits", "measure"])["share_pct"]
    assert together["proposed, results held out", "found"] > 90
    assert together["proposed", "to review"] == pytest.approx(12.5, abs=2)
    assert "<svg" in (out / "qc_tuning.html").read_text(encoding="utf-8")
    assert (of_study / "provenance.json").read_bytes() == before


def test_verdicts_that_cannot_be_used_are_named(of_study: Path, tmp_path: Path) -> None:
    table = verdicts(tmp_path / "verdicts.tsv", bad="awful")
    with pytest.raises(PopscanError, match="unknown verdict 'awful'"):
        tune_study(table, of_study, tmp_path / "out")
    table = verdicts(tmp_path / "verdicts.tsv", bad="review")
    _, notes = tune_study(table, of_study, tmp_path / "out")
    assert notes == ["30 verdicts are neither pass nor fail"]
    assert yaml.safe_load((tmp_path / "out/thresholds.yaml").read_text()) is None
    strangers = pd.read_csv(table, sep="\t").assign(participant_id="sub-x")
    strangers.to_csv(tmp_path / "strangers.tsv", sep="\t", index=False)
    with pytest.raises(PopscanError, match="no verdict is of a subject"):
        tune_study(tmp_path / "strangers.tsv", of_study, tmp_path / "out")
    with pytest.raises(PopscanError, match="--bad"):
        tune_study(table, of_study, tmp_path / "out", bad=["pass"])


def test_what_may_leave_counts_nobody_in_words_and_has_a_floor(tmp_path: Path) -> None:
    people = cohort().head(180)
    people.to_csv(tmp_path / "people.csv", index=False)
    ranges_of_table(tmp_path / "people.csv", tmp_path / "out", min_near=1, draws=0)
    own = read(tmp_path / "out", "reference_centiles")
    assert own["note"].str.contains("unsure: 90 subjects").any()
    shared = pd.read_parquet(tmp_path / "out/share/tables/reference_centiles.parquet")
    assert len(shared)
    assert not shared["note"].str.contains("90 subjects").any()
    tail = np.minimum(shared["centile"], 100 - shared["centile"]) / 100
    assert (shared["n_near"] * tail >= 9).all()  # as if --min-near were 10


@pytest.mark.parametrize("options", [{"step_years": 0.0}, {"min_near": 0}, {"draws": -1}])
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict) -> None:
    cohort().to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(PopscanError, match="expected"):
        ranges_of_table(tmp_path / "people.csv", tmp_path / "out", **options)


def test_why_there_is_no_range_is_said(tmp_path: Path) -> None:
    table = cohort().assign(lvedv_ml=5.0, lvef_pct=1.0)
    table.to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(PopscanError, match="three or more different values"):
        ranges_of_table(tmp_path / "people.csv", tmp_path / "out")
    cohort().assign(age_years=cohort()["age_years"] * 365.25).to_csv(
        tmp_path / "people.csv", index=False
    )
    with pytest.raises(PopscanError, match="age_years"):  # days are no years
        ranges_of_table(tmp_path / "people.csv", tmp_path / "out")


def test_verdicts_of_sessions_may_leave_out_the_prefix(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"participant_id": ["1", "sub-2"], "session_id": ["01", "ses-02"], "verdict": "fail"}
    )
    table.to_csv(tmp_path / "verdicts.tsv", sep="\t", index=False)
    rows, _ = qc_tune._verdicts(tmp_path / "verdicts.tsv", bad=("fail",))
    assert rows["unit"].tolist() == ["sub-1_ses-01", "sub-2_ses-02"]


def test_of_several_visits_the_first_counts_whatever_the_rows_order(tmp_path: Path) -> None:
    first = cohort().assign(session_id="2")
    later = cohort().assign(session_id="10", lvef_pct=5.0)
    pd.concat([later, first]).to_csv(tmp_path / "people.csv", index=False)
    _, notes = ranges_of_table(
        tmp_path / "people.csv", tmp_path / "out", columns=["lvef_pct"], draws=0
    )
    scores = read(tmp_path / "out", "z_scores")
    assert len(scores) == N
    assert (scores["value"] != 5.0).all()
    assert any(f"{N} further rows" in note for note in notes)


def test_a_measurement_in_two_units_is_noted(tmp_path: Path) -> None:
    rows = cohort()
    rows.loc[:50, "lvedv_ml"] /= 1000
    rows.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    notes = ranges_of_table(tmp_path / "t.tsv", tmp_path / "out", draws=0)[1]
    assert any(note.startswith("lvedv_ml: its values lie in two ranges") for note in notes)
    assert not any(note.startswith("lvef_pct") for note in notes)


def test_people_whom_no_range_is_of_are_counted(tmp_path: Path) -> None:
    """Sixty people without a sex, and one without an age, were nowhere without a word."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"participant_id": [f"p{k}" for k in range(120)], "sex": ["F"] * 60 + [""] * 60,
         "age": rng.uniform(40, 70, 120).round(1), "lvedv_ml": rng.normal(150, 20, 120)}
    )  # fmt: skip
    table.loc[0, "age"] = np.nan
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    _, notes = ranges_of_table(tmp_path / "t.tsv", tmp_path / "out", draws=0)
    assert "1 of 120 people have no recorded age_years: no range is of them" in notes
    assert "60 of 120 people have no recorded sex: no range is of them" in notes


def test_which_of_two_visits_is_the_first_is_named_where_names_do_not_say(tmp_path: Path) -> None:
    """The visit post comes before pre by name: the ranges were those after treatment."""
    rng = np.random.default_rng(0)
    people = [f"p{k}" for k in range(60)]
    table = pd.DataFrame(
        {"participant_id": people * 2, "session_id": ["pre"] * 60 + ["post"] * 60, "sex": "F",
         "age": [*rng.uniform(40, 70, 60)] * 2, "lvedv_ml": rng.normal(150, 20, 120)}
    )  # fmt: skip
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    _, notes = ranges_of_table(tmp_path / "t.tsv", tmp_path / "out", draws=0)
    assert any("order of their names: ses-post, ses-pre" in note for note in notes)
    known = table.rename(columns={"participant_id": "sub", "session_id": "ses"})
    once, sentences = first_visits(known.set_index(known["sub"] + "_ses-" + known["ses"]))
    assert set(once["ses"]) == {"post"}
    assert sentences[0].startswith("Visits in the order of their names: post, pre; the first")
    numbered = known.assign(ses=known["ses"].map({"pre": "1", "post": "2"}))
    _, sentences = first_visits(numbered.set_index(numbered["sub"] + "_ses-" + numbered["ses"]))
    assert len(sentences) == 1


def test_ages_of_a_column_of_another_name_have_the_limits_of_ages(tmp_path: Path) -> None:
    """A person of 999 years was in the curves, since only age_years had limits."""
    table = cohort().rename(columns={"age_years": "age_at_scan"})
    table.loc[:1, "age_at_scan"] = [999.0, 130.0]
    table.to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "out"
    _, notes = ranges_of_table(tmp_path / "t.csv", out, age="age_at_scan", draws=0)
    assert any("age_at_scan: 2 values outside 0 to 125 (130, 999)" in note for note in notes)
    assert f"2 of {N} people have no recorded age_at_scan: no range is of them" in notes
    assert read(out, "reference_centiles")["age_years"].max() < 80


def test_a_study_of_several_visits_says_which_it_takes(of_study: Path, tmp_path: Path) -> None:
    """The visits after treatment were the first by name, without a word."""
    folder = study(tmp_path / "visits")
    rows = pd.read_parquet(folder / "tables" / "participants.parquet")
    names = {
        unit: f"sub-{k // 2:03d}_ses-{('pre', 'post')[k % 2]}"
        for k, unit in enumerate(rows["unit"])
    }
    for path in (folder / "tables").glob("*.parquet"):
        table = pd.read_parquet(path)
        table = table.assign(unit=table["unit"].map(names))
        if path.stem == "participants":
            table["sub"] = table["unit"].str.partition("_")[0]
            table["ses"] = table["unit"].str.partition("_")[2]
        table.to_parquet(path)
    registry = folder / "plan" / "registry.tsv"
    units = pd.read_csv(registry, sep="\t")["unit"].map(names)
    parts = units.str.partition("_")
    pd.DataFrame({"unit": units, "sub": parts[0], "ses": parts[2], "shard": "0"}).to_csv(
        registry, sep="\t", index=False
    )
    _, notes = ranges_of_table(folder, tmp_path / "out", draws=0, columns=["lvef_pct"])
    assert f"{N // 2} further rows of the same people were left out" in notes
    assert any("order of their names: ses-post, ses-pre; the first" in note for note in notes)
    assert not any("pairwise" in note for note in notes)
    _, notes = ranges_of_table(of_study, tmp_path / "once", draws=0, columns=["lvef_pct"])
    assert not any("further rows" in note for note in notes)
