"""From an object's spectrum to what coils receive and a scanner shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.beats import Beat, Order, beat_numbers, seen_in
from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.protocols.cine_sax.simulate.scanners import Scanner


def combined(maps: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Root sum of squares of the coil maps: shape (z, x, y)."""
    return np.sqrt(np.sum(maps.real**2 + maps.imag**2, axis=0))


def white_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    """Complex white noise, standard deviation 1 in each of the real and imaginary parts."""
    return rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]


def reference_image(
    spectrum: NDArray[np.complex64],
    maps: NDArray[np.complex64],
    *,
    noise: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Magnitude of the fully sampled, coil-combined image: shape (x, y, z, t).

    Parameters
    ----------
    spectrum : ndarray, shape (t, z, kx, ky)
        Centred k-space of the object.
    maps : ndarray, shape (coil, z, x, y)
        Coil sensitivities.
    noise
        Standard deviation of the real and of the imaginary part.
    rng
        Source of the noise.
    """
    image = centred_ifft(spectrum, axes=(2, 3)) * combined(maps)
    image += np.float32(noise) * white_noise(rng, image.shape)
    return np.ascontiguousarray(np.abs(image).transpose(2, 3, 1, 0), dtype=np.float32)


def scanner_image(
    spectrum: NDArray[np.complex64],
    maps: NDArray[np.complex64],
    *,
    scanner: Scanner,
    noise: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Image as a scanner shows it, with its noise (Rician), filter and shading: (x, y, z, t).

    Parameters
    ----------
    spectrum, maps, noise, rng
        As in `reference_image`.
    scanner
        For its filter over k-space and how evenly it shows the coils' shading.
    """
    received = combined(maps)
    image = centred_ifft(spectrum, axes=(2, 3)) * received
    image += np.float32(noise) * white_noise(rng, image.shape)
    if scanner.smoothing:
        window = [
            1 - scanner.smoothing * np.sin(np.pi * (np.arange(n) - n // 2) / n) ** 2
            for n in image.shape[2:]
        ]
        filtered = centred_fft(image, axes=(2, 3))
        filtered *= (window[0][:, None] * window[1]).astype(np.float32)
        image = centred_ifft(filtered, axes=(2, 3))
    magnitude = np.abs(image) / np.maximum(received, 0.05) ** np.float32(scanner.evenness)
    return np.ascontiguousarray(magnitude.transpose(2, 3, 1, 0), dtype=np.float32)


def acquire(
    spectrum: NDArray[np.complex64],
    maps: NDArray[np.complex64],
    *,
    mask: NDArray[np.bool_],
    noise: float,
    mixing: NDArray[np.complex64],
    rng: np.random.Generator,
    beats: Sequence[Sequence[Beat]] = (),
    order: Order = "interleaved",
) -> NDArray[np.complex64]:
    """Receive an object's k-space with coils, noise and undersampling, beat by beat.

    Parameters
    ----------
    spectrum : ndarray, shape (t, z, kx, ky)
        Centred k-space of the object.
    maps : ndarray, shape (coil, z, x, y)
        Coil sensitivities; they stay where they are when the body moves.
    mask : ndarray of bool, shape (ky, t)
        Acquired lines.
    noise
        Standard deviation of the real and of the imaginary part of each coil's noise.
    mixing : ndarray, shape (coil, coil)
        Factor of the noise correlation.
    rng
        Source of the noise.
    beats
        Of each slice the beats in which it was acquired, equally many; none: nothing went wrong.
    order
        Which lines a beat acquires: see `popscan.arrays.beats.beat_numbers`.

    Returns
    -------
    ndarray of complex64, shape (coil, kx, ky, z, t)
        Samples; 0 where not acquired.
    """
    frames, slices, nx, ny = spectrum.shape
    coils = len(maps)
    image = centred_ifft(spectrum, axes=(2, 3))
    numbers = beat_numbers(mask, len(beats[0]), order=order) if beats else None
    out = np.zeros((coils, nx, ny, slices, frames), np.complex64)
    for t in range(frames):
        lines = np.flatnonzero(mask[:, t])
        received = centred_fft(image[t] * maps, axes=(2, 3))
        if numbers is not None:
            for z, own in enumerate(beats):
                for k, beat in enumerate(own):
                    struck = np.flatnonzero(numbers[:, t] == k)
                    if beat.regular or not struck.size:
                        continue
                    seen = centred_ifft(seen_in(spectrum[:, z], beat, frame=t), axes=(0, 1))
                    other = centred_fft(seen * maps[:, z], axes=(1, 2))
                    received[:, z][:, :, struck] = other[:, :, struck]
        received = received[..., lines]
        white = white_noise(rng, (coils, received[0].size))
        received += np.float32(noise) * (mixing @ white).reshape(received.shape)
        frame = out[..., t]
        frame[:, :, lines] = received.transpose(0, 2, 3, 1)
    return out
