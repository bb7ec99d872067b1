"""Rigid, similarity and affine registration by intensities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.records import PopscanError
from popscan.register.itk import Spacing, check_pair, one_thread, to_image

Kind = Literal["rigid", "similarity", "affine"]
Metric = Literal["correlation", "mean_squares", "mutual_information"]

#: By the number of axes and the kind.
_TRANSFORMS: dict[tuple[int, str], Callable[[], Any]] = {
    (3, "rigid"): sitk.Euler3DTransform,
    (3, "similarity"): sitk.Similarity3DTransform,
    (3, "affine"): lambda: sitk.AffineTransform(3),
    (2, "rigid"): sitk.Euler2DTransform,
    (2, "similarity"): sitk.Similarity2DTransform,
    (2, "affine"): lambda: sitk.AffineTransform(2),
}


@one_thread()
def register_rigid(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Spacing,
    moving_spacing_mm: Spacing | None = None,
    kind: Kind = "rigid",
    metric: Metric = "correlation",
    initial: ArrayLike | None = None,
    shrink_factors: tuple[int, ...] = (2, 1),
    n_iterations: int = 100,
) -> NDArray[np.float64]:
    """Find the transform that aligns two images.

    Parameters
    ----------
    fixed, moving : array_like, shape (x, y, z)
        Finite images; the grids may differ.
    spacing_mm, moving_spacing_mm
        Voxel distances of `fixed` and of `moving` (by default the same).
    kind
        Rotation and translation; with one scale; or any affine map.
    metric
        What is optimised over all voxels: (squared) correlation allows for a gain and an offset.
    initial : array_like, shape (4, 4), optional
        Where to start, e.g. from landmarks; by default the centres of mass are aligned.
    shrink_factors
        Coarse to fine.
    n_iterations
        At most so many steps per level.

    Returns
    -------
    ndarray of float64, shape (4, 4)
        Millimetres of `fixed` -> millimetres of `moving`.

    Raises
    ------
    PopscanError
        For images of other than three axes or with NaN, and for an `initial` that mirrors.
    """
    check_pair(fixed, moving, same_grid=False)
    return rigid_matrix(
        fixed, moving, spacing_mm=spacing_mm, moving_spacing_mm=moving_spacing_mm, kind=kind,
        metric=metric, initial=initial, shrink_factors=shrink_factors, n_iterations=n_iterations,
    )  # fmt: skip


def rigid_matrix(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Spacing,
    moving_spacing_mm: Spacing | None = None,
    kind: Kind,
    metric: Metric,
    initial: ArrayLike | None = None,
    shrink_factors: tuple[int, ...],
    n_iterations: int,
) -> NDArray[np.float64]:
    """Run `register_rigid` on checked images of two or three axes, in the caller's threads."""
    fixed_image = to_image(fixed, spacing_mm)
    moving_image = to_image(moving, moving_spacing_mm or spacing_mm)
    start = _start(fixed_image, moving_image, kind, initial)
    method = sitk.ImageRegistrationMethod()
    {
        "correlation": method.SetMetricAsCorrelation,
        "mean_squares": method.SetMetricAsMeanSquares,
        "mutual_information": method.SetMetricAsMattesMutualInformation,
    }[metric]()
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsLBFGSB(numberOfIterations=n_iterations)
    method.SetShrinkFactorsPerLevel(list(shrink_factors))
    method.SetSmoothingSigmasPerLevel([0.5 * factor for factor in shrink_factors])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed_image, moving_image)
    return _matrix(start)


def resample_affine(
    image: ArrayLike,
    matrix: ArrayLike,
    *,
    spacing_mm: Spacing,
    shape: tuple[int, int, int],
    output_spacing_mm: Spacing,
    order: int = 1,
    fill: float = 0.0,
) -> NDArray[np.float32]:
    """Resample an image through an affine transform.

    Parameters
    ----------
    image : array_like, shape (x, y, z)
        The moving image.
    matrix : array_like, shape (4, 4)
        Millimetres of the output grid -> millimetres of `image`.
    spacing_mm
        Of `image`.
    shape, output_spacing_mm
        The output grid.
    order
        0 nearest, 1 linear, 3 cubic.
    fill
        Value outside `image`.

    Returns
    -------
    ndarray of float32
        The image on the output grid.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    inverse_spacing = 1.0 / np.asarray(spacing_mm, dtype=np.float64)
    linear = inverse_spacing[:, np.newaxis] * matrix[:3, :3] * np.asarray(output_spacing_mm)
    return ndimage.affine_transform(
        np.asarray(image, dtype=np.float32),
        linear,
        offset=inverse_spacing * matrix[:3, 3],
        output_shape=shape,
        order=order,
        mode="constant",
        cval=fill,
    )


def _start(
    fixed: sitk.Image, moving: sitk.Image, kind: Kind, initial: ArrayLike | None
) -> sitk.Transform:
    transform = _TRANSFORMS[fixed.GetDimension(), kind]()
    if initial is None:
        moments = sitk.CenteredTransformInitializerFilter.MOMENTS
        aligned = sitk.CenteredTransformInitializer(fixed, moving, transform, moments)
        return type(transform)(aligned)
    matrix = np.asarray(initial, dtype=np.float64)
    if kind != "affine" and np.linalg.det(matrix[:3, :3]) < 0:
        raise PopscanError(f"a {kind} registration cannot start from a mirroring transform")
    centre = np.asarray(
        fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    )
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    moved = matrix[:3, :3] @ centre + matrix[:3, 3]
    transform.SetTranslation((moved - centre).tolist())
    return transform


def _matrix(transform: sitk.Transform) -> NDArray[np.float64]:
    axes = transform.GetDimension()
    matrix = np.eye(axes + 1)
    origin = np.asarray(transform.TransformPoint((0.0,) * axes))
    for axis in range(axes):
        unit = tuple(np.eye(axes)[axis])
        matrix[:axes, axis] = np.asarray(transform.TransformPoint(unit)) - origin
    matrix[:axes, axes] = origin
    return matrix
