"""What leaves in share/: no hostile cell of a cohort table, whatever column it stands in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.cli.main import main

HOSTILE = {
    "comments": ["claustrophobic, scan stopped", "mother of Mrs Okonkwo", "fell asleep"],
    "operator": ["Jane Marlow", "T. Quist", "Bob Fennimore"],
    "scan_date": ["2019-03-04", "2019-11-23"],
    "dob": ["04/03/1951", "23.11.1948"],
    "visit": ["March 4, 2019", "23 Nov 2019"],
    "mrn": [7316402, 7316499, 7316503],
    "home_postcode": ["OX3 9DU", "SW1A 1AA"],
    "diagnosis_text": ["DCM since childhood, see letter of Dr Aldous", "healthy, no symptoms"],
    "income_class": ["zz-lowest", "zz-highest"],
    "odd": ["quokka", "wombat"],
}  # fmt: skip


def hostile_table(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:04d}" for i in range(n)],
            "sex": np.where(rng.random(n) < 0.5, "F", "M"),
            "age_years": rng.integers(40, 80, n),
            "race": rng.choice(["White", "Black", "Asian"], n, p=[0.6, 0.3, 0.1]),
            "site": rng.choice(["north", "south"], n),
            "lvm_g": rng.normal(90, 15, n).round(2),
            "failed": (rng.random(n) < 0.2).astype(int),
        }
    )
    for name, values in HOSTILE.items():
        table[name] = rng.choice(np.array(values, dtype=object), n)
    table.loc[3, "race"] = "only-one-such"
    return table


def audit(folder: Path, **sections: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    hostile_table().to_csv(folder / "people.tsv", sep="\t", index=False)
    config = {
        "table": {"outcomes": {"lvm_g": "neither", "failed": "lower"}},
        "associate": {"terms": ["age_years", "sex", "operator", "race"]},
        "fairness": {
            "attributes": ["sex", "race"],
            "intersections": [["sex", "race"]],
            "adjust_for": ["age_years", "operator"],
            "n_boot": 100,
            "min_group": 2,
        },
    }
    for name, values in sections.items():
        config[name] = {**config.get(name, {}), **values}  # type: ignore[dict-item]
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    arguments = ["audit", str(folder / "people.tsv"), "--out", str(folder / "out")]
    assert main([*arguments, "--configfile", str(folder / "c.yaml")]) == 0
    return folder / "out" / "share"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return audit(tmp_path_factory.mktemp("hostile"))


def everything(share: Path) -> str:
    files = [p for p in share.rglob("*") if p.suffix in (".html", ".tsv", ".json", ".txt")]
    assert len(files) > 10
    return "\n".join(p.read_text(encoding="utf-8") for p in files)


def visible(html: str) -> str:
    """Text of a page, without styles and scripts."""
    return re.sub(r"\s+", " ", re.sub(r"(?s)<(style|script)\b.*?</\1>|<[^>]+>", " ", html))


def test_no_hostile_value_is_anywhere_below_share(shared):
    text = everything(shared)
    for values in HOSTILE.values():
        for value in values:
            assert str(value) not in text
    assert "only-one-such" not in text
    assert not re.search(r"sub-\d", text)
    for parquet in shared.rglob("*.parquet"):
        cells = pd.read_parquet(parquet).astype(str).to_numpy().ravel()
        assert not set(cells) & {str(v) for values in HOSTILE.values() for v in values}
    assert "Black" in text
    assert "only-one-such" in (shared.parent / "report/index.html").read_text(encoding="utf-8")


def test_no_exact_count_of_subjects_is_anywhere_below_share(shared):
    html = (shared / "index.html").read_text(encoding="utf-8")
    exact = hostile_table()["sex"].value_counts()
    assert all(n % 5 for n in exact), "choose a seed of which no group is a multiple of 5"
    text = re.sub(r"<[^>]+>", " ", html.split("</style>")[1])
    for n in exact:
        assert not re.search(rf"(?<![\d.,−-]){n}(?![\d.,%])", text)
    for path in shared.rglob("*.tsv"):
        table = pd.read_csv(path, sep="\t")
        for column in [c for c in table if c == "n" or c.startswith("n_")]:
            if column not in ("n_groups", "n_too_few", "n_tests"):
                assert (table[column].dropna() % 5 == 0).all(), (path.name, column)


def test_comparisons_are_counted_over_the_whole_audit(shared):
    whole = pd.read_csv(shared.parent / "tables/fairness_gaps.tsv", sep="\t")
    tested = int(pd.to_numeric(whole["p"], errors="coerce").notna().sum())
    html = (shared / "index.html").read_text(encoding="utf-8")
    assert len(pd.read_csv(shared / "tables/fairness_gaps.tsv", sep="\t")) < tested
    assert f"{tested} comparisons were tested" in html
    assert f"{len(whole)} comparisons over" in html


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium")
def test_no_hostile_value_is_in_the_page_that_a_browser_shows(shared):
    page = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--dump-dom", str(shared / "index.html")],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert "Cohort" in page
    for values in HOSTILE.values():
        assert not [value for value in values if str(value) in page]


def test_an_attribute_with_names_or_dates_is_refused_unless_listed_twice(tmp_path):
    fairness = {"attributes": ["sex", "operator", "scan_date"], "intersections": []}
    once = {"columns": ["sex", "operator", "odd"]}
    text = everything(audit(tmp_path / "b", fairness=fairness, share=once))
    assert "Marlow" not in text
    assert "operator is not shared: it holds identifiers or names" in text
    assert "quokka" in text
    twice = {**once, "columns_confirmed": ["operator"]}
    text = everything(audit(tmp_path / "c", fairness=fairness, share=twice))
    assert "Jane Marlow" in text
    assert "2019-03-04" not in text


def test_an_outcome_of_which_nothing_is_left_is_named_without_a_count(tmp_path, caplog):
    table = pd.DataFrame({"participant_id": [f"sub-{i:02d}" for i in range(26)]})
    table["sex"] = ["F", "M"] * 13
    table["failed"] = [1, 1] + [0] * 24
    table["late"] = [0, 0, 1, 1] * 6 + [0, 0]
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    config = {
        "table": {"outcomes": {"failed": "lower", "late": "lower"}},
        "fairness": {"attributes": ["sex"], "n_boot": 100, "min_group": 5},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    arguments = ["audit", str(tmp_path / "t.tsv"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--configfile", str(tmp_path / "c.yaml")]) == 0
    said = "Nothing is shared by sex of failed: groups or events are too few"
    assert said in (tmp_path / "out/share/index.html").read_text(encoding="utf-8")
    assert said in caplog.text
    assert said not in (tmp_path / "out/report/index.html").read_text(encoding="utf-8")
    shared = pd.read_csv(tmp_path / "out/share/tables/fairness_groups.tsv", sep="\t")
    assert set(shared["outcome"]) == {"late"}


def test_a_base_of_which_differences_would_be_exact_is_refused(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"share": {"rounding": 1}}))
    hostile_table().to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    arguments = ["audit", str(tmp_path / "t.tsv"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--configfile", str(tmp_path / "c.yaml")]) != 0
    assert "rounding" in capsys.readouterr().err
    assert not (tmp_path / "out/share").exists()


def test_the_page_and_the_tables_hold_the_same_rounded_numbers(shared):
    table = pd.read_csv(shared / "tables/fairness_groups.tsv", sep="\t")
    rows = table[(table["attribute"] == "sex") & (table["outcome"] == "failed")]
    html = (shared / "index.html").read_text(encoding="utf-8")
    text = visible(html)
    assert set(rows["group"]) == {"female", "male"}
    for row in rows.to_dict("records"):
        assert (row["n"] * row["mean"]) % 5 == pytest.approx(0, abs=1e-6)
        assert f"{row['group']} {row['n']:.0f} 0 {100 * row['mean']:.0f} " in text


def test_no_mean_of_a_yes_or_no_column_tells_its_exact_count(shared):
    # 6 of 38: 0.16 with an n of 40, beside the audit's 5 of 40, would be solved for 6.
    table = hostile_table()
    html = (shared / "index.html").read_text(encoding="utf-8")
    text = visible(html)
    for mean in table.groupby("sex")["failed"].mean():
        # Ends of intervals may be as large, with a minus before them.
        assert not re.search(rf"(?<![\d.−]){mean:.2f}(?!\d)", text)
    assert "women (n ≈ 40)" in text
