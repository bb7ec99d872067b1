"""Samples of an ISMRMRD file, read in blocks, and how its coils are combined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from popscan.config.kspace import KSpaceInput
from popscan.io.hdf5 import MAX_RATIO
from popscan.io.ismrmrd_lines import Lines
from popscan.recon.prepare import compression_matrix, noise_covariance, whitening_matrix
from popscan.records import SubjectError

Complex = NDArray[np.complexfloating]
Rows = NDArray[np.int64]
#: Rows of a block, and the most bytes that a block could hold if each row were the whole file.
_BLOCK, _BLOCK_BYTES = 256, 4 * 2**30
#: Lines nearest to the centre of k-space that say how coils are to be compressed.
_N_CENTRAL = 1024
#: Largest k-space that is read, in bytes of the grid; small ones may be as empty as they like.
MAX_GRID_BYTES = 16 * 2**30
_SMALL_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads acquisitions in blocks.

    Attributes
    ----------
    data
        The acquisitions: ``head``, ``traj``, ``data``.
    path
        Of the file.
    """

    data: h5py.Dataset
    path: Path

    def blocks(self, rows: Rows) -> Iterator[Rows]:
        """Cut rows into blocks that fit into memory even if each row is as large as the file."""
        size = max(self.path.stat().st_size, 1)
        step = int(np.clip(_BLOCK_BYTES // size, 1, _BLOCK))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]

    def samples(self, rows: Rows, n_coils: int) -> list[Complex]:
        """Read the samples (coil, sample) of rows that rise."""
        pairs = self._numbers("data", rows, 2 * n_coils)
        return [values.view(np.complex64).reshape(n_coils, -1) for values in pairs]

    def trajectories(self, rows: Rows, n_dimensions: int) -> list[NDArray[np.float32]]:
        """Read the trajectories (sample, dimension) of rows that rise."""
        return [v.reshape(-1, n_dimensions) for v in self._numbers("traj", rows, n_dimensions)]

    def _numbers(self, field: str, rows: Rows, divisor: int) -> Iterator[NDArray[np.float32]]:
        whole = rows[-1] - rows[0] + 1 == len(rows)  # a range is read much faster than a list
        read: Any = self.data.fields(field)[slice(rows[0], rows[-1] + 1) if whole else rows]
        for row, values in zip(rows, read, strict=True):
            numbers = np.asarray(values, dtype=np.float32)
            if numbers.size == 0 or numbers.size % divisor:
                raise ValueError(f"acquisition {row} holds {numbers.size} numbers of {field}")
            yield numbers


def coil_matrix(
    reader: Reader, lines: Lines, away: Rows, rules: KSpaceInput
) -> tuple[Complex, dict[str, Any]]:
    """Return the combination of the coils (virtual, coil): whitening, then compression.

    Parameters
    ----------
    reader, lines
        The file.
    away : ndarray, shape (n,)
        How far each line lies from the centre of k-space.
    rules
        What is to be done.

    Returns
    -------
    matrix : ndarray of complex64, shape (virtual coil, coil)
    done : dict
        For ``meta["acquisition"]``.
    """
    n_coils = lines.n_coils
    matrix = np.eye(n_coils, dtype=np.complex128)
    done: dict[str, Any] = {"prewhitened": False}
    if rules.prewhiten and lines.noise_rows.size:
        blocks = reader.blocks(lines.noise_rows)
        noise = [part for rows in blocks for part in reader.samples(rows, n_coils)]
        matrix = whitening_matrix(noise_covariance(np.concatenate(noise, axis=1)))
        done["prewhitened"] = True
    if 0 < rules.coils < n_coils:
        chosen = np.sort(np.argsort(away, kind="stable")[:_N_CENTRAL])
        covariance = np.zeros((n_coils, n_coils), dtype=np.complex128)
        for block in reader.blocks(chosen):
            parts = reader.samples(lines.rows[block], n_coils)
            for i, part in zip(block, parts, strict=True):
                # Samples that are to be discarded may hold anything.
                used = part[:, lines.before[i] : part.shape[1] - lines.after[i]]
                white = matrix @ finite(used, reader.path)
                covariance += white @ white.conj().T
        compressed, kept = compression_matrix(covariance, rules.coils)
        matrix = compressed @ matrix
        done |= {"virtual_coils": rules.coils, "energy_kept": round(kept, 5)}
    return matrix.astype(np.complex64), done


def finite(samples: Complex, path: Path) -> Complex:
    """Return samples that are finite; refuse others."""
    if not np.isfinite(samples).all():
        raise SubjectError("non_finite_kspace", f"{path}: samples that are NaN or infinite")
    return samples


def require_room(shape: tuple[int, ...], path: Path) -> None:
    """Refuse a grid that is far larger than its file.

    Raises
    ------
    SubjectError
        ``kspace_too_large``.
    """
    size = path.stat().st_size
    n_bytes = 8 * int(np.prod(shape, dtype=object))
    if n_bytes > max(_SMALL_BYTES, min(MAX_GRID_BYTES, MAX_RATIO * size)):
        raise SubjectError("kspace_too_large", f"{path}: a grid of {shape} from {size} bytes")
