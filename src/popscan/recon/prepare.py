"""What is done to raw k-space before any reconstruction: noise, coils, readout oversampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.records import SubjectError

Complex = NDArray[np.complexfloating]
#: Fewer samples of noise per coil say too little about how the coils' noise hangs together.
_MIN_NOISE_SAMPLES = 4
#: Trajectories reach half a cycle per pixel, some a little beyond; what reaches less is in another
#: unit: cycles per mm, radians per pixel (with cycles per field of view these are less near).
WIDEST, _NARROWEST, _NARROWEST_WHOLE = 0.55, 0.45, 0.35


def noise_covariance(noise: Complex) -> NDArray[np.complex128]:
    """Return the covariance of the coils' noise.

    Parameters
    ----------
    noise : ndarray, shape (coil, n)
        Samples of noise scans.

    Returns
    -------
    ndarray, shape (coil, coil)

    Raises
    ------
    SubjectError
        ``bad_noise_covariance`` if there are too few samples, or they are not finite.
    """
    n_coils, n = noise.shape
    if n < _MIN_NOISE_SAMPLES * n_coils or not np.isfinite(noise).all():
        raise SubjectError(
            "bad_noise_covariance",
            f"noise scans of {n} samples for {n_coils} coils; {_MIN_NOISE_SAMPLES} per coil, all "
            "finite, expected",
        )
    samples = noise.astype(np.complex128)
    return samples @ samples.conj().T / n


def whitening_matrix(covariance: Complex) -> NDArray[np.complex128]:
    """Return the combination of the coils whose noise is uncorrelated and of equal strength.

    Parameters
    ----------
    covariance : ndarray, shape (coil, coil)
        Of the noise; coils whose variance is 0 (unplugged) stay 0.

    Returns
    -------
    ndarray, shape (coil, coil)
        The mean noise variance of the coils is kept.

    Raises
    ------
    SubjectError
        ``bad_noise_covariance`` if it is not positive definite.
    """
    alive = covariance.diagonal().real > 0
    inside = np.ix_(alive, alive)
    try:
        factor = np.linalg.cholesky(covariance[inside])
    except np.linalg.LinAlgError as error:
        raise SubjectError(
            "bad_noise_covariance", "the coils' noise covariance is not positive definite"
        ) from error
    matrix = np.zeros_like(covariance, dtype=np.complex128)
    if alive.any():
        strength = np.sqrt(np.trace(covariance).real / np.count_nonzero(alive))
        matrix[inside] = np.linalg.inv(factor) * strength
    return matrix


def compression_matrix(covariance: Complex, n_virtual: int) -> tuple[NDArray[np.complex128], float]:
    """Return the combination of the coils into those virtual ones that hold most signal.

    Buehrer M, Pruessmann KP, Boesiger P, Kozerke S. Array compression for MRI with large coil
    arrays. Magn Reson Med 57:1131-1139, 2007; with the covariance of the (prewhitened) signal.

    Parameters
    ----------
    covariance : ndarray, shape (coil, coil)
        Of the signal.
    n_virtual
        Virtual coils wanted, at most as many as there are coils.

    Returns
    -------
    matrix : ndarray, shape (n_virtual, coil)
        Rows are orthonormal, so that white noise stays white.
    kept : float
        Share of the signal's energy that the virtual coils hold; NaN without signal.
    """
    energies, vectors = np.linalg.eigh(covariance)
    chosen = vectors[:, ::-1][:, :n_virtual]
    total = float(energies.sum())
    kept = float(energies[::-1][:n_virtual].sum()) / total if total > 0 else float("nan")
    # A vector's phase is free: the largest entry is made real, so that equal input gives equal
    # bytes.
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])]
    return (chosen * np.exp(-1j * np.angle(largest))).conj().T, kept


def crop_field_of_view(readouts: Complex, n_kept: int) -> Complex:
    """Cut the field of view along the readout to its middle: removes readout oversampling.

    Parameters
    ----------
    readouts : ndarray, shape (..., kx)
        K-space, DC at ``n // 2``.
    n_kept
        Samples (and pixels) that are left.

    Returns
    -------
    ndarray, shape (..., n_kept)
        K-space of the part of the image around the pixel ``n // 2``, which stays at
        ``n_kept // 2``.
    """
    n = readouts.shape[-1]
    if n_kept == n:
        return readouts
    image = centred_ifft(readouts, axes=(-1,))
    first = n // 2 - n_kept // 2
    return centred_fft(image[..., first : first + n_kept], axes=(-1,))


def in_cycles_per_pixel(
    points: NDArray[np.float32], matrix: tuple[int, int], *, axis: int, name: str
) -> NDArray[np.float32]:
    """Return a trajectory in cycles per pixel of the image.

    Files have either that unit, up to 0.5, or cycles per field of view, up to half the matrix (as
    BART): which one it is, the largest value decides, and others are refused. In a field of view
    that is no square, cycles may count along each side, or along the longer one for both axes:
    readouts reach equally far in all directions, as pixels are squares.

    Parameters
    ----------
    points
        Two or three numbers for each point along `axis`; the third, across the slice, is 0.
    matrix
        Sides of the image.
    axis
        Axis of the two or three directions.
    name
        Of the file, for messages.

    Raises
    ------
    SubjectError
        ``bad_trajectory`` or ``three_d_kspace``.
    """
    points = np.moveaxis(points, axis, 0)
    if not np.isfinite(points).all():
        raise SubjectError("bad_trajectory", f"{name}: points that are NaN or infinite")
    largest = float(np.abs(points[:2]).max())
    if len(points) > 2 and np.abs(points[2:]).max() > 1e-3 * largest:
        raise SubjectError("three_d_kspace", f"{name}: a trajectory that leaves the slice")
    in_pixels = _NARROWEST < largest <= WIDEST
    whole = (max(2.0, _NARROWEST_WHOLE * max(matrix)), WIDEST * max(matrix))
    if not in_pixels and not whole[0] < largest <= whole[1]:
        raise SubjectError(
            "bad_trajectory",
            f"{name}: points up to {largest:.3g}; up to 0.5 cycles per pixel, or "
            f"{max(matrix) / 2:g} per field of view, expected",
        )
    out = points[:2].astype(np.float32)
    if not in_pixels:
        sides = _counted_along(points, matrix)
        out[0] /= sides[0]
        out[1] /= sides[1]
    return np.moveaxis(np.clip(out, -0.5, 0.5), 0, axis)


def _counted_along(points: NDArray[np.float32], matrix: tuple[int, int]) -> tuple[int, int]:
    """Sides of the field of view, in pixels, that cycles per field of view belong to."""
    reach = np.abs(points[:2]).reshape(2, -1).max(axis=1)
    if min(reach) <= 0:
        return matrix
    ratio = float(reach[1] / reach[0])
    own = abs(np.log(ratio * matrix[0] / matrix[1]))
    return matrix if own <= abs(np.log(ratio)) else (max(matrix), max(matrix))
