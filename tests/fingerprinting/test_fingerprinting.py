"""MR fingerprinting against isochromats, analytic signals and the Cramer-Rao bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.fingerprinting import (
    Dictionary,
    Schedule,
    bssfp_signals,
    fisp_signals,
    grid,
    match,
    standard_errors,
)
from popscan.fingerprinting.network import MapNetwork, aligned, predicted_maps
from popscan.fingerprinting.phantoms import Phantoms
from popscan.records import PopscanError
from popscan.train.fingerprints import fit_maps

SCHEDULE = replace(Schedule.lobes(120, length=40, seed=2), n_states=120)
T1_MS, T2_MS = (300.0, 2000.0), (30.0, 200.0)


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return Dictionary.simulated(SCHEDULE, *grid(T1_MS, T2_MS, step=0.03), rank=20)


def isochromats(schedule: Schedule, t1: float, t2: float, *, n: int = 512) -> np.ndarray:
    """Mean over spins that a gradient turns by different angles: the Bloch equations themselves."""
    turn = 2 * np.pi * np.arange(n) / n
    across = np.zeros(n, dtype=complex)
    start = 1.0 if schedule.inversion_ms is None else 1 - 2 * np.exp(-schedule.inversion_ms / t1)
    along = np.full(n, start)
    out = []
    for flip, tr in zip(np.deg2rad(schedule.flip_deg), schedule.tr_ms, strict=True):
        x = np.cos(flip) * across.real + np.sin(flip) * along
        along = np.cos(flip) * along - np.sin(flip) * across.real
        across = x + 1j * across.imag
        out.append(across.mean() * np.exp(-schedule.te_ms / t2))
        across = across * np.exp(-tr / t2 + 1j * turn)
        along = 1 + (along - 1) * np.exp(-tr / t1)
    return np.array(out)


@pytest.mark.parametrize(("t1", "t2"), [(400, 40), (1200, 80), (2500, 600), (100, 100)])
@pytest.mark.parametrize("inversion_ms", [None, 20.0])
def test_configuration_states_are_the_mean_of_isochromats(t1, t2, inversion_ms):
    schedule = replace(SCHEDULE, inversion_ms=inversion_ms)
    truth = isochromats(schedule, t1, t2)
    assert np.abs(truth.imag).max() < 1e-12
    np.testing.assert_allclose(fisp_signals(schedule, [t1], [t2])[0], truth.real, atol=1e-6)


def test_first_frame_is_inversion_recovery():
    t1, t2 = np.array([300.0, 900.0, 1500.0]), np.array([40.0, 50.0, 250.0])
    recovered = 1 - 2 * np.exp(-SCHEDULE.inversion_ms / t1)
    flip = np.deg2rad(SCHEDULE.flip_deg[0])
    expected = np.sin(flip) * recovered * np.exp(-SCHEDULE.te_ms / t2)
    np.testing.assert_allclose(fisp_signals(SCHEDULE, t1, t2)[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(bssfp_signals(SCHEDULE, t1, t2)[:, 0], expected, rtol=1e-5)


def test_balanced_sequence_reaches_its_steady_state():
    """Freeman and Hill 1971: on resonance, alternating pulses."""
    n, flip, tr, te, t1, t2 = 4000, 50.0, 5.0, 2.5, 800.0, 80.0
    schedule = Schedule(
        flip_deg=np.full(n, flip), tr_ms=np.full(n, tr), te_ms=te, inversion_ms=None
    )
    e1, e2, a = np.exp(-tr / t1), np.exp(-tr / t2), np.deg2rad(flip)
    steady = np.sin(a) * (1 - e1) / (1 - (e1 - e2) * np.cos(a) - e1 * e2) * np.exp(-te / t2)
    signal = bssfp_signals(schedule, [t1], [t2])[0]
    assert signal[-1] == pytest.approx(steady, rel=1e-5)
    off = bssfp_signals(schedule, [t1], [t2], off_resonance_hz=1000 / (2 * tr))[0]
    assert abs(off[-1]) < 0.2 * steady  # the dark band


def test_b1_scales_flip_angles_and_a_profile_adds_them():
    t1, t2 = [900.0, 1300.0], [50.0, 90.0]
    weaker = replace(SCHEDULE, flip_deg=0.8 * SCHEDULE.flip_deg)
    half = fisp_signals(weaker, t1, t2)
    np.testing.assert_allclose(fisp_signals(SCHEDULE, t1, t2, b1=0.8), half, atol=1e-7)
    mixed = replace(SCHEDULE, profile=((1.0, 0.7), (0.8, 0.3)))
    expected = 0.7 * fisp_signals(SCHEDULE, t1, t2) + 0.3 * half
    np.testing.assert_allclose(fisp_signals(mixed, t1, t2), expected, atol=1e-6)


def test_atoms_are_matched_to_themselves_whatever_their_size_and_phase(dictionary):
    some = np.arange(0, len(dictionary.t1_ms), 37)
    signals = fisp_signals(SCHEDULE, dictionary.t1_ms[some], dictionary.t2_ms[some])
    rng = np.random.default_rng(0)
    density = rng.uniform(0.01, 100, len(some)) * np.exp(1j * rng.uniform(0, 6.28, len(some)))
    out = match(dictionary, signals * density[:, None])
    np.testing.assert_array_equal(out.t1_ms, dictionary.t1_ms[some])
    np.testing.assert_array_equal(out.t2_ms, dictionary.t2_ms[some])
    np.testing.assert_allclose(out.density, density, rtol=1e-4)
    assert (out.correlation > 0.9999).all()
    assert dictionary.lost < 1e-4


def test_what_is_no_tissue_of_the_dictionary_shows(dictionary):
    signals = np.zeros((5, SCHEDULE.n_frames), dtype=complex)
    signals[1] = np.nan
    signals[2] = fisp_signals(SCHEDULE, [5000.0], [80.0])[0]
    signals[3] = fisp_signals(SCHEDULE, [800.0], [80.0])[0]
    signals[4] = np.random.default_rng(1).normal(size=(SCHEDULE.n_frames, 2)) @ [1, 1j]
    out = match(dictionary, signals)
    assert np.isnan(out.t1_ms[:2]).all()
    assert np.isnan(out.correlation[:2]).all()
    assert not out.at_edge[:2].any()
    assert out.at_edge[2]
    assert not out.at_edge[3]
    assert out.correlation[4] < 0.5
    assert len(match(dictionary, signals[:0]).t1_ms) == 0


def test_matching_reaches_the_cramer_rao_bound():
    """Monte Carlo in the middle of a grid whose step is small beside the bound."""
    fine = Dictionary.simulated(SCHEDULE, *grid((700, 900), (58, 84), step=0.002))
    t1, t2, noise_sd, n = 800.0, 70.0, 0.004, 600
    rng = np.random.default_rng(3)
    signal = fisp_signals(SCHEDULE, [t1], [t2])[0] * 0.8j
    noise = rng.normal(scale=noise_sd, size=(2, n, SCHEDULE.n_frames))
    out = match(fine, signal + noise[0] + 1j * noise[1])
    bound = standard_errors(SCHEDULE, out, noise_sd=noise_sd)
    for values, errors, truth in ((out.t1_ms, bound[0], t1), (out.t2_ms, bound[1], t2)):
        expected = np.median(errors)
        assert values.std() == pytest.approx(expected, rel=0.1)
        assert abs(values.mean() - truth) < 0.2 * expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"te_ms": 20.0}, "te_ms 20: 0 to below the shortest"),
        ({"tr_ms": np.full(3, 12.0)}, "one of each per frame"),
        ({"flip_deg": np.full(120, np.nan)}, "finite"),
        ({"inversion_ms": -1.0}, "inversion_ms -1"),
        ({"profile": ((1.0, 0.5),)}, "weights that add up to 1"),
        ({"n_states": 1}, "n_states 1"),
    ],
)
def test_a_sequence_that_cannot_be_is_refused(change, message):
    with pytest.raises(PopscanError, match=message):
        replace(SCHEDULE, **change)


def test_bad_tissues_and_signals_are_refused(dictionary):
    for t1, t2, message in (
        ([0.0], [10.0], "t1_ms"),
        ([900.0], [np.nan], "t2_ms"),
        ([900.0, 800.0], [50.0], "one length"),
    ):
        with pytest.raises(PopscanError, match=message):
            fisp_signals(SCHEDULE, t1, t2)
    with pytest.raises(PopscanError, match="120"):
        match(dictionary, np.ones((2, 50)))
    with pytest.raises(PopscanError, match="T2 that is not above"):
        grid((10, 20), (100, 200))
    with pytest.raises(PopscanError, match="0 tissues"):
        Dictionary.simulated(SCHEDULE, [], [])


def test_aligned_signals_know_neither_size_nor_phase(dictionary):
    drawn = Phantoms(SCHEDULE, t1_ms=T1_MS, t2_ms=T2_MS, seed=1).draw(1, side=6, noise_sd=0.0)
    one = aligned(dictionary, drawn.signals)
    other = aligned(dictionary, drawn.signals * (7 * np.exp(2j)))
    np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(one.norm(dim=1), 1.0, rtol=1e-4)
    drawn.signals[0, :, 2, 3] = 0
    network = MapNetwork(SCHEDULE.n_frames, t1_ms=T1_MS, t2_ms=T2_MS, width=8)
    t1, t2 = predicted_maps(network, dictionary, drawn.signals)
    assert np.isnan(t1[0, 2, 3])
    assert np.isfinite(t1).sum() == np.isfinite(t2).sum() == 35
    assert (t1[np.isfinite(t1)] >= T1_MS[0]).all()


def test_networks_learn_and_attention_weighs_frames(dictionary):
    torch.manual_seed(0)
    network = MapNetwork(SCHEDULE.n_frames, t1_ms=T1_MS, t2_ms=T2_MS, width=32)
    phantoms = Phantoms(SCHEDULE, t1_ms=T1_MS, t2_ms=T2_MS, seed=4)
    losses = fit_maps(network, dictionary, phantoms, steps=80, batch=4, side=12)
    assert np.mean(losses[-10:]) < 0.4 * np.mean(losses[:5])
    drawn = Phantoms(SCHEDULE, t1_ms=T1_MS, t2_ms=T2_MS, seed=5).draw(4, side=12, noise_sd=0.005)
    t1, _ = predicted_maps(network, dictionary, drawn.signals)
    assert np.median(np.abs(t1 / drawn.t1_ms - 1)) < 0.15
    weights = network.attention.weights(aligned(dictionary, drawn.signals))
    assert weights.shape == (4, SCHEDULE.n_frames)
    assert float(weights.detach().std(dim=1).min()) > 0


def test_same_seed_same_maps():
    one, two = (
        Phantoms(SCHEDULE, t1_ms=T1_MS, t2_ms=T2_MS, seed=6).draw(1, side=8, noise_sd=0.01)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.signals, two.signals)
    assert (one.t2_ms <= one.t1_ms).all()
