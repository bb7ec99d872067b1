"""Intervals of biomarkers: units, spreads and ends, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from popscan.protocols.cine_sax.biomarkers.doubt import DOUBT_DICTIONARY
from popscan.protocols.cine_sax.biomarkers.intervals import (
    INTERVAL_DICTIONARY,
    QUANTITIES,
    bounds,
    errors,
    intervals,
    sample_values,
    spreads,
)

VALUES = {
    "lvedv_ml": 100.0,
    "lvesv_ml": 40.0,
    "lvsv_ml": 60.0,
    "lvef_pct": 60.0,
    "lvm_g": 105.0,
    "rvedv_ml": 120.0,
    "rvesv_ml": 60.0,
    "rvsv_ml": 60.0,
    "rvef_pct": 50.0,
}
VOLUMES = {
    "lv": np.array([[100.0, 40.0], [110.0, 55.0]]),
    "rv": np.array([[120.0, 60.0], [120.0, 60.0]]),
    "myo": np.array([[100.0, 100.0], [104.0, 100.0]]),
}


def test_every_sample_is_measured():
    found = sample_values(VOLUMES, ed=0, es=1)
    assert set(found) == set(QUANTITIES)
    assert found["lvef_pct"].tolist() == [60.0, 50.0]
    assert found["lvsv_ml"].tolist() == [60.0, 55.0]
    assert found["lvm_g"].tolist() == pytest.approx([105.0, 109.2])
    unknown = sample_values(VOLUMES, ed=0, es=None)
    assert np.isnan(unknown["lvef_pct"]).all()
    assert unknown["lvedv_ml"].tolist() == [100.0, 110.0]


def test_spreads_are_relative_for_volumes_and_absolute_for_fractions():
    found = spreads(VALUES, VOLUMES, ed=0, es=1)
    assert found["lvedv_ml"] == pytest.approx(math.sqrt(50) / 100)
    assert found["lvef_pct"] == pytest.approx(math.sqrt(50))
    assert found["rvedv_ml"] == 0
    one = {name: curve[:1] for name, curve in VOLUMES.items()}
    assert all(math.isnan(v) for v in spreads(VALUES, one, ed=0, es=1).values())


def test_errors_have_the_units_of_the_spreads():
    truth = {**VALUES, "lvedv_ml": 90.0, "lvef_pct": 65.0}
    found = errors(VALUES, truth)
    assert found["lvedv_ml"] == pytest.approx(0.1)
    assert found["lvef_pct"] == -5.0
    absent = {**VALUES, "lvedv_ml": math.nan}
    assert math.isnan(errors(absent, truth)["lvedv_ml"])


def calibration(error: float, n: int = 14) -> dict:
    return {name: {"errors": [error, -error] * (n // 2), "spreads": []} for name in QUANTITIES}


def test_ends_by_hand_and_within_what_can_be():
    found = intervals(VALUES, {}, calibration(0.05), level=0.9)
    assert [*found, *DOUBT_DICTIONARY] == list(INTERVAL_DICTIONARY)
    t = stats.t.ppf(0.95, 14)
    assert found["lvedv_low_ml"] == pytest.approx(100 - 5 * t)
    assert found["lvedv_high_ml"] == pytest.approx(100 + 5 * t)
    assert found["lvef_high_pct"] == pytest.approx(60 + 0.05 * t)  # of fractions: points
    assert found["interval_level_pct"] == 90.0
    wide = intervals(VALUES, {}, calibration(60.0), level=0.9)
    assert wide["lvedv_low_ml"] == 0.0
    assert wide["lvef_high_pct"] == 100.0
    for name in QUANTITIES:
        low, high = bounds(name)
        assert wide[low] <= VALUES[name] <= wide[high]


def test_own_spread_widens_where_the_calibration_has_spreads():
    own = {name: {"errors": [1.0, -1.0] * 7, "spreads": [1.0] * 14} for name in QUANTITIES}
    calm, torn = (
        intervals(VALUES, dict.fromkeys(QUANTITIES, s), own, level=0.9) for s in (1.0, 3.0)
    )
    ratio = (torn["lvef_high_pct"] - 60) / (calm["lvef_high_pct"] - 60)
    assert ratio == pytest.approx(math.sqrt(10 / 2))


def test_undefined_stays_undefined():
    nothing = intervals(VALUES, {}, {}, level=0.9)
    assert all(math.isnan(v) for v in nothing.values())
    gone = intervals({**VALUES, "lvef_pct": math.nan}, {}, calibration(1.0), level=0.9)
    assert math.isnan(gone["lvef_low_pct"])
    assert math.isfinite(gone["lvedv_low_ml"])
    few = intervals(VALUES, {}, calibration(1.0, 4), level=0.95, method="conformal")
    assert math.isnan(few["lvedv_low_ml"])
