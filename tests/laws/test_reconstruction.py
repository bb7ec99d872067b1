"""Laws of the operators of reconstruction: linear, adjoint, normal, orthonormal, proximal."""

import numpy as np
import pytest
import torch

from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.recon.architectures import SERIES, build_reconstruction
from popscan.recon.domain import DomainTransform, centred
from popscan.recon.dynamic import singular_shrunk
from popscan.recon.encoding import Encoding, to_image, to_kspace
from popscan.recon.kt import kt_solved
from popscan.recon.operators import Sense
from popscan.recon.sharing import shared_views
from popscan.recon.spacetime import as_channels, as_images, smooth_phase_of
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


NETWORKS = {
    "varnet": {"channels": [8, 8], "layers": 2, "fold": 2},
    "kt_net": {"channels": 8, "layers": 2, "fold": 2, "n_iterations": 6},
    "dautomap": {"channels": 8, "layers": 2, "fold": 2, "sides": [12, 16]},
}


def network_of(architecture, *, fresh=False):
    """Return a network, with all its weights drawn where it is not fresh."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_reconstruction(architecture, 0, **NETWORKS[architecture])
        if not fresh:
            for name, values in network.named_parameters():
                if "lam" not in name:
                    torch.nn.init.normal_(values, std=0.05)
    return network.eval().requires_grad_(False)


def series_of(rng, architecture):
    """Return noise, sampled: k-space, its mask and its encoding."""
    coils = 1 if architecture == "dautomap" else 3
    maps = torch.from_numpy(ring_maps((12, 16), coils=coils, rng=rng))[None]
    mask = torch.from_numpy(rng.random((1, 5, 1, 16)) < 0.5).float()
    mask[..., 6:10] = 1
    encoding = Encoding(maps, mask, axes=(1,))
    image = torch.view_as_complex(
        torch.from_numpy(rng.standard_normal((1, 5, 12, 16, 2), dtype=np.float32))
    )
    return encoding.apply(image), mask, encoding


@pytest.mark.parametrize("architecture", SERIES)
def test_networks_turn_with_the_phase_of_the_data(rng, architecture):
    """The phase of the receiver is arbitrary: turning the data turns the image, no more."""
    data, mask, encoding = series_of(rng, architecture)
    network, turn = network_of(architecture), np.exp(1.1j)
    expected = turn * network(data, mask, encoding)
    torch.testing.assert_close(
        network((turn * data).to(torch.complex64), mask, encoding), expected, atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("architecture", ["varnet", "kt_net"])
def test_slices_of_a_batch_do_not_see_each_other(rng, architecture):
    data, mask, encoding = series_of(rng, architecture)
    network = network_of(architecture)
    both = Encoding(encoding.maps[:, 0].repeat(2, 1, 1, 1), mask.repeat(2, 1, 1, 1), axes=(1,))
    twice = network(torch.cat([data, 2j * data]), mask.repeat(2, 1, 1, 1), both)
    torch.testing.assert_close(twice[:1], network(data, mask, encoding), atol=1e-4, rtol=1e-3)


def test_a_fresh_variational_network_comes_nearer_to_the_data_with_every_step(rng):
    data, mask, encoding = series_of(rng, "varnet")
    network = network_of("varnet", fresh=True)
    distances = []
    for n in (1, 2):
        part = network_of("varnet", fresh=True)
        part.blocks = network.blocks[:n]
        part.steps = torch.nn.Parameter(network.steps[: n + 1], requires_grad=False)
        found = part(data, mask, encoding)
        distances.append(float((encoding.apply(found) - data).abs().square().sum()))
    assert distances[1] <= distances[0]


def test_kt_sense_of_all_samples_is_the_image_whatever_the_prior(rng):
    data, mask, encoding = series_of(rng, "kt_net")
    whole = encoding.with_mask(torch.ones_like(mask))
    image = encoding.adjoint(data)
    size = torch.from_numpy(rng.uniform(0.5, 2, size=image.shape).astype(np.float32))
    found = kt_solved(
        whole.normal(image), whole, guess=torch.zeros_like(image), size=size, lam=1e-6,
        n_iterations=40,
    )  # fmt: skip
    torch.testing.assert_close(found, image, atol=1e-3, rtol=0)


def test_a_domain_transform_without_refinement_is_linear(normal_numbers):
    network = network_of("dautomap")
    for values in network.refine.parameters():
        torch.nn.init.zeros_(values)
    encoding = Encoding(torch.ones(1, 1, 10, 13) + 0j, torch.ones(1, 1, 1, 13), axes=(0, 1))
    one, two = (normal_numbers(1, 1, 1, 10, 13).to(torch.complex64) for _ in range(2))

    def run(data):
        return network(data, encoding.mask[:, :, 0], encoding)

    torch.testing.assert_close(run(one + 2j * two), run(one) + 2j * run(two), atol=1e-4, rtol=1e-3)


def test_cutting_and_padding_of_kspace_keep_its_centre(normal_numbers):
    data = normal_numbers(1, 1, 9, 8)
    for shape in ((12, 16), (9, 8), (7, 6)):
        found = centred(data, shape)
        assert tuple(found.shape[-2:]) == shape
        assert found[0, 0, shape[0] // 2, shape[1] // 2] == data[0, 0, 4, 4]
    torch.testing.assert_close(centred(centred(data, (13, 12)), (9, 8)), data)
    assert isinstance(network_of("dautomap"), DomainTransform)


def test_the_smooth_phase_has_size_one_and_channels_come_back(normal_numbers):
    series = normal_numbers(2, 3, 8, 9).to(torch.complex64)
    phase = smooth_phase_of(series)
    torch.testing.assert_close(phase.abs(), torch.ones(2, 1, 8, 9))
    torch.testing.assert_close(as_images(as_channels(series)), series)
    flat = torch.full((1, 2, 6, 6), 3 * np.exp(0.4j), dtype=torch.complex64)
    torch.testing.assert_close(smooth_phase_of(flat), (flat / 3)[:, :1])
