"""Noise of the coils: its covariance, and decorrelation (prewhitening)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError

#: Fraction of the readout, at each end, that is taken as noise.
_EDGE_FRACTION = 0.05


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
