"""Scores along the long axis."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.regions import score_regions, slice_regions
from popscan.records import LabelMap


def _heart(radii) -> np.ndarray:
    """A disc of LV per slice, radius 0 for none; (x, y, z)."""
    x, y = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    r = np.hypot(x - 20, y - 20)
    return np.stack([(r < radius) * int(Label.LV) for radius in radii], axis=2).astype(np.uint8)


def test_thirds_from_the_larger_end():
    radii = [0, 3, 5, 7, 8, 9, 10, 0]
    expected = ["outside", "apex", "apex", "mid", "mid", "base", "base", "outside"]
    assert slice_regions(_heart(radii)) == expected
    assert slice_regions(_heart(radii[::-1])) == expected[::-1]
    assert slice_regions(_heart([0, 0])) == ["outside", "outside"]
    assert slice_regions(_heart([0, 5])) == ["outside", "base"]


def test_errors_are_told_where_they_are():
    truth = _heart([0, 10, 9, 8, 7, 6, 4, 0])[..., None]
    found = truth.copy()
    found[:, :, 1] = 0  # a basal slice is missed
    found[:, :, 7, 0] = _heart([3])[..., 0]  # below the apex, spurious
    rows = score_regions(
        found, LabelMap(array=truth, frames=(0,)), (1.5, 1.5, 8.0), frame_labels=["ED"]
    )
    lv = {row["region"]: row for row in rows if row["structure"] == "lv"}
    assert [lv[r]["missed_slices"] for r in ("base", "mid", "apex", "outside")] == [1, 0, 0, 0]
    assert [lv[r]["spurious_slices"] for r in ("base", "mid", "apex", "outside")] == [0, 0, 0, 1]
    kept, lost = (truth[:, :, z] > 0 for z in (2, 1))
    assert lv["base"]["dice"] == pytest.approx(2 * kept.sum() / (2 * kept.sum() + lost.sum()))
    assert lv["mid"]["dice"] == lv["apex"]["dice"] == 1.0
    assert lv["mid"]["hd95_mm"] == 0.0
    assert lv["outside"]["dice"] == 0.0
    assert np.isnan(lv["outside"]["hd95_mm"])
    rv = [row for row in rows if row["structure"] == "rv"]
    assert all(np.isnan(row["dice"]) for row in rv)


def test_distances_are_in_plane():
    truth = _heart([6, 6, 6])[..., None]
    found = np.roll(truth, 2, axis=0)
    (row,) = [
        row
        for row in score_regions(found, LabelMap(array=truth, frames=(0,)), (1.5, 1.5, 8.0))
        if row["structure"] == "lv" and row["region"] == "mid"
    ]
    assert 0 < row["msd_mm"] <= row["hd95_mm"] <= 3.0 + 1e-9
