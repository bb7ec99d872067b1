"""One table as spreadsheets, biobanks and R leave them: `popscan audit` finds what was put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.cli.main import main
from popscan.commands.table_audit import audit_table
from popscan.config import TableConfig
from popscan.records import PopscanError

N = 180
CONFIG = {
    "study": {"name": "hostile"},
    "table": {"outcomes": {"Dice_LV": "higher", "EF": "neither", "died": "lower"}},
    "associate": {"terms": ["Age", "Sex", "Site", "vendor", "walk_days"]},
    "fairness": {
        "attributes": ["Sex", "Race", "disease", "ethnicity"],
        "reference": {"race": "white"},
        "intersections": [],
        "adjust_for": ["AGE", "Site"],
        "codings": {"Ethnicity": "ukb_21000"},
        "n_boot": 100,
    },
}


def write(path, columns) -> None:
    rows = zip(*columns.values(), strict=True)
    lines = [";".join(columns), *(";".join(map(str, row)) for row in rows)]
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    """What the table means."""
    rng = np.random.default_rng(4)
    site = rng.choice([11025, 11026, 11027], N)
    steps = rng.uniform(0.5, 7, N).round(1)
    female = rng.random(N) < 0.5
    age = (60 + 8 * (site == 11026) + rng.normal(0, 4, N)).round().astype(int)
    return pd.DataFrame(
        {
            "female": female, "age": age, "site": site, "walk_days": steps,
            "race": rng.choice(["White", "Black", "NA"], N, p=[0.5, 0.3, 0.2]),
            "disease": rng.choice(["none", "HCM", "DCM"], N, p=[0.6, 0.2, 0.2]),
            "vendor": rng.choice(["Siemens", "Philips"], N),
            "ethnicity": rng.choice(["British", "Irish", "Caribbean", "Indian"], N),
            "dice": (0.7 + 0.02 * steps - 0.05 * (site == 11026) + rng.normal(0, 0.01, N)).round(4),
            "ef": rng.normal(60, 6, N).round(1), "died": rng.random(N) < 0.2,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def audited(truth, tmp_path_factory):
    """Folder of the audit, its notes, and the table with what was lost marked as such."""
    folder = tmp_path_factory.mktemp("hostile")
    told = truth.astype(object)
    lost = {"dice": [7, 11], "vendor": [17], "walk_days": [3, 4, 5, 6], "ethnicity": [20, 21]}
    for name, rows in lost.items():
        told.loc[rows, name] = np.nan
    dice = [f"{value:.4f}".replace(".", ",") for value in truth["dice"]]
    dice[7], dice[11] = "inf", "-inf"
    race = [r if i % 3 else r.upper() for i, r in enumerate(truth["race"])]
    ethnicity = list(truth["ethnicity"])
    ethnicity[20], ethnicity[21] = "Prefer not to answer", "Do not know"
    vendor = list(truth["vendor"])
    vendor[17] = "n/a"
    steps = [str(v).replace(".", ",") for v in truth["walk_days"]]
    steps[3:7] = ["-1", "-3", "-3", "-1"]
    write(
        folder / "t.csv",
        {
            "": range(N), "participant_id": [f"{1000000 + i}.0" for i in range(N)],
            "Sex": np.where(truth["female"], "F ", "Male"), "Age": truth["age"], "Race": race,
            "disease": truth["disease"], "Site": truth["site"], "vendor": vendor,
            "walk_days": steps, "Ethnicity": ethnicity, "Dice_LV": dice,
            "EF": [f"{v} %" for v in truth["ef"]], "died": np.where(truth["died"], "yes", "no"),
            "sub": range(N), "unit": ["x"] * N, "sampling_weight": ["1,5"] * N,
        },
    )  # fmt: skip
    _, notes = audit_table(folder / "t.csv", TableConfig.model_validate(CONFIG), folder / "out")
    return folder / "out", "\n".join(notes), told


def groups(audited, attribute: str, outcome: str = "dice_lv") -> pd.DataFrame:
    table = pd.read_parquet(audited[0] / "tables" / "fairness_groups.parquet")
    chosen = table[(table["attribute"] == attribute) & (table["outcome"] == outcome)]
    return chosen.set_index("group")


@pytest.mark.parametrize("attribute", ["race", "disease"])
def test_groups_called_none_or_na_and_spelled_differently_are_whole(audited, attribute):
    found, told = groups(audited, attribute), audited[2]
    expected = told.groupby(attribute)["dice"].agg(["size", "count", "mean"]).astype(float)
    assert found["n_units"].to_dict() == expected["size"].to_dict()
    assert found["n"].to_dict() == expected["count"].to_dict()
    assert found["mean"].to_dict() == pytest.approx(expected["mean"].to_dict())
    gaps = pd.read_parquet(audited[0] / "tables" / "fairness_gaps.parquet")
    assert set(gaps.loc[gaps["attribute"] == "race", "reference"]) == {"White"}


def test_names_of_a_coding_are_read_and_no_answer_is_not_recorded(audited):
    told = audited[2]["ethnicity"]
    top = {"British": "White", "Irish": "White", "Caribbean": "Black or Black British",
           "Indian": "Asian or Asian British"}  # fmt: skip
    expected = told.map(top).fillna("missing").value_counts().to_dict()
    assert groups(audited, "ethnicity")["n_units"].to_dict() == expected
    assert "'Prefer not to answer' (1), 'Do not know' (1) count as not recorded" in audited[1]


def test_percent_and_yes_no_outcomes(audited, truth):
    for outcome, values in (("ef", truth["ef"]), ("died", truth["died"].astype(float))):
        found = groups(audited, "sex", outcome)["mean"].to_dict()
        expected = values.groupby(np.where(truth["female"], "female", "male")).mean().to_dict()
        assert found == pytest.approx(expected)


def test_model_has_sites_as_categories_and_leaves_codes_and_missing_words_out(audited):
    told = audited[2]
    kept = told.dropna(subset=["dice", "vendor", "walk_days"])
    columns = [np.ones(len(kept)), kept["age"], kept["female"], kept["walk_days"]]
    columns += [kept["site"] == 11026, kept["site"] == 11027, kept["vendor"] == "Philips"]
    design = np.column_stack(columns).astype(float)
    fit, *_ = np.linalg.lstsq(design, kept["dice"].to_numpy(dtype=float), rcond=None)
    table = pd.read_parquet(audited[0] / "tables" / "associations.parquet")
    table = table[table["outcome"] == "dice_lv"].set_index("term")
    assert table["n"].eq(len(kept)).all()
    assert len(kept) == N - 7
    assert table.loc["age_years", "estimate"] == pytest.approx(fit[1])
    assert table.loc["walk_days", "estimate"] == pytest.approx(fit[3])
    levels = [name for name in table.index if name.startswith("site[")]
    assert len(levels) == 2
    adjusted = pd.read_parquet(audited[0] / "tables" / "fairness_adjusted.parquet")
    assert adjusted.loc[adjusted["attribute"] == "sex", "adjusted_for"].eq("age_years, site").all()


@pytest.mark.parametrize(
    "note",
    [
        "dice_lv: 178 values are written as numbers with a decimal comma",
        "dice_lv: 2 values left out: 'inf' (1), '-inf' (1) among 180 cells",
        "ef: 180 values are written as numbers with a percent sign",
        "died: 'yes'",
        "walk_days: -3 (2), -1 (2) are codes among values from 0",
        "site: its 3 whole numbers are read as categories",
        "sampling_weight: looks like a weight of subjects",
        "column_1: is the name given to a column without one",
        "sub_in_table: is the name given to column 'sub'",
        "'none' (",
        "'NA' (",
        "'WHITE' (",
    ],
)
def test_whatever_was_read_otherwise_is_named(audited, note):
    assert note in audited[1], audited[1]


def test_cells_of_the_table_are_in_the_report_and_not_in_what_is_shared(audited):
    report = (audited[0] / "report" / "index.html").read_text()
    shared = (audited[0] / "share" / "index.html").read_text()
    assert "Prefer not to answer" in report
    assert "Prefer not to answer" not in shared


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["good", "bad"], "'good' (10), 'bad' (10) among 20 cells"),
        (["1,234", "2,345"], "'1,234' (10), '2,345' (10) among 20 cells"),
        (["n/a", "NA"], "dice without a single number"),
        (["inf", "-inf"], "'inf' (10)"),
        (["1e308", "-1e308"], "dice: 20 cells are no numbers, more than half"),
    ],
)
def test_an_outcome_without_numbers_is_refused(tmp_path, capsys, cells, message):
    rows = "".join(f"p{i}\t{'FM'[i % 2]}\t{cells[i % 2]}\n" for i in range(20))
    (tmp_path / "t.tsv").write_text("participant_id\tsex\tdice\n" + rows)
    (tmp_path / "c.yaml").write_text(
        "table: {outcomes: {dice: higher}}\nfairness: {attributes: [sex], intersections: []}\n"
    )
    arguments = [str(tmp_path / "t.tsv"), "--out", str(tmp_path / "out")]
    assert main(["audit", *arguments, "--configfile", str(tmp_path / "c.yaml")]) != 0
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("new", ["sex", "unit"])
def test_a_new_name_that_is_taken_is_refused(tmp_path, new):
    (tmp_path / "t.tsv").write_text("participant_id\tsex\tdice\na\tF\t1\n")
    config = TableConfig.model_validate(
        {"table": {"outcomes": {"dice": "higher"}, "rename": {"dice": new}}}
    )
    with pytest.raises(PopscanError, match=r"table.rename|table.outcomes"):
        audit_table(tmp_path / "t.tsv", config, tmp_path / "out")


@pytest.mark.parametrize("key", ["weights", "ipw", "sampling_weight"])
def test_a_key_for_weights_is_refused_by_name(tmp_path, capsys, key):
    (tmp_path / "t.tsv").write_text("participant_id\tsex\tdice\na\tF\t1\n")
    (tmp_path / "c.yaml").write_text(f"table: {{outcomes: {{dice: higher}}, {key}: w}}\n")
    arguments = [str(tmp_path / "t.tsv"), "--out", str(tmp_path / "out")]
    assert main(["audit", *arguments, "--configfile", str(tmp_path / "c.yaml")]) == 2
    assert f"table.{key}: unknown key" in capsys.readouterr().err


def test_why_a_column_has_no_values_is_said_with_it(tmp_path, capsys):
    rows = "".join(f"p{i}\t{1 + i % 2}\t19{50 + i}-01-02\t0.{i + 10}\n" for i in range(20))
    (tmp_path / "t.tsv").write_text("participant_id\tsex\tage\tdice\n" + rows)
    (tmp_path / "c.yaml").write_text(
        "table: {outcomes: {dice: higher}}\nassociate: {terms: [age]}\n"
        "fairness: {attributes: [sex], intersections: []}\n"
    )
    arguments = [str(tmp_path / "t.tsv"), "--out", str(tmp_path / "out")]
    assert main(["audit", *arguments, "--configfile", str(tmp_path / "c.yaml")]) == 2
    told = capsys.readouterr().err
    assert "associate.terms: 'age_years' has no value in the table" in told
    assert "age_years: 20 values left out: 1950-01-02, 1951-01-02" in told
    assert "sex: 20 values left out: 1 (10 times), 2 (10 times)" in told
    assert "cohort.sex_codes" in told
