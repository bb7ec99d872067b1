"""T2 from a decay, and values in regions: truth, bound, coverage, borders."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import curve_fit

from popscan.records import SubjectError
from popscan.relaxometry import fit_decay, region_value

TIMES = np.array([0.0, 25.0, 55.0])


def decayed(t2_ms: np.ndarray, times: np.ndarray = TIMES) -> np.ndarray:
    return 300.0 * np.exp(-times[:, None] / t2_ms)


def test_t2_without_noise_is_exact_and_scipy_agrees_with_noise():
    t2 = np.array([20.0, 45.0, 60.0, 250.0])
    np.testing.assert_allclose(fit_decay(decayed(t2), TIMES).t2_ms, t2, rtol=1e-6)
    rng = np.random.default_rng(4)
    noisy = decayed(np.full(20, 48.0)) + 3.0 * rng.standard_normal((3, 20))
    fit = fit_decay(noisy, TIMES)
    for voxel in range(20):
        (_, t2_ms), covariance = curve_fit(
            lambda t, s0, t2: s0 * np.exp(-t / t2), TIMES, noisy[:, voxel], p0=(300.0, 50.0)
        )
        assert fit.t2_ms[voxel] == pytest.approx(t2_ms, rel=1e-4)
        assert fit.se_ms[voxel] == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-3)


def test_t2_reaches_the_cramer_rao_bound():
    noise, t2 = 3.0, 48.0
    noisy = decayed(np.full(5000, t2)) + noise * np.random.default_rng(1).standard_normal((3, 5000))
    fit = fit_decay(noisy, TIMES)
    decay = np.exp(-TIMES / t2)
    jacobian = np.stack([decay, 300.0 * decay * TIMES / t2**2], axis=1)
    bound = noise * np.sqrt(np.linalg.inv(jacobian.T @ jacobian)[1, 1])
    assert fit.t2_ms.std() == pytest.approx(bound, rel=0.05)
    assert abs(fit.t2_ms.mean() - t2) < 0.1 * bound


def test_a_decay_that_grows_or_has_one_time_is_none():
    assert np.isnan(fit_decay(decayed(np.array([50.0]))[::-1], TIMES).t2_ms).all()
    with pytest.raises(SubjectError) as error:
        fit_decay(decayed(np.array([50.0])), [0.0, 0.0, 0.0])
    assert error.value.reason in ("equal_times", "bad_times")


def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(8)
    region = np.zeros((48, 48, 1), dtype=bool)
    region[10:38, 10:38] = True
    held = 0
    for _ in range(300):
        # Neighbouring voxels share noise, as in an interpolated image.
        noise = ndimage.gaussian_filter(rng.standard_normal(region.shape[:2]), 1.0)[..., None]
        found = region_value(1000.0 + 80.0 * noise, region, spacing_mm=(1.0, 1.0, 8.0))
        held += found.low <= 1000.0 <= found.high
    assert 0.92 <= held / 300 <= 0.98, held / 300


def test_what_the_border_does_is_reported():
    x, y = np.mgrid[-20:21, -20:21]
    inside = (np.hypot(x, y) < 9.0)[..., None]
    map_ms = ndimage.gaussian_filter(np.where(inside, 1000.0, 1800.0), (1.0, 1.0, 0.0))
    found = region_value(map_ms, inside, spacing_mm=(1.0, 1.0, 8.0))
    assert found.core_mean == pytest.approx(1000.0, abs=40.0)
    assert found.border_shift > 20.0
    assert 15.0 < found.border_pct < 30.0
    map_ms[20, 20] = np.nan
    assert region_value(map_ms, inside, spacing_mm=(1.0, 1.0, 8.0)).failed_pct > 0.0


def test_an_empty_region_and_one_without_values_have_none():
    empty = region_value(np.ones((4, 4, 1)), np.zeros((4, 4, 1)), spacing_mm=(1, 1, 1))
    assert empty.n_voxels == 0
    assert np.isnan(empty.mean)
    lost = region_value(np.full((4, 4, 1), np.nan), np.ones((4, 4, 1)), spacing_mm=(1, 1, 1))
    assert lost.n_voxels == 0
    assert lost.failed_pct == 100.0
