"""Methods that iterate: exact where everything is known, better where not, and scale-free."""

import numpy as np
import pytest

from popscan.arrays.sampling import sampling_mask
from popscan.recon import reconstruct
from popscan.records import SubjectError
from recon_helpers import nrmse_of

STATIC = ("cs_wavelet", "cs_tv")
DYNAMIC = ("view_sharing", "kt_sense", "low_rank_sparse")


@pytest.fixture(scope="module")
def random_cine(cine, encoder):
    """The analytic cine with lines drawn anew in each frame, with noise."""
    image, maps, _ = cine
    rng = np.random.default_rng(7)
    mask = sampling_mask(40, 4, acceleration=2, acs_lines=12, pattern="random", rng=rng)
    return image, encoder(image, maps, mask, noise=0.003, rng=rng)


@pytest.mark.parametrize("method", [*STATIC, *DYNAMIC])
def test_full_sampling_gives_the_image(cine, encoder, method):
    image, maps, _ = cine
    kspace = encoder(image, maps, np.ones((40, 4), bool))
    assert nrmse_of(reconstruct(kspace, method=method), image) < 0.02


@pytest.mark.parametrize("method", [*STATIC, *DYNAMIC])
def test_undersampling_costs_less_than_zero_filling(random_cine, method):
    image, kspace = random_cine
    baseline = nrmse_of(reconstruct(kspace, method="zero_filled"), image)
    scan = reconstruct(kspace, method=method)
    # Of four frames a third of the lines is in none: what only shares views stays aliased.
    assert (
        nrmse_of(scan, image) < (0.9 if method in ("view_sharing", "kt_sense") else 0.6) * baseline
    )
    assert scan.array.dtype == np.float32
    assert scan.meta["reconstruction"]["method"] == method
    assert scan.frame_times_ms is not None


@pytest.mark.parametrize("method", [*STATIC, *DYNAMIC])
def test_units_of_the_scanner_do_not_matter(random_cine, method):
    from dataclasses import replace

    _, kspace = random_cine
    one = reconstruct(kspace, method=method).array
    large = reconstruct(replace(kspace, data=kspace.data * np.float32(3e5)), method=method).array
    np.testing.assert_allclose(large / 3e5, one, atol=2e-3 * one.max())


@pytest.mark.parametrize("method", [*STATIC, *DYNAMIC])
def test_equal_seeds_give_equal_bytes(random_cine, method):
    _, kspace = random_cine
    first, again = (reconstruct(kspace, method=method, seed=3).array for _ in range(2))
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("method", STATIC)
def test_a_single_coil_and_an_empty_slice_are_served(cine, encoder, method):
    image, _, _ = cine
    both = np.concatenate([image, np.zeros_like(image)], axis=2)
    mask = sampling_mask(
        40, 4, acceleration=2, acs_lines=10, pattern="gaussian", rng=np.random.default_rng(1)
    )
    kspace = encoder(both, np.ones((1, 48, 40), np.complex64), mask)
    scan = reconstruct(kspace, method=method)
    assert not scan.array[:, :, 1].any()
    assert scan.meta["reconstruction"]["empty_slices"] == [1]
    baseline = nrmse_of(reconstruct(kspace, method="zero_filled"), both)
    assert nrmse_of(scan, both) < baseline


@pytest.mark.parametrize("method", DYNAMIC)
def test_one_frame_is_no_cine(cine, encoder, method):
    image, maps, _ = cine
    kspace = encoder(image[..., :1], maps, np.ones((40, 1), bool))
    with pytest.raises(SubjectError, match="one frame") as raised:
        reconstruct(kspace, method=method)
    assert raised.value.reason == "single_frame"


def test_a_still_body_is_exact_by_view_sharing(cine, encoder):
    image, maps, _ = cine
    still = np.repeat(image[..., :1], 4, axis=3)
    mask = np.zeros((40, 4), bool)
    mask[14:26] = True
    for t in range(4):
        mask[t::4, t] = True
    shared = reconstruct(encoder(still, maps, mask), method="view_sharing")
    full = reconstruct(encoder(still, maps, np.ones((40, 4), bool)), method="view_sharing")
    np.testing.assert_allclose(shared.array, full.array, atol=2e-3 * full.array.max())
