"""Reconstruction off the grid: against the sum that a NUFFT stands for, and known objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.arrays.fourier import centred_fft
from popscan.recon import reconstruct
from popscan.recon.nufft import Nufft, density_weights
from popscan.recon.prepare import in_cycles_per_pixel
from popscan.records import KSpace, SubjectError

MATRIX = (10, 13)


def spokes(n: int, n_samples: int, *, first: int = 0) -> np.ndarray:
    """Golden-angle spokes (2, sample, spoke), cycles per pixel."""
    angles = (first + np.arange(n)) * np.pi * (np.sqrt(5) - 1) / 2
    along = (np.arange(n_samples) - n_samples // 2) / n_samples
    return np.stack([np.outer(along, np.cos(angles)), np.outer(along, np.sin(angles))])


def test_transform_is_the_sum_that_it_stands_for(rng):
    points = (rng.random((2, 40)) - 0.5).astype(np.float32)
    images = rng.normal(size=(3, *MATRIX)) + 1j * rng.normal(size=(3, *MATRIX))
    x, y = (np.arange(n) - n // 2 for n in MATRIX)
    phase = points[0][:, None, None] * x[:, None] + points[1][:, None, None] * y
    matrix = np.exp(-2j * np.pi * phase).reshape(40, -1) / np.sqrt(np.prod(MATRIX))
    transform = Nufft(points, MATRIX)
    samples = transform.apply(images)
    np.testing.assert_allclose(samples, images.reshape(3, -1) @ matrix.T, atol=2e-3)
    others = rng.normal(size=(3, 40)) + 1j * rng.normal(size=(3, 40))
    assert np.vdot(others, samples) == pytest.approx(
        np.vdot(transform.adjoint(others), images), abs=0.02
    )


def test_on_a_full_grid_it_is_the_orthonormal_fft_and_all_weights_are_one(rng):
    sides = [(np.arange(n) - n // 2) / n for n in MATRIX]
    points = np.stack(np.meshgrid(*sides, indexing="ij")).reshape(2, -1).astype(np.float32)
    image = (rng.normal(size=(1, *MATRIX)) + 1j).astype(np.complex64)
    expected = centred_fft(image, axes=(1, 2)).reshape(1, -1)
    np.testing.assert_allclose(Nufft(points, MATRIX).apply(image), expected, atol=2e-3)
    np.testing.assert_allclose(density_weights(points, MATRIX), 1, atol=0.02)


def test_weights_of_many_spokes_rise_with_the_distance_from_the_centre():
    weights = density_weights(spokes(64, 32).reshape(2, -1).astype(np.float32), (32, 32)).reshape(
        32, 64
    )
    ramp = weights[20:29].mean(axis=1)
    np.testing.assert_allclose(ramp / np.arange(4, 13), (ramp / np.arange(4, 13)).mean(), rtol=0.15)


@pytest.fixture(scope="module")
def radial() -> tuple[KSpace, np.ndarray]:
    """Two Gaussian blobs in four coils, one of them growing; 24 spokes a frame, and the truth."""
    n, n_t, n_coils = 48, 3, 4
    places, sigma = [(-9.0, 4.0), (8.0, -7.0)], 3.0
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 2, indexing="ij"))
    points = np.stack([spokes(24, 96, first=24 * t) for t in range(n_t)], axis=-1)
    angles = 2 * np.pi * np.arange(n_coils) / n_coils
    data = np.zeros((n_coils, 96, 24, n_t), complex)
    truth = np.zeros((n, n, n_t))
    for number, (u, v) in enumerate(places):
        amplitude = 1 + number * np.arange(n_t)
        away2 = (grid[0] - u) ** 2 + (grid[1] - v) ** 2
        truth += np.exp(-away2 / 2 / sigma**2)[..., None] * amplitude
        wave = np.exp(-2 * (np.pi * sigma) ** 2 * (points**2).sum(axis=0))
        wave = wave * np.exp(-2j * np.pi * (points[0] * u + points[1] * v)) * 2 * np.pi * sigma**2
        coil = (1 + 0.4 * (np.cos(angles) * u + np.sin(angles) * v) / n) * np.exp(1j * angles)
        data += coil[:, None, None, None] * wave * amplitude
    kspace = KSpace(
        data=(data / n).astype(np.complex64)[:, :, :, None],
        mask=np.ones((24, n_t), bool),
        affine=np.diag([2.0, 2.0, 8.0, 1.0]),
        spacing_mm=(2.0, 2.0, 8.0),
        trajectory=points.astype(np.float32)[:, :, :, None],
        matrix=(n, n),
    )
    return kspace, truth


@pytest.mark.parametrize("prior", ["zero", "temporal_mean"])
def test_blobs_come_back_where_and_as_bright_as_they_are(radial, prior):
    kspace, truth = radial
    image = reconstruct(kspace, method="cg_nufft", prior=prior, lam=0.01).array[:, :, 0]
    scale = (image * truth).sum() / (image**2).sum()
    assert scale == pytest.approx(0.5, rel=0.06)  # root of the sum of squares of four coils
    error = np.linalg.norm(scale * image - truth, axis=(0, 1)) / np.linalg.norm(truth, axis=(0, 1))
    assert error.max() < 0.08
    for t in range(3):
        assert np.unravel_index(image[..., t].argmax(), (48, 48)) in [(15, 28), (32, 17)]


def test_methods_on_the_grid_refuse_and_say_what_does_it(radial):
    for method in ("zero_filled", "cg_sense"):
        with pytest.raises(SubjectError, match="cg_nufft") as caught:
            reconstruct(radial[0], method=method)
        assert caught.value.reason == "not_cartesian"


def test_trajectory_has_to_fit(radial):
    kspace = replace(radial[0], trajectory=radial[0].trajectory[:, :-1])
    with pytest.raises(SubjectError) as caught:
        reconstruct(kspace, method="cg_nufft")
    assert caught.value.reason == "bad_trajectory"


def test_units_of_a_trajectory():
    pixels = spokes(5, 64).astype(np.float32)
    matrix = (32, 40)
    np.testing.assert_array_equal(in_cycles_per_pixel(pixels, matrix, axis=0, name="a"), pixels)
    per_view = np.stack([pixels[0] * 32, pixels[1] * 40, np.zeros_like(pixels[0])])
    moved = in_cycles_per_pixel(np.moveaxis(per_view, 0, 1), matrix, axis=1, name="a")
    np.testing.assert_allclose(np.moveaxis(moved, 1, 0), pixels, atol=1e-6)
    for points, reason in [
        (pixels * 1000, "bad_trajectory"),  # radians per metre
        (pixels * 3, "bad_trajectory"),
        (pixels * 0, "bad_trajectory"),
        (pixels * np.nan, "bad_trajectory"),
        (np.concatenate([pixels, pixels[:1]]), "three_d_kspace"),
    ]:
        with pytest.raises(SubjectError) as caught:
            in_cycles_per_pixel(points, matrix, axis=0, name="a")
        assert caught.value.reason == reason
