"""Made-up maps of tissues and their noisy fingerprints, with known truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.fingerprinting.sequences import Schedule, fisp_signals


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """Signals of maps, and the maps.

    Attributes
    ----------
    signals : ndarray of complex64, shape (n, frames, x, y)
        With noise.
    t1_ms, t2_ms : ndarray, shape (n, x, y)
        The truth.
    noise_sd
        Of the real and of the imaginary part of a frame; densities are 0.5 to 1.
    """

    signals: NDArray[np.complex64]
    t1_ms: NDArray[np.float64]
    t2_ms: NDArray[np.float64]
    noise_sd: float


class Phantoms:
    """Draws maps of regions with smooth changes inside, and their signals.

    Parameters
    ----------
    schedule
        The sequence.
    t1_ms, t2_ms
        Ranges, of which regions are drawn evenly in the logarithm; T2 is never above T1.
    seed
        Of everything.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        t1_ms: tuple[float, float],
        t2_ms: tuple[float, float],
        seed: int,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._logs = [np.log(t1_ms), np.log(t2_ms)]
        self._axes = [np.linspace(low, high, 48) for low, high in self._logs]
        pairs = np.exp([axis.ravel() for axis in np.meshgrid(*self._axes, indexing="ij")])
        self._table = fisp_signals(schedule, *pairs).reshape(48, 48, -1)

    def draw(self, n: int, *, side: int, noise_sd: float) -> Fingerprints:
        """Return `n` square maps of `side` pixels with 3 to 8 regions each."""
        logs = np.stack([self._map(side) for _ in range(n)], axis=1)
        places = [
            (log - axis[0]) / (axis[1] - axis[0])
            for log, axis in zip(logs, self._axes, strict=True)
        ]
        clean = np.stack(
            [
                ndimage.map_coordinates(frame, places, order=1, mode="nearest")
                for frame in np.moveaxis(self._table, 2, 0)
            ],
            axis=1,
        )
        density = np.stack([self._density(side) for _ in range(n)])[:, None]
        noise = self._rng.normal(scale=noise_sd, size=(2, *clean.shape))
        signals = (clean * density + noise[0] + 1j * noise[1]).astype(np.complex64)
        t1, t2 = np.exp(logs)
        return Fingerprints(signals=signals, t1_ms=t1, t2_ms=t2, noise_sd=noise_sd)

    def _map(self, side: int) -> NDArray[np.float64]:
        """Log T1 and log T2, (2, side, side): nearest of random centres, times a smooth field."""
        n = int(self._rng.integers(3, 9))
        centres = self._rng.uniform(0, side, (n, 2))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 2, indexing="ij"), axis=-1)
        nearest = ((grid[:, :, None] - centres) ** 2).sum(axis=-1).argmin(axis=-1)
        out = []
        for low, high in self._logs:
            smooth = ndimage.gaussian_filter(self._rng.normal(size=(side, side)), side / 6)
            smooth *= 0.1 / max(float(smooth.std()), 1e-9)
            out.append(np.clip(self._rng.uniform(low, high, n)[nearest] + smooth, low, high))
        return np.stack([out[0], np.minimum(out[1], out[0])])

    def _density(self, side: int) -> NDArray[np.complex128]:
        """Proton density with a phase that is linear in space."""
        slope = self._rng.uniform(-0.1, 0.1, 2)
        phase = slope[0] * np.arange(side)[:, None] + slope[1] * np.arange(side)
        size = ndimage.gaussian_filter(self._rng.uniform(-3, 3, (side, side)), side / 8)
        return np.clip(0.75 + size, 0.5, 1.0) * np.exp(1j * (phase + self._rng.uniform(0, 6.28)))
