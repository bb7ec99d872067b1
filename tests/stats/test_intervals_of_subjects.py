"""Shares of rows of which subjects have several: the interval is that of the subjects."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.stats.intervals import wilson, wilson_of_subjects


def test_single_rows_are_wilsons():
    events = np.arange(40) < 9
    assert wilson_of_subjects(events, None, alpha=0.05) == wilson(9, 40, alpha=0.05)
    own = wilson_of_subjects(events, np.arange(40), alpha=0.05)
    assert own == pytest.approx(wilson(9, 40, alpha=0.05), abs=0.005)


def test_copies_of_a_row_add_nothing():
    events = np.arange(40) < 9
    once = wilson(9, 40, alpha=0.05)
    assert wilson_of_subjects(
        np.repeat(events, 7), np.repeat(np.arange(40), 7), alpha=0.05
    ) == pytest.approx(once, abs=0.005)
    none = np.zeros(70, bool)
    assert wilson_of_subjects(none, np.repeat(np.arange(10), 7), alpha=0.05) == pytest.approx(
        wilson(0, 10, alpha=0.05)
    )
    assert np.isnan(wilson_of_subjects(none[:0], np.arange(0), alpha=0.05)).all()


@pytest.mark.parametrize(("n", "visits", "share"), [(20, 4, 0.3), (60, 5, 0.1)])
def test_intervals_cover_as_they_say(n, visits, share):
    rng = np.random.default_rng(4)
    held = []
    for _ in range(400):
        own = rng.beta(share * 0.5, (1 - share) * 0.5, n)  # visits of a subject are much the same
        events = (rng.random((n, visits)) < own[:, None]).ravel()
        low, high = wilson_of_subjects(events, np.repeat(np.arange(n), visits), alpha=0.05)
        held.append(low <= share <= high)
    assert np.mean(held) >= 0.92
