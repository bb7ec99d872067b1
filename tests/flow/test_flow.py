"""Flow through a plane: a pulsatile pipe with analytic truth, background, aliasing, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from popscan.flow import (
    correct_background,
    flow_curve,
    measure_flow,
    phase_radians,
    stored_velocity,
    unwrap_velocity,
    velocity_cm_s,
)
from popscan.flow.simulate import Pipe, pulsatile_pipe
from popscan.records import SubjectError


def measured(pipe: Pipe, *, venc_cm_s: float, unwrap: bool = True, background: bool = True):
    velocity = velocity_cm_s(phase_radians(pipe.phase_rad), venc_cm_s=venc_cm_s)
    found = correct_background(velocity, pipe.magnitude)
    velocity = found.velocity if background else velocity
    if unwrap:
        velocity = unwrap_velocity(velocity, pipe.region, venc_cm_s=venc_cm_s).velocity
    return measure_flow(
        velocity, pipe.region, pixel_cm2=pipe.pixel_cm2, cycle_s=pipe.cycle_s,
        offset_se=found.se,
    )  # fmt: skip


@pytest.mark.parametrize("venc_cm_s", [150.0, 80.0, 60.0])
def test_volumes_of_a_pulsatile_pipe_are_the_analytic_ones_whatever_the_encoding(venc_cm_s):
    pipe = pulsatile_pipe(seed=3, venc_cm_s=venc_cm_s)
    found = measured(pipe, venc_cm_s=venc_cm_s)
    assert found.forward_ml == pytest.approx(pipe.forward_ml, rel=0.01)
    truth_pct = 100 * pipe.backward_ml / pipe.forward_ml
    assert found.backward_pct == pytest.approx(truth_pct, abs=0.5)
    assert found.peak_cm_s == pytest.approx(pipe.peak_cm_s, rel=0.04)
    assert found.net_ml == pytest.approx(pipe.forward_ml - pipe.backward_ml, abs=0.5)
    np.testing.assert_allclose(found.curve_ml_s, pipe.flow_ml_s, atol=0.015 * 600)


def test_without_unwrapping_or_background_the_same_flow_is_wrong():
    pipe = pulsatile_pipe(seed=3, venc_cm_s=80.0)
    net = pipe.forward_ml - pipe.backward_ml
    assert measured(pipe, venc_cm_s=80.0, unwrap=False).net_ml < 0.5 * net
    assert abs(measured(pipe, venc_cm_s=80.0, background=False).net_ml - net) > 1.0


def test_the_error_of_the_offset_is_as_large_as_it_says():
    size = {"n": 64, "spacing_mm": 2.4, "frames": 12}
    apart = []
    for seed in range(12):
        found = measured(pulsatile_pipe(seed=seed, **size), venc_cm_s=150.0)
        # The same pixels without noise and offset: what is left is noise and background.
        clean = pulsatile_pipe(seed=seed, snr=1e6, offset_cm_s=0.0, **size)
        truth = measured(clean, venc_cm_s=150.0, background=False)
        apart.append((found.net_ml - truth.net_ml) / found.net_se_ml)
    assert 0.3 < np.sqrt(np.mean(np.square(apart))) < 2.0


def test_too_little_still_tissue_changes_nothing_and_says_so():
    rng = np.random.default_rng(1)
    velocity = rng.normal(0, 5, (10, 10, 4))
    found = correct_background(velocity, np.ones((10, 10, 4)))
    assert not found.corrected
    assert np.isnan(found.se).all()
    np.testing.assert_array_equal(found.velocity, velocity)


def test_a_vessel_that_flows_the_other_side_is_turned_and_of_an_empty_one_nothing_is_known():
    pipe = pulsatile_pipe(seed=1, n=64, spacing_mm=2.4, frames=12)
    velocity = -velocity_cm_s(pipe.phase_rad, venc_cm_s=150.0)
    found = measure_flow(velocity, pipe.region, pixel_cm2=pipe.pixel_cm2, cycle_s=pipe.cycle_s)
    assert found.turned
    assert found.forward_ml > 40.0
    assert math.isnan(found.net_se_ml)
    empty = measure_flow(velocity, pipe.region & False, pixel_cm2=1.0, cycle_s=1.0)
    assert np.isnan([empty.net_ml, empty.forward_ml, empty.peak_cm_s, empty.backward_pct]).all()
    undefined = measure_flow(velocity, pipe.region, pixel_cm2=1.0, cycle_s=math.nan)
    assert math.isnan(undefined.net_ml)
    assert unwrap_velocity(velocity, pipe.region & False, venc_cm_s=150.0).torn_pct != 0


def test_flow_is_velocity_times_area():
    velocity = np.full((4, 4, 2), 10.0)
    region = np.zeros((4, 4, 2), dtype=bool)
    region[:2, :2] = True
    np.testing.assert_allclose(flow_curve(velocity, region, pixel_cm2=0.25), [10.0, 10.0])


def test_phase_in_the_usual_scales_is_the_same_and_other_scales_are_refused():
    phase = np.linspace(-3.0, 3.1, 50)
    for factor in (1.0, 1000.0, 4096.0 / math.pi):
        np.testing.assert_allclose(phase_radians(phase * factor), phase, rtol=1e-12)
    np.testing.assert_allclose(phase_radians(phase * 7, half=7 * math.pi), phase)
    for wrong in (phase * 20, np.zeros(5), phase + 4095):
        with pytest.raises(SubjectError) as error:
            phase_radians(wrong)
        assert error.value.reason == "bad_phase"


@pytest.mark.parametrize("largest", [300.0, 1500.0, 3000.0])
def test_phase_that_could_be_milliradians_or_4096ths_is_refused(largest):
    """Of an image without air nothing fills the turn; the two readings differ by 30%."""
    phase = np.linspace(-0.8, 1.0, 50) * largest
    with pytest.raises(SubjectError, match="what half a turn is stored as") as error:
        phase_radians(phase)
    assert error.value.reason == "bad_phase"
    np.testing.assert_allclose(phase_radians(phase, half=4096.0), phase * math.pi / 4096)


@pytest.mark.parametrize("venc", [0.0, -150.0, 1.5, 5000.0, math.nan])
def test_an_encoding_that_cannot_be_is_refused(venc):
    with pytest.raises(SubjectError) as error:
        velocity_cm_s(np.zeros(3), venc_cm_s=venc)
    assert error.value.reason == "bad_venc"


def test_a_region_that_does_not_move_holds_for_every_frame():
    pipe = pulsatile_pipe(seed=1, n=64, spacing_mm=2.4, frames=12)
    velocity = velocity_cm_s(pipe.phase_rad, venc_cm_s=150.0)
    flat = pipe.region.all(axis=2)
    given = {"pixel_cm2": pipe.pixel_cm2, "cycle_s": pipe.cycle_s}
    repeated = np.repeat(flat[..., None], 12, axis=2)
    assert measure_flow(velocity, flat, **given).net_ml == pytest.approx(
        measure_flow(velocity, repeated, **given).net_ml
    )
    assert unwrap_velocity(velocity, flat, venc_cm_s=150.0).aliased_pct == 0.0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cycle_s": 900.0}, "bad_times"),  # ms
        ({"pixel_cm2": 2.56}, "bad_spacing"),  # mm2
        ({"region": np.full((8, 8, 6), 2)}, "bad_labels"),
        ({"region": np.full((8, 8, 6), 0.5)}, "bad_labels"),
        ({"region": np.ones((8, 7), dtype=bool)}, "wrong_shape"),
        ({"velocity": np.ones((6, 8, 8))}, "wrong_shape"),  # time first
        ({"velocity": np.full((8, 8, 6), np.nan)}, "nan_values"),
        ({"region": np.ones((8, 8, 6)) * (np.arange(6) != 2)}, "unlabelled_frames"),
    ],
)
def test_other_units_shapes_and_lost_frames_are_refused(changed, reason):
    given = {
        "velocity": np.ones((8, 8, 6)), "region": np.ones((8, 8, 6), dtype=bool),
        "pixel_cm2": 0.02, "cycle_s": 0.9,
    }  # fmt: skip
    assert measure_flow(**given).net_ml == pytest.approx(64 * 0.02 * 0.9)
    with pytest.raises(SubjectError) as error:
        measure_flow(**{**given, **changed})
    assert error.value.reason == reason


def test_velocities_far_beyond_the_encoding_are_not_unwrapped():
    region = np.ones((8, 8, 6), dtype=bool)
    with pytest.raises(SubjectError, match="encoding is another one"):
        unwrap_velocity(np.full((8, 8, 6), 110.0), region, venc_cm_s=60.0)
    with pytest.raises(SubjectError, match="5 to 800"):
        unwrap_velocity(np.ones((8, 8, 6)), region, venc_cm_s=0.6)  # m/s
    with pytest.raises(SubjectError, match="magnitude"):
        correct_background(np.ones((8, 8, 6)), np.ones((8, 8)))


@pytest.mark.parametrize(
    ("stated", "half", "true"),
    [
        ("radians", 1.0, "half_turns"),  # peaks at a third: passed every check
        ("milliradians", 180.0, "degrees"),
        ("4096ths", 2048.0, "2048ths"),
        ("mm_s", 150.0, "cm_s"),
        ("cm_s", 1.5, "m_s"),
    ],
)
def test_a_unit_that_the_range_contradicts_is_refused(rng, stated, half, true):
    phase = half * rng.uniform(-1, 1, (64, 64))
    phase[0, :2] = -half, half
    with pytest.raises(SubjectError, match=true) as refused:
        stored_velocity(phase, venc_cm_s=150.0, kind=stated)
    assert refused.value.reason == "bad_phase"
    velocity, kind = stored_velocity(phase, venc_cm_s=150.0, kind=true)
    assert kind == true
    assert velocity.max() == pytest.approx(150.0)


@pytest.mark.parametrize("largest", [178.0, 120.0])
def test_a_unit_stands_where_the_air_was_masked(rng, largest):
    """The fastest pixel of a vessel may be as fast as half a turn in degrees is large."""
    phase = np.zeros((32, 32))
    phase[:4] = rng.uniform(-0.5, 1, (4, 32)) * largest
    phase[0, 0] = largest
    velocity, _ = stored_velocity(phase, venc_cm_s=200.0, kind="cm_s")
    assert velocity.max() == pytest.approx(largest)


def test_a_peak_near_the_end_of_another_kind_does_not_refuse_the_stated_one(rng):
    """179 cm/s at an encoding of 400, background masked: degrees end at 180, it was refused."""
    phase = np.zeros((32, 32, 10))
    phase[:4, :4] = rng.uniform(-0.3, 0.9, (4, 4, 10)) * 179
    phase[0, 0] = np.linspace(0, 179, 10)
    velocity, kind = stored_velocity(phase, venc_cm_s=400.0, kind="cm_s")
    assert kind == "cm_s"
    assert velocity.max() == pytest.approx(179.0)
    one_end = np.clip(phase, None, 90.0) + 89.0 * (phase > 0)  # piles up at one end alone
    assert stored_velocity(one_end, venc_cm_s=400.0, kind="cm_s")[1] == "cm_s"
    air = np.where(phase == 0, rng.uniform(-180, 180, phase.shape), phase)
    with pytest.raises(SubjectError, match="degrees"):
        stored_velocity(air, venc_cm_s=400.0, kind="cm_s")
