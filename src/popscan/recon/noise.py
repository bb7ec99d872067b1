"""Noise of the coils: its covariance, and decorrelation (prewhitening)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from popscan.records import KSpace, SubjectError

#: Fraction of the readout, at each end, that is taken as noise.
_EDGE_FRACTION = 0.05
#: Share of the phase-encoding lines, on each side, that are corners, and the samples of a coil that
#: they should hold.
_OUTER_LINES, _ENOUGH = 0.25, 100


def edge_noise_covariance(data: NDArray[np.complex64]) -> NDArray[np.complex128]:
    """Estimate the coils' noise covariance from the ends of the readout.

    Little of an object's energy lies there, so this is an upper bound that is near the noise
    itself for readouts with oversampling or fine resolution.

    Parameters
    ----------
    data : ndarray, shape (coil, kx, ky, z, t)
        Samples that were not acquired are 0 in all coils.

    Returns
    -------
    ndarray of complex128, shape (coil, coil)
        Covariance of a complex sample; 0 if the ends hold no sample.
    """
    width = max(1, round(_EDGE_FRACTION * data.shape[1]))
    edge = np.concatenate([data[:, :width], data[:, -width:]], axis=1)
    samples = edge.reshape(data.shape[0], -1)
    samples = samples[:, samples.any(axis=0)].astype(np.complex128)
    return samples @ samples.conj().T / max(samples.shape[1], 1)


def edge_noise_sd(kspace: KSpace) -> float:
    """Estimate the standard deviation of the noise from the corners of k-space.

    There, at both ends of the readout and of the phase encoding, is hardly any of an object's
    energy. The median of the absolute values is taken, so that single large samples do not count.

    Parameters
    ----------
    kspace
        On the grid; samples outside the mask, and coils that are 0 everywhere, are ignored. Ends
        that hold nothing (an asymmetric echo, zero filling) are skipped.

    Returns
    -------
    float
        Of the real and of the imaginary part of a sample, root mean square over coils, in the units
        of the data; that of an image by an orthonormal Fourier transform, too. NaN without samples.
    """
    data = np.where(kspace.mask[np.newaxis, np.newaxis, :, np.newaxis, :], kspace.data, 0)
    known = np.isfinite(data)
    data = np.where(known, data, 0)
    data = data[data.any(axis=(1, 2, 3, 4))]
    rows = np.flatnonzero(data.any(axis=(0, 2, 3, 4)))
    if rows.size == 0:
        return float("nan")
    width = max(1, round(_EDGE_FRACTION * rows.size))
    ends = data[:, np.concatenate([rows[:width], rows[-width:]])]
    outer = round(_OUTER_LINES * data.shape[2])
    corners = np.concatenate([ends[:, :, :outer], ends[:, :, data.shape[2] - outer :]], axis=2)
    squares = []
    for own, whole in zip(corners, ends, strict=True):
        samples = own[own != 0]
        samples = samples if samples.size >= _ENOUGH else whole[whole != 0]
        if samples.size:
            parts = np.concatenate([samples.real, samples.imag])
            squares.append(float(stats.median_abs_deviation(parts, scale="normal")) ** 2)
    return float(np.sqrt(np.mean(squares))) if squares else float("nan")


def prewhitened(
    data: NDArray[np.complex64], covariance: ArrayLike | None = None
) -> NDArray[np.complex64]:
    """Combine the coils linearly so that their noise is uncorrelated and of equal strength.

    Parameters
    ----------
    data : ndarray, shape (coil, kx, ky, z, t)
        Multi-coil k-space.
    covariance : array_like of shape (coil, coil), optional
        From a noise scan; None estimates it by `edge_noise_covariance`.

    Returns
    -------
    ndarray of complex64
        Same shape; the mean noise variance of the coils is kept.

    Raises
    ------
    SubjectError
        ``bad_noise_covariance`` if it is not Hermitian positive definite of the right size.
    """
    noise = edge_noise_covariance(data) if covariance is None else np.asarray(covariance)
    if noise.shape != (data.shape[0],) * 2:
        raise SubjectError(
            "bad_noise_covariance",
            f"noise covariance of shape {noise.shape} for {data.shape[0]} coils",
        )
    try:
        factor = np.linalg.cholesky(noise)
    except np.linalg.LinAlgError as error:
        raise SubjectError(
            "bad_noise_covariance", "the coils' noise covariance is not positive definite"
        ) from error
    whitening = np.linalg.inv(factor) * np.sqrt(np.trace(noise).real / noise.shape[0])
    return np.tensordot(whitening.astype(np.complex64), data, axes=(1, 0)).astype(np.complex64)
