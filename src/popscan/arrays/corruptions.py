"""Damage that scans suffer, at severities 0 to 5: what a model's robustness is measured with.

Every corruption takes intensities (x, y, z, t) and returns float32 of the same shape, so that a
reference on the same grid stays right. Severity 0 changes nothing, 5 is about the worst that still
reaches an archive. The same seed gives the same damage; a higher severity of one seed is more of
the same (the same field, the same slices and further ones).

The idea of named corruptions at five severities is that of Hendrycks and Dietterich, ICLR 2019
(arXiv:1903.12261), here with the physics of MR.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.intensity import black_and_white
from popscan.records import PopscanError

Floats = NDArray[np.float32]

#: Severities that every corruption knows.
SEVERITIES = (0, 1, 2, 3, 4, 5)


def _rng(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _range(array: Floats) -> tuple[float, float]:
    """Return the 1st and 99th percentile: black and white of the scan."""
    low, high = black_and_white(array)
    return float(low), float(high)


def noise(array: Floats, *, severity: int, seed: int) -> Floats:
    """Add Rician noise with a standard deviation of 4% to 20% of the scan's intensity range.

    Magnitude images have Rician noise (Gudbjartsson and Patz, Magn Reson Med 1995): the length of
    a complex number whose two parts have Gaussian noise.
    """
    low, high = _range(array)
    sd = 0.04 * severity * (high - low)
    rng = _rng("noise", seed)
    real, imaginary = (
        rng.standard_normal(array.shape, dtype=np.float32) * np.float32(sd) for _ in range(2)
    )
    return np.hypot(array - np.float32(low) + real, imaginary) + np.float32(low)


def bias_field(array: Floats, *, severity: int, seed: int) -> Floats:
    """Multiply by a smooth field: the coils' sensitivity, uncorrected.

    A random polynomial of degree two of the three axes in the exponent, 0 in the middle of the
    image, scaled so that in the middle half of each side, where the organ lies, the brightest
    place is exp(0.3 severity) times as sensitive as the darkest (4.5 times at severity 5).
    """
    rng = _rng("bias_field", seed)
    powers = [
        np.vander(np.linspace(-1, 1, n) if n > 1 else np.zeros(1), 3, increasing=True)
        for n in array.shape[:3]
    ]
    field: NDArray[np.float64] = np.einsum("ijk,xi,yj,zk->xyz", _quadratic(rng), *powers)
    nx, ny = array.shape[:2]
    middle = field[nx // 4 : nx - nx // 4, ny // 4 : ny - ny // 4]
    spread = float(np.ptp(middle))
    scaled = field / spread if spread > 0 else np.zeros_like(field)
    low, _ = _range(array)
    gain = np.exp(0.3 * severity * scaled).astype(np.float32)[..., None]
    return (array - np.float32(low)) * gain + np.float32(low)


def _quadratic(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random coefficients of all monomials of degrees one and two."""
    coefficients = rng.normal(size=(3, 3, 3))
    degree = np.add.outer(np.add.outer(np.arange(3), np.arange(3)), np.arange(3))
    coefficients[(degree > 2) | (degree == 0)] = 0.0
    return coefficients


def ghosting(array: Floats, *, severity: int, seed: int) -> Floats:
    """Repeat the image along y, as an organ that moves irregularly does.

    Every n-th line of k-space (n of 2 to 5, by the seed) is scaled by 1 - 0.14 severity, which
    lays n - 1 weaker copies over the image at even distances.
    """
    every = int(_rng("ghosting", seed).integers(2, 6))
    space = np.fft.fft(array, axis=1)
    space[:, 1::every] *= 1.0 - 0.14 * severity
    return np.abs(np.fft.ifft(space, axis=1)).astype(np.float32)


def blur(array: Floats, *, severity: int, seed: int) -> Floats:
    """Smooth in plane with a Gaussian of 0.5 to 2.5 pixels: breathing, thick slices."""
    del seed
    sigma = (0.5 * severity, 0.5 * severity, 0.0, 0.0)
    return ndimage.gaussian_filter(array, sigma).astype(np.float32)


def resolution(array: Floats, *, severity: int, seed: int) -> Floats:
    """Keep the middle of k-space in plane, 1.4 to 3 times coarser, on the same grid.

    The side of the square kept is 1 / (1 + 0.4 severity) of the whole.
    """
    del seed
    space = np.fft.fftn(array, axes=(0, 1))
    for axis in (0, 1):
        frequency = np.abs(np.fft.fftfreq(array.shape[axis]))
        shape = [1] * array.ndim
        shape[axis] = -1
        space *= (frequency <= 0.5 / (1 + 0.4 * severity)).reshape(shape)
    return np.abs(np.fft.ifftn(space, axes=(0, 1))).astype(np.float32)


def missing_slices(array: Floats, *, severity: int, seed: int) -> Floats:
    """Blank a tenth of the slices per severity (at least one), whole in every frame.

    Which ones is drawn once per seed, so that a higher severity blanks further ones. One slice
    always stays.
    """
    order = _rng("missing_slices", seed).permutation(array.shape[2])
    count = min(max(1, round(0.1 * severity * array.shape[2])), array.shape[2] - 1)
    out = array.copy()
    out[:, :, order[:count]] = np.float32(min(_range(array)[0], 0.0))
    return out


def contrast_inversion(array: Floats, *, severity: int, seed: int) -> Floats:
    """Fold intensities about a level, so that what is brighter becomes darker; 5: the negative.

    The level falls from white to black in steps of a fifth of the scan's range. Blood meets it
    first: its contrast to muscle fades and then turns, as after an inversion pulse or in a
    black-blood sequence. A mere mixture with the negative would be undone by any normalisation.
    """
    del seed
    low, high = _range(array)
    level = np.float32(high - 0.2 * severity * (high - low))
    return np.where(array > level, 2 * level - array, array)


Corruption = Callable[..., Floats]
#: Name -> function ``(array, *, severity, seed)``.
CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": noise,
    "bias_field": bias_field,
    "ghosting": ghosting,
    "blur": blur,
    "resolution": resolution,
    "missing_slices": missing_slices,
    "contrast_inversion": contrast_inversion,
}


def corrupt(array: NDArray[Any], name: str, *, severity: int, seed: int = 0) -> Floats:
    """Damage a scan.

    Parameters
    ----------
    array : array_like, shape (x, y, z, t)
        Finite intensities.
    name
        A key of `CORRUPTIONS`.
    severity
        0 (unchanged) to 5.
    seed
        Which draw.

    Returns
    -------
    ndarray of float32, same shape; never the same memory.

    Raises
    ------
    PopscanError
        For an unknown name or severity, or an array that is not (x, y, z, t).

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((8, 8, 3, 2))
    >>> bool((corrupt(image, "blur", severity=3).std() < image.std()))
    True
    """
    if name not in CORRUPTIONS:
        raise PopscanError(f"unknown corruption {name!r}; known are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise PopscanError(f"severity {severity!r} is none of {SEVERITIES}")
    values = np.array(array, dtype=np.float32)
    if values.ndim != 4 or 0 in values.shape:
        raise PopscanError(f"expected axes (x, y, z, t), found shape {values.shape}")
    return CORRUPTIONS[name](values, severity=severity, seed=seed) if severity else values
