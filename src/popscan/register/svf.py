"""Diffeomorphic registration by a stationary velocity field, on torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError
from popscan.register.distances import Distance
from popscan.register.distances import distance as distance_of
from popscan.register.flows import Tensor, exponential, laplacian, on_grid, sample, smooth
from popscan.register.pairs import Pairs, check_levels, check_pairs
from popscan.register.velocities import Grid, unfolded
from popscan.register.warp import Warp

#: Squarings of the exponential while searching: 2^4 steps.
_ROUGH = 4
#: Adam's: shares of the mean slope and of its square that a step keeps, and a floor.
_KEPT_MEAN, _KEPT_SQUARE, _LEAST_SLOPE = 0.9, 0.99, 1e-12
#: Of a pair's root mean square slope, what each of its slopes counts as at least.
_FLOOR = 1.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is minimised over the velocity: distances of images and labels, bending, a prior.

    The prior takes displacements (n, axes, ...) in half extents and their grid, and returns what
    each costs, (n,).
    """

    distance: Distance
    stiffness: float
    smoothing_mm: float
    label_weight: float = 0.0
    prior: Callable[[Tensor, Grid], Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """How it is minimised."""

    levels_mm: tuple[float, ...]
    n_iterations: tuple[int, ...]
    control_mm: float
    step_mm: float
    device: str


def svf(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    distance: str = "mixed",
    levels_mm: tuple[float, ...] = (6.0, 3.0),
    n_iterations: tuple[int, ...] = (20, 15),
    control_mm: float = 6.0,
    smoothing_mm: float = 6.0,
    stiffness: float = 0.08,
    step_mm: float = 1.5,
    fixed_labels: ArrayLike | None = None,
    moving_labels: ArrayLike | None = None,
    label_weight: float = 1.0,
    device: str = "cpu",
) -> Warp:
    """Register by the exponential of a stationary velocity, coarse to fine.

    Arsigny V et al. A log-Euclidean framework for statistics on diffeomorphisms. MICCAI 2006.
    Vercauteren T et al. Symmetric log-domain diffeomorphic registration. MICCAI 2008. The distance
    is taken in both directions, so that exchanging the images inverts the result; all pairs are
    optimised at once, each on its own. A field that folds is smoothed until it does not.

    Parameters
    ----------
    fixed, moving
        As for every method: `popscan.register.METHODS`. Intensities of about 0 to 1.
    spacing_mm
        Voxel distances, one per axis.
    distance
        A name of `popscan.register.distances.DISTANCES`.
    levels_mm
        Resolution of each level; axes that are coarser stay as they are.
    n_iterations
        Steps per level.
    control_mm
        Grid of the velocity.
    smoothing_mm
        Standard deviation of the Gaussian that every velocity went through.
    stiffness
        Weight of the velocity's mean squared gradient beside the distance.
    step_mm
        Of a first step, in mm of the velocity before smoothing.
    fixed_labels, moving_labels : array_like, shape (n, k, x, y) or (n, k, x, y, z), optional
        Memberships of k structures, 0 to 1; their mean squared difference is added.
    label_weight
        Weight of that.
    device
        ``cpu``, ``cuda``.

    Returns
    -------
    Warp
        With its inverse, and the velocity in mm on its own grid.

    Raises
    ------
    SubjectError
        As `popscan.register.check_pairs`; ``shape_mismatch`` for labels of another grid;
        ``registration_failed`` where the velocity diverges.
    PopscanError
        For an unknown distance, or numbers of iterations that are not those of the levels.
    """
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    terms = Terms(
        distance=distance_of(distance),
        label_weight=label_weight,
        stiffness=stiffness,
        smoothing_mm=smoothing_mm,
    )
    search = Search(
        levels_mm=levels_mm,
        n_iterations=n_iterations,
        control_mm=control_mm,
        step_mm=step_mm,
        device=device,
    )
    return searched(pairs, terms, search, fixed_labels, moving_labels)


def searched(
    pairs: Pairs,
    terms: Terms,
    search: Search,
    fixed_labels: ArrayLike | None = None,
    moving_labels: ArrayLike | None = None,
) -> Warp:
    """Return the transforms of the best velocities; errors as `svf`."""
    levels_mm, n_iterations = search.levels_mm, search.n_iterations
    check_levels("svf", n_iterations, levels_mm)
    full = Grid(shape=pairs.shape, spacing_mm=pairs.spacing_mm)
    where = torch.device(search.device)
    images = [_tensor(array[:, None], where) for array in (pairs.fixed, pairs.moving)]
    labels = [_labels(array, pairs.fixed, where) for array in (fixed_labels, moving_labels)]
    if (labels[0] is None) != (labels[1] is None) or _channels(labels[0]) != _channels(labels[1]):
        raise SubjectError("shape_mismatch", "labels of the fixed and of the moving image differ")
    control = Grid.of(full, search.control_mm)
    velocity = torch.zeros((len(pairs.fixed), len(full.shape), *control.shape), device=where)
    with torch.no_grad():
        for level_mm, n_steps in zip(levels_mm, n_iterations, strict=True):
            grid = Grid.of(full, level_mm)
            views = [seen(image, full, grid) for image in images]
            parts = [None if part is None else seen(part, full, grid) for part in labels]
            velocity = _descend(
                velocity,
                views,
                parts,
                control=control,
                grid=grid,
                terms=terms,
                n_steps=n_steps,
                step_mm=search.step_mm,
            )
        return unfolded(velocity, control, full)


def _tensor(array: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)


def _labels(
    array: ArrayLike | None, like: NDArray[np.float32], device: torch.device
) -> Tensor | None:
    if array is None:
        return None
    values = np.asarray(array, dtype=np.float32)
    if values.ndim != like.ndim + 1 or (values.shape[0], *values.shape[2:]) != like.shape:
        raise SubjectError(
            "shape_mismatch",
            f"labels of shape {values.shape} go with images of shape {like.shape}: expected "
            "(n, structures, ...) on their grid",
        )
    return _tensor(values, device)


def _channels(labels: Tensor | None) -> int:
    return 0 if labels is None else int(labels.shape[1])


def seen(images: Tensor, full: Grid, grid: Grid) -> Tensor:
    """Smooth against aliasing and resample."""
    ratios = [n / f for n, f in zip(grid.spacing_mm, full.spacing_mm, strict=True)]
    return on_grid(smooth(images, [0.4 * r if r > 1.2 else 0.0 for r in ratios]), grid.shape)


def _descend(
    start: Tensor,
    images: Sequence[Tensor],
    labels: Sequence[Tensor | None],
    *,
    control: Grid,
    grid: Grid,
    terms: Terms,
    n_steps: int,
    step_mm: float,
) -> Tensor:
    """Improve a velocity (n, axes, ...), in mm, by Adam on what is added to it before smoothing.

    A change of the velocity is taken to change the displacement as much, as demons do: the slope
    through the exponential costs three times as much and ends no better.
    """
    rough, mean, square = (torch.zeros_like(start) for _ in range(3))
    half, width = control.half(start.device), control.voxels(terms.smoothing_mm)
    velocity = start
    for step in range(1, n_steps + 1):
        if not torch.isfinite(velocity).all():
            # torch's own gradient of sampling at NaN ends the process.
            raise SubjectError("registration_failed", "svf: the velocity diverged to NaN")
        both = exponential(torch.cat([velocity, -velocity]) / half, n_steps=_ROUGH)
        slope = _slope(both, images, labels, terms=terms, grid=grid, control=control) / half
        slope = slope - 2 * terms.stiffness / slope[0, 0].numel() * laplacian(
            velocity, control.spacing_mm
        )
        slope = smooth(slope, width)
        mean = _KEPT_MEAN * mean + (1 - _KEPT_MEAN) * slope
        square = _KEPT_SQUARE * square + (1 - _KEPT_SQUARE) * slope**2
        scale = _scale(square / (1 - _KEPT_SQUARE**step))
        rough = rough - step_mm / (1 - _KEPT_MEAN**step) * mean / scale
        velocity = start + smooth(rough, width)
    return velocity


def _scale(square: Tensor) -> Tensor:
    """Return what slopes are divided by, from their mean squares.

    Adam's, but never below a share of the pair's own mean: where an image is flat the slope is
    noise, and steps of full length would let the field drift there.
    """
    whole = square.flatten(1).mean(dim=1).reshape(-1, *[1] * (square.ndim - 1))
    return (square + _FLOOR**2 * whole).sqrt() + _LEAST_SLOPE


def _slope(
    both: Tensor,
    images: Sequence[Tensor],
    labels: Sequence[Tensor | None],
    *,
    terms: Terms,
    grid: Grid,
    control: Grid,
) -> Tensor:
    """Slope of all terms along the displacement there, less that along the one back."""
    both.requires_grad_()
    with torch.enable_grad():
        ahead, back = on_grid(both, grid.shape).chunk(2)
        cost = _apart(
            images[0],
            images[1],
            labels[0],
            moving_labels=labels[1],
            displacement=ahead,
            grid=grid,
            terms=terms,
        )
        cost = cost + _apart(
            images[1],
            images[0],
            labels[1],
            moving_labels=labels[0],
            displacement=back,
            grid=grid,
            terms=terms,
        )
        if terms.prior is not None:
            cost = cost + terms.prior(both, control).view(2, -1).sum(dim=0)
        (slope,) = torch.autograd.grad(cost.sum(), both)
    there, from_there = slope.chunk(2)
    return there - from_there


def _apart(
    fixed: Tensor,
    moving: Tensor,
    fixed_labels: Tensor | None,
    *,
    moving_labels: Tensor | None,
    displacement: Tensor,
    grid: Grid,
    terms: Terms,
) -> Tensor:
    cost = terms.distance(fixed, sample(moving, displacement), spacing_mm=grid.spacing_mm)
    if fixed_labels is not None and moving_labels is not None:
        difference = fixed_labels - sample(moving_labels, displacement)
        cost = cost + terms.label_weight * (difference**2).sum(dim=1).flatten(1).mean(dim=1)
    return cost
