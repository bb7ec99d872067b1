"""Coil sensitivity maps, estimated from the data they are used on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.fourier import centred_ifft
from popscan.records import SubjectError

#: Fewer calibration lines than this cannot hold the smoothness of a coil map.
MIN_CALIBRATION_LINES = 8
#: Below this fraction of the largest signal, single precision says nothing about a coil.
_ROUNDING = 1e-4


def temporal_average(data: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Average each k-space sample over the frames that acquired it.

    Interleaved undersampling (TSENSE, Kellman et al. 2001) fills the average though no single
    frame is full.

    Parameters
    ----------
    data : ndarray, shape (t, coil, kx, ky)
        One slice; samples that were not acquired are 0 in all coils.

    Returns
    -------
    ndarray, shape (coil, kx, ky)
        The average; 0 where no frame acquired anything.
    """
    count = data.any(axis=1).sum(axis=0)
    return (data.sum(axis=0) / np.maximum(count, 1)).astype(np.complex64)


def calibration_shape(sampled: NDArray[np.bool_], *, limit: int) -> tuple[int, int]:
    """Find the largest centred block of k-space that is sampled throughout.

    Parameters
    ----------
    sampled : ndarray of bool, shape (kx, ky)
        Which samples exist.
    limit
        No side grows beyond it.

    Returns
    -------
    tuple of int
        Sides of the block along kx and ky; (0, 0) if even DC is missing.
    """
    shape, open_sides = [0, 0], [True, True]
    while any(open_sides):
        for axis in (1, 0):
            if not open_sides[axis]:
                continue
            trial = list(shape)
            trial[axis] += 1
            trial = [max(side, 1) for side in trial]
            if trial[axis] <= min(limit, sampled.shape[axis]) and centre_of(sampled, trial).all():
                shape = trial
            else:
                open_sides[axis] = False
    return shape[0], shape[1]


def centre_of(array: NDArray, shape: Sequence[int]) -> NDArray:
    """Return a view of the centre of the last two axes, around ``n // 2`` as DC is."""
    starts = [n // 2 - side // 2 for n, side in zip(array.shape[-2:], shape, strict=True)]
    return array[..., starts[0] : starts[0] + shape[0], starts[1] : starts[1] + shape[1]]


def low_resolution_images(
    kspace: NDArray[np.complex64], *, width: int
) -> tuple[NDArray[np.complex64], tuple[int, int]]:
    """Transform the fully sampled centre of a k-space to images on the full grid.

    Parameters
    ----------
    kspace : ndarray, shape (coil, kx, ky)
        Samples that do not exist are 0 in all coils.
    width
        Largest side of the centre that is used.

    Returns
    -------
    images : ndarray of complex64, shape (coil, x, y)
        Smooth images: a Hann window keeps the truncation from ringing.
    shape : tuple of int
        Size of the centre that was used.

    Raises
    ------
    SubjectError
        ``no_calibration_lines`` if fewer than `MIN_CALIBRATION_LINES` central lines exist.
    """
    grid = kspace.shape[-2:]
    shape = calibration_shape(np.asarray(kspace.any(axis=0)), limit=width)
    if min(shape) < min(MIN_CALIBRATION_LINES, *grid):
        raise SubjectError(
            "no_calibration_lines",
            f"the fully sampled centre of k-space is {shape[0]} x {shape[1]}; coil maps need at "
            f"least {MIN_CALIBRATION_LINES} x {MIN_CALIBRATION_LINES}",
        )
    window = np.zeros(grid, dtype=np.float32)
    centre_of(window, shape)[...] = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))
    return centred_ifft(kspace * window, axes=(1, 2)).astype(np.complex64), shape


def walsh_maps(
    images: NDArray[np.complex64], *, window: int = 5, n_iterations: int = 12
) -> NDArray[np.complex64]:
    """Estimate coil maps as the local dominant eigenvector over coils (Walsh et al. 2000).

    Walsh DO, Gmitro AF, Marcellin MW. Adaptive reconstruction of phased array MR imagery.
    Magn Reson Med 43:682-690, 2000.

    Parameters
    ----------
    images : ndarray of complex, shape (coil, x, y)
        Low-resolution images of each coil.
    window
        Side in pixels of the neighbourhood whose coil covariance is averaged.
    n_iterations
        Power iterations; the ratio of the two largest eigenvalues is large inside the body.

    Returns
    -------
    ndarray of complex64, shape (coil, x, y)
        Squares add up to 1 at each pixel; 0 where the coils see less than 1e-4 of their largest
        signal, which is rounding error. The common phase is that of
        a virtual coil, the combination of all coils that holds most signal, so it is smooth
        wherever that coil sees something.
    """
    n_coils = images.shape[0]
    covariance = np.empty((n_coils, n_coils, *images.shape[1:]), dtype=np.complex64)
    for a in range(n_coils):
        for b in range(a, n_coils):
            product = images[a] * images[b].conj()
            covariance[a, b] = ndimage.uniform_filter(product, window, mode="nearest")
            covariance[b, a] = covariance[a, b].conj()
    vectors = dominant_vectors(covariance, n_iterations=n_iterations)
    return with_virtual_phase(vectors * support(images, threshold=_ROUNDING), images)


def dominant_vectors(
    matrices: NDArray[np.complex64], *, n_iterations: int
) -> NDArray[np.complex64]:
    """Find the eigenvector of the largest eigenvalue at each pixel, by power iteration.

    Parameters
    ----------
    matrices : ndarray of complex, shape (n, n, x, y)
        Hermitian, positive semidefinite.
    n_iterations
        Steps from the sum of each matrix's columns.

    Returns
    -------
    ndarray of complex64, shape (n, x, y)
        Of unit length; 0 where the matrix is 0.
    """
    vectors = matrices.sum(axis=1)
    for _ in range(n_iterations):
        vectors = _unit(np.einsum("abxy,bxy->axy", matrices, vectors))
    return vectors


def _unit(vector: NDArray[np.complex64]) -> NDArray[np.complex64]:
    norm = np.sqrt(np.sum(vector.real**2 + vector.imag**2, axis=0))
    return np.divide(vector, norm, out=np.zeros_like(vector), where=norm > 0)


def with_virtual_phase(
    maps: NDArray[np.complex64], data: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Turn the maps' common phase such that a virtual coil is real and positive.

    The virtual coil is the combination of the coils of `data` (coil, ...) with most energy.
    """
    flat = data.reshape(data.shape[0], -1)
    virtual = np.linalg.eigh(flat @ flat.conj().T)[1][:, -1]
    reference = np.einsum("c,cxy->xy", virtual.conj(), maps)
    return (maps * np.exp(-1j * np.angle(reference))).astype(np.complex64)


def support(images: NDArray[np.complex64], *, threshold: float) -> NDArray[np.bool_]:
    """Find where the coil images hold a signal.

    Parameters
    ----------
    images : ndarray of complex, shape (coil, x, y)
        Low-resolution images of each coil.
    threshold
        Fraction of the largest root sum of squares below which a pixel is outside.

    Returns
    -------
    ndarray of bool, shape (x, y)
        Holes filled, so that dark lungs inside the body stay in.
    """
    magnitude = np.sqrt(np.sum(images.real**2 + images.imag**2, axis=0))
    return ndimage.binary_fill_holes(magnitude >= threshold * magnitude.max())
