"""K-space simulated from images: with nothing left out, the images come back."""

import numpy as np
import pytest

from popscan.recon import reconstruct
from popscan.recon.retrospective import cropped, simulated_kspace
from popscan.records import Scan, SubjectError
from recon_helpers import nrmse_of


@pytest.fixture
def scan(cine):
    image, _, _ = cine
    affine = np.array([[0, 2.0, 0, 5], [2, 0, 0, 6], [0, 0, 8, 7], [0, 0, 0, 1]])
    times = np.arange(4) * 40.0
    return Scan(array=image, affine=affine, spacing_mm=(2.0, 2.0, 8.0), frame_times_ms=times)


@pytest.mark.parametrize("oversampled", [1.0, 1.3])
@pytest.mark.parametrize("phase", [True, False])
def test_full_sampling_gives_the_images(scan, phase, oversampled):
    kspace = simulated_kspace(
        scan, acceleration=1, noise=0.0, phase=phase, oversampled=oversampled, seed=2
    )
    whole = reconstruct(kspace, method="zero_filled")
    again = cropped(whole, scan)
    assert nrmse_of(again, scan.array) < 1e-4
    np.testing.assert_array_equal(again.affine, scan.affine)
    # A pixel lies at the same place on the wider grid.
    margin = (whole.array.shape[1] - 40) // 2
    np.testing.assert_allclose(whole.affine @ [3, 4 + margin, 0, 1], scan.affine @ [3, 4, 0, 1])
    assert whole.array.shape[1] == (52 if oversampled > 1 else 40)


def test_lines_noise_and_coils_follow_from_the_seed(scan):
    options = {"acceleration": 3, "centre_lines": 6, "coils": 3}
    one, same, other = (simulated_kspace(scan, **options, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.data, same.data)
    assert not np.array_equal(one.mask, other.mask)
    assert (one.mask.sum(axis=0) == round(40 / 3)).all()
    assert one.data.shape == (3, 48, 40, 1, 4)
    assert not one.data[:, :, ~one.mask[:, 0], :, 0].any()
    assert one.frame_times_ms is scan.frame_times_ms


def test_without_phase_k_space_is_symmetric(scan):
    def asymmetry(phase):
        data = simulated_kspace(scan, acceleration=1, noise=0.0, coils=1, phase=phase, seed=1).data[
            0, :, :, 0, 0
        ]
        inner = data[1:, 1:]  # the lowest frequency of an even grid has no partner
        return np.abs(inner - inner[::-1, ::-1].conj()).max() / np.abs(inner).max()

    assert asymmetry(False) < 1e-4
    assert asymmetry(True) > 0.1


@pytest.mark.parametrize(
    ("array", "options", "reason"),
    [
        (np.zeros((8, 8, 1, 1)), {}, "bad_image"),
        (np.full((8, 8, 1, 1), np.nan), {}, "bad_image"),
        (np.ones((8, 8, 1, 1)), {"acceleration": 4, "centre_lines": 4}, "too_few_lines"),
    ],
)
def test_what_cannot_be_simulated_is_named(array, options, reason):
    scan = Scan(array=array.astype(np.float32), affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(SubjectError) as raised:
        simulated_kspace(scan, **{"acceleration": 2, "centre_lines": 2, **options})
    assert raised.value.reason == reason
