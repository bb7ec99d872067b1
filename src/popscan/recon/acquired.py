"""What of a k-space was acquired, and whether it can be used at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import KSpace, Scan, SubjectError


@dataclass(frozen=True, kw_only=True)
class Acquired:
    """The usable part of a k-space.

    Attributes
    ----------
    data : ndarray of complex64, shape (coil, kx, ky, z, t)
        Of the coils that hold a signal, divided by `gain`; 0 where nothing was acquired.
    gain
        Power of two that brings the largest sample near 1: powers of raw scanner units overflow
        single precision.
    coils, dropped_coils
        Indices of the coils in `data` and of those left out because they are 0 everywhere.
    acceleration
        Samples of the grid divided by those used.
    for_maps
        `data` with the lines that are left out of the image (`KSpace.left_out`); None without any.
    """

    data: NDArray[np.complex64]
    gain: float
    coils: tuple[int, ...]
    dropped_coils: tuple[int, ...]
    acceleration: float
    for_maps: NDArray[np.complex64] | None = None


def acquired(kspace: KSpace, *, cartesian: bool = True) -> Acquired:
    """Check a k-space and drop its dead coils.

    Parameters
    ----------
    kspace
        As `KSpace` describes it; samples outside ``mask`` are ignored.
    cartesian
        Whether the method needs k-space on the grid.

    Returns
    -------
    Acquired
        What there is to reconstruct from.

    Raises
    ------
    SubjectError
        ``not_cartesian``, ``bad_kspace_shape``, ``no_acquired_lines`` (in some frame, or none is
        left in it),
        ``non_finite_kspace`` or ``empty_kspace`` (every coil is 0).
    """
    if cartesian and kspace.trajectory is not None:
        raise SubjectError(
            "not_cartesian",
            "k-space off the grid (radial, spiral): the method cg_nufft reconstructs it",
        )
    data, mask = np.asarray(kspace.data), np.asarray(kspace.mask)
    if data.ndim != 5 or 0 in data.shape or mask.shape != (data.shape[2], data.shape[4]):
        raise SubjectError(
            "bad_kspace_shape",
            f"k-space of shape {data.shape} with a mask of shape {mask.shape}: expected "
            "(coil, kx, ky, z, t) and (ky, t)",
        )
    bare = np.flatnonzero(~mask.any(axis=0))
    if bare.size:
        raise SubjectError(
            "no_acquired_lines",
            f"{bare.size} of {mask.shape[1]} frames have no acquired phase-encoding line "
            f"(first: frame {bare[0]})",
        )
    inside = mask[np.newaxis, np.newaxis, :, np.newaxis, :]
    wrong = ~np.isfinite(data)
    if (wrong & inside).any():
        raise SubjectError("non_finite_kspace", "k-space holds NaN or infinite samples")
    if wrong.any():  # where nothing was acquired, anything may stand
        data = np.where(wrong, 0, data)
    largest = np.max(np.abs(data), axis=(1, 2, 3, 4), where=inside, initial=0)
    alive = largest > 0
    if not alive.any():
        raise SubjectError("empty_kspace", f"all {data.shape[0]} coils of the k-space are 0")
    if not alive.all():
        data = data[alive]
    gain = float(2.0 ** np.ceil(np.log2(largest.max())))
    data = (data * (inside / np.float32(gain))).astype(np.complex64, copy=False)
    whole = None
    if kspace.left_out is not None and kspace.left_out.any():
        whole, data = data, _left(data, kspace.left_out)
    sampled = data.any(axis=0)
    return Acquired(
        data=data,
        for_maps=whole,
        gain=gain,
        coils=tuple(int(i) for i in np.flatnonzero(alive)),
        dropped_coils=tuple(int(i) for i in np.flatnonzero(~alive)),
        acceleration=float(sampled.size / np.count_nonzero(sampled)),
    )


def _left(data: NDArray[np.complex64], left_out: NDArray[np.bool_]) -> NDArray[np.complex64]:
    """Return samples (coil, kx, ky, z, t) without lines (ky, z, t)."""
    before = data.any(axis=(0, 1))
    out = np.where(left_out, np.complex64(0), data)
    bare = before.any(axis=0) & ~(before & ~left_out).any(axis=0)
    if bare.any():
        z, t = (int(axis[0]) for axis in np.nonzero(bare))
        raise SubjectError(
            "no_acquired_lines",
            f"{int(bare.sum())} frames of slices have no line left (first: slice {z}, frame {t})",
        )
    return out


def as_scan(
    kspace: KSpace, array: NDArray[np.float32], used: Acquired, info: Mapping[str, Any]
) -> Scan:
    """Wrap magnitudes (x, y, z, t) as a scan in the data's units, with geometry and meta."""
    reconstruction = {
        "n_coils": len(used.coils),
        "dropped_coils": list(used.dropped_coils),
        "acceleration": round(used.acceleration, 3),
        **info,
    }
    return Scan(
        array=np.ascontiguousarray(array * np.float32(used.gain), dtype=np.float32),
        affine=kspace.affine,
        spacing_mm=kspace.spacing_mm,
        frame_times_ms=kspace.frame_times_ms,
        view=kspace.view,
        meta={**kspace.meta, "reconstruction": reconstruction},
    )
