"""Metrics against cases small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from popscan.arrays.metrics import (
    dice,
    hausdorff95_mm,
    mask_dice,
    mask_volume_ml,
    mean_surface_distance_mm,
    score_labels,
    surface_distances_mm,
)
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.records import LabelMap


def _block(shape, *ranges):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in ranges)] = True
    return mask


def test_dice_of_half_overlapping_blocks_is_a_half():
    a = _block((8, 8, 2), (0, 4), (0, 4), (0, 2))
    b = _block((8, 8, 2), (2, 6), (0, 4), (0, 2))
    assert mask_dice(a, b) == pytest.approx(2 * 16 / (32 + 32))


def test_dice_of_two_empty_masks_is_undefined_and_of_one_is_zero():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert math.isnan(mask_dice(empty, empty))
    assert mask_dice(empty, full) == 0.0


def test_dice_of_a_label():
    a = np.array([0, 1, 1, 2])
    b = np.array([1, 1, 0, 2])
    assert dice(a, b, Label.RV) == pytest.approx(0.5)
    assert dice(a, b, Label.MYO) == 1.0
    assert math.isnan(dice(a, b, Label.LV))


def test_shifted_voxel_is_as_far_as_the_spacing_says():
    a, b = np.zeros((9, 9, 5), bool), np.zeros((9, 9, 5), bool)
    a[2, 4, 1] = b[5, 4, 1] = True
    distances = surface_distances_mm(a, b, spacing_mm=(1.5, 1.5, 10.0))
    assert hausdorff95_mm(distances) == pytest.approx(4.5)
    b[:] = False
    b[2, 4, 3] = True
    distances = surface_distances_mm(a, b, spacing_mm=(1.5, 1.5, 10.0))
    assert mean_surface_distance_mm(distances) == pytest.approx(20.0)


def test_shifted_square_by_hand():
    """A 3 x 3 square moved by one: of its 8 border pixels, worked out one by one."""
    a = _block((10, 10), (2, 5), (2, 5))
    b = _block((10, 10), (3, 6), (2, 5))
    to_b, to_a = surface_distances_mm(a, b, spacing_mm=(1.0, 1.0))
    # Of a's border: row 2 is 1 away (3 pixels); rows 3 and 4 at columns 2 and 4 are on b's border
    # (0), and (4, 3) is the middle of b: 1 away from its border.
    assert sorted(to_b.tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert sorted(to_a.tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert mean_surface_distance_mm((to_b, to_a)) == pytest.approx(0.5)


def test_distances_are_symmetric_and_agree_with_monai(rng):
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    a = np.zeros((20, 22, 6), bool)
    b = np.zeros_like(a)
    low = rng.integers(2, 6, size=3) // (1, 1, 2)
    a[low[0] : low[0] + 9, low[1] : low[1] + 8, 1:5] = True
    b[5:15, 4:13, 1:4] = True
    spacing = (1.3, 1.4, 8.0)
    ours = surface_distances_mm(a, b, spacing_mm=spacing)
    theirs = surface_distances_mm(b, a, spacing_mm=spacing)
    assert hausdorff95_mm(ours) == hausdorff95_mm(theirs)

    import torch

    x, y = (torch.from_numpy(m)[None, None].float() for m in (a, b))
    expected = compute_hausdorff_distance(x, y, percentile=95, spacing=spacing).item()
    assert hausdorff95_mm(ours) == pytest.approx(expected, rel=1e-4)
    one_way = compute_average_surface_distance(x, y, spacing=spacing).item()
    assert ours[0].mean() == pytest.approx(one_way, rel=1e-4)


def test_empty_masks_have_no_distance():
    full = np.ones((3, 3), bool)
    distances = surface_distances_mm(full, np.zeros((3, 3), bool), spacing_mm=(1, 1))
    assert math.isnan(hausdorff95_mm(distances))
    assert math.isnan(mean_surface_distance_mm(distances))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        mask_dice(np.ones((2, 2), bool), np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="2 axes but 3 spacings"):
        surface_distances_mm(np.ones((2, 2), bool), np.ones((2, 2), bool), spacing_mm=(1, 1, 1))


def test_volume():
    assert mask_volume_ml(np.ones((10, 10, 2), bool), spacing_mm=(1, 2, 5)) == pytest.approx(2.0)


def test_score_labels_rows():
    reference = np.zeros((6, 6, 3, 2), np.uint8)
    reference[1:5, 1:5, :, 1] = Label.LV
    found = np.zeros_like(reference)
    found[1:3, 1:5, :, 1] = Label.LV
    rows = score_labels(
        found,
        LabelMap(array=reference, frames=(1,)),
        (1, 1, 10),
        structures=STRUCTURES,
        frame_labels=["ED", "ES"],
    )
    assert [r["structure"] for r in rows] == ["rv", "myo", "lv"]
    lv = rows[2]
    assert (lv["frame"], lv["phase"]) == (1, "ES")
    assert lv["dice"] == pytest.approx(2 * 24 / (24 + 48))
    assert (lv["volume_ml"], lv["reference_volume_ml"]) == (
        pytest.approx(0.24),
        pytest.approx(0.48),
    )
    assert math.isnan(rows[0]["dice"])
    assert math.isnan(rows[0]["hd95_mm"])
