"""``popscan audit`` on the real table of brain volumes: rare groups, gaps, hospitals."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from popscan.cli.main import main
from popscan.commands.configfile import load_table_config
from popscan.commands.table_audit import audit_table
from popscan.config import TableConfig
from popscan.records import PopscanError


@pytest.fixture(scope="module")
def ixi(tmp_path_factory, data_dir, repo_root):
    """Folder of the audit of the real table, and its notes."""
    table = data_dir / "tables" / "ixi_brain_volumes.tsv"
    if not table.exists():
        pytest.skip(f"no {table}")
    out = tmp_path_factory.mktemp("ixi")
    config = load_table_config(repo_root / "config" / "tables" / "ixi.yaml")
    quick = config.fairness.model_copy(update={"n_boot": 200, "adjust_methods": ["regression"]})
    _, notes = audit_table(table, config.model_copy(update={"fairness": quick}), out)
    return out, notes


def read(out, name):
    return pd.read_csv(out / "tables" / f"{name}.tsv", sep="\t", keep_default_na=False)


@pytest.mark.data
def test_impossible_values_are_missing_and_counted(ixi):
    out, notes = ixi
    told = "\n".join(notes)
    assert re.search(r"height_cm: 15 values left out: 0 \(15 times\)", told)
    assert re.search(r"weight_kg: 17 values left out: 0 \(15 times\), 710 \(2 times\)", told)
    assert told in (out / "tables" / "fairness_sentences.txt").read_text()
    weights = pd.to_numeric(read(out, "participants")["weight_kg"], errors="coerce")
    assert weights.isna().sum() == 17
    assert weights.max() < 300


@pytest.mark.data
def test_rare_groups_are_counted_not_tested(ixi):
    out, _ = ixi
    groups = read(out, "fairness_groups")
    of = groups[(groups["attribute"] == "ethnic_id") & (groups["outcome"] == "brain_mm3")]
    sizes = of.set_index("group")["n_units"].astype(int)
    assert sizes.sum() == 291
    assert sizes["missing"] == 5
    assert set(of.loc[of["too_few"].astype(str) == "False", "group"]) == {"White", "Asian"}
    gaps = read(out, "fairness_gaps")
    assert set(gaps.loc[(gaps["attribute"] == "ethnic_id") & (gaps["p"] != "n/a"), "group"]) == {
        "Asian"
    }


@pytest.mark.data
def test_head_size_explains_the_difference_between_the_sexes(ixi):
    out, _ = ixi
    rows = read(out, "fairness_adjusted")
    row = rows[(rows["attribute"] == "sex") & (rows["outcome"] == "brain_mm3")].iloc[0]
    assert abs(float(row["gap"])) < 0.1 * abs(float(row["gap_raw"]))
    assert "site" in row["adjusted_for"]
    assert "sex" not in row["adjusted_for"]
    told = (out / "tables" / "fairness_sentences.txt").read_text()
    assert "intracranial_mm3 is associated with sex" in told
    bands = rows[rows["attribute"] == "age_band"]
    assert not bands["adjusted_for"].str.contains("age_years").any()


@pytest.mark.data
def test_report_and_what_is_shared(ixi):
    out, _ = ixi
    html = (out / "report" / "index.html").read_text()
    assert "Segmentation quality" not in html
    assert "Adjusted for confounders" in html
    assert "social categories" in html
    shared = (out / "share" / "index.html").read_text()
    assert not re.findall(r"IXI\d+", shared + (out / "share/tables/fairness_gaps.tsv").read_text())


def test_wrong_table_or_config_is_a_message(tmp_path, capsys):
    (tmp_path / "people.tsv").write_text("participant_id\tsex\tx_mm\nsub-1\tF\t3\n")
    (tmp_path / "c.yaml").write_text("table: {outcomes: {absent_mm: higher}}\n")
    arguments = ["audit", str(tmp_path / "people.tsv"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--configfile", str(tmp_path / "c.yaml")]) != 0
    assert "absent_mm" in capsys.readouterr().err
    (tmp_path / "c.yaml").write_text("table: {outcome: {}}\n")
    assert main([*arguments, "--configfile", str(tmp_path / "c.yaml")]) == 2
    assert "outcome" in capsys.readouterr().err
    with pytest.raises(PopscanError, match="no such file"):
        audit_table(tmp_path / "none.tsv", TableConfig(), tmp_path / "out")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Folder of the audit of a table of scores from elsewhere, and its notes."""
    folder = tmp_path_factory.mktemp("scored")
    rng = np.random.default_rng(4)
    n = 240
    ill = rng.random(n) < 0.4
    sex = rng.choice(["F", "M"], n)
    score = 1 / (1 + np.exp(-(2.0 * ill - 1.0 - 1.5 * (sex == "F") + rng.normal(size=n))))
    age = rng.normal(60, 8, n)
    pd.DataFrame(
        {"participant_id": [f"sub-{i:03d}" for i in range(n)], "sex": sex,
         "diagnosis": np.where(ill, "AD", "control"), "p_ad": score.round(4),
         "age_years": age.round(1), "brain_age": (60 + 0.5 * (age - 60)).round(1)}
    ).to_csv(folder / "scores.tsv", sep="\t", index=False)  # fmt: skip
    config = TableConfig.model_validate(
        {
            "table": {"predictions": [
                {"score": "p_ad", "truth": "diagnosis", "positive": "AD", "name": "ad"},
                {"score": "brain_age", "truth": "age_years", "kind": "regression"},
            ]},
            "fairness": {"attributes": ["sex"], "adjust_for": [], "n_boot": 200},
        }
    )  # fmt: skip
    index, _ = audit_table(folder / "scores.tsv", config, folder / "out")
    return folder / "out", index


def test_scores_from_elsewhere_are_audited(scored):
    out, index = scored
    gaps = read(out, "fairness_gaps").set_index("outcome")
    sensitivity = gaps.loc["ad_sensitivity"]
    assert str(sensitivity["significant"]).lower() == "true"
    assert sensitivity["direction"] == ("worse" if sensitivity["group"] == "female" else "better")
    assert {"age_years_error", "age_years_abs_error", "ad_brier"} <= set(gaps.index)
    table = read(out, "fairness_predictions")
    assert {"auc", "calibration_error", "equalised_odds_difference", "rmse"} <= set(
        table["measure"]
    )
    page = index.read_text()
    assert "<h3>Predictions</h3>" in page
    assert "Calibration" in page
    for name in ("predictions", "calibration", "thresholds", "outcomes"):
        columns = json.loads((out / "tables" / f"fairness_{name}.json").read_text())
        assert all(entry["meaning"] for entry in columns.values()), name


def test_shared_tables_hold_no_sweeps_and_no_bins(scored):
    out, _ = scored
    shared = {path.stem for path in (out / "share" / "tables").glob("*.tsv")}
    assert "fairness_predictions" in shared
    assert not shared & {"fairness_thresholds", "fairness_calibration", "fairness_outcomes"}
    page = (out / "share" / "index.html").read_text()
    assert "sub-001" not in page
    assert "share of positives against" not in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": "site"}, "no column 'site'"),
        ({"positive": None}, "holds AD, control; expected 0 and 1"),
        ({"positive": "MCI"}, "does not hold 'MCI'; it holds AD, control"),
        ({"score": "age_years"}, "age_years is not a probability"),
        ({"score": "diagnosis"}, "no numbers|without a single number"),
    ],
)
def test_predictions_that_cannot_be_read_are_refused(scored, change, message):
    out, _ = scored
    entry = {"score": "p_ad", "truth": "diagnosis", "positive": "AD", **change}
    config = TableConfig.model_validate({"table": {"predictions": [entry]}})
    with pytest.raises(PopscanError, match=message):
        audit_table(out.parent / "scores.tsv", config, out.parent / "refused")


def test_scores_of_training_subjects_are_left_out_of_a_table_too(tmp_path):
    rng = np.random.default_rng(3)
    n = 120
    ill = np.arange(n) % 2
    seen = np.arange(n) < 60  # ranked perfectly; the others by chance
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(n)],
            "sex": np.where(np.arange(n) // 2 % 2, "female", "male"), "ill": ill,
            "p": np.where(seen, 0.1 + 0.8 * ill, rng.random(n)).round(3),
            "seen_in_training": seen.astype(int),
        }
    )  # fmt: skip
    table.to_csv(tmp_path / "scores.tsv", sep="\t", index=False)
    config = TableConfig.model_validate(
        {
            "table": {"predictions": [{"score": "p", "truth": "ill"}]},
            "fairness": {"attributes": ["sex"], "adjust_for": [], "n_boot": 200},
        }
    )
    _, notes = audit_table(tmp_path / "scores.tsv", config, tmp_path / "out")
    found = read(tmp_path / "out", "fairness_predictions")
    one = found[(found["measure"] == "auc") & (found["group"] == "all")].iloc[0]
    assert int(one["n"]) == 60
    assert float(one["value"]) < 0.7
    assert any("the model was trained on 60 of 120 subjects" in note for note in notes)
