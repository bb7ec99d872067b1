"""Impossible values are blanked, counted and told; all else stays as it is."""

import doctest

import numpy as np
import pandas as pd

from popscan.stats import plausible
from popscan.stats.plausible import blank_implausible


def test_examples_in_docstrings():
    assert doctest.testmod(plausible).failed == 0


def test_impossible_values_become_nan_and_are_told():
    people = pd.DataFrame({"height_cm": [170, 0, 163.0], "weight_kg": ["70", "710", "n/a"]})
    clean, blanked = blank_implausible(people)
    assert clean["height_cm"].isna().tolist() == [False, True, False]
    assert clean["weight_kg"].isna().tolist() == [False, True, True]
    assert [one.column for one in blanked] == ["height_cm", "weight_kg"]
    assert blanked[1].sentence().startswith("weight_kg: 1 value outside 25 to 300 (710) cannot")
    assert people["height_cm"].tolist() == [170, 0, 163.0]


def test_a_table_without_impossible_values_is_returned_as_it_is():
    people = pd.DataFrame({"age_years": [50.0, np.nan], "sex": ["female", "male"]})
    clean, blanked = blank_implausible(people)
    assert clean is people
    assert blanked == []
