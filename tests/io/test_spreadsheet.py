"""No cell of a TSV is run as a formula; numbers stay numbers, Parquet stays as it was."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from plain_table import plain_table
from popscan.io.spreadsheet import is_formula, tsv_text
from popscan.study.tables import read_table

HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", '"=1', "＝1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_formulas_are_neutralised_in_cells_and_names_and_kept_in_parquet(tmp_path, text):
    table = pd.DataFrame({"unit": ["sub-1", "sub-2"], text: [text, None]})
    plain_table(tmp_path, "t", table)
    written = (tmp_path / "tables" / "t.tsv").read_text(encoding="utf-8")
    back = pd.read_csv(io.StringIO(written), sep="\t", keep_default_na=False)
    assert back.columns[1].startswith("'")
    assert back.iloc[0, 1].startswith("'")
    assert back.iloc[1, 1] == "n/a"
    kept = read_table(tmp_path, "t")
    assert list(kept) == ["unit", text]
    assert kept.iloc[0, 1] == text


@pytest.mark.parametrize("text", ["-3", "+4.5", "-1e-3", "-inf", "-", "--", "", "a=b", "sub-1"])
def test_numbers_and_words_are_left_alone(text):
    assert not is_formula(text)


def test_a_harmless_table_is_written_as_before(rng):
    table = pd.DataFrame(
        {
            "unit": ["sub-1", "sub-2"],
            "x": [-1.5, np.nan],
            "flag": [True, False],
            "kind": pd.Categorical(["a", "b"]),
            "mixed": [1, "-7"],
        }
    )
    plain = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    assert tsv_text(table) == plain


def test_two_columns_of_one_name_and_categories_are_marked():
    table = pd.DataFrame([["=a", 1], ["b", 2]], columns=["x", "x"])
    table.insert(2, "c", pd.Categorical(["=c", "d"]))
    assert tsv_text(table) == "x\tx\tc\n'=a\t1\t'=c\nb\t2\td\n"
