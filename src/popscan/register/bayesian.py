"""Registration with its uncertainty: the posterior of a stationary velocity field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.variational import fit
from popscan.records import PopscanError
from popscan.register.distances import distance as distance_of
from popscan.register.flows import Tensor
from popscan.register.pairs import check_pairs
from popscan.register.posterior import (
    Changes,
    Energy,
    basis_of,
    coarse_grid,
    sharpness,
    smooth_noise,
    whitened,
)
from popscan.register.svf import seen, svf
from popscan.register.velocities import Grid, unfolded
from popscan.register.warp import Warp

#: Draws whose transforms are made at once.
_AT_ONCE = 16
#: Range of intensities below which an image holds nothing to register.
_LEAST_CONTRAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How the posterior is fitted and drawn from."""

    rank: int
    n_steps: int
    n_draws: int
    n_samples: int
    temperature: float
    discrepancy: float
    seed: int


def bayesian(
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
    posterior_mm: float = 10.0,
    max_parameters: int = 1500,
    rank: int = 4,
    n_steps: int = 40,
    n_draws: int = 4,
    n_samples: int = 48,
    temperature: float = 0.1,
    discrepancy: float = 0.1,
    seed: int = 0,
    device: str = "cpu",
) -> Warp:
    """Register as `svf` does, and return how far off the displacement may be.

    Grzech D et al. Uncertainty quantification in non-rigid image registration via stochastic
    gradient Markov chain Monte Carlo. MELBA 2021:016. Here the posterior is a Gaussian with a
    diagonal plus low-rank covariance of whitened changes of the velocity, begun at the optimum of
    `svf` and fitted by `popscan.arrays.variational`. Its density is that of
    `popscan.register.posterior`.

    Parameters
    ----------
    fixed, moving, spacing_mm
        As for `popscan.register.svf.svf`, also those that are not named here.
    posterior_mm
        Grid of the changes of the velocity whose posterior is fitted.
    max_parameters
        At most so many; the grid is coarser where it takes that.
    rank
        Of the low-rank part of the covariance.
    n_steps, n_draws
        Steps of the fit, and draws per step.
    n_samples
        Velocities that are drawn, for the standard deviation.
    temperature
        Factor of the variance of the noise (and of the prior with it). The default was fitted to
        fields that are known (docs/registration.md).
    discrepancy
        Standard deviation, as a share of the displacement, of smooth errors that the images show
        nothing of, such as motion along an edge or through the plane (Kennedy MC, O'Hagan A. J R
        Stat Soc B 63:425-464, 2001). It is added to the draws. 0.1 was fitted to fields that are
        known, 0.35 to organs that move through the plane.
    seed
        Of all draws; the same for every pair, so that a batch is as its pairs alone.
    device
        ``cpu``, ``cuda``.

    Returns
    -------
    Warp
        That of the mean velocity, with ``sd_mm`` and ``velocity_samples_mm``; both are NaN for a
        pair with an image without contrast, of which nothing can be learned.

    Raises
    ------
    SubjectError
        As `svf`.
    PopscanError
        As `svf`, and for numbers that are out of range.
    """
    how = _Fit(
        rank=rank,
        n_steps=n_steps,
        n_draws=n_draws,
        n_samples=n_samples,
        temperature=temperature,
        discrepancy=discrepancy,
        seed=seed,
    )
    _check(how, max_parameters)
    pairs = check_pairs(fixed, moving, spacing_mm=spacing_mm)
    best = svf(
        pairs.fixed,
        pairs.moving,
        spacing_mm=pairs.spacing_mm,
        distance=distance,
        levels_mm=levels_mm,
        n_iterations=n_iterations,
        control_mm=control_mm,
        smoothing_mm=smoothing_mm,
        stiffness=stiffness,
        step_mm=step_mm,
        device=device,
    )
    full = Grid(shape=pairs.shape, spacing_mm=pairs.spacing_mm)
    control, grid = Grid.of(full, control_mm), Grid.of(full, levels_mm[-1])
    where = torch.device(device)
    basis = basis_of(coarse_grid(full, posterior_mm, max_parameters), control, smoothing_mm, where)
    velocities = np.moveaxis(np.asarray(best.velocity_mm), -1, 1)
    out = []
    for one, other, start in zip(pairs.fixed, pairs.moving, velocities, strict=True):
        images = [
            seen(torch.from_numpy(a[None, None].copy()).to(where), full, grid) for a in (one, other)
        ]
        velocity = torch.from_numpy(start[None].copy()).to(where)
        if min(float(np.ptp(image)) for image in (one, other)) < _LEAST_CONTRAST:
            drawn = torch.full((how.n_samples, *velocity.shape[1:]), torch.nan)
            out.append(_of_draws(velocity, drawn, control, full))
            continue
        energy = Energy(
            fixed=images[0],
            moving=images[1],
            control=control,
            grid=grid,
            distance=distance_of(distance),
            stiffness=stiffness,
        )
        mean, drawn = _posterior(energy, velocity, basis, how)
        out.append(_of_draws(mean, drawn, control, full))
    return _joined(out)


def _check(how: _Fit, max_parameters: int) -> None:
    for name, least in (("rank", 0), ("n_steps", 1), ("n_draws", 1), ("n_samples", 2)):
        if getattr(how, name) < least:
            raise PopscanError(
                f"bayesian: {name} is {getattr(how, name)}: expected {least} or more"
            )
    if not 0 < how.temperature < np.inf:
        raise PopscanError(f"bayesian: temperature is {how.temperature}: expected more than 0")
    if not 0 <= how.discrepancy < np.inf:
        raise PopscanError(f"bayesian: discrepancy is {how.discrepancy}: expected 0 or more")
    if max_parameters < 1:
        raise PopscanError(f"bayesian: max_parameters is {max_parameters}: expected 1 or more")


def _posterior(energy: Energy, velocity: Tensor, basis: Tensor, how: _Fit) -> tuple[Tensor, Tensor]:
    """Fit one pair; return the mean velocity (1, axes, ...) and draws (samples, axes, ...)."""
    with torch.no_grad():
        sharp = sharpness(energy, velocity) / how.temperature
        generator = torch.Generator(device=velocity.device).manual_seed(how.seed)
        changes: Changes = whitened(energy, velocity, basis=basis, sharp=sharp, generator=generator)
        least = energy(velocity)
    start = torch.zeros(changes.size, device=velocity.device)

    def log_density(parameters: Tensor) -> Tensor:
        return -sharp * (energy(velocity + changes.velocities(parameters)) - least)

    found = fit(
        log_density,
        start,
        rank=min(how.rank, changes.size),
        first_sd=1.0,
        n_steps=how.n_steps,
        n_samples=how.n_draws,
        seed=how.seed,
    )
    with torch.no_grad():
        mean = velocity + changes.velocities(found.mean[None])
        drawn = velocity + changes.velocities(found.sample(how.n_samples, seed=how.seed))
        unseen = smooth_noise(basis, mean, how.n_samples, generator=generator)
        return mean, drawn + how.discrepancy * unseen


def _of_draws(mean: Tensor, drawn: Tensor, control: Grid, full: Grid) -> Warp:
    """Make the transform of the mean, and the spread of those of the draws about their mean."""
    with torch.no_grad():
        warp = unfolded(mean.clone(), control, full)
        parts = [unfolded(part.clone(), control, full) for part in drawn.split(_AT_ONCE)]
    moved = np.concatenate([part.displacement_mm for part in parts])
    kept = np.concatenate([np.asarray(part.velocity_mm) for part in parts])
    return replace(
        warp,
        sd_mm=moved.std(axis=0, ddof=1)[None].astype(np.float32),
        velocity_samples_mm=kept[None],
    )


def _joined(warps: Sequence[Warp]) -> Warp:
    """Join transforms of single pairs."""

    def of(name: str) -> NDArray[np.floating]:
        return np.concatenate([getattr(warp, name) for warp in warps])

    return Warp(
        displacement_mm=of("displacement_mm"),
        inverse_mm=of("inverse_mm"),
        velocity_mm=of("velocity_mm"),
        sd_mm=of("sd_mm"),
        velocity_samples_mm=of("velocity_samples_mm"),
        spacing_mm=warps[0].spacing_mm,
    )
