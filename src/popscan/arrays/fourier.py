"""Centred, orthonormal Fourier transforms of the last few or of any axes.

Both transforms keep single precision (complex64 in, complex64 out), and each is the adjoint and
the inverse of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft as _fft


def centred_fft(
    array: NDArray[np.number], *, axes: Sequence[int], workers: int = 1
) -> NDArray[np.complexfloating]:
    """Transform image space to k-space.

    Parameters
    ----------
    array
        Any shape, real or complex; the origin of each transformed axis is at index ``n // 2``.
    axes
        Axes to transform.
    workers
        Threads.

    Returns
    -------
    ndarray
        Same shape; complex64 for single precision input, else complex128; DC at ``n // 2``.
    """
    axes = tuple(axes)
    shifted = _fft.ifftshift(array, axes=axes)
    spectrum = _fft.fftn(shifted, axes=axes, norm="ortho", overwrite_x=True, workers=workers)
    return _fft.fftshift(spectrum, axes=axes)


def centred_ifft(
    array: NDArray[np.number], *, axes: Sequence[int], workers: int = 1
) -> NDArray[np.complexfloating]:
    """Transform k-space to image space: the inverse and the adjoint of `centred_fft`.

    Parameters
    ----------
    array
        Any shape, real or complex; DC of each transformed axis at index ``n // 2``.
    axes
        Axes to transform.
    workers
        Threads.

    Returns
    -------
    ndarray
        Same shape; complex64 for single precision input, else complex128.
    """
    axes = tuple(axes)
    shifted = _fft.ifftshift(array, axes=axes)
    image = _fft.ifftn(shifted, axes=axes, norm="ortho", overwrite_x=True, workers=workers)
    return _fft.fftshift(image, axes=axes)
