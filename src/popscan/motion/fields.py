"""Displacement fields as they are stored: half precision, every few millimetres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.records import SubjectError


def fields_of(
    displacement_mm: ArrayLike, *, spacing_mm: Sequence[float], grid_mm: float = 3.0
) -> dict[str, NDArray[Any]]:
    """Return what is stored of displacements.

    Parameters
    ----------
    displacement_mm : array_like, shape (t, z, x, y, 2)
        In mm within the slices.
    spacing_mm
        Of the voxels along x and y.
    grid_mm
        About the distance of the points that are kept; smooth fields lose little in between.

    Returns
    -------
    dict
        ``displacement_mm`` (float16, (t, z, i, j, 2)), ``rows`` and ``columns`` (of the voxels that
        are kept, the last among them) and ``spacing_mm`` (2 numbers).
    """
    field = np.asarray(displacement_mm)
    stride = [max(1, round(grid_mm / float(s))) for s in spacing_mm[:2]]
    kept = [
        np.unique([*range(0, n, k), n - 1]) for n, k in zip(field.shape[2:4], stride, strict=True)
    ]
    return {
        "displacement_mm": field[:, :, kept[0]][:, :, :, kept[1]].astype(np.float16),
        "rows": kept[0].astype(np.int16),
        "columns": kept[1].astype(np.int16),
        "spacing_mm": np.asarray(spacing_mm[:2], dtype=np.float32),
    }


def fields_from(stored: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return displacements (t, z, x, y, 2) in mm of `fields_of`, linear in between.

    Raises
    ------
    SubjectError
        ``bad_fields`` if the arrays are not those of `fields_of`.
    """
    try:
        field = np.asarray(stored["displacement_mm"], dtype=np.float32)
        kept = [np.asarray(stored[name], dtype=np.float64) for name in ("rows", "columns")]
    except KeyError as error:
        raise SubjectError("bad_fields", f"stored displacements lack {error}") from error
    if field.ndim != 5 or field.shape[2:4] != (len(kept[0]), len(kept[1])) or field.shape[4] != 2:
        raise SubjectError(
            "bad_fields", f"stored displacements have shape {field.shape}: expected (t, z, x, y, 2)"
        )
    where = [np.interp(np.arange(int(k[-1]) + 1), k, np.arange(len(k))) for k in kept]
    grid = np.stack(np.meshgrid(*where, indexing="ij"))
    out = np.empty((*field.shape[:2], *grid.shape[1:], 2), np.float32)
    for index in np.ndindex(*field.shape[:2]):
        for axis in (0, 1):
            out[(*index, ..., axis)] = ndimage.map_coordinates(
                field[(*index, ..., axis)], grid, order=1, mode="nearest"
            )
    return out
