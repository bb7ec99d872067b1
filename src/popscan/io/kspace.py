"""k-space files: popscan's own HDF5, and arrays of MATLAB's HDF5 files.

Layout of the HDF5 file: dataset ``lines`` (complex64, shape (n_lines, coil, kx, z)) holds the
acquired lines in the order of ``mask`` (bool, shape (ky, t)) read frame by frame; ``affine``
(4, 4), ``spacing_mm`` (3,), ``frame_times_ms`` (t,) if known; off the grid ``trajectory`` (float32,
shape (n_lines, 2, kx, z)) and ``matrix`` (2,); where known ``shots`` (int32, shape
(ky, t)); attributes ``format``, ``view`` and ``meta`` (JSON). Readers follow no links out of the
file and check sizes before reading.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from popscan.io.hdf5 import DAMAGE, open_hdf5, read_array
from popscan.io.jsonfile import plain
from popscan.records import KSpace, PopscanError, SubjectError
from popscan.yamlfile import shorten

_FORMAT = "popscan-kspace-1"
#: Largest k-space that is read, in bytes of the full grid.
MAX_KSPACE_BYTES = 16 * 2**30


def write_kspace(path: str | Path, kspace: KSpace) -> None:
    """Write k-space; only acquired lines are stored, and equal input gives equal bytes."""
    mask = np.asarray(kspace.mask, dtype=bool)
    data = np.asarray(kspace.data)
    if data.ndim != 5 or mask.shape != (data.shape[2], data.shape[4]):
        raise ValueError(f"data {data.shape} (coil, kx, ky, z, t) with mask {mask.shape} (ky, t)")
    frames, rows = np.nonzero(mask.T)
    lines = np.moveaxis(data, (2, 4), (0, 1))[rows, frames].astype(np.complex64, copy=False)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs["format"] = _FORMAT
        file.attrs["view"] = kspace.view
        file.attrs["meta"] = json.dumps(plain(dict(kspace.meta)), sort_keys=True)
        _put(file, "lines", np.ascontiguousarray(lines))
        _put(file, "mask", mask)
        _put(file, "affine", np.asarray(kspace.affine, dtype=float))
        _put(file, "spacing_mm", np.asarray(kspace.spacing_mm, dtype=float))
        if kspace.frame_times_ms is not None:
            _put(file, "frame_times_ms", np.asarray(kspace.frame_times_ms, dtype=float))
        if kspace.trajectory is not None and kspace.matrix is not None:
            points = np.moveaxis(kspace.trajectory, (2, 4), (0, 1))[rows, frames]
            _put(file, "trajectory", np.ascontiguousarray(points, dtype=np.float32))
            _put(file, "matrix", np.array(kspace.matrix))
        if kspace.shots is not None:
            _put(file, "shots", np.asarray(kspace.shots, dtype=np.int32))


def read_kspace(path: str | Path, *, max_bytes: int = MAX_KSPACE_BYTES) -> KSpace:
    """Read k-space; lines that were not acquired are 0.

    Raises
    ------
    SubjectError
        ``file_missing``, ``truncated_file``, ``not_kspace`` or ``bad_header``.
    """
    path = Path(path)
    try:
        with open_hdf5(path) as file:
            if not is_popscan_kspace(file):
                raise SubjectError("not_kspace", f"{path}: not a k-space file of popscan")
            return _read(path, file, max_bytes)
    except DAMAGE as error:
        raise SubjectError(
            "bad_header", f"{path}: damaged k-space file ({shorten(error)})"
        ) from error


def is_popscan_kspace(file: h5py.File) -> bool:
    """Whether an HDF5 file is k-space as popscan writes it."""
    kind = file.attrs.get("format")
    return isinstance(kind, str) and kind == _FORMAT


def _put(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    file.create_dataset(name, data=values, track_times=False)


def _read(path: Path, file: h5py.File, max_bytes: int) -> KSpace:
    mask = read_array(file, "mask", max_bytes=max_bytes).astype(bool)
    lines = read_array(file, "lines", max_bytes=max_bytes)
    if mask.ndim != 2 or lines.ndim != 4 or lines.shape[0] != int(mask.sum()):
        raise ValueError(f"lines {lines.shape} do not fit the mask {mask.shape}")
    n_coils, n_kx, n_z = lines.shape[1:]
    shape = (mask.shape[0], mask.shape[1], n_coils, n_kx, n_z)
    if int(np.prod(shape, dtype=object)) * 8 > max_bytes:
        raise ValueError(f"a grid of {shape} is beyond the limit of {max_bytes} bytes")
    frames, rows = np.nonzero(mask.T)
    full = np.zeros((n_coils, n_kx, mask.shape[0], n_z, mask.shape[1]), dtype=np.complex64)
    np.moveaxis(full, (2, 4), (0, 1))[rows, frames] = lines
    affine = read_array(file, "affine", max_bytes=1024).astype(float)
    spacing = read_array(file, "spacing_mm", max_bytes=1024).astype(float)
    times = (
        read_array(file, "frame_times_ms", max_bytes=2**20) if "frame_times_ms" in file else None
    )
    if affine.shape != (4, 4) or spacing.shape != (3,):
        raise ValueError("affine or spacing_mm has the wrong shape")
    if times is not None and times.shape != (mask.shape[1],):
        raise ValueError(f"{times.size} frame times for {mask.shape[1]} frames")
    return KSpace(
        data=full,
        mask=mask,
        affine=affine,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        frame_times_ms=None if times is None else times.astype(float),
        trajectory=_trajectory(file, mask, lines.shape, max_bytes),
        matrix=_matrix(file),
        shots=_shots(file, mask),
        view=str(file.attrs["view"]),
        meta=dict(json.loads(file.attrs["meta"])),
    )


def _trajectory(
    file: h5py.File, mask: NDArray[np.bool_], shape: tuple[int, ...], max_bytes: int
) -> NDArray[np.float32] | None:
    """Points of the readouts, (2, kx, ky, z, t), for lines of `shape`; None on the grid."""
    if "trajectory" not in file:
        return None
    points = read_array(file, "trajectory", max_bytes=max_bytes)
    n_lines, _, n_kx, n_z = shape
    if points.shape != (n_lines, 2, n_kx, n_z) or not np.isfinite(points).all():
        raise ValueError(f"a trajectory of {points.shape} does not fit lines of {shape}")
    out = np.zeros((2, n_kx, mask.shape[0], n_z, mask.shape[1]), dtype=np.float32)
    frames, rows = np.nonzero(mask.T)
    np.moveaxis(out, (2, 4), (0, 1))[rows, frames] = points
    return out


def _matrix(file: h5py.File) -> tuple[int, int] | None:
    if "matrix" not in file:
        return None
    sides = read_array(file, "matrix", max_bytes=1024)
    if sides.shape != (2,) or not all(2 <= int(side) <= 8192 for side in sides):
        raise ValueError("matrix is not two sides of an image")
    return int(sides[0]), int(sides[1])


def _shots(file: h5py.File, mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    if "shots" not in file:
        return None
    shots = read_array(file, "shots", max_bytes=2**26)
    if shots.shape != mask.shape or shots.dtype.kind not in "iu" or (shots[mask] < 0).any():
        raise ValueError("shots do not number the acquired lines")
    return shots.astype(np.int64)


def read_kspace_mat(path: str | Path, *, name: str = "raw") -> NDArray[np.complex64]:
    """Read a complex array of a MATLAB v7.3 (HDF5) file, axes in the order of the HDF5 file.

    For ``brain_16coil_full.mat`` that is (coil, slice, y, x); MATLAB shows them reversed.

    Parameters
    ----------
    path
        The file.
    name
        Variable in it.

    Raises
    ------
    PopscanError
        If the file has no such complex variable.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        try:
            values = read_array(file, name, max_bytes=MAX_KSPACE_BYTES)
        except DAMAGE as error:
            raise PopscanError(f"{path}: no readable variable {name!r} ({error})") from error
    if values.dtype.names is not None and len(values.dtype.names) == 2:
        return _complex(path, name, values)
    if values.dtype.kind == "c":
        return values.astype(np.complex64)
    raise PopscanError(f"{path}: variable {name!r} is {values.dtype}, complex numbers expected")


def _complex(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.complex64]:
    first, second = values.dtype.names or ("", "")
    if values[first].dtype.kind != "f":
        raise PopscanError(f"{path}: variable {name!r} is {values.dtype}, not complex numbers")
    return (values[first] + 1j * values[second]).astype(np.complex64)
