"""Registration methods of SimpleITK behind the one interface: rigid, affine, demons, B-spline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from popscan.register.demons import demons_field
from popscan.register.itk import from_field, one_thread, to_image
from popscan.register.pairs import Pairs, check_pairs
from popscan.register.rigid import Kind, Metric, rigid_matrix
from popscan.register.warp import Warp


def rigid(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    metric: Metric = "correlation",
    shrink_factors: tuple[int, ...] = (2, 1),
    n_iterations: int = 100,
) -> Warp:
    """Rotate and shift each moving image onto its fixed one.

    Options as `popscan.register.register_rigid`; `popscan.register.METHODS` says what goes in and
    comes out.
    """
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    return _affine(pairs, "rigid", metric, shrink_factors, n_iterations)


def affine(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    metric: Metric = "correlation",
    shrink_factors: tuple[int, ...] = (2, 1),
    n_iterations: int = 100,
) -> Warp:
    """Map each moving image onto its fixed one by any affine map; options as `rigid`."""
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    return _affine(pairs, "affine", metric, shrink_factors, n_iterations)


@one_thread()
def _affine(
    pairs: Pairs, kind: Kind, metric: Metric, shrink_factors: tuple[int, ...], n_iterations: int
) -> Warp:
    matrix = np.stack(
        [
            rigid_matrix(
                one, other, spacing_mm=pairs.spacing_mm, kind=kind, metric=metric,
                shrink_factors=shrink_factors, n_iterations=n_iterations,
            )
            for one, other in zip(pairs.fixed, pairs.moving, strict=True)
        ]
    )  # fmt: skip
    return Warp.affine(matrix, pairs.shape, spacing_mm=pairs.spacing_mm)


@one_thread()
def demons(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    n_iterations: tuple[int, ...] = (30, 10),
    smoothing_mm: float = 4.0,
    max_step_mm: float = 5.0,
    first_order: bool = False,
) -> Warp:
    """Register by diffeomorphic demons; options as `popscan.register.register_demons`."""
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    fields = [
        demons_field(
            one, other, spacing_mm=pairs.spacing_mm, n_iterations=n_iterations,
            smoothing_mm=smoothing_mm, max_step_mm=max_step_mm, first_order=first_order,
        )
        for one, other in zip(pairs.fixed, pairs.moving, strict=True)
    ]  # fmt: skip
    return Warp(displacement_mm=np.stack(fields), spacing_mm=pairs.spacing_mm)


@one_thread()
def ffd(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    control_spacing_mm: float = 20.0,
    metric: Literal["mean_squares", "correlation", "mutual_information"] = "mean_squares",
    shrink_factors: tuple[int, ...] = (4, 2),
    n_iterations: int = 30,
) -> Warp:
    """Register by free-form deformation: cubic B-splines on a grid of control points.

    Rueckert D et al. Nonrigid registration using free-form deformations: application to breast MR
    images. IEEE Trans Med Imaging 18:712-721, 1999. Nothing keeps it from folding.

    Parameters
    ----------
    control_spacing_mm
        Distance of control points; at least one cell of four voxels per axis.
    metric
        What is optimised.
    shrink_factors
        Coarse to fine; the transform's grid stays.
    n_iterations
        At most so many steps per level.
    """
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    fields = [
        _ffd(
            one,
            other,
            pairs.spacing_mm,
            control_spacing_mm=control_spacing_mm,
            metric=metric,
            shrink_factors=shrink_factors,
            n_iterations=n_iterations,
        )
        for one, other in zip(pairs.fixed, pairs.moving, strict=True)
    ]
    return Warp(displacement_mm=np.stack(fields), spacing_mm=pairs.spacing_mm)


def _ffd(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    spacing_mm: tuple[float, ...],
    *,
    control_spacing_mm: float,
    metric: str,
    shrink_factors: tuple[int, ...],
    n_iterations: int,
) -> NDArray[np.float64]:
    one, other = to_image(fixed, spacing_mm), to_image(moving, spacing_mm)
    cells = [
        max(1, round(n * s / control_spacing_mm))
        for n, s in zip(fixed.shape, spacing_mm, strict=True)
    ]
    transform = sitk.BSplineTransformInitializer(one, cells, order=3)
    method = sitk.ImageRegistrationMethod()
    {
        "correlation": method.SetMetricAsCorrelation,
        "mean_squares": method.SetMetricAsMeanSquares,
        "mutual_information": method.SetMetricAsMattesMutualInformation,
    }[metric]()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsLBFGSB(numberOfIterations=n_iterations)
    # Short axes stay: slices are few.
    method.SetShrinkFactorsPerLevel(list(shrink_factors))
    method.SetSmoothingSigmasPerLevel([0.5 * factor for factor in shrink_factors])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(one, other)
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, one.GetSize(), one.GetOrigin(), one.GetSpacing(),
        one.GetDirection(),
    )  # fmt: skip
    return from_field(field)
