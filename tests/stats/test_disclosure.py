"""Hidden counts cannot be worked out: attacked by counting every table that looks the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.stats.disclosure import (
    HIDDEN,
    SHOWN,
    SMALL,
    WIDTH,
    Release,
    is_disclosed,
    protect,
    shown_range,
)


def test_ranges_are_those_of_all_tables_that_look_the_same():
    release = Release()
    release.publish("a", (48, 52))
    release.publish("b", (38, 42))
    release.publish("small", (1, 4))
    release.publish("all", (98, 102))
    release.add_sum("all", ["a", "b", "small"])
    assert release.ranges(["small"]) == {"small": (4, 4)}
    assert is_disclosed((4, 4), minimum=5)
    assert not is_disclosed((1, 4), minimum=5)


@pytest.mark.parametrize("base", [1, 2, 3, 4, 5, 10])
def test_shown_ranges_are_the_counts_that_look_the_same(base):
    def look(n: int) -> str:
        return "0" if n == 0 else "< 5" if n < 5 else str(max(base * round(n / base), base))

    for n in range(80):
        low, high = shown_range(n, minimum=5, base=base)
        same = [m for m in range(200) if look(m) == look(n)]
        assert (low, high) == (min(same), max(same))


def brute_force(counts: list[int], looks: list[int], base: int) -> list[set[int]]:
    """All values of each count of a row with its total that are possible, by trying them."""
    choices = [
        range(41) if look == HIDDEN else
        range(int(shown_range(n, minimum=5, base=base)[0]),
              int(shown_range(n, minimum=5, base=base)[1]) + 1)
        for n, look in zip(counts, looks, strict=True)
    ]  # fmt: skip
    found: list[set[int]] = [set() for _ in counts[:-1]]
    for values in itertools.product(*choices[:-1]):
        if looks[-1] == HIDDEN or sum(values) in choices[-1]:
            for seen, value in zip(found, values, strict=True):
                seen.add(value)
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 25), min_size=2, max_size=3), st.sampled_from([1, 5]))
def test_no_small_count_of_a_row_can_be_found_by_trying_all(counts, base):
    row = [*counts, sum(counts)]
    looks = protect([row], minimum=5, base=base)[0]
    assert all(looks[i] != SHOWN for i, n in enumerate(row) if 0 < n < 5)
    for n, values in zip(counts, brute_force(row, list(looks), base), strict=True):
        if 0 < n < 5:
            assert max(values) - min(values) > WIDTH


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.integers(2, 4), st.integers(2, 5))
def test_no_small_count_of_a_table_with_margins_can_be_worked_out(seed, rows, columns):
    rng = np.random.default_rng(seed)
    inner = rng.negative_binomial(1, 0.06, (rows, columns))
    table = np.block([[inner, inner.sum(1, keepdims=True)],
                      [inner.sum(0, keepdims=True), inner.sum(keepdims=True)]])  # fmt: skip
    looks = protect(table, minimum=5, base=5, total_row=True)
    release = Release()
    for cell in np.ndindex(table.shape):
        n = int(table[cell])
        assert looks[cell] != (SHOWN if 0 < n < 5 else SMALL)
        known = shown_range(n, minimum=5, base=5)
        release.publish(cell, (0, 10**6) if looks[cell] == HIDDEN else known)
    for r in range(rows + 1):
        release.add_sum((r, columns), [(r, c) for c in range(columns)])
    for c in range(columns + 1):
        release.add_sum((rows, c), [(r, c) for r in range(rows)])
    small = [cell for cell in np.ndindex(table.shape) if 0 < table[cell] < 5]
    for low, high in release.ranges(small).values():
        assert high - low > WIDTH


def test_a_total_that_is_exact_costs_a_second_cell():
    # 3 of 100 beside 60 and 37, all exact but the 3: the smaller of the others has to go.
    exact = protect([[60, 37, 3, 100]], minimum=5, base=1)
    assert exact.tolist() == [[SHOWN, HIDDEN, SMALL, SHOWN]]
    rounded = protect([[60, 37, 3, 100]], minimum=5, base=5)
    assert rounded.tolist() == [[SHOWN, SHOWN, SMALL, SHOWN]]


def test_a_small_total_of_small_cells_is_not_even_said_to_be_small():
    # 1 + 2 = 3: with all three given as below 5, each part would be known to be 1 to 3.
    looks = protect([[1, 2, 3]], minimum=5, base=5)[0]
    assert list(looks) == [SMALL, SMALL, HIDDEN]
