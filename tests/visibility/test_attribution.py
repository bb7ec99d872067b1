"""Rank profiles and partial correlations of attributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from popscan.visibility.attribution import (
    compare_attributions,
    partial_correlation,
    rank_profiles,
)


def test_ranks_do_not_care_about_scale():
    maps = np.array([[1.0, 3.0, 2.0], [100.0, 900.0, 200.0], [5.0, 5.0, 5.0]])
    assert rank_profiles(maps).tolist() == [[0, 1, 0.5], [0, 1, 0.5], [0.5, 0.5, 0.5]]


def test_partial_correlation_is_the_textbook_formula(rng):
    c = rng.normal(size=400)
    a, b = c + rng.normal(size=400), c + rng.normal(size=400)
    r = np.corrcoef([a, b, c])
    by_hand = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert partial_correlation(a, b, c) == pytest.approx(by_hand)
    assert partial_correlation(a, b) == pytest.approx(r[0, 1])
    assert math.isnan(partial_correlation(a, np.ones(400)))
    assert math.isnan(partial_correlation(a, c, c))


def test_what_edges_explain_is_no_shortcut(rng):
    # Task and attribute both lie on edges, and on nothing else together.
    edges = rng.random(300)

    def noisy(profile):
        return profile + rng.normal(0, 0.5, (12, 300))

    shared = compare_attributions(noisy(edges), noisy(edges), noisy(edges) * 0 + edges, n_boot=200)
    assert shared["r_low"] > 0.3
    assert abs(shared["partial_r"]) < 0.2
    # With a region that both use besides, something is left.
    cue = np.zeros(300)
    cue[:40] = 1.5
    both = compare_attributions(
        noisy(edges + cue), noisy(edges + cue), noisy(edges) * 0 + edges, n_boot=200
    )
    assert both["partial_r_low"] > 0.2
    assert (both["n"], both["n_regions"]) == (12, 300)


def test_one_subject_has_no_interval(rng):
    found = compare_attributions(*rng.random((3, 1, 20)))
    assert math.isnan(found["r_low"])
    assert not math.isnan(found["r"])
