"""Golden-angle spokes as a scan collects them, and scans that end once they are good enough."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.arrays.fourier import centred_fft
from popscan.recon import reconstruct
from popscan.recon.radial import (
    GOLDEN_ANGLE,
    first_spokes,
    golden_angle_kspace,
    spoke_angles,
)
from popscan.recon.stopping import acquire_until
from popscan.records import KSpace, PopscanError, SubjectError

N, SIGMA = 32, (3.0, 2.0)


@pytest.fixture(scope="module")
def full() -> KSpace:
    """Return fully sampled k-space of a Gaussian, the second frame twice as bright, in one coil."""
    x, y = np.meshgrid(*(np.arange(N) - N // 2,) * 2, indexing="ij")
    image = np.exp(-0.5 * ((x / SIGMA[0]) ** 2 + (y / SIGMA[1]) ** 2))
    frames = np.stack([image, 2 * image], axis=-1)[np.newaxis, :, :, np.newaxis]
    data = centred_fft(frames.astype(np.complex64), axes=(1, 2)).astype(np.complex64)
    return KSpace(
        data=data, mask=np.ones((N, 2), dtype=bool), affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0)
    )


def test_spokes_follow_each_other_by_the_golden_angle_through_all_beats_and_phases():
    angles = spoke_angles(7, np.arange(4), n_phases=4, per_beat=3)
    # Two whole beats, phase after phase, three spokes each.
    collected = np.concatenate([angles[b * 3 : b * 3 + 3].T.ravel() for b in range(2)])
    np.testing.assert_allclose(np.diff(collected), GOLDEN_ANGLE)
    assert angles[6, 0] == pytest.approx(24 * GOLDEN_ANGLE)


def test_samples_are_those_of_the_analytic_transform(full):
    spokes = golden_angle_kspace(full, n_spokes=9, n_phases=4, per_beat=2)
    assert spokes.trajectory is not None
    kx, ky = spokes.trajectory[..., 0, 0]
    area = 2 * np.pi * SIGMA[0] * SIGMA[1]
    oblong = golden_angle_kspace(KSpace(**{**vars(full), "data": full.data[:, 4:-4]}), n_spokes=2)
    assert (oblong.matrix, oblong.data.shape[1]) == ((N - 8, N), N)
    decay = -2 * np.pi**2 * ((SIGMA[0] * kx) ** 2 + (SIGMA[1] * ky) ** 2)
    expected = area * np.exp(decay) / N
    np.testing.assert_allclose(spokes.data[0, :, :, 0, 0], expected, atol=2e-3)
    image = reconstruct(
        golden_angle_kspace(full, n_spokes=50, n_phases=4), method="cg_nufft", prior="zero",
        lam=1e-4,
    )  # fmt: skip
    assert image.array[N // 2, N // 2, 0, 0] == pytest.approx(1.0, abs=0.05)
    assert image.array[N // 2, N // 2, 0, 1] == pytest.approx(2.0, abs=0.1)


def test_a_shorter_scan_is_the_beginning_of_the_longer_one(full):
    options = {"n_phases": 8, "per_beat": 3, "noise": 0.5, "seed": 3}
    long = golden_angle_kspace(full, n_spokes=10, **options)
    short, cut = golden_angle_kspace(full, n_spokes=4, **options), first_spokes(long, 4)
    for name in ("data", "mask", "trajectory"):
        np.testing.assert_array_equal(getattr(short, name), getattr(cut, name))
    clean = golden_angle_kspace(full, n_spokes=10, n_phases=8, per_beat=3)
    assert np.std((long.data - clean.data).real) == pytest.approx(0.5, rel=0.1)


def test_what_is_no_full_scan_is_refused(full):
    lines = np.ones((N, 2), dtype=bool)
    lines[3, 1] = False
    cases = {
        "not_fully_sampled": KSpace(**{**vars(full), "mask": lines}),
        "bad_kspace_shape": full,
    }
    for reason, kspace in cases.items():
        with pytest.raises(SubjectError) as caught:
            golden_angle_kspace(kspace, n_spokes=4, n_phases=1)
        assert caught.value.reason == reason
    with pytest.raises(SubjectError) as caught:
        first_spokes(full, 3)
    assert caught.value.reason == "bad_trajectory"
    with pytest.raises(SubjectError) as caught:
        first_spokes(golden_angle_kspace(full, n_spokes=4), 5)
    assert caught.value.reason == "too_few_lines"


def test_a_scan_ends_at_the_first_look_that_passes_or_with_all_spokes(full):
    spokes = golden_angle_kspace(full, n_spokes=30, n_phases=4)

    def until(peak: float) -> list[int]:
        looks = acquire_until(
            spokes, looks=[3, 6, 30], prior="zero", lam=0.1, n_iterations=3,
            judge=lambda scan: (bool(scan.array.max() > peak), float(scan.array.max())),
        )  # fmt: skip
        assert [look.passed for look in looks[:-1]] == [False] * (len(looks) - 1)
        assert looks[-1].passed == (looks[-1].judged > peak)
        return [look.n_spokes for look in looks]

    assert until(0.0) == [3]
    assert until(99.0) == [3, 6, 30]
    with pytest.raises(PopscanError, match="rising"):
        acquire_until(spokes, looks=[6, 6], judge=lambda scan: (True, None))
