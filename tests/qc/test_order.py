"""Slices that lie in a wrong order, on real and on made stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popscan.io.acdc import Acdc
from popscan.protocols.cine_sax.qc import CHECKS
from popscan.qc.context import ScanContext
from popscan.qc.order import FAINT, best_move, likeness, slice_order
from popscan.records import Scan


def by_distance(order: np.ndarray) -> np.ndarray:
    """Likeness of slices of which neighbours are most like each other."""
    return 1.0 / (1.0 + np.abs(order[:, None] - order[None]))


@given(st.integers(5, 14))
def test_the_right_order_has_no_gain_from_either_side(n):
    right = np.arange(n)
    for order in (right, right[::-1]):
        assert best_move(by_distance(order))[0] <= 0


@given(st.integers(6, 14), st.data())
def test_a_move_that_is_found_has_the_gain_that_is_said(n, data):
    order = np.array(data.draw(st.permutations(range(n))))
    similarity = by_distance(order)
    gain, (first, last), goal = best_move(similarity)
    part, rest = order[first : last + 1], np.delete(order, np.s_[first : last + 1])
    at = goal - len(part)
    turned = goal == last + 1
    moved = np.r_[order[:first], part[::-1], order[last + 1 :]] if turned else np.insert(
        rest, at, part
    )  # fmt: skip
    said = np.diagonal(by_distance(moved), 1).sum() - np.diagonal(similarity, 1).sum()
    ends = {first == 0, last == n - 1} if turned else {first == 0, goal == n}
    assert gain == pytest.approx(said * (0.2 if True in ends else 1.0))


def test_one_exchange_is_named():
    order = np.array([0, 1, 2, 4, 3, 5, 6, 7])
    gain, part, goal = best_move(by_distance(order))
    assert gain == pytest.approx(1 / 3)
    assert (part, goal) in [((3, 4), 5), ((3, 3), 5), ((4, 4), 3)]


def test_a_slice_that_belongs_behind_all_others_is_said_to():
    """The place before a slice that does not exist is none."""
    rng = np.random.default_rng(0)
    base, first, last = rng.normal(size=(3, 80, 80))
    inner = [base + 0.2 * rng.normal(size=base.shape) for _ in range(6)]
    inner[-1] += 0.7 * last  # the slice that the last one resembles, which no other does.
    array = np.stack([0.45 * base + 0.9 * first, last, *inner], axis=2)[..., None]
    scan = Scan(array=array.astype(np.float32), affine=np.eye(4), spacing_mm=(8.0, 8.0, 8.0))
    found = slice_order(ScanContext(scan))
    assert found.value > 0
    assert found.note == "slice 2 would lie better at the end"


@pytest.mark.parametrize("n_slices", [1, 4])
def test_few_slices_are_not_assessed(n_slices):
    array = np.random.default_rng(0).random((20, 20, n_slices, 2)).astype(np.float32)
    scan = Scan(array=array, affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0))
    assert not slice_order(ScanContext(scan)).assessed


def test_constant_slices_are_like_nothing():
    volume = np.random.default_rng(0).random((20, 20, 3))
    volume[..., 1] = 7.0
    similarity = likeness(volume, (1.0, 1.0))
    assert (similarity[1] == FAINT).all()
    assert similarity[0, 0] == pytest.approx(1.0)


@pytest.mark.data
def test_of_a_patient_every_exchange_of_inner_slices_is_found(data_dir: Path):
    loaded = Acdc().load([str(data_dir / "acdc" / "patient001")])
    scan = loaded.scans["sax"]
    limit = CHECKS["slice_order"].review

    def gain(order: np.ndarray) -> float:
        array = scan.array[:, :, order]
        return slice_order(ScanContext(Scan(**{**vars(scan), "array": array}))).value

    right = np.arange(scan.array.shape[2])
    assert gain(right) < 0
    for i in range(1, len(right) - 2):
        order = right.copy()
        order[[i, i + 1]] = order[[i + 1, i]]
        assert gain(order) > limit
