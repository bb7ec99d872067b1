"""The valve's plane, and a stack that ends at it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from popscan.protocols.cine_lax.valve_plane import (
    ValvePlane,
    ended_at_valve,
    valve_plane,
    volume_to_valve_ml,
)

STEP = 10.0
AFFINE = np.diag([1.0, 1.0, STEP, 1.0])  # slices go towards the apex


def at(height_mm: float, *, slope: float = 0.0) -> ValvePlane:
    normal = np.array([slope, 0.0, 1.0]) / math.hypot(1.0, slope)
    return ValvePlane(point_mm=np.array([20.0, 20.0, height_mm]), normal=normal, misfit_mm=0.0)


def cylinder(first: int, last: int = 8) -> np.ndarray:
    x, y = np.meshgrid(np.arange(41), np.arange(41), indexing="ij")
    mask = np.zeros((41, 41, 10), bool)
    mask[:, :, first:last] = (np.hypot(x - 20, y - 20) <= 15)[..., None]
    return mask


AREA_ML = cylinder(3)[..., 4].sum() * STEP / 1000  # of one slice
END = 7.5  # lower face of the last slice, in slices


@pytest.mark.parametrize(  # the reader counted the basal slice (2), or left it out (3)
    ("first", "height"),
    [(2, 25.0), (2, 29.0), (2, 33.0), (3, 17.0), (3, 22.0), (3, 29.0), (3, 33.0)],
)
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_whether_the_basal_slice_was_counted_does_not_matter(first, height, slope):
    volume = volume_to_valve_ml(cylinder(first), AFFINE, at(height, slope=slope))
    # A tilted plane through the axis cuts off as much on one side as it adds on the other, but
    # for the half of a slice that a column was not continued above the labels.
    expected = AREA_ML * (END - height / STEP)
    assert volume == pytest.approx(expected, rel=0.02 if slope == 0.0 else 0.04)


def test_a_stack_counted_from_apex_to_base_has_the_same_volume():
    mask, affine = cylinder(2)[:, :, ::-1], AFFINE.copy()
    affine[2, 2], affine[2, 3] = -STEP, 9 * STEP
    assert volume_to_valve_ml(mask, affine, at(26.0)) == pytest.approx(
        volume_to_valve_ml(cylinder(2), AFFINE, at(26.0))
    )


def test_nothing_is_made_up_where_it_cannot_be_known():
    assert math.isnan(volume_to_valve_ml(np.zeros((4, 4, 4), bool), AFFINE, at(20.0)))
    assert math.isnan(volume_to_valve_ml(cylinder(5), AFFINE, at(10.0)))  # 3.5 slices are missing
    along = ValvePlane(point_mm=np.zeros(3), normal=np.array([1.0, 0.0, 0.0]), misfit_mm=0.0)
    assert math.isnan(volume_to_valve_ml(cylinder(3), AFFINE, along))
    with pytest.raises(ValueError, match="a mask"):
        volume_to_valve_ml(np.zeros((4, 4), bool), AFFINE, at(20.0))


def view(*ends, apex=(0.0, 0.0, 80.0)):
    return SimpleNamespace(hinges_mm=np.array(ends, float), apex_mm=np.array(apex, float))


def test_the_plane_goes_through_the_ends_of_the_valve_and_looks_towards_the_apex():
    first, second = view((-15, 0, 1), (15, 0, -1)), view((0, -15, 0), (0, 15, 0))
    plane = valve_plane([first, second])
    assert plane.normal[2] > 0.99
    assert plane.misfit_mm == pytest.approx(0.0, abs=1e-9)
    warped = valve_plane([view((-15, 0, 1), (15, 0, 1)), view((0, -15, -1), (0, 15, -1))])
    assert warped.misfit_mm == pytest.approx(1.0, rel=0.01)


def test_one_view_or_ends_on_a_line_give_no_plane():
    assert valve_plane([view((-15, 0, 0), (15, 0, 0))]) is None
    line = view((-15, 0, 0), (15, 0, 0))
    assert valve_plane([line, view((-10, 0, 0), (12, 0, 0))]) is None


def test_a_stack_far_beyond_the_valve_is_not_cut_to_any_size():
    """A plane through the middle of the ventricle gave 10 mL, and no word."""
    assert ended_at_valve(cylinder(2), AFFINE, at(34.0)).to_valve_ml > 0
    far = ended_at_valve(cylinder(2), AFFINE, at(60.0))
    assert math.isnan(far.to_valve_ml)
    assert math.isnan(far.beyond_ml)
    assert far.slices_beyond == pytest.approx(4.0)
    assert math.isnan(volume_to_valve_ml(cylinder(2), AFFINE, at(60.0)))
