"""ESPIRiT: coil maps as the eigenvectors of what the calibration data say of one another.

Uecker M, Lai P, Murphy MJ, Virtue P, Elad M, Pauly JM, Vasanawala SS, Lustig M. ESPIRiT - an
eigenvalue approach to autocalibrating parallel MRI. Magn Reson Med 71:990-1001, 2014.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from popscan.arrays.fourier import centred_ifft
from popscan.recon.coils import dominant_vectors, with_virtual_phase


def espirit_maps(
    calibration: NDArray[np.complex64],
    shape: tuple[int, int],
    *,
    kernel_width: int = 6,
    threshold: float = 0.02,
    n_iterations: int = 12,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Estimate coil maps from the fully sampled centre of k-space.

    Parameters
    ----------
    calibration : ndarray of complex, shape (coil, kx, ky)
        The centre; DC at ``n // 2``.
    shape
        Grid of the maps.
    kernel_width
        Side of the k-space patches whose row space is used; at most that of `calibration`.
    threshold
        Singular values of the patches below this fraction of the largest count as noise.
    n_iterations
        Power iterations per pixel.

    Returns
    -------
    maps : ndarray of complex64, shape (coil, x, y)
        Squares add up to 1; the phase is as for `popscan.recon.coils.walsh_maps`.
    eigenvalues : ndarray of float32, shape (x, y)
        From 0 to 1: near 1 where one map explains the data, lower where nothing is or aliases.
    """
    width = min(kernel_width, *calibration.shape[1:])
    kernel = _projection_kernel(calibration, width, threshold)
    n_coils, side = kernel.shape[0], kernel.shape[-1]
    padded = np.zeros((n_coils, n_coils, *shape), dtype=np.complex64)
    corner = [n // 2 - side // 2 for n in shape]
    padded[:, :, corner[0] : corner[0] + side, corner[1] : corner[1] + side] = kernel
    operator = centred_ifft(padded, axes=(2, 3)) * np.float32(np.sqrt(shape[0] * shape[1]))
    vectors = dominant_vectors(operator, n_iterations=n_iterations)
    mapped = np.einsum("abxy,bxy->axy", operator, vectors)
    eigenvalues = np.einsum("axy,axy->xy", vectors.conj(), mapped).real.astype(np.float32)
    return with_virtual_phase(vectors, calibration), eigenvalues


def _projection_kernel(
    calibration: NDArray[np.complex64], width: int, threshold: float
) -> NDArray[np.complex64]:
    """Kernel, shape (coil, coil, 2 width - 1, 2 width - 1), of the patches' mean projection."""
    n_coils = calibration.shape[0]
    patches = sliding_window_view(calibration, (width, width), axis=(1, 2))
    rows = patches.transpose(1, 2, 0, 3, 4).reshape(-1, n_coils * width**2)
    values, vectors = np.linalg.eigh(rows.T @ rows.conj())
    kept = vectors[:, values > threshold**2 * values[-1]]
    projection = (kept @ kept.conj().T).reshape((n_coils, width, width) * 2)
    # A patch element a gets element b of the same patch: in the whole k-space that is a
    # convolution by a - b, summed over the patches that hold both.
    kernel = np.zeros((n_coils, n_coils, 2 * width - 1, 2 * width - 1), dtype=np.complex64)
    for ax in range(width):
        for ay in range(width):
            # By falling b, a - b rises.
            block = projection[:, ax, ay, :, ::-1, ::-1]
            kernel[:, :, ax : ax + width, ay : ay + width] += block
    return kernel / np.float32(width**2)
