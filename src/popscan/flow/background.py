"""Background phase: what stationary tissue seems to move, fitted by a plane and taken off.

Eddy currents and concomitant gradients add a smooth offset to the phase, which over a whole cycle
and a vessel's area is no longer small (Gatehouse et al. 2010, doi:10.1186/1532-429X-12-5). Tissue
that does not move has a velocity that hardly varies over the cycle and a bright magnitude; a
surface fitted to its mean over time is the offset (Walker et al. 1993,
doi:10.1002/jmri.1880030315).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError

Floats = NDArray[np.float64]

#: Share of the image, of what is bright, that is taken as still: the steadiest voxels.
_STILL_SHARE = 0.4
#: Tissue is brighter than this share of the brightest voxels.
_BRIGHT = 0.15
#: Fewer voxels make no surface.
LEAST_VOXELS = 200
_ROUNDS, _OUTLIER = 5, 2.5
#: Voxels share noise with about so many neighbours (interpolation, filters).
_SHARED = 4.0


@dataclass(frozen=True, kw_only=True)
class Background:
    """Velocities without the offset, and the offset.

    Attributes
    ----------
    velocity : ndarray, shape (x, y, t)
        Corrected, in cm/s; as it was where there is too little still tissue.
    offset : ndarray, shape (x, y)
        What was taken off, in cm/s.
    se : ndarray, shape (x, y)
        Its standard error; NaN without a correction.
    still : ndarray of bool, shape (x, y)
        Voxels that it was fitted to.
    """

    velocity: Floats
    offset: Floats
    se: Floats
    still: NDArray[np.bool_]

    @property
    def corrected(self) -> bool:
        """Whether there was enough still tissue."""
        return bool(self.still.any())


def correct_background(
    velocity: ArrayLike, magnitude: ArrayLike, *, order: int = 1, without: ArrayLike | None = None
) -> Background:
    """Take the background off.

    Parameters
    ----------
    velocity, magnitude : array_like, shape (x, y, t)
        In cm/s; any unit.
    order
        Of the surface: 0 a constant, 1 a plane, 2 a paraboloid.
    without : array_like of bool, shape (x, y), optional
        Voxels that are certainly not still (a vessel).

    Raises
    ------
    SubjectError
        ``wrong_shape``; ``too_few_frames`` for one frame, which does not show what is still.
    """
    v, light = np.asarray(velocity, dtype=float), np.asarray(magnitude, dtype=float)
    _require_images(v, light, without)
    bright = light.mean(axis=2)
    still = _still(v, bright, without)
    if int(still.sum()) < LEAST_VOXELS:
        nothing = np.zeros(v.shape[:2])
        return Background(
            velocity=v, offset=nothing, se=np.full_like(nothing, math.nan), still=still & False
        )
    mean = v.mean(axis=2)
    terms = _terms(v.shape[:2], order)
    weight = bright[still] / bright[still].max()
    design, values = terms[still], mean[still]
    kept = np.ones(len(values), dtype=bool)
    for _ in range(_ROUNDS):
        root = weight[kept, None]
        solution = np.linalg.lstsq(design[kept] * root, values[kept] * root[:, 0], rcond=None)[0]
        residual = values - design @ solution
        spread = 1.4826 * float(np.median(np.abs(residual[kept] - np.median(residual[kept]))))
        kept = np.abs(residual) <= _OUTLIER * max(spread, 1e-9)
    offset = terms @ solution
    scaled = design[kept] * weight[kept, None]
    inverse = np.linalg.inv(scaled.T @ scaled)
    variance = float(np.mean((weight[kept] * residual[kept]) ** 2)) * _SHARED
    se = np.sqrt(variance * np.einsum("xyi,ij,xyj->xy", terms, inverse, terms))
    used = np.zeros_like(still)
    used[still] = kept
    return Background(velocity=v - offset[..., None], offset=offset, se=se, still=used)


def _require_images(v: Floats, light: Floats, without: ArrayLike | None) -> None:
    given = () if without is None else np.shape(without)
    if v.ndim != 3 or light.shape != v.shape or (without is not None and given != v.shape[:2]):
        raise SubjectError(
            "wrong_shape",
            f"velocity {v.shape}, magnitude {light.shape}; (x, y, t) expected of both, and of the "
            f"voxels left out {v.shape[:2]}",
        )
    if v.shape[2] < 2:
        raise SubjectError("too_few_frames", "one frame; still tissue is seen in two or more")


def _still(v: Floats, bright: Floats, without: ArrayLike | None) -> NDArray[np.bool_]:
    """Bright voxels whose velocity varies least over the cycle."""
    # Velocities of exactly 0 throughout were masked by the scanner: nothing was measured there.
    tissue = (bright > _BRIGHT * np.percentile(bright, 99)) & (v != 0).any(axis=2)
    if without is not None:
        tissue &= ~np.asarray(without, dtype=bool)
    if not tissue.any():
        return np.asarray(tissue)
    varies = v.std(axis=2)
    return np.asarray(tissue & (varies <= np.quantile(varies[tissue], _STILL_SHARE)))


def _terms(shape: tuple[int, int], order: int) -> Floats:
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    powers = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    return np.stack([x**i * y**j for i, j in powers], axis=-1)
