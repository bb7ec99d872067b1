"""Sweeps through a motion that k-space is simulated from, for trainings that reconstruct."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.records import PopscanError
from popscan.train.packs import Case

#: Images of one sweep from one end of the motion to the other, both included.
N_PHASES = 7
#: Radius, in pixels of half the resolution, over which the optical flow is taken as constant.
_FLOW_RADIUS = 4
#: Percentile of a slice that becomes 1.
_BRIGHT_PCT = 99.5


@dataclass(frozen=True, kw_only=True)
class SweepPack:
    """Slices of many subjects, each in several phases of its cycle.

    Attributes
    ----------
    slices : sequence of ndarray of float16, shape (phase, x, y)
        Magnitudes on the grid of the acquisition, brightest tissue near 1; the phases sweep from
        one end of the cycle to the other.
    unit
        Whose slice each is.
    """

    slices: Sequence[NDArray[np.float16]]
    unit: Sequence[str]

    def digest(self) -> str:
        """Return the SHA-256 of what a training sees of it."""
        digest = hashlib.sha256("\n".join(self.unit).encode())
        for images in self.slices:
            digest.update(f"{images.shape}".encode())
            digest.update(np.ascontiguousarray(images).data)
        return digest.hexdigest()


def build_sweeps(cases: Iterable[Case]) -> SweepPack:
    """Return all slices of `cases`, with the motion between their two frames interpolated.

    Raises
    ------
    PopscanError
        If there is no case, or one has other than two frames.
    """
    slices, units = [], []
    for case in cases:
        array = np.asarray(case.scan.array, dtype=np.float32)
        if array.shape[3] != 2:
            raise PopscanError(
                f"{case.unit}: {array.shape[3]} frames; two, at the ends of the motion, expected"
            )
        for z in range(array.shape[2]):
            bright = float(np.percentile(array[:, :, z], _BRIGHT_PCT))
            if bright > 0:
                sweep = interpolated(array[:, :, z, 0] / bright, array[:, :, z, 1] / bright)
                slices.append(sweep.astype(np.float16))
                units.append(case.unit)
    if not slices:
        raise PopscanError("a pack of sweeps needs at least one scan that is not empty")
    return SweepPack(slices=slices, unit=units)


def interpolated(
    first: NDArray[np.float32], last: NDArray[np.float32], *, n_phases: int = N_PHASES
) -> NDArray[np.float32]:
    """Return images between two, along their optical flow.

    Each is the weighted mean of both ends, moved along their part of the flow (forwards and
    backwards), so that the ends are the images themselves.

    Parameters
    ----------
    first, last : ndarray, shape (x, y)
        Images of comparable intensities.
    n_phases
        How many images to return, both ends included.

    Returns
    -------
    ndarray of float32, shape (n_phases, x, y)
    """
    grid = np.stack(np.meshgrid(*map(np.arange, first.shape), indexing="ij")).astype(np.float32)
    there, back = _flow(first, last), _flow(last, first)
    sweep = np.empty((n_phases, *first.shape), dtype=np.float32)
    for k, share in enumerate(np.linspace(0, 1, n_phases)):
        one = ndimage.map_coordinates(first, grid + share * back, order=1, mode="nearest")
        two = ndimage.map_coordinates(last, grid + (1 - share) * there, order=1, mode="nearest")
        sweep[k] = (1 - share) * one + share * two
    return sweep


def _flow(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where each pixel of `fixed` is in `moving`, (2, x, y), found at half resolution."""
    from skimage.registration import optical_flow_ilk

    even = tuple(n - n % 2 for n in fixed.shape)
    small = [a[: even[0], : even[1]].reshape(even[0] // 2, 2, -1, 2).mean(axis=(1, 3))
             for a in (fixed, moving)]  # fmt: skip
    flow = 2 * optical_flow_ilk(*small, radius=_FLOW_RADIUS, num_warp=6)
    zoom = [1, *(n / m for n, m in zip(fixed.shape, flow.shape[1:], strict=True))]
    return ndimage.zoom(flow, zoom, order=1, mode="nearest", grid_mode=True).astype(np.float32)
