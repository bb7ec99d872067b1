"""ISMRMRD files (``.h5``): acquisitions of a scanner, converted by the vendors' converters.

What is not understood is refused by name: EPI, 3D, several contrasts, readouts in both directions,
spirals without trajectory. Files are read in blocks, so that what is in memory is the grid and
little else; no link is followed, and sizes are compared with limits before anything is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from popscan.config.kspace import KSpaceInput
from popscan.io.hdf5 import DAMAGE, dataset_of, has_dataset, open_hdf5
from popscan.io.ismrmrd_geometry import frame_times_ms, geometry_of
from popscan.io.ismrmrd_header import Encoding, parse_header
from popscan.io.ismrmrd_lines import Lines, choose_lines
from popscan.io.ismrmrd_radial import OFF_GRID, fill_spokes, image_of, require_trajectory
from popscan.io.ismrmrd_samples import Reader, coil_matrix, finite, require_room
from popscan.recon.prepare import crop_field_of_view
from popscan.records import KSpace, SubjectError
from popscan.yamlfile import shorten

Complex = NDArray[np.complexfloating]
#: The group that the format's own tools write.
GROUP = "dataset"
#: Acquisitions of one file that are believed.
_MAX_HEADS_BYTES = 4 * 2**30


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether an HDF5 file has the two parts of an ISMRMRD file."""
    return has_dataset(file, f"{GROUP}/xml") and has_dataset(file, f"{GROUP}/data")


def read_ismrmrd(
    path: str | Path, *, view: str = "sax", rules: KSpaceInput | None = None
) -> KSpace:
    """Read an ISMRMRD file.

    Parameters
    ----------
    path
        The file.
    view
        Which series it is.
    rules
        What is done on the way.

    Returns
    -------
    KSpace
        Averaged over averages and lines that were acquired twice, without readout oversampling; off
        the grid with its trajectory; slices in order along their normal. ``meta["acquisition"]``
        says what was done.

    Raises
    ------
    SubjectError
        Those of `popscan.io.ismrmrd_lines.choose_lines` and
        `popscan.io.ismrmrd_geometry.geometry_of`, ``bad_header``, ``encoding_limit``,
        ``unsupported_trajectory``, ``kspace_too_large``, ``non_finite_kspace``, ``empty_kspace``,
        ``bad_noise_covariance``.
    """
    path = Path(path)
    rules = rules or KSpaceInput()
    try:
        with open_hdf5(path) as file:
            return _read(path, file, view, rules)
    except SubjectError:
        raise
    except DAMAGE as error:
        raise SubjectError(
            "bad_header", f"{path}: damaged ISMRMRD file ({shorten(error)})"
        ) from error


def _read(path: Path, file: h5py.File, view: str, rules: KSpaceInput) -> KSpace:
    text = dataset_of(file, f"{GROUP}/xml", max_bytes=2**20)[0]
    encoding = parse_header(bytes(text), name=str(path))
    _refuse_trajectory(encoding, str(path))
    data = dataset_of(file, f"{GROUP}/data", max_bytes=_MAX_HEADS_BYTES)
    lines = choose_lines(data.fields("head")[:], encoding, name=str(path))
    reader = Reader(data=data, path=path)
    if encoding.trajectory in OFF_GRID:
        grid = None
        require_trajectory(lines, encoding, str(path))
        matrix, pixel_mm = image_of(encoding)
        away = np.zeros(len(lines.rows), dtype=np.int64)  # each passes the centre
    else:
        grid = _grid_of(lines, encoding, str(path))
        matrix, pixel_mm = (grid.n_x, grid.n_y), grid.pixel_mm
        away = np.abs(lines.step + grid.shift - grid.n_y // 2)
    geometry = geometry_of(lines, encoding, pixel_mm=pixel_mm, matrix=matrix, name=str(path))
    combine, done = coil_matrix(reader, lines, away, rules)
    trajectory = None
    if grid is None:
        full, mask, points = fill_spokes(reader, lines, encoding, combine, matrix)
        trajectory = np.ascontiguousarray(points[geometry.order].transpose(3, 4, 2, 0, 1))
    else:
        full, mask = _fill(reader, lines, grid, combine)
        done["readout_cut"] = [grid.n_full, grid.n_x]
    left = ", ".join(f"{n} {what}" for what, n in lines.left_out.items())
    return KSpace(
        data=np.ascontiguousarray(full[geometry.order].transpose(3, 4, 2, 0, 1)),
        mask=mask,
        affine=geometry.affine,
        spacing_mm=geometry.spacing_mm,
        frame_times_ms=frame_times_ms(lines, encoding, tick_ms=rules.tick_ms),
        view=view,
        meta={
            **encoding.meta,
            **({} if geometry.known else {"orientation_known": False}),
            "acquisition": {
                "format": "ismrmrd",
                "trajectory": encoding.trajectory,
                "n_coils": lines.n_coils,
                **done,
                "frames_are": lines.time_axis,
                **({"left_out": left} if left else {}),
            },
        },
        trajectory=trajectory,
        matrix=None if grid else matrix,
        shots=None if grid is None else _shots(lines, grid, mask),
    )


def _shots(lines: Lines, grid: _Grid, mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Return each line's shot by the counter ``segment``; None where it says none, or several."""
    segment = lines.heads["segment"]
    if len(np.unique(segment)) < 2:
        return None
    shots = np.full(mask.shape, -1, dtype=np.int64)
    at = (lines.step + grid.shift, lines.frame)
    shots[at] = segment
    return shots if np.array_equal(shots[at], segment) else None


def _refuse_trajectory(encoding: Encoding, name: str) -> None:
    if encoding.trajectory == "cartesian" or encoding.trajectory in OFF_GRID:
        return
    words = {"epi": "echo-planar imaging (EPI) needs a correction that is not made here"}
    raise SubjectError(
        "unsupported_trajectory",
        f"{name}: trajectory {encoding.trajectory[:32]!r}: "
        + words.get(encoding.trajectory, f"cartesian, {', '.join(sorted(OFF_GRID))} expected"),
    )


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """How the readouts of the file `name` become a grid.

    They are padded to `n_full`, cut to `n_x`, and put at row ``step + shift`` of `n_y`.
    """

    name: str
    n_full: int
    n_x: int
    n_y: int
    shift: int
    pixel_mm: tuple[float, float]


def _grid_of(lines: Lines, encoding: Encoding, name: str) -> _Grid:
    """Say how lines lie on the encoded matrix; refuse those that lie beyond it."""
    n_full, n_y = encoding.matrix[:2]
    steps = int(lines.step.min()), int(lines.step.max())
    low, high, centre = encoding.line_limits or _limits_of_whole(lines, n_y, name)
    shift = n_y // 2 - centre
    if not low <= centre <= high or high - low >= n_y or steps[0] < low or steps[1] > high:
        raise SubjectError(
            "encoding_limit",
            f"{name}: phase-encoding steps {steps[0]} to {steps[1]}, limits {low} to {high} with "
            f"the centre at {centre}; a matrix of {n_y} lines has no room for them",
        )
    if steps[0] + shift < 0 or steps[1] + shift >= n_y:
        raise SubjectError(
            "encoding_limit",
            f"{name}: phase-encoding steps {steps[0]} to {steps[1]} around {centre} lie beyond the "
            f"matrix of {n_y} lines",
        )
    if int(lines.n_samples.max()) > n_full:
        raise SubjectError(
            "encoding_limit",
            f"{name}: readouts of {int(lines.n_samples.max())} samples, more than the matrix of "
            f"{n_full}",
        )
    ratio = max(encoding.fov_mm[0] / encoding.recon_fov_mm[0], 1.0)
    _refuse_cut_readouts(lines, n_full, ratio, name)
    n_x = max(2 * round(n_full / ratio / 2), 2) if ratio > 1.01 else n_full
    pixel_mm = (encoding.fov_mm[0] / n_full, encoding.fov_mm[1] / n_y)
    return _Grid(name=name, n_full=n_full, n_x=n_x, n_y=n_y, shift=shift, pixel_mm=pixel_mm)


def _refuse_cut_readouts(lines: Lines, n_full: int, ratio: float, name: str) -> None:
    """Refuse readouts whose oversampling was removed, while the header still has it.

    They would be taken for the middle of k-space, and the image for one twice as wide. An echo that
    is asymmetric has its centre elsewhere.
    """
    n = int(lines.n_samples.max())
    middle = np.abs(lines.centre - lines.n_samples / 2) <= 1
    if ratio > 1.01 and n < n_full and abs(n * ratio - n_full) <= ratio + 1 and middle.all():
        raise SubjectError(
            "encoding_limit",
            f"{name}: readouts of {n} samples around their middle, and an encoded matrix of "
            f"{n_full} with {ratio:.3g} times the field of view wanted: their oversampling was "
            "removed, as it seems, and encodedSpace does not say so",
        )


def _limits_of_whole(lines: Lines, n_y: int, name: str) -> tuple[int, int, int]:
    """Return the limits of a matrix that the lines span; only then its centre is known."""
    steps = np.unique(lines.step)
    gap = int(np.diff(steps).max()) if steps.size > 1 else 1
    if steps[0] >= gap or n_y - 1 - steps[-1] >= gap:
        raise SubjectError(
            "encoding_limit",
            f"{name}: phase-encoding steps {steps[0]} to {steps[-1]} of a matrix of {n_y} lines, "
            "and no limits in the header: which of them is the centre is not known",
        )
    return 0, n_y - 1, n_y // 2


def _fill(
    reader: Reader, lines: Lines, grid: _Grid, combine: Complex
) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """Put all lines on the grid, (z, t, ky, coil, kx), and say which rows (ky, t) were acquired."""
    shape = (lines.n_slices, lines.n_frames, grid.n_y, combine.shape[0], grid.n_x)
    require_room(shape, reader.path)
    full = np.zeros(shape, dtype=np.complex64)
    counts = np.zeros(shape[:3], dtype=np.int32)
    for block in reader.blocks(np.arange(len(lines.rows))):
        parts = reader.samples(lines.rows[block], lines.n_coils)
        readouts = np.stack([_placed(p, lines, i, grid) for i, p in zip(block, parts, strict=True)])
        finite(readouts, reader.path)
        readouts = combine @ crop_field_of_view(readouts, grid.n_x)
        first, last = _acquired_span(lines, block, grid)
        readouts[..., :first] = 0
        readouts[..., last:] = 0
        for i, readout in zip(block, readouts, strict=True):
            at = (lines.slice[i], lines.frame[i], lines.step[i] + grid.shift)
            full[at] += readout
            counts[at] += 1
    full /= np.maximum(counts, 1).astype(np.float32)[..., np.newaxis, np.newaxis]
    if not full.any():
        raise SubjectError(
            "empty_kspace", f"{reader.path}: every sample of {len(lines.rows)} lines is 0"
        )
    return full, np.asarray(counts.any(axis=0).T)


def _placed(samples: Complex, lines: Lines, i: int, grid: _Grid) -> Complex:
    """Put a readout on the full readout axis, its centre at ``n // 2``; shape (coil, kx)."""
    n = int(lines.n_samples[i])
    if samples.shape[1] != n:
        raise ValueError(f"line {i} holds {samples.shape[1]} samples, its header says {n}")
    first = _offset(lines, i, grid)
    kept = slice(int(lines.before[i]), n - int(lines.after[i]))
    out = np.zeros((samples.shape[0], grid.n_full), dtype=np.complex64)
    out[:, first + kept.start : first + kept.stop] = samples[:, kept]
    return out


def _offset(lines: Lines, i: int, grid: _Grid) -> int:
    """Where a readout's first sample lies; a full readout leaves no choice."""
    n = int(lines.n_samples[i])
    if n == grid.n_full:
        return 0
    first = grid.n_full // 2 - int(lines.centre[i])
    if first < 0 or first + n > grid.n_full:
        raise SubjectError(
            "encoding_limit",
            f"{grid.name}: a readout of {n} samples with its centre at {int(lines.centre[i])} "
            f"lies beyond the matrix of {grid.n_full}",
        )
    return first


def _acquired_span(lines: Lines, rows: NDArray[np.int64], grid: _Grid) -> tuple[int, int]:
    """First sample after the cut that was acquired, and the one behind the last.

    Asymmetric echoes begin late, or end early.
    """
    offsets = {i: _offset(lines, i, grid) for i in rows}
    first = min(offsets[i] + int(lines.before[i]) for i in rows)
    behind = max(offsets[i] + int(lines.n_samples[i] - lines.after[i]) for i in rows)
    left, right = grid.n_full // 2 - first, behind - grid.n_full // 2
    return (
        max(grid.n_x // 2 - left * grid.n_x // grid.n_full, 0),
        min(grid.n_x // 2 - (-right * grid.n_x // grid.n_full), grid.n_x),
    )
