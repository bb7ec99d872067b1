"""A small analytic multi-coil cine: what every reconstruction test starts from."""

import numpy as np
import pytest

from popscan.arrays.fourier import centred_fft
from popscan.records import KSpace


def smooth_maps(n_coils, shape):
    """Gaussian coils around the field of view with linear phase; squares add up to 1."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    angles = 2 * np.pi * np.arange(n_coils) / n_coils
    maps = np.stack(
        [
            np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) / 1.5)
            * np.exp(1j * (a + 0.8 * x * np.cos(a) + 0.8 * y * np.sin(a)))
            for a in angles
        ]
    )
    return (maps / np.linalg.norm(maps, axis=0)).astype(np.complex64)


def beating_disc(shape, n_frames):
    """Body with a disc whose radius changes over time, shape (x, y, 1, t)."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = ((x / 0.8) ** 2 + (y / 0.7) ** 2 < 1) * 0.5
    radii = 0.25 + 0.08 * np.cos(2 * np.pi * np.arange(n_frames) / n_frames)
    frames = [body + 0.5 * (x**2 + y**2 < r**2) for r in radii]
    return np.stack(frames, axis=-1)[:, :, np.newaxis].astype(np.float32)


def lattice(n_lines, n_frames, acceleration, centre):
    """Every R-th line, shifted by one each frame, plus a fully sampled centre."""
    mask = np.zeros((n_lines, n_frames), dtype=bool)
    for t in range(n_frames):
        mask[t % acceleration :: acceleration, t] = True
    half = centre // 2
    mask[n_lines // 2 - half : n_lines // 2 + half] = True
    return mask


def encode(image, maps, mask, *, noise=0.0, rng=None):
    """Multi-coil k-space of an image series (x, y, z, t)."""
    coils = maps[:, :, :, np.newaxis, np.newaxis] * image
    data = centred_fft(coils, axes=(1, 2))
    if noise:
        data = data + noise * (
            rng.standard_normal(data.shape) + 1j * rng.standard_normal(data.shape)
        )
    data = (data * mask[np.newaxis, np.newaxis, :, np.newaxis]).astype(np.complex64)
    return KSpace(
        data=data,
        mask=mask,
        affine=np.diag([2.0, 2.0, 8.0, 1.0]),
        spacing_mm=(2.0, 2.0, 8.0),
        frame_times_ms=np.arange(image.shape[3]) * 40.0,
        meta={"manufacturer": "analytic"},
    )


@pytest.fixture(scope="session")
def cine():
    """Image (48, 40, 1, 4), maps of 6 coils, lattice of acceleration 2 with an 8-line centre."""
    shape = (48, 40)
    return beating_disc(shape, 4), smooth_maps(6, shape), lattice(40, 4, 2, 8)


@pytest.fixture(scope="session")
def encoder():
    """`encode`, for tests that vary image, maps, mask or noise."""
    return encode
