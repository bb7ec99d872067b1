"""Precision of a table from elsewhere: its own names, what is refused, the page."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from popscan.commands.table_precision import precision_of_table
from popscan.records import PopscanError


@pytest.fixture
def rescans(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    true = rng.normal(150, 30, 24)
    rows = [
        {"Patient": f"P{i:02d}", "Scan": scan, "M/F": "MF"[i % 2], "LVEDV": round(value, 1)}
        for i, mean in enumerate(true)
        for scan, value in (("scan2", mean + rng.normal(4, 5)), ("scan1", mean + rng.normal(0, 5)))
    ]
    path = tmp_path / "rescans.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_table_with_names_of_its_own(rescans: Path, tmp_path: Path) -> None:
    page, notes = precision_of_table(
        rescans, tmp_path / "out", subject="Patient", visit="Scan", by=["M/F"]
    )
    table = pd.read_parquet(tmp_path / "out/tables/precision.parquet").set_index("group")
    assert table["n_subjects"].to_dict() == {"all": 24, "F": 12, "M": 12}
    whole = table.loc["all"]
    wide = pd.read_csv(rescans).pivot(index="Patient", columns="Scan", values="LVEDV")
    difference = wide["scan2"] - wide["scan1"]
    assert whole["bias"] == pytest.approx(difference.mean())
    assert whole["loa_high"] == pytest.approx(difference.mean() + 1.96 * difference.std())
    assert whole["sd_within"] == pytest.approx(np.sqrt((difference**2).mean() / 2))
    assert not notes
    html = page.read_text()
    assert "second − first" in html
    assert "P01" not in html


def test_the_same_table_gives_the_same_bytes(rescans: Path, tmp_path: Path) -> None:
    pages = [
        precision_of_table(rescans, tmp_path / name, subject="Patient", visit="Scan")[0]
        for name in ("a", "b")
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_columns_and_identifiers_that_are_not_there(rescans: Path, tmp_path: Path) -> None:
    with pytest.raises(
        PopscanError, match=r"no such column .* name the columns by --subject and --visit"
    ):
        precision_of_table(rescans, tmp_path / "out")
    with pytest.raises(PopscanError, match="no column 'lvesv'; it has sub, ses, m/f, lvedv"):
        precision_of_table(
            rescans, tmp_path / "out", subject="Patient", visit="Scan", columns=["LVESV"]
        )
    assert not (tmp_path / "out").exists()


def test_visits_without_a_name_are_refused_not_guessed(rescans: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rescans).assign(Scan="scan1")
    table.to_csv(tmp_path / "same.csv", index=False)
    with pytest.raises(PopscanError, match="no subject has two rows"):
        precision_of_table(tmp_path / "same.csv", tmp_path / "out", subject="Patient", visit="Scan")


def test_nobody_has_two_visits(rescans: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rescans).drop_duplicates("Patient")
    table.to_csv(tmp_path / "once.csv", index=False)
    with pytest.raises(PopscanError, match="precision cannot be estimated"):
        precision_of_table(tmp_path / "once.csv", tmp_path / "out", subject="Patient", visit="Scan")


def test_the_order_of_visits_without_numbers_is_said_and_can_be_given(
    rescans: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(rescans)
    table["Scan"] = table["Scan"].map({"scan1": "pre", "scan2": "Post"})
    table.to_csv(tmp_path / "named.csv", index=False)

    def bias(*order: str) -> tuple[float, str, list[str]]:
        out = tmp_path / ("_".join(order) or "none")
        _, notes = precision_of_table(
            tmp_path / "named.csv", out, subject="Patient", visit="Scan", order=order
        )
        row = pd.read_parquet(out / "tables/precision.parquet").iloc[0]
        return row["bias"], row["note"], notes

    guessed, note, notes = bias()
    assert "ses-Post, ses-pre" in note
    assert "--order gives another" in notes[-1]
    given, note, notes = bias("pre", "post")
    assert given == pytest.approx(-guessed)
    assert given > 0
    assert not note
    assert not notes
    with pytest.raises(PopscanError, match="--order: no visit 'ses-later'"):
        bias("pre", "later")


def test_codes_among_measurements_are_missing_and_named(rescans: Path, tmp_path: Path) -> None:
    table = pd.read_csv(rescans)
    table.loc[[3, 9], "LVEDV"] = [-9, 999]
    table.to_csv(tmp_path / "coded.csv", index=False)
    _, notes = precision_of_table(
        tmp_path / "coded.csv", tmp_path / "out", subject="Patient", visit="Scan"
    )
    assert any("lvedv: -9 (1), 999 (1)" in note for note in notes)
    row = pd.read_parquet(tmp_path / "out/tables/precision.parquet").iloc[0]
    assert row["n_pairs"] == 22
    assert row["sd_within"] < 12
