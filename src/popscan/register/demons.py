"""Free registration of images on one grid: diffeomorphic demons, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from popscan.register.fields import Field
from popscan.register.itk import Spacing, check_pair, from_field, one_thread, to_field, to_image
from popscan.register.pairs import check_levels


@one_thread()
def register_demons(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Spacing,
    n_iterations: Sequence[int] = (30, 10),
    smoothing_mm: float = 4.0,
    max_step_mm: float = 5.0,
    first_order: bool = False,
    initial: ArrayLike | None = None,
) -> Field:
    """Register two images by diffeomorphic demons (Vercauteren et al. 2009).

    Vercauteren T, Pennec X, Perchant A, Ayache N. Diffeomorphic demons: efficient non-parametric
    image registration. NeuroImage 45:S61-S72, 2009. Each update is an exponential composed with
    the field so far; the field is then smoothed.

    Parameters
    ----------
    fixed, moving : array_like, shape (x, y, z)
        Images of comparable intensities on the same grid, finite.
    spacing_mm
        Of that grid.
    n_iterations
        Steps per level; the last level has the full resolution, each one before it half that of
        the next.
    smoothing_mm
        Standard deviation of the Gaussian that regularises the displacement; larger is stiffer.
    max_step_mm
        Longest displacement within one update.
    first_order
        Whether an update is taken for its own exponential: half of the time, and nothing folds as
        long as its steps are about a voxel at most.
    initial : array_like, shape (x, y, z, 3), optional
        Displacement to start from.

    Returns
    -------
    ndarray of float64, shape (x, y, z, 3)
        Displacement in mm such that ``warp_image(moving, field)`` resembles `fixed`; 0 for equal
        images.

    Raises
    ------
    PopscanError
        For images of other than three axes, of different shapes or with NaN.
    """
    check_pair(fixed, moving, same_grid=True)
    return demons_field(
        fixed, moving, spacing_mm=spacing_mm, n_iterations=n_iterations,
        smoothing_mm=smoothing_mm, max_step_mm=max_step_mm, first_order=first_order,
        initial=initial,
    )  # fmt: skip


def demons_field(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Spacing,
    n_iterations: Sequence[int],
    smoothing_mm: float,
    max_step_mm: float,
    first_order: bool = False,
    initial: ArrayLike | None = None,
) -> Field:
    """Run `register_demons` on checked images of two or three axes, in the caller's threads."""
    check_levels("demons", n_iterations)
    images = [to_image(array, spacing_mm) for array in (fixed, moving)]
    field = None if initial is None else to_field(initial, spacing_mm)
    for level, n_steps in enumerate(n_iterations):
        shrink = 2 ** (len(n_iterations) - 1 - level)
        small = [_shrunk(image, shrink) for image in images]
        if field is not None:
            field = _on_grid_of(field, small[0])
        if n_steps > 0:
            field = _demons(
                small, field, n_steps, smoothing_mm, max_step_mm, first_order=first_order
            )
    if field is None:
        return np.zeros((*np.shape(fixed), np.ndim(fixed)))
    return from_field(_on_grid_of(field, images[0]))


def _shrunk(image: sitk.Image, factor: int) -> sitk.Image:
    # Short axes stay: fewer than eight voxels cannot carry a gradient and its smoothing.
    factors = [factor if n >= 8 * factor else 1 for n in image.GetSize()]
    if max(factors) == 1:
        return image
    shrinker = sitk.BinShrinkImageFilter()
    shrinker.SetShrinkFactors(factors)
    return shrinker.Execute(image)


def _on_grid_of(field: sitk.Image, reference: sitk.Image) -> sitk.Image:
    if field.GetSize() == reference.GetSize() and field.GetOrigin() == reference.GetOrigin():
        return field
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(reference)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetUseNearestNeighborExtrapolator(True)
    return resampler.Execute(field)


def _demons(
    images: Sequence[sitk.Image],
    field: sitk.Image | None,
    n_steps: int,
    smoothing_mm: float,
    max_step_mm: float,
    *,
    first_order: bool,
) -> sitk.Image:
    spacing = images[0].GetSpacing()
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(int(n_steps))
    demons.SetSmoothDisplacementField(smoothing_mm > 0)
    demons.SetStandardDeviations([max(smoothing_mm, 1e-6) / s for s in spacing])
    demons.SetMaximumUpdateStepLength(float(max_step_mm))
    demons.SetUseFirstOrderExp(bool(first_order))
    demons.SetIntensityDifferenceThreshold(1e-6)
    return demons.Execute(*images) if field is None else demons.Execute(*images, field)
