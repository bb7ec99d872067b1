"""Volumes as cubes of slices: one pack from which stacks in any plane are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.cuts import PLANES
from popscan.arrays.resampling import resampling_matrix
from popscan.records import LabelMap
from popscan.train.packs import Case, Pack


def cube_case(case: Case, *, spacing_mm: float, size: int, table: NDArray[np.uint8]) -> Case:
    """Return a volume's first frame on a cube of `size` voxels around its labels.

    Parameters
    ----------
    case
        A volume in RAS orientation.
    spacing_mm
        Of the cube, along every axis.
    size
        Its side in voxels; what lies beyond is cut off, what is missing is 0.
    table : ndarray of uint8, shape (256,)
        Label of the case -> label of the cube.
    """
    scan = case.scan
    shape = [max(1, round(n * s / spacing_mm)) for n, s in zip(
        scan.array.shape[:3], scan.spacing_mm, strict=True
    )]  # fmt: skip
    stored = np.array(scan.array[..., 0], dtype=np.float32)
    volume = _resampled(torch.from_numpy(stored), shape, mode="bilinear").numpy()
    labels = _nearest(table[case.labels.array[..., 0]], shape)
    corner = _corner(labels, size)
    affine = scan.affine.copy()
    scale = [spacing_mm / s for s in scan.spacing_mm]
    affine[:3, :3] = scan.affine[:3, :3] * scale
    # Fields of view are kept: half a voxel of either size lies before the first centre.
    first = np.array(corner) * scale + (np.array(scale) - 1) / 2
    affine[:3, 3] = scan.affine[:3, :3] @ first + scan.affine[:3, 3]
    return replace(
        case,
        scan=replace(
            scan,
            array=_cut(volume, corner, size)[..., None],
            affine=affine,
            spacing_mm=(spacing_mm, spacing_mm, spacing_mm),
        ),
        labels=LabelMap(array=_cut(labels, corner, size)[..., None], frames=(0,)),
    )


def _resampled(volume: torch.Tensor, shape: list[int], *, mode: str) -> torch.Tensor:
    for axis, n in enumerate(shape):
        if volume.shape[axis] != n:
            matrix = resampling_matrix(volume.shape[axis], n, mode=mode, antialias=True)
            volume = torch.tensordot(matrix.to(volume), volume, dims=([1], [axis])).movedim(0, axis)
    return volume


def _nearest(labels: NDArray[np.uint8], shape: list[int]) -> NDArray[np.uint8]:
    index = [
        np.clip(((np.arange(n) + 0.5) * m / n).astype(int), 0, m - 1)
        for n, m in zip(shape, labels.shape, strict=True)
    ]
    return np.asarray(labels[np.ix_(*index)])


def _corner(labels: NDArray[np.uint8], size: int) -> list[int]:
    """Return where a cube around the labels begins; around the middle where there are none."""
    corner = []
    for axis in range(3):
        hit = np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = (int(hit[0]), int(hit[-1])) if hit.size else (0, labels.shape[axis] - 1)
        corner.append((low + high + 1 - size) // 2)
    return corner


def _cut(volume: NDArray[Any], corner: list[int], size: int) -> NDArray[Any]:
    out = np.zeros((size, size, size), volume.dtype)
    inner, outer = [], []
    for first, n in zip(corner, volume.shape, strict=True):
        low, high = max(0, first), min(n, first + size)
        outer.append(slice(low, high))
        inner.append(slice(low - first, high - first))
    out[tuple(inner)] = volume[tuple(outer)]
    return out


def turned(pack: Pack, plane: str) -> Pack:
    """Return a pack of cubes with their slices in another plane.

    Parameters
    ----------
    pack
        As many slices per subject as a slice has rows and columns, in axial order.
    plane
        A key of `PLANES`.
    """
    axes = PLANES[plane]
    if axes == PLANES["axial"]:
        return pack
    images, labels = np.empty_like(pack.images), np.empty_like(pack.labels)
    for own in stacks_of_units(pack).values():
        for source, out in ((pack.images, images), (pack.labels, labels)):
            out[own] = np.moveaxis(np.moveaxis(source[own], 0, 2).transpose(axes), 2, 0)
    return replace(pack, images=images, labels=labels)


def back_turned(slices: torch.Tensor, plane: str) -> torch.Tensor:
    """Return the scores of a cube's slices (n, label, x, y) as (label, x, y, z)."""
    axes = PLANES[plane]
    order = [axes.index(axis) for axis in range(3)]
    return slices.permute(1, 2, 3, 0).permute(0, *(1 + axis for axis in order))


def stacks_of_units(pack: Pack) -> Mapping[str, slice]:
    """Return which rows each subject's slices are, in the order of the pack."""
    if not len(pack):
        return {}
    new = np.flatnonzero(np.concatenate([[True], pack.unit[1:] != pack.unit[:-1]]))
    stop = [*new[1:].tolist(), len(pack)]
    return {str(pack.unit[a]): slice(int(a), int(b)) for a, b in zip(new, stop, strict=True)}
