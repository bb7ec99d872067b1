"""Stationary velocity fields in torch: sampling, exponential, smoothing.

Fields have shape (n, axes, x, y[, z]) and are in half extents of the grid: 1 is half the way from
the first voxel's centre to the last one's, along each array axis. They mean the same on any grid
with the same corners, so that levels of resolution need no conversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.nn import functional

Tensor = torch.Tensor


@lru_cache(maxsize=16)
def _identity(shape: tuple[int, ...], device: str) -> Tensor:
    lines = [torch.linspace(-1.0, 1.0, n, device=device) for n in shape]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"))[None]


def sample(images: Tensor, displacement: Tensor, *, padding: str = "border") -> Tensor:
    """Return ``images(p + displacement(p))``, linearly; beyond the grid as at its border.

    Parameters
    ----------
    images
        Shape (n, channels, x, y[, z]).
    displacement
        Shape (n, axes, x', y'[, z']); the result lives on its grid.
    padding
        ``border`` or ``zeros``.
    """
    points = _identity(tuple(displacement.shape[2:]), str(displacement.device)) + displacement
    # torch wants the axes' order reversed, and the components last.
    grid = points.flip(1).movedim(1, -1)
    return functional.grid_sample(images, grid, padding_mode=padding, align_corners=True)


def exponential(velocity: Tensor, *, n_steps: int) -> Tensor:
    """Return the displacement after one unit of time, by scaling and squaring.

    Arsigny V et al. A log-Euclidean framework for statistics on diffeomorphisms. MICCAI 2006.
    `n_steps` is the number of squarings.
    """
    displacement = velocity / 2**n_steps
    for _ in range(n_steps):
        displacement = displacement + sample(displacement, displacement)
    return displacement


def on_grid(arrays: Tensor, shape: Sequence[int]) -> Tensor:
    """Interpolate (n, channels, ...) linearly on a grid of another shape with the same corners."""
    if tuple(arrays.shape[2:]) == tuple(shape):
        return arrays
    mode = "bilinear" if arrays.ndim == 4 else "trilinear"
    return functional.interpolate(arrays, size=tuple(shape), mode=mode, align_corners=True)


def smooth(arrays: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Convolve (n, channels, ...) with a Gaussian; sigmas in voxels, borders continued."""
    for axis, sigma in enumerate(sigmas, start=2):
        if sigma > 0.05 and arrays.shape[axis] > 1:
            arrays = _along(arrays, _gaussian(round(sigma, 4), str(arrays.device)), axis)
    return arrays


def box_mean(arrays: Tensor, radii: Sequence[int]) -> Tensor:
    """Return means over boxes of ``2 radius + 1`` voxels; what lies outside does not count."""
    pool = functional.avg_pool2d if arrays.ndim == 4 else functional.avg_pool3d
    for axis, radius in enumerate(radii):
        if radius:  # one axis after the other: the same means, from far fewer sums
            size, padding = ([r if a == axis else e for a in range(len(radii))]
                             for r, e in ((2 * radius + 1, 1), (radius, 0)))  # fmt: skip
            arrays = pool(arrays, size, stride=1, padding=padding, count_include_pad=False)
    return arrays


def laplacian(fields: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Return the Laplacian of (n, channels, ...) with nothing flowing through the border."""
    out = torch.zeros_like(fields)
    for axis, distance in enumerate(spacing_mm, start=2):
        slopes = fields.diff(dim=axis) / distance**2
        n = slopes.shape[axis]
        out.narrow(axis, 0, n).add_(slopes)
        out.narrow(axis, 1, n).sub_(slopes)
    return out


def volume_change(displacement: Tensor) -> Tensor:
    """Return the local change of volume (area), (n, x, y[, z]), of ``p + displacement(p)``.

    Slopes are central differences, one-sided at the border.
    """
    axes = displacement.shape[1]
    rows = []
    for axis in range(axes):
        n = displacement.shape[2 + axis]
        voxel = 2.0 / max(n - 1, 1)
        (slope,) = torch.gradient(displacement, spacing=voxel, dim=2 + axis)
        rows.append([slope[:, i] + (1.0 if i == axis else 0.0) for i in range(axes)])
    if axes == 2:
        return rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]
    a, b, c = rows
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


@lru_cache(maxsize=64)
def _gaussian(sigma: float, device: str) -> Tensor:
    radius = max(1, int(2.5 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def _along(arrays: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Convolve along one axis, as one batch of lines."""
    radius = len(weights) // 2
    moved = arrays.movedim(axis, -1)
    lines = moved.reshape(-1, 1, moved.shape[-1])
    padded = functional.pad(lines, (radius, radius), mode="replicate")
    out = functional.conv1d(padded, weights[None, None])
    return out.reshape(moved.shape).movedim(-1, axis)
