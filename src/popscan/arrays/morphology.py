"""Shape of labelled structures: sizes, components, holes, contacts, centres.

All functions take arrays with axes (x, y, z, t) and treat frames (axis 3) apart: nothing is ever
connected across time. None needs a loop over frames, so a series of 25 frames costs little more
than one frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.records import PopscanError

Floats = NDArray[np.float64]
#: Code of a structure: an int, or a protocol's own enumeration.
Code = TypeVar("Code", bound=int)

#: Neighbourhood within a volume (26 neighbours).
_VOLUME = np.ones((3, 3, 3), dtype=bool)
#: Neighbourhood within a slice (8 neighbours).
_PLANE = np.ones((3, 3), dtype=bool)


def check_labels(labels: ArrayLike, *, largest: int = 255) -> NDArray[np.uint8]:
    """Return `labels` as uint8 (x, y, z, t), or refuse them.

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        Codes of a label set.
    largest
        Largest code.

    Raises
    ------
    PopscanError
        If the array is not four-dimensional or holds anything but whole numbers up to `largest`.
    """
    array = np.asarray(labels)
    if array.ndim != 4:
        raise PopscanError(f"labels need axes (x, y, z, t), found shape {array.shape}")
    if array.size and (array.min() < 0 or array.max() > largest):
        raise PopscanError(
            f"labels hold values from {array.min()} to {array.max()}, expected 0 to {largest:d}"
        )
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        raise PopscanError("labels hold fractions, expected whole codes")
    return array.astype(np.uint8, copy=False)


def check_spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """Return three positive finite spacings, or raise `PopscanError`."""
    values = tuple(float(value) for value in spacing_mm)
    if len(values) != 3 or not all(np.isfinite(value) and value > 0 for value in values):
        raise PopscanError(f"spacing_mm needs three positive numbers (x, y, z), found {values}")
    return values


def bounding_box(mask: NDArray[np.bool_], *, margin: int = 1) -> tuple[slice, slice]:
    """Return in-plane slices of the box around all set voxels of any slice and frame.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, ...)
    margin
        Voxels added on each side where the array has them.

    Returns
    -------
    tuple of 2 slices
        Along x and y; empty slices when nothing is set.
    """
    rest = tuple(range(2, mask.ndim))
    flat = mask.any(axis=rest)
    boxes = ndimage.find_objects(flat.astype(np.uint8))
    if not boxes or boxes[0] is None:
        return slice(0, 0), slice(0, 0)
    grown = [
        slice(max(box.start - margin, 0), min(box.stop + margin, size))
        for box, size in zip(boxes[0], flat.shape, strict=True)
    ]
    return grown[0], grown[1]


def voxel_counts(labels: NDArray[np.uint8], codes: Iterable[Code]) -> dict[Code, NDArray[np.int64]]:
    """Count the voxels of each structure.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
    codes
        Codes of the structures.

    Returns
    -------
    dict
        Code -> counts of shape (z, t).
    """
    return {code: _true_voxels(labels == code) for code in codes}


def _true_voxels(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the voxels of each plane of a mask (x, y, z, t) by itself, as numpy is fastest."""
    planes = mask.transpose(2, 3, 0, 1)
    counts = [np.count_nonzero(planes[index]) for index in np.ndindex(planes.shape[:2])]
    return np.array(counts, dtype=np.int64).reshape(planes.shape[:2])


@dataclass(frozen=True)
class Components:
    """Connected components of a structure.

    Attributes
    ----------
    count : ndarray of int
        Number of components, shape (t,) for volumes or (z, t) for slices.
    stray : ndarray of int
        Voxels outside the largest component, same shape.
    """

    count: NDArray[np.int64]
    stray: NDArray[np.int64]


def _sheet(mask: NDArray[np.bool_], *, rim: bool) -> NDArray[np.bool_]:
    """Return all slices of a mask (x, y, z, t) below each other on one sheet, with gaps.

    What is done within slices is done on the sheet at once, several times faster than in four
    dimensions. The sheet is (z * t * (x + 1), y), t running faster than z, with a blank row after
    each slice; with a `rim` of one blank voxel around each slice (z * t * (x + 2), y + 2).
    """
    x, y, z, t = mask.shape
    first, last = int(rim), 1
    planes = np.zeros((z, t, x + first + last, y + 2 * first), dtype=bool)
    planes[:, :, first : first + x, first : first + y] = mask.transpose(2, 3, 0, 1)
    return planes.reshape(z * t * (x + first + last), y + 2 * first)


def _tower(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the volumes of all frames of a mask (x, y, z, t) on each other, a blank plane between.

    Neighbours are sought in three dimensions then, where four would take twice as long:
    (x, y, t * (z + 1)).
    """
    x, y, z, t = mask.shape
    tower = np.zeros((x, y, t, z + 1), dtype=bool)
    tower[..., :z] = mask.transpose(0, 1, 3, 2)
    return tower.reshape(x, y, t * (z + 1))


def components(mask: NDArray[np.bool_], *, in_plane: bool, min_voxels: int = 1) -> Components:
    """Count connected components per frame (26 neighbours) or per slice (8 neighbours).

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z, t)
    in_plane
        Whether each slice is looked at alone.
    min_voxels
        Smaller components are not counted (they still are `stray`).
    """
    shape = mask.shape[2:] if in_plane else mask.shape[3:]
    if mask.size == 0:
        return Components(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    if in_plane:
        sheet = _sheet(mask, rim=False)
        named, n = ndimage.label(sheet, structure=_PLANE)
    else:
        named, n = ndimage.label(_tower(mask), structure=_VOLUME)
    if n == 0:
        return Components(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    sizes = np.bincount(named.ravel(), minlength=n + 1)[1:]
    boxes = ndimage.find_objects(named)
    axis, rows = (0, mask.shape[0] + 1) if in_plane else (2, mask.shape[2] + 1)
    owner = np.array([box[axis].start // rows for box in boxes])
    cells = int(np.prod(shape))
    count = np.bincount(owner[sizes >= min_voxels], minlength=cells)
    largest = np.zeros(cells, np.int64)
    np.maximum.at(largest, owner, sizes)
    stray = np.bincount(owner, weights=sizes, minlength=cells).astype(np.int64) - largest
    return Components(count.reshape(shape), stray.reshape(shape))


def hole_voxels(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count voxels that a structure encloses within its slice without containing them.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z, t)

    Returns
    -------
    ndarray of int, shape (z, t)
    """
    if mask.size == 0:
        return np.zeros(mask.shape[2:], np.int64)
    background = ~_sheet(mask, rim=True)
    # 4 neighbours, as goes with 8 for structures. The rims make all that is outside one piece.
    named, _ = ndimage.label(background)
    holes = (background & (named != named[0, 0])).reshape(*mask.shape[2:], -1)
    return np.count_nonzero(holes, axis=-1)


def boundary_contacts(
    labels: NDArray[np.uint8], code: Code, *, others: Iterable[Code]
) -> tuple[NDArray[np.int64], dict[Code, NDArray[np.int64]]]:
    """Count the in-plane boundary edges of a structure and what lies beyond them.

    An edge is a side shared by a voxel of the structure and a voxel that is not (4 neighbours);
    the border of the array counts as background.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
    code
        The structure whose boundary is walked.
    others
        Codes that may lie beyond, background included.

    Returns
    -------
    edges : ndarray of int, shape (z, t)
        All boundary edges.
    by_neighbour
        Code beyond the edge -> edges, shape (z, t) each.
    """
    padded = np.pad(labels, ((1, 1), (1, 1), (0, 0), (0, 0)))
    inside = padded == code
    by_neighbour = {
        other: np.zeros(labels.shape[2:], np.int64) for other in others if other != code
    }
    for axis in (0, 1):
        first = [slice(None)] * 4
        second = [slice(None)] * 4
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        here, there = tuple(first), tuple(second)
        for own, beyond in ((inside[here], padded[there]), (inside[there], padded[here])):
            for other, total in by_neighbour.items():
                total += np.count_nonzero(own & (beyond == other), axis=(0, 1))
    edges = np.sum(list(by_neighbour.values()), axis=0)
    return edges, by_neighbour


def touching(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return in which slices two structures share a side of a voxel.

    Parameters
    ----------
    one, other : ndarray of bool, shape (x, y, z, t)

    Returns
    -------
    ndarray of bool, shape (z, t)
    """
    found = np.zeros(one.shape[2:], dtype=bool)
    for a, b in ((one, other), (other, one)):
        found |= (a[1:] & b[:-1]).any(axis=(0, 1)) | (a[:, 1:] & b[:, :-1]).any(axis=(0, 1))
    return found


def slice_centres_mm(mask: NDArray[np.bool_], *, spacing_mm: Sequence[float]) -> Floats:
    """Centre of mass of a structure in each slice.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z, t)
    spacing_mm
        At least the spacing along x and y.

    Returns
    -------
    ndarray, shape (z, t, 2)
        x and y in mm from the first voxel; NaN in slices without the structure.
    """
    along_x = mask.sum(axis=1, dtype=np.int64)
    along_y = mask.sum(axis=0, dtype=np.int64)
    total = along_x.sum(axis=0)
    x = np.einsum("x,xzt->zt", np.arange(mask.shape[0], dtype=float), along_x)
    y = np.einsum("y,yzt->zt", np.arange(mask.shape[1], dtype=float), along_y)
    sums = np.stack([x * spacing_mm[0], y * spacing_mm[1]], axis=-1)
    weight = total[..., None].astype(float)
    return np.divide(sums, weight, out=np.full_like(sums, np.nan), where=weight > 0)
