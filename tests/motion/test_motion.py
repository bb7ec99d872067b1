"""Tracking over a cycle on shapes whose motion is known, and what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.motion import fields_from, fields_of, harmonic, is_periodic, track_cycle
from popscan.motion.cycle import rates
from popscan.motion.track import folds
from popscan.records import SubjectError
from popscan.register import LEARNED
from popscan.stages.motion.options import Options

SPACING = (1.5, 1.5)
RADII = 12.0 - 2.0 * np.sin(np.pi * np.arange(6) / 6) ** 2


@pytest.fixture(scope="module")
def discs() -> np.ndarray:
    """A disc that shrinks and grows again, with soft edges: (x, y, z, t)."""
    x, y = (np.indices((32, 34)) - np.array([15.5, 16.5])[:, None, None]) * 1.5
    frames = [1 / (1 + np.exp(np.hypot(x, y) - radius)) for radius in RADII]
    return np.stack([frames, frames]).transpose(2, 3, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def track(discs):
    options = {"smoothing_mm": 1.5, "n_iterations": (20, 20)}
    return track_cycle(discs, reference=0, spacing_mm=SPACING, options=options)


def test_points_of_the_rim_follow_it(track):
    for estimate in (track.direct_mm, track.chained_mm):
        assert not estimate[0].any()
        for t, radius in enumerate(RADII):
            rim = (23, 16)  # a point at the disc's right edge
            moved = estimate[t, 0, rim[0], rim[1], 0]
            assert moved == pytest.approx(radius - 12.0, abs=0.4)


def test_the_cycle_closes_and_nothing_folds(track):
    x, y = (np.indices((32, 34)) - np.array([15.5, 16.5])[:, None, None]) * 1.5
    rim = np.abs(np.hypot(x, y) - 12.0) < 1.5
    assert np.linalg.norm(track.closing_mm, axis=-1)[:, rim].mean() < 0.6
    assert not folds(track.direct_mm, spacing_mm=SPACING).any()


def test_another_reference_gives_the_motion_from_it(discs):
    options = {"smoothing_mm": 1.5, "n_iterations": (20, 20)}
    other = track_cycle(discs[:, :, :1], reference=3, spacing_mm=SPACING, options=options)
    assert not other.direct_mm[3].any()
    assert not other.chained_mm[3].any()
    assert other.direct_mm[0, 0, 22, 16, 0] == pytest.approx(2.0, abs=0.5)


def test_draws_are_tracks_about_the_track(discs):
    options = {"n_steps": 5, "n_samples": 8, "discrepancy": 0.2}
    drawn = track_cycle(
        discs[:, :, :1], reference=2, spacing_mm=SPACING, method="bayesian", options=options
    )
    samples = np.stack(list(drawn.samples()))
    assert samples.shape == (8, *drawn.direct_mm.shape)
    assert not samples[:, 2].any()
    apart = samples.std(axis=0)[[0, 1, 3, 4, 5]]
    assert (apart > 0).mean() > 0.99
    off = samples.mean(axis=0) - drawn.direct_mm
    assert np.abs(off).max() < 4 * samples.std(axis=0).max()


def test_methods_without_uncertainty_have_no_draws(track):
    assert track.velocity_samples_mm is None
    assert not list(track.samples())


def test_two_frames_are_no_cycle(discs):
    with pytest.raises(SubjectError) as few:
        track_cycle(discs[..., :2], reference=0, spacing_mm=SPACING)
    assert few.value.reason == "too_few_frames"


def test_cycle_that_ends_half_way_is_not_periodic():
    assert is_periodic(RADII)
    assert not is_periodic([10.0, 9.5, 8.5, 7.0, 6.0])
    assert is_periodic(np.ones(5))


def test_harmonics_and_rates_are_those_of_sines():
    t = np.arange(20) / 20
    curve = 3 * np.sin(2 * np.pi * t) + 0.5 * np.cos(6 * np.pi * t)
    noise = np.cos(18 * np.pi * t)
    assert np.allclose(harmonic(curve + noise, n_harmonics=4), curve)
    slope = rates(curve, period_s=0.8)
    exact = (6 * np.pi * np.cos(2 * np.pi * t) - 3 * np.pi * np.sin(6 * np.pi * t)) / 0.8
    assert np.allclose(slope, exact)
    assert harmonic(curve, n_harmonics=4, reference=7)[7] == 0


def test_folds_are_seen():
    field = np.zeros((1, 1, 8, 8, 2), np.float32)
    assert not folds(field, spacing_mm=SPACING).any()
    field[0, 0, 4, :, 0] = 5.0
    assert folds(field, spacing_mm=SPACING).any()


def test_stored_fields_lose_little_and_take_little(track):
    stored = fields_of(track.direct_mm, spacing_mm=SPACING)
    again = fields_from(stored)
    assert again.shape == track.direct_mm.shape
    assert np.abs(again - track.direct_mm).max() < 0.5
    assert sum(a.nbytes for a in stored.values()) < track.direct_mm.nbytes / 6
    with pytest.raises(SubjectError) as bad:
        fields_from({**stored, "rows": stored["rows"][:-1]})
    assert bad.value.reason == "bad_fields"


@pytest.mark.parametrize("method", LEARNED)
def test_networks_trained_on_images_do_not_track_labels(method):
    for source in ("labels", "both"):
        with pytest.raises(ValueError, match=f"method {method}: its network was trained on images"):
            Options(method=method, source=source)
    assert Options(method=method, source="images").method == method


def test_a_learned_penalty_of_deformations_tracks_labels(discs):
    assert Options(method="biomechanics", source="labels").source == "labels"
    track = track_cycle(
        discs[:, :, :1], reference=0, spacing_mm=SPACING, method="biomechanics",
        options={"model": "biomechanics"},
    )  # fmt: skip
    for t, radius in enumerate(RADII):
        assert track.direct_mm[t, 0, 23, 16, 0] == pytest.approx(radius - 12.0, abs=0.6)
    assert not folds(track.direct_mm, spacing_mm=SPACING).any()
