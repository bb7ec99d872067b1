"""Tables of a study: columns that are asked for, as far as there are any."""

from pathlib import Path

import pandas as pd
import pytest

from popscan.study.tables import read_table, tables_folder


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
