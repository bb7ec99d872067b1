"""What is known of a pair's velocity beside its best value: the density that `bayesian` fits.

Changes of the velocity live on a coarse grid and go through the Gaussian that the velocities of
`svf` went through. Their log density is minus `sharpness` times what `svf` minimises: the distance
in both directions and the stiffness. Parameters are whitened by the Gauss-Newton approximation of
that density, in which they are standard normal numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from popscan.register.distances import Distance
from popscan.register.flows import Tensor, exponential, laplacian, on_grid, sample, smooth
from popscan.register.velocities import Grid

#: Squarings of the exponential within the density: 2^4 steps.
_ROUGH = 4
#: Least excess of a distance over that of an image with itself: no two images agree better than
#: to a few percent of their contrast, if only for interpolation.
_LEAST_EXCESS = 1e-3
#: Largest correlation of neighbouring residuals that counts.
_LARGEST_CORRELATION = 0.95
#: Standard deviation in mm of the parameters without data: it only keeps the density proper.
_LOOSE_MM = 100.0
#: Curvature of a distance over that of the squared difference: begun with, and its bounds.
_CURVATURE, _LEAST_CURVATURE, _LARGEST_CURVATURE = 10.0, 0.1, 1000.0
#: Random directions that the curvature is measured along, and rounds.
_PROBES, _ROUNDS = 16, 2


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What `svf` minimises for one pair, as a function of several velocities at once.

    Attributes
    ----------
    fixed, moving : Tensor, shape (1, 1, x, y[, z])
        Images at the resolution of `grid`.
    control, grid
        Grids of the velocity and of the images.
    distance
        Of `popscan.register.distances.DISTANCES`.
    stiffness
        Weight of the velocity's mean squared slope.
    """

    fixed: Tensor
    moving: Tensor
    control: Grid
    grid: Grid
    distance: Distance
    stiffness: float

    def __call__(self, velocities: Tensor) -> Tensor:
        """Return the energy (s,) of velocities (s, axes, ...) in mm on the control grid."""
        return self.distances(velocities) + self.stiffness * self.slopes(velocities)

    def distances(self, velocities: Tensor) -> Tensor:
        """Return the sum of the distances there and back, (s,)."""
        half = self.control.half(velocities.device)
        both = exponential(torch.cat([velocities, -velocities]) / half, n_steps=_ROUGH)
        ahead, back = on_grid(both, self.grid.shape).chunk(2)
        return self._apart(self.fixed, self.moving, ahead) + self._apart(
            self.moving, self.fixed, back
        )

    def slopes(self, velocities: Tensor) -> Tensor:
        """Return the mean over the control grid of the summed squares of all slopes, (s,)."""
        pull = laplacian(velocities, self.control.spacing_mm)
        return -(velocities * pull).flatten(1).sum(dim=1) / velocities[0, 0].numel()

    def _apart(self, fixed: Tensor, moving: Tensor, displacement: Tensor) -> Tensor:
        images = [image.expand(len(displacement), *image.shape[1:]) for image in (fixed, moving)]
        warped = sample(images[1], displacement)
        return self.distance(images[0], warped, spacing_mm=self.grid.spacing_mm)


def sharpness(energy: Energy, velocity: Tensor) -> float:
    """Return what the energy is multiplied by, so that it is minus a log density.

    The noise is estimated at the best velocity (1, axes, ...): independent residuals of this size
    have the log density ``-n / 2 * distance / excess`` in their n values, where the excess is what
    the distance is above that of an image with itself. Neighbouring residuals are correlated, so
    fewer values count (virtual decimation: Groves AR et al. NeuroImage 54:2198-2217, 2011), those
    of a first-order process on each axis. Both directions are one set of data.
    """
    half = energy.control.half(velocity.device)
    there = on_grid(exponential(velocity / half, n_steps=_ROUGH), energy.grid.shape)
    residual = (energy.fixed - sample(energy.moving, there))[0, 0]
    count = float(residual.numel())
    for axis, n in enumerate(residual.shape):
        product = (residual.narrow(axis, 0, n - 1) * residual.narrow(axis, 1, n - 1)).mean()
        alike = float(product / (residual**2).mean().clamp(min=1e-12))
        alike = min(max(alike, 0.0), _LARGEST_CORRELATION)
        count *= (1 - alike) / (1 + alike)
    still = torch.zeros_like(velocity)
    own = [
        float(energy.distance(image, sample(image, on_grid(still, energy.grid.shape)),
                              spacing_mm=energy.grid.spacing_mm))
        for image in (energy.fixed, energy.moving)
    ]  # fmt: skip
    excess = (float(energy.distances(velocity)) - sum(own)) / 2
    return max(count, 1.0) / (4 * max(excess, _LEAST_EXCESS))


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Changes of a velocity as whitened parameters.

    Attributes
    ----------
    basis : Tensor, shape (k, points of the control grid)
        What each of the k coarse points does to a component of the velocity.
    factor : Tensor, shape (axes k, axes k)
        Lower Cholesky factor of the precision of the coarse values in mm.
    control
        Grid of the velocity.
    """

    basis: Tensor
    factor: Tensor
    control: Grid

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.factor)

    def velocities(self, whitened: Tensor) -> Tensor:
        """Return changes (s, axes, ...) in mm of whitened parameters (s, size)."""
        coarse = torch.linalg.solve_triangular(self.factor.mT, whitened.mT, upper=True).mT
        axes = len(self.control.shape)
        fine = coarse.reshape(len(whitened), axes, -1) @ self.basis
        return fine.reshape(len(whitened), axes, *self.control.shape)


def coarse_grid(full: Grid, at_least_mm: float, max_parameters: int) -> Grid:
    """Return a grid of about this spacing, or as much coarser as the number of parameters asks."""
    while True:
        grid = Grid.of(full, at_least_mm)
        if math.prod(grid.shape) * len(grid.shape) <= max_parameters or max(grid.shape) == 2:
            return grid
        at_least_mm *= 1.1


def basis_of(coarse: Grid, control: Grid, smoothing_mm: float, device: torch.device) -> Tensor:
    """Return what each coarse point does on the control grid, (k, points), smoothed."""
    k = math.prod(coarse.shape)
    points = torch.eye(k, device=device).reshape(k, 1, *coarse.shape)
    fine = smooth(on_grid(points, control.shape), control.voxels(smoothing_mm))
    return fine.reshape(k, -1)


def smooth_noise(
    basis: Tensor, velocity: Tensor, count: int, *, generator: torch.Generator
) -> Tensor:
    """Draw smooth fields (count, axes, ...) whose components have the velocity's length as SD."""
    axes, grid = velocity.shape[1], velocity.shape[2:]
    noise = torch.randn(count, axes, len(basis), generator=generator, device=basis.device)
    even = (noise @ basis) / (basis**2).sum(dim=0).sqrt()
    length = torch.linalg.vector_norm(velocity, dim=1, keepdim=True)
    return even.reshape(count, axes, *grid) * length


def whitened(
    energy: Energy, velocity: Tensor, *, basis: Tensor, sharp: float, generator: torch.Generator
) -> Changes:
    """Whiten changes of a velocity (1, axes, ...) by the curvature of the energy about it.

    That of the distance is the mean image's structure tensor (Gauss-Newton, for squares) times one
    number, measured by second differences of the distance along random directions.
    """
    axes, k = velocity.shape[1], len(basis)
    control, grid = energy.control, energy.grid
    fine = basis.reshape(k, 1, *control.shape)
    bend = 2 * energy.stiffness / basis.shape[1] * basis
    stiff = -bend @ laplacian(fine, control.spacing_mm).reshape(k, -1).mT
    prior = torch.block_diag(*[stiff] * axes).double()
    prior = prior + torch.eye(axes * k, device=prior.device) / (sharp * _LOOSE_MM**2)
    data = _structure(energy, velocity, on_grid(fine, grid.shape).reshape(k, -1)).double()
    curvature = _CURVATURE
    for _ in range(_ROUNDS):
        factor = torch.linalg.cholesky(sharp * (curvature * data + prior)).float()
        changes = Changes(basis=basis, factor=factor, control=control)
        noise = torch.randn(_PROBES, axes * k, generator=generator, device=basis.device)
        step = changes.velocities(noise)
        ends = energy.distances(torch.cat([velocity + step, velocity - step])).reshape(2, -1)
        bent = ends.sum(dim=0) - 2 * energy.distances(velocity)
        coarse = torch.linalg.solve_triangular(factor.mT, noise.mT, upper=True).double()
        expected = (coarse * (data @ coarse)).sum(dim=0)
        measured = float(bent.sum() / expected.sum().clamp(min=1e-12))
        curvature = min(max(measured, _LEAST_CURVATURE), _LARGEST_CURVATURE)
    factor = torch.linalg.cholesky(sharp * (curvature * data + prior)).float()
    return Changes(basis=basis, factor=factor, control=control)


def _structure(energy: Energy, velocity: Tensor, seen: Tensor) -> Tensor:
    """Mean product of what any two parameters do to the image, (axes k, axes k)."""
    half = energy.control.half(velocity.device)
    there = on_grid(exponential(velocity / half, n_steps=_ROUGH), energy.grid.shape)
    image = ((energy.fixed + sample(energy.moving, there)) / 2)[0, 0]
    slopes = torch.gradient(image, spacing=list(energy.grid.spacing_mm))
    rows = torch.cat([slope.reshape(1, -1) * seen for slope in slopes])
    return rows @ rows.mT / image.numel()
