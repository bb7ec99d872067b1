"""Registration whose regularisation was learned from simulated deformations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from popscan.records import PopscanError
from popscan.register.deformations import DeformationNetwork, implausibility
from popscan.register.distances import distance as distance_of
from popscan.register.flows import Tensor
from popscan.register.learned import load_pairs
from popscan.register.pairs import Pairs, check_pairs
from popscan.register.slices import of_slices, to_slices
from popscan.register.svf import Search, Terms, searched
from popscan.register.velocities import Grid
from popscan.register.warp import Warp


def biomechanics(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    model: str,
    plausibility_weight: float = 0.75,
    distance: str = "mixed",
    levels_mm: tuple[float, ...] = (6.0, 3.0),
    n_iterations: tuple[int, ...] = (20, 15),
    control_mm: float = 4.0,
    smoothing_mm: float = 3.0,
    stiffness: float = 0.003,
    step_mm: float = 1.5,
    device: str = "cpu",
) -> Warp:
    """Register slices as `svf` does, with a penalty for deformations that a simulation never shows.

    After Qin C, Wang S, Chen C, Qiu H, Bai W, Rueckert D (MICCAI 2020), who train a network with
    this penalty; here it is minimised for each pair. A variational autoencoder of the gradients of
    simulated displacements (`popscan.register.deformations`) gives it, of the displacement there
    and of that back. So the laws of `svf` hold for any weights: exchanging the images inverts
    the result, equal images do not move, nothing folds. The autoencoder knows slices: of volumes
    every slice is registered by itself, and nothing moves through the plane.

    Parameters
    ----------
    fixed, moving
        As for every method: `popscan.register.METHODS`. Intensities of about 0 to 1.
    spacing_mm
        Voxel distances, one per axis.
    model
        Name of a model in resources/models, or a folder.
    plausibility_weight
        Weight of the mean squared gradient that stays unexplained, beside the distance; 0 leaves
        it out.
    distance, levels_mm, n_iterations, control_mm, smoothing_mm, stiffness, step_mm, device
        As for `popscan.register.svf.svf`; softer by default.

    Returns
    -------
    Warp
        With its inverse, and the velocity in mm on its own grid.

    Raises
    ------
    SubjectError
        As `svf`.
    PopscanError
        As `svf`, for a model that cannot be used, and for a negative weight.
    """
    if not 0 <= plausibility_weight < np.inf:
        raise PopscanError(
            f"biomechanics: plausibility_weight is {plausibility_weight}: expected 0 or more"
        )
    network = cast("DeformationNetwork", load_pairs(model, "deformations", device))
    flat = len(spacing_mm) == 2
    pairs = check_pairs(
        fixed, moving, spacing_mm=spacing_mm, least_voxels=None if flat else (2, 2, 1)
    )
    slices = pairs
    if not flat:
        slices = Pairs(
            fixed=to_slices(pairs.fixed),
            moving=to_slices(pairs.moving),
            spacing_mm=pairs.spacing_mm[:2],
        )
    terms = Terms(
        distance=distance_of(distance),
        stiffness=stiffness,
        smoothing_mm=smoothing_mm,
        prior=partial(_prior, network, plausibility_weight) if plausibility_weight else None,
    )
    search = Search(
        levels_mm=levels_mm,
        n_iterations=n_iterations,
        control_mm=control_mm,
        step_mm=step_mm,
        device=device,
    )
    warp = searched(slices, terms, search)
    return warp if flat else of_slices(warp, len(pairs.fixed), pairs.spacing_mm[2])


def _prior(network: DeformationNetwork, weight: float, displacement: Tensor, grid: Grid) -> Tensor:
    """Return what displacements (n, 2, x, y) in half extents cost."""
    moved = displacement * grid.half(displacement.device)
    return weight * implausibility(network, moved, grid)
