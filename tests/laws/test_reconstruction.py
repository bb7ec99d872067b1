"""Laws of the operators of reconstruction: linear, adjoint, normal, orthonormal, proximal."""

import numpy as np
import pytest
import torch

from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.recon.dynamic import singular_shrunk
from popscan.recon.encoding import Encoding, to_image, to_kspace
from popscan.recon.operators import Sense
from popscan.recon.sharing import shared_views
from popscan.recon.variation import VariationProx, space_differences, space_differences_adjoint
from popscan.recon.wavelet import denoised, forward, inverse


@pytest.fixture
def normal_numbers(rng):
    """Return complex tensors of a shape, normally distributed."""

    def draw(*shape):
        values = rng.standard_normal((*shape, 2))
        return torch.view_as_complex(torch.from_numpy(values))

    return draw


def inner(a, b):
    return complex((a.conj() * b).sum())


@pytest.mark.parametrize("axes", [(0, 1), (1,)])
@pytest.mark.parametrize("shape", [(8, 6), (7, 9)])
def test_encoding_obeys_the_laws_of_an_operator(normal_numbers, rng, shape, axes):
    nx, ny = shape
    maps = normal_numbers(2, 3, nx, ny)
    rows = nx if axes == (0, 1) else 1
    mask = torch.from_numpy(rng.random((2, 4, rows, ny)) < 0.5)
    encoding = Encoding(maps, mask, axes=axes)
    image, data = normal_numbers(2, 4, nx, ny), normal_numbers(2, 4, 3, nx, ny)
    assert inner(encoding.apply(image), data) == pytest.approx(
        inner(image, encoding.adjoint(data)), rel=1e-9
    )
    twice = encoding.adjoint(encoding.apply(image))
    torch.testing.assert_close(encoding.normal(image), twice)
    other = normal_numbers(2, 4, nx, ny)
    torch.testing.assert_close(
        encoding.apply(image + 2j * other), encoding.apply(image) + 2j * encoding.apply(other)
    )


def test_encoding_equals_the_one_in_numpy(normal_numbers, rng):
    maps, image = normal_numbers(1, 3, 8, 7), normal_numbers(1, 2, 8, 7)
    mask = rng.random((2, 8, 7)) < 0.6
    expected = Sense(maps[0].numpy(), mask).apply(image[0].numpy())
    found = Encoding(maps, torch.from_numpy(mask)[None]).apply(image)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_transforms_are_orthonormal(normal_numbers):
    image = normal_numbers(2, 7, 8)
    assert float(to_kspace(image).abs().square().sum()) == pytest.approx(
        float(image.abs().square().sum())
    )
    torch.testing.assert_close(to_image(to_kspace(image)), image)


def test_wavelets_are_orthonormal(normal_numbers):
    image = normal_numbers(2, 24, 16)
    bands = forward(image)
    torch.testing.assert_close(inverse(bands), image)
    energy = sum(float(band.abs().square().sum()) for band in bands)
    assert energy == pytest.approx(float(image.abs().square().sum()))


@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_wavelet_denoising_keeps_constants_and_shrinks_the_rest(normal_numbers, shift):
    constant = torch.full((16, 24), 2 + 1j, dtype=torch.complex128)
    torch.testing.assert_close(denoised(constant, 0.5, shift=shift), constant)
    image = normal_numbers(17, 21)
    assert denoised(image, 0.3, shift=shift).shape == (17, 21)
    assert float(denoised(image, 0.3, shift=shift).abs().sum()) < float(image.abs().sum())


def test_differences_have_their_adjoint(normal_numbers):
    image, field = normal_numbers(3, 6, 7), normal_numbers(2, 3, 6, 7)
    assert inner(space_differences(image), field) == pytest.approx(
        inner(image, space_differences_adjoint(field)), rel=1e-9
    )


def test_total_variation_moves_two_plateaus_by_hand(normal_numbers):
    # One edge of height 1 between halves of 8 pixels in time: each side moves by lam / 4.
    steps = torch.zeros(1, 8, 1, 1, dtype=torch.complex128)
    steps[:, 4:] = 1
    prox = VariationProx(0.0, 0.1, n_inner=600)
    # The cycle has two edges, so each half of 4 frames moves by 2 lam / 4.
    expected = torch.where(steps.real > 0.5, 1 - 0.05, 0.05).to(steps.dtype)
    torch.testing.assert_close(prox(steps), expected, atol=1e-4, rtol=0)


def test_singular_values_shrink_as_by_svd(normal_numbers):
    images = normal_numbers(2, 4, 5, 6)
    u, s, vh = np.linalg.svd(images.flatten(2).numpy(), full_matrices=False)
    expected = (u * np.maximum(s - 2.0, 0)[:, None]) @ vh
    np.testing.assert_allclose(singular_shrunk(images, 2.0).flatten(2).numpy(), expected, atol=1e-8)


def test_views_are_shared_from_the_nearest_frame_of_the_cycle():
    mask = torch.zeros(1, 5, 1, 3)
    mask[0, [0, 2], 0, 0] = 1
    mask[0, 3, 0, 1] = 1
    values = (torch.arange(5.0) + 1)[None, :, None, None, None] * mask[:, :, None]
    data = values.to(torch.complex64).expand(1, 5, 2, 4, 3)
    filled, present = shared_views(data, mask)
    assert filled[0, :, 1, 2, 0].real.tolist() == [1, 2, 3, 3, 1]  # frame 1: between 1 and 3
    assert filled[0, :, 0, 0, 1].real.tolist() == [4] * 5
    assert present[0, 0, 0].tolist() == [1, 1, 0]
    near, there = shared_views(data, mask, reach=1)
    assert near[0, :, 0, 0, 1].real.tolist() == [0, 0, 4, 4, 4]
    assert there[0, :, 0, 1].tolist() == [0, 0, 1, 1, 1]
    some, _ = shared_views(data, mask, frames=[3])
    torch.testing.assert_close(some, filled[:, 3:4])


def test_simulated_coils_are_normalised_and_phase_is_smooth():
    maps = ring_maps((20, 30), coils=5, rng=np.random.default_rng(1))
    np.testing.assert_allclose(np.sum(np.abs(maps) ** 2, axis=0), 1, rtol=1e-5)
    assert ring_maps((4, 5), coils=1, rng=np.random.default_rng(1)).tolist() == [[[1] * 5] * 4]
    phase = smooth_phase((40, 40), rng=np.random.default_rng(2))
    np.testing.assert_allclose(np.abs(phase), 1, rtol=1e-5)
    assert np.abs(np.diff(phase, axis=0)).max() < 1.0
