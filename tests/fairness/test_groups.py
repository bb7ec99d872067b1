"""Ranks of an outcome are made once for all groupings, and made anew where some are left out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.fairness.groups import make_groupings, outcome_matrix, reference_code
from popscan.stats.crossed import crossed_parts


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


def test_three_pairs_of_groups_with_two_names_between_them_stay_apart():
    """Once "x & y" is written "x and y", it is the name of another group."""
    pairs = [("x & y", "z"), ("x", "y & z"), ("x and y", "z"), ("x", "y and z"), ("x", "z (2)")]
    people = pd.DataFrame(pairs, columns=["a", "b"], index=list("pqrst"))
    (found,) = make_groupings(people, attributes_to_test=[], intersections=[["a", "b"]])
    assert found.sizes.tolist() == [1] * 5
    assert len(set(found.names)) == 5
    assert list(found.parts) == pairs
    known = tuple(frozenset(side) for side in zip(*pairs, strict=True))
    read = [crossed_parts(name, known) for name in found.names]
    assert all(parts in (None, pair) for parts, pair in zip(read, pairs, strict=True))


def test_a_group_whose_name_holds_missing_is_recorded():
    people = pd.DataFrame({"ward": ["A & missing"] * 5 + ["B"] * 3}, index=list("abcdefgh"))
    (found,) = make_groupings(people, attributes_to_test=["ward"])
    assert found.names[reference_code(found, None)] == "A & missing"
    crossed = make_groupings(
        people.assign(sex=["f", "f", None, None, None, "f", "f", "f"]),
        attributes_to_test=[], intersections=[["ward", "sex"]],
    )[0]  # fmt: skip
    assert crossed.names[reference_code(crossed, None)] == "B & f"


def test_names_of_crossed_groups_are_divided_by_what_is_known():
    sites, races = frozenset({"A & E", "A", "B"}), frozenset({"white", "E & white"})
    assert crossed_parts("B & white", (sites, races)) == ("B", "white")
    assert crossed_parts("A & E & white", (sites, races)) is None  # read in two ways
    assert crossed_parts("A and E & white", (sites, races)) == ("A & E", "white")
    assert crossed_parts("A & E & white", (sites, frozenset({"white"}))) == ("A & E", "white")
    assert crossed_parts("B & black", (sites, races)) is None
    assert crossed_parts("A & E & white", (frozenset({"A & E"}), None)) == ("A & E", "white")
    assert crossed_parts("f & B & white", (None, sites, races)) == ("f", "B", "white")
