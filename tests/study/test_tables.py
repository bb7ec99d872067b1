"""Tables of a study: columns that are asked for, as far as there are any."""

from pathlib import Path

import pandas as pd
import pytest

from popscan.columns import text
from popscan.study.tables import read_table, tables_folder, write_table


@pytest.mark.parametrize("rows", [0, 3])
def test_columns_that_a_table_lacks_are_left_out(rows: int, tmp_path: Path) -> None:
    """A table without rows may have the key alone; readers of columns must not stumble."""
    tables_folder(tmp_path).mkdir()
    table = pd.DataFrame({"unit": [f"sub-{i}" for i in range(rows)]}, dtype=str)
    table.to_parquet(tables_folder(tmp_path) / "qc_checks.parquet")
    found = read_table(tmp_path, "qc_checks", columns=["unit", "check"], coded=["check"])
    assert list(found) == ["unit"]
    assert len(found) == rows
    without = read_table(tmp_path, "qc_checks", columns=["check"], units=["sub-1"])
    assert list(without) == []
    own = read_table(tmp_path, "qc_checks", columns=["unit", "check"], units=["sub-1"])
    assert len(own) == min(rows, 1)


@pytest.mark.parametrize(
    "words", [["a", None, "b", "a"], [2.0, None, 1.0, 2.0], [True, None, True]]
)
def test_categories_are_written_as_what_they_stand_for(words: list[object], tmp_path: Path) -> None:
    """A missing cell stays missing: taken by number, it must not become a word or a flag."""
    plain = pd.Series(words)
    dictionary = {"word": text("a word")}
    for name, column in (("plain", plain), ("coded", plain.astype("category"))):
        write_table(tmp_path / name, "words", pd.DataFrame({"word": column}), dictionary)
    written = [
        (tables_folder(tmp_path / name) / f"words.{form}").read_bytes()
        for form in ("parquet", "tsv")
        for name in ("plain", "coded")
    ]
    assert written[0] == written[1]
    assert written[2] == written[3]
