"""Affine and rigid registration by any distance, on torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from popscan.records import PopscanError, SubjectError
from popscan.register.distances import Distance
from popscan.register.distances import distance as distance_of
from popscan.register.flows import Tensor, sample
from popscan.register.pairs import check_levels, check_pairs
from popscan.register.svf import seen
from popscan.register.velocities import Grid
from popscan.register.warp import Warp

#: Maps that can be searched.
KINDS = ("rigid", "affine")
#: Adam's shares of the mean slope and of its square that a step keeps, and a floor.
_KEPT_MEAN, _KEPT_SQUARE, _LEAST_SLOPE = 0.9, 0.99, 1e-9
#: Share of a level's first step that its last one has.
_LAST = 0.05


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What is minimised, and over which maps."""

    distance: Distance
    kind: str
    step_mm: float


def linear(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    distance: str = "mixed",
    kind: Literal["rigid", "affine"] = "affine",
    levels_mm: tuple[float, ...] = (8.0, 4.0),
    n_iterations: tuple[int, ...] = (60, 30),
    step_mm: float = 2.0,
    device: str = "cpu",
) -> Warp:
    """Map each moving image onto its fixed one by an affine map that a distance chooses.

    The map is the exponential of a matrix, so that it never turns an image inside out, and the
    distance is taken in both directions: exchanging the images inverts the result.

    Parameters
    ----------
    fixed, moving
        As for every method: `popscan.register.METHODS`. Intensities of about 0 to 1.
    spacing_mm
        Voxel distances, one per axis.
    distance
        A name of `popscan.register.distances.DISTANCES`.
    kind
        Maps that are searched: rotations and shifts, or all affine ones.
    levels_mm
        Resolution of each level; axes that are coarser stay as they are.
    n_iterations
        Steps per level.
    step_mm
        Of a first step of each level, as motion of points halfway to the border.
    device
        ``cpu``, ``cuda``.

    Returns
    -------
    Warp
        With its matrix, mm to mm.

    Raises
    ------
    SubjectError
        As `popscan.register.check_pairs`; ``registration_failed`` where the map diverges.
    PopscanError
        For an unknown distance or kind, numbers of iterations that are not those of the levels or
        below 0, and levels or a step that are not above 0.
    """
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    if kind not in KINDS:
        raise PopscanError(f"linear: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    check_levels("linear", n_iterations, levels_mm)
    if not (math.isfinite(step_mm) and step_mm > 0):
        raise PopscanError(f"linear: step_mm {step_mm}: a number above 0 is expected")
    full = Grid(shape=pairs.shape, spacing_mm=pairs.spacing_mm)
    search = _Search(distance=distance_of(distance), kind=kind, step_mm=step_mm)
    where = torch.device(device)
    images = [
        torch.from_numpy(np.ascontiguousarray(a[:, None], dtype=np.float32)).to(where)
        for a in (pairs.fixed, pairs.moving)
    ]
    axes = len(full.shape)
    found = torch.zeros((len(pairs.fixed), axes, axes + 1), device=where)
    for level_mm, n_steps in zip(levels_mm, n_iterations, strict=True):
        grid = Grid.of(full, level_mm)
        found = _descend(found, [seen(i, full, grid) for i in images], grid, search, n_steps)
    matrix = _about_corner(_exponential(found, search, full), full)
    return Warp.affine(matrix.cpu().numpy(), pairs.shape, spacing_mm=pairs.spacing_mm)


def _descend(
    start: Tensor, images: Sequence[Tensor], grid: Grid, search: _Search, n_steps: int
) -> Tensor:
    """Improve parameters (n, axes, axes + 1), in mm, by Adam; return the best that were seen."""
    now, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    best, least = start.clone(), torch.full((len(start),), math.inf, device=start.device)
    for step in range(1, n_steps + 1):
        now.requires_grad_()
        with torch.enable_grad():
            cost = _cost(now, images, grid, search)
            (slope,) = torch.autograd.grad(cost.sum(), now)
        now = now.detach()
        if not (torch.isfinite(slope).all() and torch.isfinite(cost).all()):
            raise SubjectError("registration_failed", "linear: the map diverged to NaN")
        better = cost.detach() < least
        least = torch.where(better, cost.detach(), least)
        best = torch.where(better.view(-1, 1, 1), now, best)
        mean = _KEPT_MEAN * mean + (1 - _KEPT_MEAN) * slope
        square = _KEPT_SQUARE * square + (1 - _KEPT_SQUARE) * slope**2
        # As in `svf`: of motions that hardly count, the slope is noise.
        mean_square = square.flatten(1).mean(dim=1).view(-1, 1, 1)
        length = ((square + mean_square) / (1 - _KEPT_SQUARE**step)).sqrt() + _LEAST_SLOPE
        fall = _LAST + (1 - _LAST) * (1 - (step - 1) / n_steps)
        now = now - search.step_mm * fall / (1 - _KEPT_MEAN**step) * mean / length
    return best


def _cost(parameters: Tensor, images: Sequence[Tensor], grid: Grid, search: _Search) -> Tensor:
    """Return both directions' distances, (n,)."""
    ahead, back = (
        _displacement(_exponential(sign * parameters, search, grid), grid) for sign in (1, -1)
    )
    fixed, moving = images
    return search.distance(
        fixed, sample(moving, ahead), spacing_mm=grid.spacing_mm
    ) + search.distance(moving, sample(fixed, back), spacing_mm=grid.spacing_mm)


def _exponential(parameters: Tensor, search: _Search, grid: Grid) -> Tensor:
    """Return matrices (n, axes + 1, axes + 1) about the middle of the grid, mm to mm.

    Parameters are motions in mm: shifts, and what points half a half extent away do.
    """
    axes = parameters.shape[1]
    reach = max(grid.extent_mm) / 4
    linear_part = parameters[:, :, :axes] / reach
    if search.kind == "rigid":
        linear_part = (linear_part - linear_part.transpose(1, 2)) / 2
    top = torch.cat([linear_part, parameters[:, :, axes:]], dim=2)
    return torch.matrix_exp(torch.cat([top, torch.zeros_like(top[:, :1])], dim=1))


def _displacement(matrix: Tensor, grid: Grid) -> Tensor:
    """Return displacements (n, axes, ...) in half extents."""
    axes = len(grid.shape)
    half = grid.half(matrix.device)
    lines = [
        torch.linspace(-e / 2, e / 2, n, device=matrix.device)
        for e, n in zip(grid.extent_mm, grid.shape, strict=True)
    ]
    points = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    change = matrix[:, :axes, :axes] - torch.eye(axes, device=matrix.device)
    moved = torch.einsum("nij,j...->ni...", change, points)
    return (moved + matrix[:, :axes, axes].reshape(-1, axes, *[1] * axes)) / half


def _about_corner(matrix: Tensor, full: Grid) -> Tensor:
    """Return matrices of points in mm from the centre of voxel 0."""
    axes = len(full.shape)
    middle = torch.tensor(full.extent_mm, device=matrix.device) / 2
    out = matrix.clone()
    out[:, :axes, axes] += middle - matrix[:, :axes, :axes] @ middle
    return out
