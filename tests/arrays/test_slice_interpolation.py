"""Volumes between slices: solids with known volume, and the same as discs where nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.arrays.slice_interpolation import (
    interpolated_labels,
    interpolated_volume_mm3,
    signed_distance_mm,
)
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.volumes import volume_curves_ml
from popscan.records import PopscanError


def solid(radii_mm: np.ndarray, *, spacing: float = 1.0, n: int = 64) -> np.ndarray:
    axis = (np.arange(n) - n / 2 + 0.3) * spacing
    return np.hypot(axis[:, None], axis[None, :])[..., None] < radii_mm


def test_a_cylinder_is_its_discs() -> None:
    mask = solid(np.full(5, 18.0))
    discs = mask.sum() * 8.0
    assert interpolated_volume_mm3(mask, spacing_mm=(1, 1, 8.0)) == pytest.approx(discs, rel=0.005)


def test_a_cone_is_better_than_its_discs_in_the_middle() -> None:
    radii = np.array([24.0, 16.0, 8.0])
    mask, d = solid(radii), 10.0
    # Frustum between the first and the last slice, discs of half a distance at the ends.
    frustum = np.pi / 3 * 2 * d * (24**2 + 24 * 8 + 8**2)
    exact = frustum + np.pi * d / 2 * (24**2 + 8**2)
    found = interpolated_volume_mm3(mask, spacing_mm=(1, 1, d), steps=20)
    assert found == pytest.approx(exact, rel=0.01)
    assert abs(found - exact) < abs(mask.sum() * d - exact)


def test_a_missing_slice_is_bridged() -> None:
    mask = solid(np.full(5, 18.0))
    whole = interpolated_volume_mm3(mask, spacing_mm=(1, 1, 8.0))
    mask[:, :, 2] = False
    assert interpolated_volume_mm3(mask, spacing_mm=(1, 1, 8.0)) == pytest.approx(whole, rel=0.01)


def test_one_slice_and_none() -> None:
    mask = solid(np.array([10.0, 0.0]))
    assert interpolated_volume_mm3(mask, spacing_mm=(1, 1, 8.0)) == mask.sum() * 8.0
    assert interpolated_volume_mm3(mask & False, spacing_mm=(1, 1, 8.0)) == 0.0


def test_distances_are_signed() -> None:
    mask = solid(np.array([12.0]))[..., 0]
    found = signed_distance_mm(mask, (1.0, 1.0))
    assert (found > 0).tolist() == mask.tolist()
    assert found.max() == pytest.approx(12.0, abs=1.0)


def test_the_option_reaches_volumes_and_mass() -> None:
    labels = np.zeros((64, 64, 5, 2), np.uint8)
    radii = np.array([22.0, 20.0, 17.0, 12.0, 6.0])
    labels[solid(radii + 8.0)] = Label.MYO
    labels[solid(radii)] = Label.LV
    labels[:4, :4, :3] = Label.RV
    spacing = (1.0, 1.0, 10.0)
    discs = volume_curves_ml(labels, spacing_mm=spacing)
    shapes = volume_curves_ml(labels, spacing_mm=spacing, between_slices="interpolated")
    for name, curve in shapes.items():
        assert curve == pytest.approx(discs[name], rel=0.03)
    assert (shapes["lv"] != discs["lv"]).all()
    found = measure(
        labels, spacing_mm=spacing, frame_labels=["ED", "ES"], between_slices="interpolated"
    )
    assert found["lvedv_ml"] == shapes["lv"][0]
    assert found["lvm_g"] == pytest.approx(1.05 * shapes["myo"][0])


def ring(inner_mm: float, outer_mm: float) -> np.ndarray:
    inside, within = (solid(np.array([r]))[..., 0] for r in (outer_mm, inner_mm))
    return np.where(within, 2, np.where(inside, 1, 0)).astype(np.uint8)


def test_labels_between_rings_are_the_ring_in_between() -> None:
    labels = np.stack([ring(8, 20), ring(12, 20), ring(16, 20)], axis=-1)
    found = interpolated_labels(
        labels, [0, 10, 20], [0, 5, 15, 20, 30], spacing_mm=(1, 1), layers=[(1, 2), (2,)]
    )
    assert np.array_equal(found[..., 0], labels[..., 0])
    assert np.array_equal(found[..., 3], labels[..., 2])
    assert np.array_equal(found[..., 4], labels[..., 2])  # Beyond: as the last slice.
    for k, inner in ((1, 10), (2, 14)):
        expected = ring(inner, 20)
        assert (found[..., k] != expected).mean() < 0.01


def test_a_structure_ends_about_half_way_to_a_slice_without_it() -> None:
    labels = np.stack([ring(0, 20), ring(0, 20), np.zeros((64, 64), np.uint8)], axis=-1)
    at = [10, 12, 14, 17, 18, 20]
    found = interpolated_labels(labels, [0, 10, 20], at, spacing_mm=(1, 1), layers=[(1,)])
    areas = (found == 1).sum(axis=(0, 1))
    assert (np.diff(areas[:4]) < 0).all()
    assert areas[3:].tolist() == [0, 0, 0]


def test_labels_of_one_slice_and_of_none() -> None:
    one = ring(5, 12)[..., None]
    found = interpolated_labels(one, [4], [0, 9], spacing_mm=(1, 1), layers=[(1, 2), (2,)])
    assert np.array_equal(found, np.repeat(one, 2, axis=2))
    none = interpolated_labels(0 * one, [4], [0], spacing_mm=(1, 1), layers=[(1, 2), (2,)])
    assert not none.any()
    with pytest.raises(PopscanError, match="one a slice"):
        interpolated_labels(one, [4, 5], [0], spacing_mm=(1, 1), layers=[(1,)])
    with pytest.raises(PopscanError, match="increase"):
        interpolated_labels(
            np.repeat(one, 2, axis=2), [5, 4], [0], spacing_mm=(1, 1), layers=[(1,)]
        )


@pytest.mark.parametrize("places", [[0, 10, 20], [0, 2, 20], [0, 18, 20]])
def test_the_order_of_slices_does_not_matter(places) -> None:
    """A large disc, a slice without it, a small disc: the empty one is as near to both."""
    labels = np.stack([ring(0, 24), np.zeros((64, 64), np.uint8), ring(0, 7)], axis=-1)
    at = np.linspace(0, 20, 21)
    how = {"spacing_mm": (1, 1), "layers": [(1,)]}
    found = interpolated_labels(labels, places, at, **how)
    turned = interpolated_labels(
        labels[..., ::-1], [20 - p for p in places[::-1]], 20 - at[::-1], **how
    )
    assert np.array_equal(found, turned[..., ::-1])
    assert not found[..., at == places[1]].any()


def test_a_gap_does_not_depend_on_what_is_beyond_it() -> None:
    """Which slice is nearest is a matter of millimetres on either side, not of numbers."""
    large, small, none = ring(0, 24), ring(0, 7), np.zeros((64, 64), np.uint8)
    at, how = [0, 1, 2, 3, 4, 5], {"spacing_mm": (1, 1), "layers": [(1,)]}
    alone = interpolated_labels(np.stack([large, none, none], -1), [0, 10, 40], at, **how)
    beside = interpolated_labels(np.stack([large, none, small], -1), [0, 10, 40], at, **how)
    assert np.array_equal(alone, beside)


@pytest.mark.parametrize(
    ("places", "at", "layers", "words"),
    [
        ([0, 1], [0.5], [(300,)], "codes from 0 to 255"),
        ([0, 1], [0.5], [()], "codes from 0 to 255"),
        ([0, np.nan], [0.5], [(1,)], "finite numbers"),
        ([0, 1], [np.nan], [(1,)], "finite numbers"),
    ],
)
def test_codes_and_places_that_cannot_be_are_refused(places, at, layers, words) -> None:
    labels = np.full((5, 5, 2), 300)
    with pytest.raises(PopscanError, match=words):
        interpolated_labels(labels, places, at, spacing_mm=(1, 1), layers=layers)
