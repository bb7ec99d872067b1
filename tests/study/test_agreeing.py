"""Whose values of two protocols lie apart: the same as one by one, and fast."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from popscan.study.agreeing import _outside, own_columns


def one_by_one(difference: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    who, first = np.unique(subjects, return_index=True)
    found = []
    for value, subject in zip(difference, subjects, strict=True):
        others = difference[first[who != subject]]
        limit = 1.96 * others.std(ddof=1) * np.sqrt(1 + 1 / others.size)
        found.append(abs(value - others.mean()) > limit)
    return np.array(found)


@pytest.mark.parametrize("wild", [0.0, 30.0, 1e12, -1e15])
def test_limits_of_all_others_are_as_one_by_one(wild):
    """A total that holds 1e12 has no digits left for the others once it is taken off."""
    rng = np.random.default_rng(2)
    subjects = np.sort(rng.integers(0, 60, 150))
    difference = rng.normal(5e3, 2.0, 150)
    difference[40] += wild
    found = _outside(difference, subjects)
    assert found.tolist() == one_by_one(difference, subjects).tolist()
    assert found.any()


def test_equal_differences_are_within_their_limits():
    difference = np.full(30, 0.1)
    assert not _outside(difference, np.arange(30)).any()
    difference[7] = 0.2
    assert np.flatnonzero(_outside(difference, np.arange(30))).tolist() == [7]


def test_a_hundred_thousand_subjects_take_no_time():
    """One by one they took half a minute for each biomarker."""
    difference = np.random.default_rng(0).normal(size=100_000)
    start = time.process_time()
    assert 0.03 < _outside(difference, np.arange(100_000)).mean() < 0.07
    assert time.process_time() - start < 2.0


def test_a_protocol_whose_name_begins_anothers_has_columns_of_its_own():
    table = pd.DataFrame(columns=["unit", "t1_wall_ms", "t1_map_wall_ms", "t1_map_n"])
    both = {"t1", "t1_map"}
    assert own_columns(table, "t1", both) == {"t1_wall_ms": "wall_ms"}
    assert own_columns(table, "t1_map", both) == {"t1_map_wall_ms": "wall_ms", "t1_map_n": "n"}
    assert own_columns(table, "t1", {"t1"}) == {
        "t1_wall_ms": "wall_ms", "t1_map_wall_ms": "map_wall_ms", "t1_map_n": "map_n",
    }  # fmt: skip
