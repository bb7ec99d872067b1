"""Linear operators of parallel imaging: apply, adjoint, normal.

Images have shape (t, x, y), multi-coil k-space (t, coil, x, y); y is the phase-encoding axis.
Transforms are orthonormal, so with coil maps whose squares add up to 1 every operator has a norm
of at most 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft as _fft

from popscan.arrays.fourier import centred_fft, centred_ifft

Complex = NDArray[np.complexfloating]


class Coils:
    """Multiplication by coil maps: one image becomes one image per coil.

    Parameters
    ----------
    maps : ndarray of complex, shape (coil, x, y)
        Coil sensitivities.
    """

    def __init__(self, maps: Complex) -> None:
        self.maps = maps
        self._conjugate = maps.conj()

    def apply(self, image: Complex) -> Complex:
        """Return (t, coil, x, y) from an image of shape (t, x, y)."""
        return image[:, np.newaxis] * self.maps

    def adjoint(self, data: Complex) -> Complex:
        """Return the coil-combined image, shape (t, x, y)."""
        return np.einsum("cxy,tcxy->txy", self._conjugate, data)

    def normal(self, image: Complex) -> Complex:
        """Return ``adjoint(apply(image))``: the image times the coils' sum of squares."""
        return image * np.sum(self.maps.real**2 + self.maps.imag**2, axis=0)


class Sampling:
    """Fourier transform followed by the choice of the acquired samples.

    Parameters
    ----------
    mask : ndarray of bool, shape (t, x, y)
        Acquired samples; if it does not vary along x, the readout can be left untransformed.
    axes
        Axes of (t, coil, x, y) to transform: ``(2, 3)``, or ``(3,)`` for data whose readout is in
        image space already.
    """

    def __init__(self, mask: NDArray[np.bool_], *, axes: tuple[int, ...] = (2, 3)) -> None:
        self.axes = axes
        self.mask = mask[:, np.newaxis].astype(np.float32)
        self._corner_mask = _fft.ifftshift(self.mask, axes=axes)

    def apply(self, image: Complex) -> Complex:
        """Return the acquired samples, 0 elsewhere."""
        return centred_fft(image, axes=self.axes) * self.mask

    def adjoint(self, data: Complex) -> Complex:
        """Return the zero-filled images."""
        return centred_ifft(data * self.mask, axes=self.axes)

    def normal(self, image: Complex) -> Complex:
        """Return ``adjoint(apply(image))``.

        Masking in k-space is a circular convolution of the image, which shifts do not change:
        the centring of both transforms can be left out.
        """
        spectrum = _fft.fftn(image, axes=self.axes, overwrite_x=True)
        spectrum *= self._corner_mask
        return _fft.ifftn(spectrum, axes=self.axes, overwrite_x=True)


class Sense:
    """Parallel-imaging encoding: coil maps, Fourier transform, sampling (Pruessmann 1999).

    Parameters
    ----------
    maps : ndarray of complex, shape (coil, x, y)
        Coil sensitivities.
    mask : ndarray of bool, shape (t, x, y)
        Acquired samples.
    axes
        As for `Sampling`.
    """

    def __init__(
        self, maps: Complex, mask: NDArray[np.bool_], *, axes: tuple[int, ...] = (2, 3)
    ) -> None:
        self.coils = Coils(maps)
        self.sampling = Sampling(mask, axes=axes)

    def apply(self, image: Complex) -> Complex:
        """Return the k-space (t, coil, x, y) of an image (t, x, y)."""
        return self.sampling.apply(self.coils.apply(image))

    def adjoint(self, data: Complex) -> Complex:
        """Return the coil-combined zero-filled image (t, x, y)."""
        return self.coils.adjoint(self.sampling.adjoint(data))

    def normal(self, image: Complex) -> Complex:
        """Return ``adjoint(apply(image))``, in one pass."""
        return self.coils.adjoint(self.sampling.normal(self.coils.apply(image)))
