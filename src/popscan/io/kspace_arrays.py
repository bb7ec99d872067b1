"""From an array of k-space, and what stands beside it, to `KSpace`.

They are Cartesian, with the centre of k-space at ``n // 2``; samples that were not acquired are 0.
fastMRI's files bring the header of their ISMRMRD original; of the others the distances of pixels
and slices stand in a sidecar or in the config, and are never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.io.kspace_complete import require_complete
from popscan.io.kspace_sidecar import Described
from popscan.recon.prepare import (
    WIDEST,
    compression_matrix,
    crop_field_of_view,
    in_cycles_per_pixel,
)
from popscan.records import KSpace, SubjectError

Complex = NDArray[np.complexfloating]
_ORDER = "cxyzt"
#: The brightest row and column lie this near to the middle: rows, and a share of the side. Partial
#: Fourier of 7/8, stored without its empty rows, lies 7% off.
_NEAR, _CENTRED = 2, 0.03
#: Rows of a grid hold far less signal than the brightest; spokes all hold about this share of it.
_EVEN, _FEW_ROWS = 0.3, 16


@dataclass(frozen=True, kw_only=True)
class Given:
    """What an array says of itself beside its numbers.

    Attributes
    ----------
    form
        Which format it has.
    axes
        As ``source.kspace.axes``.
    pixel_mm, oversampling
        Along x and y; field of view along the readout over that wanted. None where it says nothing.
    meta
        Keys of ``Scan.meta``.
    trajectory
        Off the grid: array whose first axis holds the directions, the others as the array's (where
        several entries of k-space share a point, one); None on the grid.
    """

    form: str
    axes: str
    pixel_mm: tuple[float, float] | None = None
    oversampling: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    trajectory: NDArray[np.floating] | None = None


def kspace_of(
    values: Complex, given: Given, described: Described, *, view: str, name: str
) -> KSpace:
    """Bring an array into the order of `KSpace`, checked, cut and compressed."""
    data = _ordered(values, given.axes, name)
    if not np.isfinite(data).all():
        raise SubjectError("non_finite_kspace", f"{name}: samples that are NaN or infinite")
    if not data.any():
        raise SubjectError("empty_kspace", f"{name}: every sample is 0")
    rules = described.rules
    trajectory, matrix = _off_grid(given, data, name)
    if trajectory is None:
        _require_centre(data, name)
    require_complete(data.any(axis=(0, 1)).sum(axis=0), name=name)
    ratio = given.oversampling or rules.readout_oversampling
    n_full = data.shape[1]
    if ratio > 1.01 and trajectory is None:
        n_x = max(2 * round(n_full / ratio / 2), 2)
        data = np.moveaxis(crop_field_of_view(np.moveaxis(data, 1, -1), n_x), -1, 1)
    n_coils, done = data.shape[0], {}
    if 0 < rules.coils < n_coils:
        data, kept = _compressed(data, rules.coils)
        done = {"virtual_coils": rules.coils, "energy_kept": round(kept, 5)}
    spacing = _spacing(given, described, data.shape[3], name)
    affine = np.diag([*spacing, 1.0]) if described.affine is None else described.affine
    return KSpace(
        data=np.ascontiguousarray(data),
        mask=np.asarray(data.any(axis=(0, 1, 3))),
        affine=affine,
        spacing_mm=spacing,
        frame_times_ms=_times(described, data.shape[4], name),
        view=view,
        trajectory=trajectory,
        matrix=matrix,
        meta={
            **given.meta,
            **({"orientation_known": False} if described.affine is None else {}),
            "acquisition": {
                "format": given.form,
                "n_coils": n_coils,
                **done,
                "readout_cut": [n_full, data.shape[1]],
            },
        },
    )


def _off_grid(
    given: Given, data: Complex, name: str
) -> tuple[NDArray[np.float32] | None, tuple[int, int] | None]:
    """Trajectory as `KSpace` has it, and the matrix that it reaches the edge of."""
    if given.trajectory is None:
        return None, None
    values = given.trajectory.astype(np.complex64)
    points = _ordered(values, given.axes.replace("c", "1").replace("1", "c", 1), name).real
    if points.shape[0] not in (2, 3) or points.shape[1:3] != data.shape[1:3]:
        raise SubjectError(
            "bad_trajectory", f"{name}: a trajectory of {points.shape} for data of {data.shape}"
        )
    if not np.isfinite(points).all():
        raise SubjectError("bad_trajectory", f"{name}: points that are NaN or infinite")
    largest = float(np.abs(points[:2]).max())
    if largest <= WIDEST:
        raise SubjectError(
            "bad_trajectory",
            f"{name}: the trajectory reaches {largest:.3g}; in cycles per pixel it leaves the size "
            "of the image open; cycles per field of view, as BART has them, expected",
        )
    side = 2 * int(np.ceil(min(largest, 4096.0)))
    matrix = (max(side, 8), max(side, 8))
    cycles = in_cycles_per_pixel(points, matrix, axis=0, name=name)
    return np.array(np.broadcast_to(cycles, (2, *data.shape[1:]))), matrix


def _ordered(values: Complex, axes: str, name: str) -> Complex:
    """Transpose an array to (coil, x, y, z, t); axes that are not there have one entry."""
    letters = axes.split()
    named = [letter for letter in letters if letter != "1"]
    if len(letters) < values.ndim or len(set(named)) < len(named) or not {"x", "y"} <= set(named):
        raise SubjectError(
            "axes_unknown",
            f"{name}: axes {axes!r} of an array of {values.shape}; x and y, each letter once, one "
            "for each axis, expected",
        )
    values = values.reshape(values.shape + (1,) * (len(letters) - values.ndim))
    single = tuple(i for i, letter in enumerate(letters) if letter == "1")
    if any(values.shape[i] > 1 for i in single):
        raise SubjectError(
            "axes_unknown", f"{name}: axes {axes!r} of an array of {values.shape}: 1 stands for one"
        )
    values = np.squeeze(values, axis=single)
    lacking = [letter for letter in _ORDER if letter not in named]
    values = values.reshape(values.shape + (1,) * len(lacking))
    return values.transpose([(named + lacking).index(letter) for letter in _ORDER])


def _require_centre(data: Complex, name: str) -> None:
    """Refuse spokes, and k-space whose centre lies in the corners, as an FFT without shift has."""
    energy = (data.real**2 + data.imag**2).sum(axis=(0, 3, 4))
    rows = energy.sum(axis=0)
    rows = rows[rows > 0]
    if rows.size >= _FEW_ROWS and np.median(rows) > _EVEN * rows.max():
        raise SubjectError(
            "trajectory_missing",
            f"{name}: every readout holds as much signal as the one in the middle, as spokes do; "
            "their trajectory is expected beside the file",
        )
    for axis, side in enumerate(energy.shape):
        peak = int(energy.sum(axis=1 - axis).argmax())
        if side > 4 and abs(peak - side // 2) > _NEAR + _CENTRED * side:
            raise SubjectError(
                "not_centred",
                f"{name}: most signal lies at {peak} of {side} {'xy'[axis]}; the centre of k-space "
                f"is expected in the middle, at {side // 2}: pad partial Fourier with zeros, shift "
                "the output of an FFT",
            )


def _compressed(data: Complex, n_virtual: int) -> tuple[Complex, float]:
    """Compress the coils (axis 0), slice by slice and frame by frame in memory."""
    n_coils = data.shape[0]
    covariance = np.zeros((n_coils, n_coils), dtype=np.complex128)
    places = list(np.ndindex(data.shape[3:]))
    for z, t in places:
        flat = data[..., z, t].reshape(n_coils, -1)
        covariance += flat @ flat.conj().T
    matrix, kept = compression_matrix(covariance, n_virtual)
    out = np.empty((n_virtual, *data.shape[1:]), dtype=np.complex64)
    for z, t in places:
        out[..., z, t] = np.tensordot(matrix.astype(np.complex64), data[..., z, t], axes=1)
    return out, kept


def _spacing(
    given: Given, described: Described, n_slices: int, name: str
) -> tuple[float, float, float]:
    """Distances of pixels and slices: the affine's, else the sidecar's or config's, else its own.

    Of a single slice without a distance its thickness is taken.
    """
    if described.affine is not None:
        x, y, z = np.linalg.norm(described.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)
    steps: Sequence[float] = described.rules.spacing_mm
    pixel = given.pixel_mm or (tuple(steps[:2]) if len(steps) >= 2 else None)
    if pixel is None:
        raise SubjectError(
            "spacing_unknown",
            f"{name}: the file does not say how far apart pixels lie; spacing_mm in a sidecar or "
            "in source.kspace expected",
        )
    if len(steps) == 3:
        return float(pixel[0]), float(pixel[1]), float(steps[2])
    thickness = float(given.meta.get("slice_thickness_mm", 0.0))
    if n_slices > 1 or thickness <= 0:
        raise SubjectError(
            "slice_distance_unknown",
            f"{name}: {n_slices} slices, and neither a sidecar nor source.kspace.spacing_mm says "
            "how far apart they lie",
        )
    return float(pixel[0]), float(pixel[1]), thickness


def _times(described: Described, n_frames: int, name: str) -> NDArray[np.float64] | None:
    times = described.frame_times_ms
    if times is None:
        step = described.rules.frame_step_ms
        return np.arange(n_frames, dtype=float) * step if step and n_frames > 1 else None
    if times.size != n_frames:
        raise SubjectError(
            "bad_frame_times", f"{name}: {times.size} frame times for {n_frames} frames"
        )
    return times
