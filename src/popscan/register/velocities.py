"""Stationary velocities on a coarse grid, and the transforms that they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from popscan.register.flows import Tensor, exponential, on_grid, smooth, volume_change
from popscan.register.warp import Warp

#: Squarings of the exponential: 2^6 steps.
_FINE = 6
#: A velocity that folds is smoothed so many times, then halved: without motion nothing folds.
_SMOOTHINGS, _HALVINGS = 10, 10
#: Least change of volume that does not count as a fold: rounding is on the safe side.
_LEAST_CHANGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid that shares its corners with the images'."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @classmethod
    def of(cls, full: Grid, at_least_mm: float) -> Grid:
        """Return the grid of about this spacing, or the full one's along axes that are coarser."""
        extent = full.extent_mm
        shape = tuple(
            max(2, round(length / max(at_least_mm, s)) + 1)
            for length, s in zip(extent, full.spacing_mm, strict=True)
        )
        spacing = tuple(length / (n - 1) for length, n in zip(extent, shape, strict=True))
        return cls(shape=shape, spacing_mm=spacing)

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """Distance between the corners along each axis."""
        return tuple((n - 1) * s for n, s in zip(self.shape, self.spacing_mm, strict=True))

    def voxels(self, length_mm: float) -> list[float]:
        """Return a length in voxels of each axis."""
        return [length_mm / s for s in self.spacing_mm]

    def half(self, device: torch.device) -> Tensor:
        """Return half extents in mm, shape (1, axes, 1, 1[, 1])."""
        lengths = torch.tensor(self.extent_mm, device=device).clamp(min=1e-6) / 2
        return lengths.reshape(1, -1, *[1] * len(self.shape))


def integrate(
    velocity_mm: ArrayLike, shape: tuple[int, ...], *, spacing_mm: Sequence[float]
) -> Warp:
    """Return the transforms of stored velocities.

    Parameters
    ----------
    velocity_mm : array_like, shape (n, ..., axes)
        ``Warp.velocity_mm``, in any floating type.
    shape, spacing_mm
        Grid of the images.
    """
    velocity = np.moveaxis(np.asarray(velocity_mm, dtype=np.float32), -1, 1)
    full = Grid(shape=tuple(shape), spacing_mm=tuple(float(s) for s in spacing_mm))
    stored = torch.from_numpy(np.ascontiguousarray(velocity))
    with torch.no_grad():
        return _warp(stored, _displacements(stored, full), full)


def unfolded(velocity: Tensor, control: Grid, full: Grid) -> Warp:
    """Integrate; where a pair folds, its velocity is smoothed by a voxel, in the end halved."""
    both = _displacements(velocity, full)
    for repair in range(_SMOOTHINGS + _HALVINGS):
        least = volume_change(both).flatten(1).amin(dim=1).reshape(2, -1).amin(dim=0)
        folds = torch.nonzero(least <= _LEAST_CHANGE)[:, 0]
        if not len(folds):
            break
        if repair < _SMOOTHINGS:
            velocity[folds] = smooth(velocity[folds], [1.0] * len(control.shape))
        else:
            velocity[folds] /= 2
        both = _displacements(velocity, full)
    return _warp(velocity, both, full)


def _displacements(velocity: Tensor, full: Grid) -> Tensor:
    """Displacements there and back (2 n, axes, ...) on the full grid, in half extents."""
    half = full.half(velocity.device)
    both = exponential(torch.cat([velocity, -velocity]) / half, n_steps=_FINE)
    return on_grid(both, full.shape)


def _warp(velocity: Tensor, both: Tensor, full: Grid) -> Warp:
    ahead, back = (both * full.half(velocity.device)).chunk(2)
    return Warp(
        displacement_mm=_components_last(ahead),
        inverse_mm=_components_last(back),
        velocity_mm=_components_last(velocity),
        spacing_mm=full.spacing_mm,
    )


def _components_last(field: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(field.movedim(1, -1).cpu().numpy())
