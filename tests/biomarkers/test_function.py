"""Function over the cycle: the digital heart's analytic rates, bad frames, reasons, laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.helpers.heart_labels import Stack

from popscan.biomarkers.filling import GRID, measure_exact, measure_filling
from popscan.biomarkers.periodic import fit_periodic, periodic_basis
from popscan.protocols.cine_sax.biomarkers.full import ALL, DETAILS, measure_all
from popscan.protocols.cine_sax.biomarkers.function import (
    FUNCTION_DICTIONARY,
    MIN_FRAMES,
    REASONS,
    common_curves,
    cycle_function,
)
from popscan.protocols.cine_sax.cycle import positions
from popscan.protocols.cine_sax.simulate.heart import Heart

RR_MS = 900.0
HEART = Heart(
    lvedv_ml=140.0, lvesv_ml=56.0, lvm_g=95.0, rvedv_ml=150.0, rvesv_ml=66.0, length_mm=90.0,
    shortening_mm=14.0,
)  # fmt: skip
GRID_PHASES = np.arange(GRID) / GRID
TRUTH = measure_exact(
    np.array([HEART.at(p).lv_ml for p in GRID_PHASES]),
    84.0 * HEART._filled.derivative()(GRID_PHASES),
)


def curve(frames: int, heart: Heart = HEART) -> np.ndarray:
    return np.array([heart.at(k / frames).lv_ml for k in range(frames)])


def measured(lv: np.ndarray, **changes: object) -> dict:
    given = {
        "frame_times_ms": np.arange(lv.size) * RR_MS / lv.size, "rr_ms": RR_MS, "bsa_m2": 2.0,
    } | changes  # fmt: skip
    return cycle_function({"lv": lv, "rv": lv}, **given)


def relative(found: dict, *, seconds: float = RR_MS / 1000) -> dict[str, float]:
    truth = {
        "lv_peak_ejection_ml_s": TRUTH.emptying_rate / seconds,
        "lv_peak_filling_early_ml_s": TRUTH.early_rate / seconds,
        "lv_peak_filling_late_ml_s": TRUTH.late_rate / seconds,
        "lv_diastasis_ml": TRUTH.rest,
        "lv_filling_early_pct": 100 * TRUTH.early_share,
    }
    return {name: found[name] / value - 1 for name, value in truth.items()}


def test_the_truth_itself_is_that_of_the_heart() -> None:
    # Early filling of the digital heart returns 70% of the stroke volume, then 10.5% by 0.84.
    assert 0.70 < TRUTH.early_share < 0.81
    assert TRUTH.empty == pytest.approx(56.0)
    assert TRUTH.empty_at == pytest.approx(HEART.es_phase, abs=0.005)
    assert TRUTH.full_at == pytest.approx(0.005, abs=0.015)


@pytest.mark.parametrize(("frames", "tolerance"), [(25, 0.03), (50, 0.01)])
def test_analytic_rates_of_the_digital_heart(frames: int, tolerance: float) -> None:
    found = measured(curve(frames))
    assert found["lv_cycle_reason"] == ""
    assert relative(found) == pytest.approx(dict.fromkeys(relative(found), 0.0), abs=tolerance)
    times = {
        "lv_peak_filling_early_time_ms": TRUTH.early_at,
        "lv_peak_filling_late_time_ms": TRUTH.late_at,
        "lv_systole_duration_ms": TRUTH.empty_at - TRUTH.full_at,
    }
    for name, share in times.items():
        assert found[name] == pytest.approx(share * RR_MS, abs=10), name
    assert found["lv_filling_early_pct"] + found["lv_filling_late_pct"] == pytest.approx(100)
    assert found["lv_filling_third_pct"] == pytest.approx(100 * TRUTH.third_share, abs=1.5)
    assert found["lv_diastole_to_80_pct"] == pytest.approx(100 * TRUTH.recovery_share, abs=3)


def test_intervals_hold_the_truth_of_noisy_curves() -> None:
    rng = np.random.default_rng(4)
    name, truth = "lv_peak_ejection_ml_s", TRUTH.emptying_rate / 0.9
    held = 0
    for _ in range(20):
        found = measured(curve(30) + rng.normal(0, 1.4, 30))
        low, high = found["lv_peak_ejection_low_ml_s"], found["lv_peak_ejection_high_ml_s"]
        assert 0 <= low <= found[name] <= high
        held += low <= truth <= high
    assert held >= 17


@pytest.mark.parametrize("frame", [0, 9, 17, 26])
@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_one_bad_frame_changes_little(frame: int, factor: float) -> None:
    lv = curve(30)
    clean = measured(lv)
    lv[frame] *= factor
    found = measured(lv)
    assert found["n_frames_outlying_lv"] >= 1
    for name, value in relative(found).items():
        assert value == pytest.approx(relative(clean)[name], abs=0.08), name


def test_without_robustness_it_would_change_much() -> None:
    lv = curve(30)
    lv[17] *= 1.4
    loose = fit_periodic(lv, at=np.arange(30) / 30, robust=False)
    assert loose is not None
    assert abs(measure_filling(loose).early_rate / TRUTH.early_rate - 1) > 0.15


def test_missing_frames_are_bridged_and_gaps_are_not() -> None:
    lv = curve(40)
    lv[[3, 20, 21]] = np.nan
    assert relative(measured(lv)) == pytest.approx(
        dict.fromkeys(relative(measured(lv)), 0), abs=0.1
    )
    lv[20:27] = np.nan
    assert measured(lv)["lv_cycle_reason"] == "incomplete_cycle"
    assert math.isnan(measured(lv)["lv_peak_ejection_ml_s"])


def test_where_the_cycle_begins_does_not_matter() -> None:
    before, after = measured(curve(30)), measured(np.roll(curve(30), 11))
    for name, column in FUNCTION_DICTIONARY.items():
        if column.kind == "number" and "_low_" not in name and "_high_" not in name:
            assert after[name] == pytest.approx(before[name], rel=0.02, abs=4.0), name


def test_a_slower_heart_has_lower_rates_and_the_same_shares() -> None:
    lv = curve(30)
    fast, slow = (measured(lv, frame_times_ms=None, rr_ms=rr) for rr in (600.0, 1200.0))
    assert fast["lv_peak_ejection_ml_s"] == pytest.approx(2 * slow["lv_peak_ejection_ml_s"])
    assert fast["lv_filling_early_pct"] == slow["lv_filling_early_pct"]
    assert slow["lv_systole_duration_ms"] == pytest.approx(2 * fast["lv_systole_duration_ms"])
    assert fast["lv_peak_ejection_indexed_ml_s_m2"] == fast["lv_peak_ejection_ml_s"] / 2


@pytest.mark.parametrize(
    ("lv", "changes", "reason"),
    [
        (curve(MIN_FRAMES - 1), {}, "few_frames"),
        (np.array([140.0, 56.0]), {}, "few_frames"),
        (np.full(30, np.nan), {}, "no_cavity"),
        (np.full(30, 90.0), {}, "flat_curve"),
        (curve(30), {"frame_times_ms": None, "rr_ms": None}, "no_cycle_length"),
        (curve(30), {"frame_times_ms": np.arange(30.0), "rr_ms": None}, "no_cycle_length"),
        (100 + 40 * np.cos(2 * np.pi * np.arange(30) / 30), {}, "one_filling_wave"),
    ],
)
def test_reasons(lv: np.ndarray, changes: dict, reason: str) -> None:
    found = measured(lv, **changes)
    assert found["lv_cycle_reason"] == found["rv_cycle_reason"] == reason
    assert reason in REASONS
    assert list(found) == list(FUNCTION_DICTIONARY)
    assert math.isnan(found["lv_peak_filling_late_ml_s"])
    if reason == "one_filling_wave":
        assert found["lv_peak_filling_early_ml_s"] > 0
    elif reason != "no_cycle_length":
        assert math.isnan(found["lv_filling_third_pct"])
    else:
        assert found["lv_filling_third_pct"] > 0


def test_prospective_gating_has_no_end_of_the_cycle() -> None:
    lv = curve(40)[:30]
    found = measured(lv, frame_times_ms=np.arange(30) * RR_MS / 40)
    assert found["lv_cycle_reason"] == "incomplete_cycle"


def test_times_beyond_the_cycle_are_believed_before_a_shorter_rr() -> None:
    at, length = positions(10, frame_times_ms=np.arange(10) * 90.0, rr_ms=500.0)
    assert length == pytest.approx(900.0)
    np.testing.assert_allclose(at, np.arange(10) / 10)


def test_basis_is_a_partition_and_its_derivative_sums_to_nothing() -> None:
    at = np.linspace(-1.0, 2.0, 61)
    np.testing.assert_allclose(periodic_basis(at, count=9).sum(axis=1), 1.0)
    np.testing.assert_allclose(periodic_basis(at, count=9, derivative=1).sum(axis=1), 0, atol=1e-9)


def test_curves_share_a_time_base_whatever_the_frames() -> None:
    stack = Stack(spacing_mm=(3.0, 3.0, 10.0), shape=(52, 52, 11))
    found = {}
    for frames in (24, 30):
        labels = np.stack([stack.labels(HEART, k / frames) for k in range(frames)], axis=-1)
        found[frames] = common_curves(labels, spacing_mm=stack.spacing_mm, rr_ms=900.0, points=40)
        assert {len(v) for v in found[frames].values()} == {40}
    for side in ("lv", "rv"):
        one, other = (found[n][f"{side}_ml"] for n in (24, 30))
        np.testing.assert_allclose(one, other, atol=0.12 * np.ptp(one))
        # The slope of a closed curve adds up to nothing.
        assert abs(found[30][f"{side}_ml_per_cycle"].mean()) < 0.02 * np.ptp(one)
    few = common_curves(labels[..., :2], spacing_mm=stack.spacing_mm, points=8)
    assert np.isnan(few["lv_ml"]).all()


def test_all_columns_of_a_subject() -> None:
    labels = np.zeros((6, 6, 2, 2), np.uint8)
    labels[2:4, 2:4] = 3
    values = measure_all(labels, spacing_mm=(10.0, 10.0, 10.0))
    assert list(values) == list(ALL)
    assert set(DETAILS) < set(ALL)
    for name, value in values.items():
        assert isinstance(value, str if ALL[name].kind == "text" else float), name
    assert all(column.meaning and column.source for column in ALL.values())
