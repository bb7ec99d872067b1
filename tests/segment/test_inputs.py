"""What of a scan is unlike the training scans is reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.contrast import blood_contrast, measure_input
from popscan.records import Scan
from popscan.segment.inputs import input_warning

RANGE = {"inplane_mm": (1.2, 1.9), "slice_distance_mm": (5, 10), "blood_contrast": (0.1, 0.6)}


@pytest.fixture
def heart(rng):
    """A ring of muscle at 300 around blood at 700, in a body from 100 to 900; two frames."""
    labels = np.zeros((40, 40, 3, 2), np.uint8)
    labels[10:30, 10:30] = Label.MYO
    labels[14:26, 14:26] = Label.LV
    array = rng.uniform(100, 900, labels.shape)
    array[labels == Label.MYO] = 300
    array[labels == Label.LV] = 700
    scan = Scan(
        array=array.astype(np.float32),
        affine=np.diag([1.5, 1.5, 8.0, 1.0]),
        spacing_mm=(1.5, 1.5, 8.0),
    )
    return scan, labels


def test_contrast_is_of_the_range_from_black_to_white(heart):
    scan, labels = heart
    low, high = np.percentile(scan.array, [1, 99])
    assert blood_contrast(scan, labels) == pytest.approx(400 / (high - low), abs=0.01)
    turned = replace(scan, array=-3 * scan.array + 50)
    assert blood_contrast(turned, labels) == pytest.approx(-400 / (high - low), abs=0.01)


def test_contrast_of_chosen_frames(heart):
    scan, labels = heart
    scan.array[..., 1][labels[..., 1] == Label.LV] = 300
    both, first, second = (blood_contrast(scan, labels, f) for f in (None, [0], [1]))
    assert second == 0 < both < first


def test_contrast_is_unknown_without_blood_muscle_or_range(heart):
    scan, labels = heart
    for missing in (Label.LV, Label.MYO):
        assert np.isnan(blood_contrast(scan, np.where(labels == missing, 0, labels)))
    flat = replace(scan, array=np.full_like(scan.array, 7))
    assert np.isnan(blood_contrast(flat, labels))
    assert input_warning(measure_input(flat, labels), RANGE) == ""


def test_what_is_far_outside_is_told(heart):
    scan, labels = heart
    assert input_warning(measure_input(scan, labels), RANGE) == ""
    turned = replace(scan, array=-scan.array, spacing_mm=(0.7, 1.5, 16.0))
    told = input_warning(measure_input(turned, labels), RANGE)
    assert "inplane_mm 0.70..1.50, trained for 1.2..1.9" in told
    assert "slice_distance_mm 16.00, trained for 5..10" in told
    assert "blood_contrast -0.5" in told
    # A bundle that does not say what it saw cannot tell, and values a little outside are let be.
    assert input_warning(measure_input(turned, labels), {}) == ""
    near = replace(scan, spacing_mm=(1.0, 2.5, 12.0))
    assert input_warning(measure_input(near, labels), RANGE) == ""


@pytest.mark.parametrize(("value", "told"), [(-0.4, False), (-0.7, True), (0.7, True)])
def test_ranges_around_zero(value, told):
    found = input_warning({"blood_contrast": (value,)}, {"blood_contrast": (-0.4, 0.4)})
    assert bool(found) == told
