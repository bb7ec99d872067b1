"""What a registration method gets: pairs of images on one grid, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import PopscanError, SubjectError

Floats32 = NDArray[np.float32]

#: Largest intensity: distances raise it to the fourth power.
LARGEST = 1e8


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of images on one grid of two or three axes.

    Attributes
    ----------
    fixed, moving : ndarray of float32, shape (n, x, y) or (n, x, y, z)
        Finite images.
    spacing_mm
        One distance per axis.
    """

    fixed: Floats32
    moving: Floats32
    spacing_mm: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.fixed.shape[1:]


def check_pairs(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    moving_spacing_mm: Sequence[float] | None = None,
    least_voxels: Sequence[int] | None = None,
) -> Pairs:
    """Check images that are to be registered.

    Parameters
    ----------
    fixed, moving : array_like, shape (n, x, y) or (n, x, y, z)
        Images, one pair per entry of the first axis.
    spacing_mm
        Voxel distances, one per axis behind the first.
    moving_spacing_mm
        Those of `moving`; they must be the same.
    least_voxels
        Fewest along each axis; by default 2.

    Raises
    ------
    SubjectError
        ``bad_spacing``, ``bad_shape``, ``shape_mismatch``, ``non_finite_image``, ``bad_image``.
    """
    spacing = _spacing(spacing_mm)
    if moving_spacing_mm is not None and not np.allclose(
        _spacing(moving_spacing_mm), spacing, rtol=1e-4
    ):
        raise SubjectError(
            "bad_spacing",
            f"the fixed image has voxels of {_mm(spacing)} mm and the moving image of "
            f"{_mm(moving_spacing_mm)} mm: expected one grid, resample one of them first",
        )
    least = tuple(least_voxels or (2,) * len(spacing))[: len(spacing)]
    pair = [
        _images(name, array, spacing, least)
        for name, array in (("fixed", fixed), ("moving", moving))
    ]
    if pair[0].shape != pair[1].shape:
        raise SubjectError(
            "shape_mismatch",
            f"fixed images of shape {pair[0].shape} and moving images of shape {pair[1].shape}: "
            "expected as many of both, on one grid",
        )
    return Pairs(fixed=pair[0], moving=pair[1], spacing_mm=spacing)


def _spacing(spacing_mm: Sequence[float]) -> tuple[float, ...]:
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) not in (2, 3) or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise SubjectError(
            "bad_spacing",
            f"voxel spacing {spacing}: expected two or three positive distances in mm",
        )
    return spacing


def _mm(spacing_mm: Sequence[float]) -> str:
    return " x ".join(f"{s:g}" for s in spacing_mm)


def _images(
    name: str, array: ArrayLike, spacing: tuple[float, ...], least: tuple[int, ...]
) -> Floats32:
    if np.iscomplexobj(array):
        raise SubjectError("bad_image", f"the {name} image is complex: expected magnitudes")
    values = np.asarray(array, dtype=np.float32)
    axes = len(spacing)
    if (
        values.ndim != axes + 1
        or len(values) < 1
        or any(n < fewest for n, fewest in zip(values.shape[1:], least, strict=True))
    ):
        raise SubjectError(
            "bad_shape",
            f"{name} images of shape {values.shape} cannot be registered: expected pairs along "
            f"the first of {axes + 1} axes, and at least {' x '.join(map(str, least))} voxels",
        )
    if not np.isfinite(values).all():
        raise SubjectError("non_finite_image", f"the {name} image holds NaN or infinite values")
    if np.abs(values).max(initial=0.0) > LARGEST:
        raise SubjectError(
            "bad_image",
            f"the {name} image has values up to {np.abs(values).max():.3g}: expected about 1 to "
            f"some thousands, at most {LARGEST:g}, whose powers single precision holds",
        )
    return values


def check_levels(
    method: str, n_iterations: Sequence[int], levels_mm: Sequence[float] | None = None
) -> None:
    """Refuse numbers of iterations, and levels, that a search cannot have.

    Parameters
    ----------
    method
        For the message.
    n_iterations
        One per level, from 0.
    levels_mm
        Resolutions; None for a method whose levels follow from the number of iterations.

    Raises
    ------
    PopscanError
        Without a level, for numbers that are not whole or below 0, for other numbers of levels,
        and for a resolution that is not above 0.
    """
    if levels_mm is not None and len(levels_mm) != len(n_iterations):
        raise PopscanError(
            f"{method}: {len(levels_mm)} levels_mm and {len(n_iterations)} n_iterations: expected "
            "one number of iterations per level"
        )
    if not n_iterations:
        raise PopscanError(f"{method}: n_iterations is empty: expected one number per level")
    if any(isinstance(n, bool) or not isinstance(n, Integral) or n < 0 for n in n_iterations):
        raise PopscanError(
            f"{method}: n_iterations {tuple(n_iterations)}: whole numbers from 0 are expected"
        )
    if any(not (math.isfinite(mm) and mm > 0) for mm in levels_mm or ()):
        raise PopscanError(f"{method}: levels_mm {levels_mm}: numbers above 0 are expected")
