"""Distances between images, as a table: differentiable in torch, batched over pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from popscan.records import PopscanError
from popscan.register.flows import Tensor, box_mean

#: ``(fixed, warped, *, spacing_mm) -> (n,)``: smaller is more alike.
Distance = Callable[..., Tensor]

_EPSILON = 1e-5


def mse(fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float]) -> Tensor:
    """Return the mean squared difference: images of one scanner and sequence."""
    return _mean((fixed - warped) ** 2)


def lncc(
    fixed: Tensor, warped: Tensor, *, spacing_mm: Sequence[float], radius_mm: float = 9.0
) -> Tensor:
    """Return 1 minus the mean squared correlation over boxes around each voxel.

    Avants BB et al. Symmetric diffeomorphic image registration with cross-correlation. Med Image
    Anal 12:26-41, 2008. Any local gain and offset cost nothing, a reversed contrast neither.
    """
    radii = [max(1, round(radius_mm / s)) if s <= radius_mm else 0 for s in spacing_mm]
    n_channels = fixed.shape[1]
    stacked = torch.cat([fixed, warped, fixed * fixed, warped * warped, fixed * warped], dim=1)
    f, w, ff, ww, fw = box_mean(stacked, radii).split(n_channels, dim=1)
    covariance = fw - f * w
    variances = (ff - f * f).clamp(min=0) * (ww - w * w).clamp(min=0)
    return 1 - _mean(covariance**2 / (variances + _EPSILON))


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(dim=1)


DISTANCES: dict[str, Distance] = {"mse": mse, "lncc": lncc}


def distance(name: str) -> Distance:
    """Return a distance by its name.

    Raises
    ------
    PopscanError
        If there is none; the message lists those there are.
    """
    if name not in DISTANCES:
        known = ", ".join(sorted(DISTANCES))
        raise PopscanError(f"register: there is no distance {name!r}; known distances: {known}")
    return DISTANCES[name]
