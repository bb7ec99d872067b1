"""Measures of registration, by hand-made cases."""

import numpy as np
import pandas as pd
import pytest

from popscan.records import SubjectError
from popscan.register import Warp
from popscan.register.measures import COLUMNS, measure_pairs, summarise

SHAPE = (20, 16)
SPACING = (2.0, 2.0)
STRUCTURES = {1: "disc", 2: "absent"}


def square(shift=0):
    labels = np.zeros((1, *SHAPE), dtype=np.uint8)
    labels[0, 6 + shift : 12 + shift, 5:11] = 1
    return labels


def shifted_by(voxels):
    field = np.zeros((1, *SHAPE, 2))
    field[..., 0] = voxels * SPACING[0]
    return Warp(displacement_mm=field, spacing_mm=SPACING)


def test_a_shift_is_measured_and_the_right_transform_undoes_it():
    still = measure_pairs(
        shifted_by(0), fixed_labels=square(), moving_labels=square(3), structures=STRUCTURES,
        fixed_points_mm=[[[10.0, 10.0], [4.0, np.nan]]],
        moving_points_mm=[[[16.0, 10.0], [9.0, 1.0]]],
        seconds=2.0,
    )  # fmt: skip
    assert set(COLUMNS) <= set(still.columns)
    one = still.iloc[0]
    assert one["dice"] == one["dice_disc"] == pytest.approx(0.5)
    assert one["hd95_mm"] == 6.0
    assert one["tre_mm"] == 6.0
    assert (one["sd_log_jacobian"], one["folding_share"], one["seconds"]) == (0, 0, 2.0)
    assert np.isnan(one["dice_absent"])
    undone = measure_pairs(
        shifted_by(3), fixed_labels=square(), moving_labels=square(3), structures=STRUCTURES,
        fixed_points_mm=[[[10.0, 10.0]]], moving_points_mm=[[[16.0, 10.0]]],
    )  # fmt: skip
    assert undone["dice"].item() == 1.0
    assert undone["tre_mm"].item() == pytest.approx(0, abs=1e-9)


def test_folding_and_spread_of_known_changes():
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * 2.0
    stretch = Warp(displacement_mm=np.stack([points * (0.2, 0.0), points * (-2.0, 0.0)]),
                   spacing_mm=SPACING)  # fmt: skip
    labels = np.concatenate([square(), square()])
    rows = measure_pairs(stretch, fixed_labels=labels, moving_labels=labels, structures=STRUCTURES)
    np.testing.assert_allclose(rows["folding_share"], [0, 1])
    np.testing.assert_allclose(rows["sd_log_jacobian"], 0, atol=1e-6)
    half = np.zeros((1, *SHAPE, 2))
    half[0, :, 8:, 0] = points[:, 8:, 0]
    spread = measure_pairs(
        Warp(displacement_mm=half, spacing_mm=SPACING),
        fixed_labels=square(), moving_labels=square(), structures=STRUCTURES,
    )  # fmt: skip
    assert spread["sd_log_jacobian"].item() == pytest.approx(np.log(2) / 2, rel=1e-6)


def test_the_summary_is_robust_to_nothing():
    rows = pd.DataFrame(
        {
            "method": ["a"] * 10 + ["b"],
            "dice": [*np.linspace(0.1, 1.0, 10), 0.5],
            "hd95_mm": [*np.linspace(10, 1, 10), 3.0],
            "folding_share": [0.0] * 9 + [0.25, 0.0],
        }
    )
    summary = summarise(rows).set_index("method")
    assert summary.index.tolist() == ["a", "b"]
    assert summary.loc["a", "dice"] == pytest.approx(0.55)
    assert summary.loc["a", "robust_dice"] == pytest.approx(0.2)
    assert summary.loc["a", "robust_hd95_mm"] == pytest.approx(9.0)
    assert summary.loc["a", "worst_folding_share"] == 0.25
    assert summary.loc["b", "robust_dice"] == 0.5
    assert summarise(rows[:0]).empty


def test_labels_of_another_grid_are_refused():
    with pytest.raises(SubjectError, match="shape"):
        measure_pairs(
            shifted_by(0), fixed_labels=square(), moving_labels=square()[:, :-1],
            structures=STRUCTURES,
        )  # fmt: skip
