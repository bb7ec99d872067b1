"""Painted pericardial effusions: bright, beside the heart, still while it beats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training.effusion import (
    BRIGHTNESS,
    DEPTH_MM,
    paint_effusions,
    with_effusion,
)
from popscan.records import LabelMap, Scan
from popscan.train.packs import Case

BLOOD, MUSCLE, LUNG = 200.0, 60.0, 20.0


def _heart(*, spacing=(1.5, 1.2), frames=(1.0, 0.7)) -> Case:
    """Two frames of a ring with a second cavity beside it, smaller in the second."""
    x, y = np.meshgrid(*(np.arange(90) * mm for mm in spacing), indexing="ij")
    labels = np.zeros((90, 90, 6, len(frames)), np.uint8)
    for t, size in enumerate(frames):
        right = np.hypot(x - 40, y - 55) < 22 * size
        for z in range(5):
            plane = labels[:, :, z, t]
            plane[right] = Label.RV
            plane[np.hypot(x - 70, y - 55) < 25] = Label.MYO
            plane[np.hypot(x - 70, y - 55) < 15 * size] = Label.LV
    image = np.choose(labels, [LUNG, BLOOD, MUSCLE, BLOOD]).astype(np.int16)
    scan = Scan(array=image, affine=np.diag([*spacing, 8.0, 1.0]), spacing_mm=(*spacing, 8.0))
    return Case(unit="a", scan=scan, labels=LabelMap(array=labels, frames=(0, 1)))


@pytest.fixture
def seeds(rng):
    return rng.integers(2**31, size=12).tolist()


def _fluid(case: Case, seed: int):
    """Painted voxels, and how bright they are."""
    painted = with_effusion(case, seed=seed).scan.array
    lit = (painted > 0.5 * BRIGHTNESS[0] * BLOOD) & (case.labels.array == 0)
    return lit, painted


def test_fluid_lies_beside_the_heart_and_is_as_bright_as_blood(seeds):
    case = _heart()
    held = [_fluid(case, seed) for seed in seeds]
    assert any(lit.any() for lit, _ in held)
    for lit, painted in held:
        assert painted[lit].max(initial=0) < 1.3 * BRIGHTNESS[1] * BLOOD
        assert not lit[:, :, 5].any(), "no heart is labelled there"
        pixel = 1.5 * 1.2
        # No more than a ring of the largest depth around a heart that fits into a circle of 48 mm.
        assert lit.sum(axis=(0, 1)).max() * pixel < np.pi * ((48 + DEPTH_MM[1]) ** 2 - 25**2)


def test_what_is_labelled_keeps_its_look(seeds):
    case = _heart()
    for seed in seeds:
        painted = with_effusion(case, seed=seed)
        assert painted.labels is case.labels
        for label, value in ((Label.RV, BLOOD), (Label.MYO, MUSCLE), (Label.LV, BLOOD)):
            inside = painted.scan.array[case.labels.array == int(label)]
            assert np.median(inside) == value
            # Only its outermost voxels share in the fluid's brightness.
            assert (np.abs(inside - value) > 1).mean() < 0.2


def test_fluid_fills_what_the_contracting_heart_leaves_and_stays_elsewhere(seeds):
    case = _heart()
    heart = (case.labels.array != 0).any(axis=-1)
    grown = 0
    for seed in seeds:
        lit, _ = _fluid(case, seed)
        first, second = lit[..., 0], lit[..., 1]
        assert not (first & ~second & ~heart).any(), "the outer border does not move"
        grown += int(second.sum()) - int(first.sum())
    assert grown > 0


def test_same_seed_same_bytes_and_each_case_its_own(seeds):
    case = _heart()
    once, again, other = (with_effusion(case, seed=s).scan.array for s in (seeds[0], *seeds[:2]))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    twins = paint_effusions([case, replace(case, unit="b")])
    assert (twins[0].scan.array != twins[1].scan.array).any()
    assert [twin.unit for twin in twins] == ["a", "b"]


def test_nothing_is_painted_where_no_blood_is_labelled():
    case = _heart()
    empty = replace(case, labels=replace(case.labels, array=np.zeros_like(case.labels.array)))
    assert with_effusion(empty, seed=1) is empty


def test_a_heart_without_right_ventricle_gets_one_anywhere(seeds):
    case = _heart()
    labels = np.where(case.labels.array == int(Label.RV), 0, case.labels.array)
    alone = replace(case, labels=replace(case.labels, array=labels))
    assert any((with_effusion(alone, seed=s).scan.array != alone.scan.array).any() for s in seeds)
