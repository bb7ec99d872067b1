"""T1 from inversion recovery: analytic truth, the Cramer-Rao bound, scipy, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from popscan.records import SubjectError
from popscan.relaxometry import (
    fit_recovery,
    fit_shmolli,
    recovery_signal,
    shmolli_order,
    signs_from_phase,
)
from popscan.relaxometry.simulate import MOLLI_5_3, SHMOLLI, inversion_signal, inversion_times_ms

T1_MS = np.array([[250.0, 300.0, 450.0], [800.0, 1200.0, 1800.0]])
TIMES = inversion_times_ms(MOLLI_5_3)[:5]


def first_five(t1_ms: np.ndarray) -> np.ndarray:
    return inversion_signal(((5, 0),), t1_ms=t1_ms, m0=400.0)


def test_noiseless_signals_give_their_t1_whatever_the_order_of_the_images():
    samples, order = np.abs(first_five(T1_MS)), [3, 0, 4, 2, 1]
    fit = fit_recovery(samples, TIMES)
    np.testing.assert_allclose(fit.t1_ms, T1_MS, rtol=1e-5)
    np.testing.assert_allclose(fit.t1_star_ms, 0.9 * T1_MS, rtol=1e-5)
    np.testing.assert_array_equal(fit.n_negative, (first_five(T1_MS) < 0).sum(axis=0))
    np.testing.assert_allclose(fit.r2, 1.0, atol=1e-9)
    mixed = fit_recovery(samples[order], TIMES[order])
    np.testing.assert_allclose(mixed.t1_ms, fit.t1_ms, rtol=1e-9)


def test_bias_spread_and_standard_error_are_those_of_the_cramer_rao_bound():
    n, noise = 4000, 4.0
    for t1 in (400.0, 1200.0):
        truth = first_five(np.array([t1]))
        signed = truth + noise * np.random.default_rng(3).standard_normal((5, n))
        fit = fit_recovery(np.abs(signed), TIMES, signs=np.sign(signed))
        bound = cramer_rao_ms(t1, noise)
        assert abs(fit.t1_ms.mean() - t1) < 0.2 * bound
        assert fit.t1_ms.std() == pytest.approx(bound, rel=0.06)
        assert np.sqrt(np.mean(fit.se_ms**2)) == pytest.approx(bound, rel=0.1)


def cramer_rao_ms(t1_ms: float, noise: float) -> float:
    """Bound of T1's standard deviation, by differences of the signal: nothing of the fit."""

    def signal(theta: np.ndarray) -> np.ndarray:
        m0, full, t1 = theta  # the steady state, the whole span, and T1 = T1* (B / A - 1)
        return m0 - full * np.exp(-TIMES * (full / m0 - 1.0) / t1)

    theta = np.array([360.0, 760.0, t1_ms])
    steps = 1e-5 * theta
    jacobian = np.stack(
        [(signal(theta + e) - signal(theta - e)) / (2 * h)
         for e, h in zip(np.diag(steps), steps, strict=True)], axis=1
    )  # fmt: skip
    return float(noise * np.sqrt(np.linalg.inv(jacobian.T @ jacobian)[2, 2]))


def test_scipy_voxel_by_voxel_finds_the_same():
    rng = np.random.default_rng(5)
    t1 = rng.uniform(250.0, 1700.0, 25)
    signed = first_five(t1) + 3.0 * rng.standard_normal((5, 25))
    fit = fit_recovery(np.abs(signed), TIMES, signs=np.sign(signed))
    for voxel in range(25):
        start = (350.0, 700.0, 0.9 * t1[voxel])
        (a, b, star), covariance = curve_fit(model, TIMES, signed[:, voxel], p0=start)
        assert fit.t1_ms[voxel] == pytest.approx(star * (b / a - 1), rel=1e-4)
        slope = np.array([-star * b / a**2, star / a, b / a - 1])
        assert fit.se_ms[voxel] == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=1e-3)


def model(times: np.ndarray, a: float, b: float, star: float) -> np.ndarray:
    return a - b * np.exp(-times / star)


def test_the_sign_that_phase_images_give_is_that_of_the_signal():
    signed = first_five(T1_MS)
    rng = np.random.default_rng(2)
    background = rng.uniform(-np.pi, np.pi, T1_MS.shape)
    phase = background + np.where(signed < 0, np.pi, 0) + 0.2 * rng.standard_normal(signed.shape)
    signs = signs_from_phase(np.angle(np.exp(1j * phase)), TIMES)
    np.testing.assert_array_equal(signs, np.sign(signed))
    fit = fit_recovery(np.abs(signed), TIMES, signs=signs)
    np.testing.assert_allclose(fit.t1_ms, T1_MS, rtol=1e-5)
    with pytest.raises(SubjectError, match="radians"):
        signs_from_phase(1000 * phase, TIMES)


def test_shmolli_takes_more_samples_only_where_t1_is_short():
    t1 = np.array([120.0, 250.0, 900.0, 1500.0, 2500.0])
    times = inversion_times_ms(SHMOLLI)
    samples = np.abs(inversion_signal(SHMOLLI, t1_ms=t1, m0=400.0))
    every, chosen = fit_recovery(samples, times), fit_shmolli(samples, times)
    np.testing.assert_array_equal(chosen.n_samples, [7, 7, 5, 5, 5])
    np.testing.assert_allclose(chosen.t1_ms, t1, rtol=0.01)
    assert every.t1_ms[-1] < 0.7 * t1[-1]
    mixed = np.argsort(times)
    np.testing.assert_allclose(
        fit_shmolli(samples[mixed], times[mixed]).t1_ms, chosen.t1_ms, rtol=1e-6
    )
    order, beat = shmolli_order(times[mixed])
    np.testing.assert_array_equal(times[mixed][order], times)
    assert beat == 1000.0


def test_flat_and_empty_voxels_have_no_value_and_spoil_no_other():
    samples = np.abs(first_five(np.full(4, 900.0)))
    samples[:, 0], samples[2, 1] = 0.0, np.nan
    fit = fit_recovery(samples, TIMES)
    assert np.isnan(fit.t1_ms).tolist() == [True, True, False, False]
    assert fit.n_samples.tolist() == [0, 0, 5, 5]


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([100, 1100], "shape_mismatch"),
        ([100, 1100, 2100, 3100, np.nan], "bad_times"),
        ([0.1, 1.1, 2.1, 3.1, 4.1], "bad_times"),
        ([-100, 1100, 2100, 3100, 4100], "bad_times"),
        ([100, 100, 100, 1100, 1100], "equal_times"),
    ],
)
def test_times_that_cannot_be_are_refused(times, reason):
    with pytest.raises(SubjectError) as error:
        fit_recovery(first_five(T1_MS), times)
    assert error.value.reason == reason


def test_two_images_and_another_scheme_are_refused():
    with pytest.raises(SubjectError) as error:
        fit_recovery(first_five(T1_MS)[:2], TIMES[:2])
    assert error.value.reason == "too_few_samples"
    for times in ([100, 200, 300, 400, 500, 600, 700], [100, 1100, 2100, 3100, 4100, 180]):
        with pytest.raises(SubjectError) as error:
            shmolli_order(times)
        assert error.value.reason == "scheme_mismatch"


def test_the_signal_is_that_of_its_parameters():
    signal = recovery_signal([0.0, 1e6], a=2.0, b=5.0, t1_star_ms=700.0)
    np.testing.assert_allclose(signal, [-3.0, 2.0])
