"""One definition of "not recorded", whatever dtype pandas keeps a column in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.cells import MISSING_VALUES, NOT_RECORDED, is_recorded, texts
from popscan.fairness.groups import MISSING, labels
from popscan.stats.design import build, clean
from popscan.stats.texts import column_texts
from popscan.visibility.tables import known_groups

DTYPES = ["object", "str", "string", "category"]


@pytest.mark.parametrize("value", [*sorted(NOT_RECORDED), " N/A ", None, np.nan, pd.NA, pd.NaT])
def test_what_says_nothing_is_not_recorded_anywhere(value):
    assert not is_recorded(value)
    column = pd.Series(["a", value, "b"], dtype=object, name="x")
    assert clean(column, categorical=True).isna().tolist() == [False, True, False]
    assert labels(column).tolist() == ["a", MISSING, "b"]
    assert known_groups(pd.concat([column] * 3), min_group=3) == ["a", "b"]


@pytest.mark.parametrize("name", ["none", "NA", "None", "nil", "Other", "0", "No"])
def test_a_group_that_a_study_calls_none_is_a_group(name):
    column = pd.Series([name, "a"] * 3, name="x")
    assert clean(column, categorical=True).tolist() == [name, "a"] * 3
    assert labels(column).tolist() == [name, "a"] * 3
    assert name in known_groups(column, min_group=2)


def test_defaults_of_a_study_are_in_small_letters_and_beside_the_fixed_ones():
    assert all(word == word.lower().strip() for word in (*MISSING_VALUES, *NOT_RECORDED))
    assert not NOT_RECORDED & set(MISSING_VALUES)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_missing_word_is_dropped_in_every_dtype(dtype):
    words = pd.Series(["Siemens", "Philips", None, "n/a", "Siemens "] * 8, dtype=dtype)
    table = pd.DataFrame({"vendor": words, "age_years": np.arange(40.0)})
    complete = pd.Series(True, index=table.index)
    design = build(table, terms=["vendor", "age_years"], categorical=(), complete=complete)
    assert design.missing["vendor"] == 16
    assert list(design.matrix) == ["intercept", "vendor[Philips vs Siemens]", "age_years"]
    assert len(design.matrix) == 24


def test_codes_read_as_floats_lose_their_point():
    assert texts([11025.0, None, 11026.0]) == ["11025", None, "11026"]
    assert texts([1.5, 3.0]) == ["1.5", "3.0"]
    assert texts([float("inf"), 1.0]) == ["inf", "1.0"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cells", [["a ", "n/a", None, "a "], [], [None, None], ["1", "01"]])
def test_a_column_is_read_word_by_word_as_cell_by_cell(cells, dtype):
    column = pd.Series(cells, dtype=dtype)
    assert column_texts(column) == texts(column)


@pytest.mark.parametrize("cells", [[1.0, None, 2.0], [1.0, 2.5], [True, 1, "1"], [1, 1.5, "b"]])
def test_columns_of_numbers_are_read_cell_by_cell(cells):
    for column in (pd.Series(cells), pd.Series(cells, dtype="category")):
        assert column_texts(column) == texts(column)
