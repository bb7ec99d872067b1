"""Radial and spiral acquisitions of an ISMRMRD file: samples, and where they lie in k-space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.io.ismrmrd_header import Encoding
from popscan.io.ismrmrd_lines import Lines
from popscan.io.ismrmrd_samples import Reader, finite, require_room
from popscan.recon.prepare import in_cycles_per_pixel
from popscan.records import SubjectError

Complex = NDArray[np.complexfloating]
#: Trajectories that are read where the file holds their points.
OFF_GRID = frozenset({"radial", "goldenangle", "spiral", "other"})


def image_of(encoding: Encoding) -> tuple[tuple[int, int], tuple[float, float]]:
    """Return matrix and pixels in mm of the image: the encoded pixels in the field of view wanted.

    Along both axes the pixels of the readout count: a radial file's phase encoding counts spokes.
    """
    pixel = encoding.fov_mm[0] / encoding.matrix[0]
    sides = [max(2 * round(mm / pixel / 2), 2) for mm in encoding.recon_fov_mm[:2]]
    return (sides[0], sides[1]), (pixel, pixel)


def require_trajectory(lines: Lines, encoding: Encoding, name: str) -> int:
    """Return how many numbers each point of the trajectory has.

    Raises
    ------
    SubjectError
        ``trajectory_missing``.
    """
    dimensions = np.unique(lines.heads["trajectory_dimensions"])
    if len(dimensions) != 1 or dimensions[0] < 2:
        raise SubjectError(
            "trajectory_missing",
            f"{name}: {encoding.trajectory} readouts without the points of k-space that they pass",
        )
    return int(dimensions[0])


def fill_spokes(
    reader: Reader, lines: Lines, encoding: Encoding, combine: Complex, matrix: tuple[int, int]
) -> tuple[Complex, NDArray[np.bool_], NDArray[np.float32]]:
    """Sort readouts by slice and frame, in the order in which they were acquired.

    Returns
    -------
    samples : ndarray of complex64, shape (z, t, spoke, coil, sample)
    mask : ndarray of bool, shape (spoke, t)
    trajectory : ndarray of float32, shape (z, t, spoke, 2, sample)
        Cycles per pixel.

    Raises
    ------
    SubjectError
        ``trajectory_missing``, ``bad_trajectory``, ``non_finite_kspace``, ``empty_kspace``.
    """
    name = str(reader.path)
    n_dimensions = require_trajectory(lines, encoding, name)
    n = int(lines.n_samples[0])
    if (lines.n_samples != n).any():
        raise SubjectError("bad_header", f"{name}: readouts of different lengths")
    spokes, n_spokes = _numbered(lines)
    shape = (lines.n_slices, lines.n_frames, n_spokes, combine.shape[0], n)
    require_room(shape, reader.path)
    full = np.zeros(shape, dtype=np.complex64)
    points = np.zeros((*shape[:3], n_dimensions, n), dtype=np.float32)
    for block in reader.blocks(np.arange(len(lines.rows))):
        rows = lines.rows[block]
        samples = reader.samples(rows, lines.n_coils)
        paths = reader.trajectories(rows, n_dimensions)
        for i, values, path in zip(block, samples, paths, strict=True):
            if values.shape[1] != n or path.shape[0] != n:
                raise ValueError(
                    f"line {i} holds {values.shape[1]} samples, {path.shape[0]} points"
                )
            at = (lines.slice[i], lines.frame[i], spokes[i])
            kept = slice(int(lines.before[i]), n - int(lines.after[i]))
            # Samples that are to be discarded may hold anything, and so may their points.
            full[at][:, kept] = combine @ finite(values[:, kept], reader.path)
            points[at][:, kept] = path.T[:, kept]
    if not full.any():
        raise SubjectError("empty_kspace", f"{name}: every sample of {len(lines.rows)} lines is 0")
    mask = np.zeros((n_spokes, lines.n_frames), dtype=bool)
    mask[spokes, lines.frame] = True
    return full, mask, in_cycles_per_pixel(points, matrix, axis=3, name=name)


def _numbered(lines: Lines) -> tuple[NDArray[np.int64], int]:
    """Give numbers to the readouts of each slice and frame from 0."""
    key = lines.slice * lines.n_frames + lines.frame
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    numbers = np.empty_like(key)
    numbers[order] = np.arange(len(key)) - starts[key[order]]
    return numbers, int(counts.max())
