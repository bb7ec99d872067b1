"""Ranks of an outcome are made once for all groupings, and made anew where some are left out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.fairness.groups import make_groupings, outcome_matrix


@pytest.fixture
def matrix():
    rng = np.random.default_rng(5)
    units = pd.Index([f"u{i:03d}" for i in range(60)])
    values = rng.integers(0, 9, 60).astype(float)
    values[::7] = np.nan
    table = pd.DataFrame({"unit": units, "stage": "s", "outcome": "size_mm", "value": values})
    return outcome_matrix(table.assign(better_is="lower", kind="continuous"), units)


def test_ranks_of_groups_are_those_of_their_values_alone(matrix):
    values = matrix.by_outcome[0]
    thirds = np.array_split(np.arange(60), 3)
    for members in (thirds, thirds[::-1], thirds[1:], thirds[:1], []):
        parts = [values[m][np.isfinite(values[m])] for m in members]
        ranks, ties = matrix.ranks(0, members)
        assert [len(r) for r in ranks] == [len(p) for p in parts]
        if members:
            everything = np.concatenate(parts)
            np.testing.assert_array_equal(np.concatenate(ranks), stats.rankdata(everything))
            _, counts = np.unique(everything, return_counts=True)
            assert ties == float((counts.astype(float) ** 3 - counts).sum())


def test_columns_side_by_side_are_the_matrix(matrix):
    np.testing.assert_array_equal(matrix.by_outcome.T, matrix.values)
    np.testing.assert_array_equal(matrix.concerned.T, matrix.applies)
    assert matrix.extremes.tolist() == [[np.nanmin(matrix.values), np.nanmax(matrix.values)]]


def test_outcomes_are_arranged_again_only_for_other_units(matrix):
    empty = pd.DataFrame()
    assert outcome_matrix(empty, pd.Index(list(matrix.units)), made=matrix) is matrix
    some = pd.DataFrame(
        {"unit": ["a"], "stage": "s", "outcome": "x", "value": 1.0, "better_is": "lower"}
    )
    assert outcome_matrix(some, pd.Index(["a", "b"]), made=matrix).values.shape == (2, 1)


def test_pairs_of_groups_that_would_have_one_name_stay_apart():
    people = pd.DataFrame(
        {"race": ["Asian & Black", "Asian"], "site": ["North", "Black & North"]}, index=["a", "b"]
    )
    (found,) = make_groupings(people, attributes_to_test=[], intersections=[["race", "site"]])
    assert found.sizes.tolist() == [1, 1]
    assert len(set(found.names)) == 2
