"""ISMRMRD files (``.h5``): acquisitions of a scanner, converted by the vendors' converters.

What is not understood is refused by name: EPI, 3D, several contrasts, readouts in both directions,
spirals without trajectory. Files are read in blocks, so that what is in memory is the grid and
little else; no link is followed, and sizes are compared with limits before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from popscan.config.kspace import KSpaceInput
from popscan.io.hdf5 import DAMAGE, MAX_RATIO, dataset_of, has_dataset, open_hdf5
from popscan.io.ismrmrd_geometry import frame_times_ms, geometry_of
from popscan.io.ismrmrd_header import Encoding, parse_header
from popscan.io.ismrmrd_lines import Lines, choose_lines
from popscan.recon.prepare import (
    compression_matrix,
    crop_field_of_view,
    noise_covariance,
    whitening_matrix,
)
from popscan.records import KSpace, SubjectError
from popscan.yamlfile import shorten

Complex = NDArray[np.complexfloating]
#: The group that the format's own tools write.
GROUP = "dataset"
#: Largest k-space that is read, in bytes of the grid.
MAX_GRID_BYTES = 16 * 2**30
_SMALL_BYTES = 2**26
#: Rows of a block, and the most bytes that a block could hold if each row were the whole file.
_BLOCK, _BLOCK_BYTES = 256, 4 * 2**30
#: Lines nearest to the centre of k-space that say how coils are to be compressed.
_N_CENTRAL = 1024
#: Acquisitions of one file that are believed.
_MAX_HEADS_BYTES = 4 * 2**30


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether an HDF5 file has the two parts of an ISMRMRD file."""
    return has_dataset(file, f"{GROUP}/xml") and has_dataset(file, f"{GROUP}/data")


def read_ismrmrd(
    path: str | Path, *, view: str = "sax", rules: KSpaceInput | None = None
) -> KSpace:
    """Read a Cartesian ISMRMRD file.

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
        Averaged over averages and lines that were acquired twice; without readout oversampling;
        slices in order along their normal. ``meta["acquisition"]`` says what was done.

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


def _read(path: Path, file: h5py.File, view: str, rules: KSpaceInput) -> KSpace:
    text = dataset_of(file, f"{GROUP}/xml", max_bytes=2**20)[0]
    encoding = parse_header(bytes(text), name=str(path))
    _refuse_trajectory(encoding, str(path))
    data = dataset_of(file, f"{GROUP}/data", max_bytes=_MAX_HEADS_BYTES)
    lines = choose_lines(data.fields("head")[:], encoding, name=str(path))
    grid = _grid_of(lines, encoding, str(path))
    geometry = geometry_of(
        lines, encoding, pixel_mm=grid.pixel_mm, matrix=(grid.n_x, grid.n_y), name=str(path)
    )
    reader = _Reader(data=data, lines=lines, path=path)
    combine, done = _coil_matrix(reader, lines, grid, rules)
    full, mask = _fill(reader, lines, grid, combine, path)
    full = full[geometry.order]  # (z, t, ky, coil, kx)
    times = frame_times_ms(lines, encoding, tick_ms=rules.tick_ms)
    left = ", ".join(f"{n} {what}" for what, n in lines.left_out.items())
    return KSpace(
        data=np.ascontiguousarray(full.transpose(3, 4, 2, 0, 1)),
        mask=mask,
        affine=geometry.affine,
        spacing_mm=geometry.spacing_mm,
        frame_times_ms=times,
        view=view,
        meta={
            **encoding.meta,
            **({} if geometry.known else {"orientation_known": False}),
            "acquisition": {
                "format": "ismrmrd",
                "n_coils": lines.n_coils,
                **done,
                "readout_cut": [grid.n_full, grid.n_x],
                "frames_are": lines.time_axis,
                **({"left_out": left} if left else {}),
            },
        },
    )


def _refuse_trajectory(encoding: Encoding, name: str) -> None:
    if encoding.trajectory == "cartesian":
        return
    words = {"epi": "echo-planar imaging (EPI) needs a correction that is not made here"}
    raise SubjectError(
        "unsupported_trajectory",
        f"{name}: trajectory {encoding.trajectory[:32]!r}: "
        + words.get(encoding.trajectory, "cartesian expected"),
    )


def _grid_of(lines: Lines, encoding: Encoding, name: str) -> _Grid:
    """Say how lines lie on the encoded matrix; refuse those that lie beyond it."""
    n_full, n_y = encoding.matrix[:2]
    limits = encoding.line_limits or (0, n_y - 1, n_y // 2)
    low, high, centre = limits
    steps = int(lines.step.min()), int(lines.step.max())
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
    n_x = max(2 * round(n_full / ratio / 2), 2) if ratio > 1.01 else n_full
    pixel_mm = (encoding.fov_mm[0] / n_full, encoding.fov_mm[1] / n_y)
    return _Grid(name=name, n_full=n_full, n_x=n_x, n_y=n_y, shift=shift, pixel_mm=pixel_mm)


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads acquisitions in blocks."""

    data: h5py.Dataset
    lines: Lines
    path: Path

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Cut rows into blocks that fit into memory even if each row is as large as the file."""
        size = max(self.path.stat().st_size, 1)
        step = int(np.clip(_BLOCK_BYTES // size, 1, _BLOCK))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]

    def samples(self, rows: NDArray[np.int64], n_coils: int) -> list[Complex]:
        """Read the samples (coil, sample) of rows that rise."""
        whole = rows[-1] - rows[0] + 1 == len(rows)  # a range is read much faster than a list
        read: Any = self.data.fields("data")[slice(rows[0], rows[-1] + 1) if whole else rows]
        out = []
        for row, values in zip(rows, read, strict=True):
            pairs = np.asarray(values, dtype=np.float32)
            if pairs.size == 0 or pairs.size % (2 * n_coils):
                raise ValueError(f"acquisition {row} holds {pairs.size} numbers")
            out.append(pairs.view(np.complex64).reshape(n_coils, -1))
        return out


def _coil_matrix(
    reader: _Reader, lines: Lines, grid: _Grid, rules: KSpaceInput
) -> tuple[Complex, dict[str, Any]]:
    """Return the combination of the coils (virtual, coil): whitening, then compression."""
    n_coils = lines.n_coils
    matrix = np.eye(n_coils, dtype=np.complex128)
    done: dict[str, Any] = {"prewhitened": False}
    if rules.prewhiten and lines.noise_rows.size:
        blocks = reader.blocks(lines.noise_rows)
        noise = [part for rows in blocks for part in reader.samples(rows, n_coils)]
        matrix = whitening_matrix(noise_covariance(np.concatenate(noise, axis=1)))
        done["prewhitened"] = True
    if 0 < rules.coils < n_coils:
        away = np.abs(lines.step + grid.shift - grid.n_y // 2)
        chosen = np.sort(np.argsort(away, kind="stable")[:_N_CENTRAL])
        covariance = np.zeros((n_coils, n_coils), dtype=np.complex128)
        for rows in reader.blocks(lines.rows[chosen]):
            for part in reader.samples(rows, n_coils):
                white = matrix @ _finite(part, reader.path)
                covariance += white @ white.conj().T
        compressed, kept = compression_matrix(covariance, rules.coils)
        matrix = compressed @ matrix
        done |= {"virtual_coils": rules.coils, "energy_kept": round(kept, 5)}
    return matrix.astype(np.complex64), done


def _finite(samples: Complex, path: Path) -> Complex:
    if not np.isfinite(samples).all():
        raise SubjectError("non_finite_kspace", f"{path}: samples that are NaN or infinite")
    return samples


def _fill(
    reader: _Reader, lines: Lines, grid: _Grid, combine: Complex, path: Path
) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """Put all lines on the grid, (z, t, ky, coil, kx), and say which rows (ky, t) were acquired."""
    shape = (lines.n_slices, lines.n_frames, grid.n_y, combine.shape[0], grid.n_x)
    n_bytes = 8 * int(np.prod(shape, dtype=object))
    if n_bytes > max(_SMALL_BYTES, min(MAX_GRID_BYTES, MAX_RATIO * path.stat().st_size)):
        raise SubjectError(
            "kspace_too_large",
            f"{path}: a grid of {shape} from a file of {path.stat().st_size} bytes",
        )
    full = np.zeros(shape, dtype=np.complex64)
    counts = np.zeros(shape[:3], dtype=np.int32)
    starts = range(len(lines.rows))
    for rows in reader.blocks(np.arange(len(starts))):
        parts = reader.samples(lines.rows[rows], lines.n_coils)
        readouts = np.stack([_placed(p, lines, i, grid) for i, p in zip(rows, parts, strict=True)])
        _finite(readouts, path)
        readouts = combine @ crop_field_of_view(readouts, grid.n_x)
        readouts[..., : _first_sample(lines, rows, grid)] = 0
        for i, readout in zip(rows, readouts, strict=True):
            at = (lines.slice[i], lines.frame[i], lines.step[i] + grid.shift)
            full[at] += readout
            counts[at] += 1
    full /= np.maximum(counts, 1).astype(np.float32)[..., np.newaxis, np.newaxis]
    if not full.any():
        raise SubjectError("empty_kspace", f"{path}: every sample of {len(lines.rows)} lines is 0")
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


def _first_sample(lines: Lines, rows: NDArray[np.int64], grid: _Grid) -> int:
    """First sample after the cut that was acquired: asymmetric echoes begin late."""
    first = min(_offset(lines, i, grid) + int(lines.before[i]) for i in rows)
    away = grid.n_full // 2 - first
    return max(grid.n_x // 2 - away * grid.n_x // grid.n_full, 0)
