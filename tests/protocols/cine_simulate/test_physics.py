"""Contrast, coils, sampling: against independent calculations."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.arrays.fourier import centred_ifft
from popscan.arrays.sampling import sampling_mask
from popscan.protocols.cine_sax.simulate.acquisition import acquire
from popscan.protocols.cine_sax.simulate.coils import (
    REFERENCE_TORSO,
    coil_maps,
    loop_layout,
    noise_mixing,
)
from popscan.protocols.cine_sax.simulate.render import crop_spectrum, smooth_field
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.tissue import Tissue, bssfp_signal, tissue_signals
from popscan.protocols.cine_sax.simulate.torso import Torso, torso_for, torso_tissue
from popscan.records import PopscanError

TORSO = REFERENCE_TORSO


def bloch_steady_state(t1_ms, t2_ms, flip_deg, tr_ms, off_hz) -> complex:
    """Play alternating pulses until nothing changes; return the echo of a +x pulse."""
    a = np.deg2rad(flip_deg)
    e1, e2 = np.exp(-tr_ms / t1_ms), np.exp(-tr_ms / t2_ms)
    beta = 2 * np.pi * off_hz * tr_ms / 1000
    m, after = np.array([0.0, 0.0, 1.0]), np.zeros(3)
    for k in range(4000):
        s = np.sin(a) * (-1) ** k
        pulse = np.array([[np.cos(a), 0, s], [0, 1, 0], [-s, 0, np.cos(a)]])
        after = pulse @ m
        turn = np.array(
            [[np.cos(beta), -np.sin(beta), 0], [np.sin(beta), np.cos(beta), 0], [0, 0, 1]]
        )
        m = np.diag([e2, e2, e1]) @ turn @ after + np.array([0, 0, 1 - e1])
    sign = (-1) ** 3999
    return complex(sign * (after[0] + 1j * after[1]) * np.sqrt(e2) * np.exp(1j * beta / 2))


@pytest.mark.parametrize("off_hz", [0.0, 40.0, -95.0, 217.0])
@pytest.mark.parametrize(("t1_ms", "t2_ms"), [(1441.0, 250.0), (950.0, 50.0)])
def test_bssfp_formula_is_the_bloch_steady_state(off_hz, t1_ms, t2_ms):
    formula = bssfp_signal(1.0, t1_ms, t2_ms, flip_deg=50, tr_ms=3.0, off_resonance_hz=off_hz)
    simulated = bloch_steady_state(t1_ms, t2_ms, 50, 3.0, off_hz)
    assert abs(complex(formula)) == pytest.approx(abs(simulated), rel=1e-4)


def test_on_resonance_the_signal_is_the_textbook_one():
    e1, e2, a = np.exp(-3 / 1000), np.exp(-3 / 50), np.deg2rad(45)
    textbook = np.sin(a) * (1 - e1) / (1 - (e1 - e2) * np.cos(a) - e1 * e2) * np.sqrt(e2)
    found = bssfp_signal(1.0, 1000.0, 50.0, flip_deg=45, tr_ms=3.0)
    assert found.real == pytest.approx(textbook)
    assert found.imag == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("field_strength_t", [1.5, 3.0])
def test_contrast_is_that_of_a_cine(field_strength_t):
    s = tissue_signals(field_strength_t=field_strength_t, flip_deg=50, tr_ms=3.0)
    assert s[Tissue.LV_BLOOD] > 2.2 * s[Tissue.MYOCARDIUM]
    assert abs(s[Tissue.FAT]) > 1.5 * s[Tissue.MYOCARDIUM]
    assert s[Tissue.FAT] < 0  # against water: the dark line between them
    assert s[Tissue.LUNG] < 0.2 * s[Tissue.MYOCARDIUM]
    assert s[Tissue.AIR] == 0


def test_contrast_loss_shrinks_the_difference_of_blood_and_muscle_only():
    options = {"field_strength_t": 1.5, "flip_deg": 60.0, "tr_ms": 2.8}
    full, half = tissue_signals(**options), tissue_signals(**options, contrast_loss=0.5)
    gap = full[Tissue.LV_BLOOD] - full[Tissue.MYOCARDIUM]
    assert half[Tissue.LV_BLOOD] - half[Tissue.MYOCARDIUM] == pytest.approx(0.5 * gap)
    assert half[Tissue.FAT] == full[Tissue.FAT]


def test_unknown_field_strength_is_told():
    with pytest.raises(PopscanError, match=r"7\.0 T"):
        tissue_signals(field_strength_t=7.0, flip_deg=50, tr_ms=3)


def test_coil_maps_combine_to_one_at_the_heart_and_fall_off_to_the_far_side():
    points = np.array([TORSO.heart_mm, (0, -90, 0), (-30, 95, 0.0)], float)
    maps = coil_maps(TORSO, points, coils=8)
    combined = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    assert combined[0] == pytest.approx(1, abs=1e-5)
    assert combined[2] > 1.2  # next to the front loops
    assert np.linalg.matrix_rank(np.abs(maps)) == 3  # the coils see different things


def test_a_loop_has_its_textbook_field_on_its_axis():
    """A circular loop: B falls as (a^2 + d^2)^(-3/2) along the axis."""
    centres, normals = loop_layout(TORSO, coils=1)
    d = np.array([60.0, 90.0, 150.0])
    points = centres[0] + d[:, None] * normals[0]
    found = np.abs(coil_maps(TORSO, points, coils=1, loop_radius_mm=75.0)[0])
    expected = (75.0**2 + d**2) ** -1.5
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-3)


def test_noise_has_the_coils_correlation():
    mixing = noise_mixing(TORSO, coils=4)
    expected = (mixing @ mixing.conj().T).real
    np.testing.assert_allclose(np.diag(expected), 1, rtol=1e-5)
    data = acquire(
        np.zeros((2, 2, 48, 48), np.complex64),
        np.ones((4, 2, 48, 48), np.complex64),
        mask=np.ones((48, 2), bool),
        noise=3.0,
        mixing=mixing,
        rng=np.random.default_rng(1),
    ).reshape(4, -1)
    found = (data @ data.conj().T).real / data.shape[1] / (2 * 3.0**2)
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("pattern", ["lattice", "random"])
@pytest.mark.parametrize("acceleration", [1.0, 2.0, 3.5, 6.0])
def test_masks_have_the_asked_acceleration_and_calibration_lines(pattern, acceleration):
    rng = np.random.default_rng(0)
    mask = sampling_mask(112, 12, acceleration=acceleration, acs_lines=8, pattern=pattern, rng=rng)
    assert mask.shape == (112, 12)
    assert set(mask.sum(axis=0)) == {round(112 / acceleration)}
    assert mask[112 // 2 - 4 : 112 // 2 + 4].all()


def test_lattice_frames_differ_and_together_cover_k_space():
    mask = sampling_mask(112, 16, acceleration=4, acs_lines=8, rng=np.random.default_rng(0))
    assert mask.any(axis=1).all()
    assert not (mask[:, :1] == mask[:, 1:]).all(axis=0).any()


@pytest.mark.parametrize(
    "options",
    [
        {"acceleration": 0.5, "acs_lines": 4},
        {"acceleration": 20.0, "acs_lines": 8},
        {"acceleration": 2.0, "acs_lines": 8, "pattern": "radial"},
    ],
)
def test_impossible_sampling_is_told(options):
    with pytest.raises(PopscanError):
        sampling_mask(64, 4, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize("per", [1, 2, 3])
@pytest.mark.parametrize("shape", [(32, 24), (33, 25)])
def test_cropped_spectrum_puts_a_blob_where_it_is(per, shape):
    at = (13.3, 10.6)
    x = (np.arange(shape[0] * per) + 0.5) / per - 0.5
    y = (np.arange(shape[1] * per) + 0.5) / per - 0.5
    blob = np.exp(-((x[:, None] - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 2.5**2))
    image = centred_ifft(crop_spectrum(blob[None].astype(np.complex64), shape, per), axes=(1, 2))
    cx, cy = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    expected = np.exp(-((cx - at[0]) ** 2 + (cy - at[1]) ** 2) / (2 * 2.5**2))
    np.testing.assert_allclose(np.abs(image[0]), expected, atol=2e-3)


def test_smooth_fields_are_standardised_and_smooth():
    field = smooth_field(np.random.default_rng(0), (5, 60, 70), width=(1.0, 8.0, 8.0))
    assert field.shape == (5, 60, 70)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(field, axis=1)).mean() < 0.2


def test_streams_depend_on_every_name_and_never_on_the_process():
    assert rng_for(1, "sub-0001", "noise").integers(2**31) == 1162401712
    draws = {
        int(rng_for(seed, who, what).integers(2**62))
        for seed in (1, 2)
        for who in ("sub-0001", "sub-0002")
        for what in ("noise", "plan")
    }
    assert len(draws) == 8


def test_a_torso_has_its_layers_from_skin_to_lung():
    z = np.float32(30)
    x = np.arange(-200, -60, 1, dtype=np.float32)
    tissues = torso_tissue(TORSO, x, np.zeros_like(x), np.full_like(x, z))
    order = [int(t) for t, before in zip(tissues[1:], tissues[:-1], strict=True) if t != before]
    assert tissues[0] == Tissue.AIR
    assert order[0] == Tissue.FAT
    assert Tissue.MUSCLE in order[1:]
    assert order[-1] == Tissue.LUNG


def test_extra_fat_thickens_the_layer_and_the_body():
    def torso(extra: float) -> Torso:
        return torso_for(
            sex="male",
            height_cm=175,
            weight_kg=80,
            extra_fat_mm=extra,
            rng=np.random.default_rng(0),
        )

    thin, thick = torso(0), torso(25)
    assert thick.fat_mm - thin.fat_mm == pytest.approx(25)
    assert thick.half_depth_mm - thin.half_depth_mm == pytest.approx(25)
    assert thick.heart_mm == pytest.approx(thin.heart_mm)
