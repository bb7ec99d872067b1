"""Where and how much a subject differs from people like it.

A subject's displacement from the average says how its anatomy differs: the logarithm of its
Jacobian is positive where the subject has more room than the average, and the displacement itself
differs from a group's mean displacement by the distance to that group's anatomy. Both are kept
within the organ, in half precision, and compared with a group that never holds the subject itself.

Ashburner J, Friston KJ. Voxel-based morphometry: the methods. NeuroImage 2000;11:805-821,
doi:10.1006/nimg.2000.0582.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from popscan.atlas.template import Template
from popscan.register import jacobian_determinant

Floats = NDArray[np.float64]
Half = NDArray[np.float16]

#: Voxels in which the regions together are at least this probable belong to the organ.
_ORGAN = 0.1
#: Volume changes are limited to this and its inverse; a field that folds counts as this.
_LEAST_VOLUME = 0.05
#: Sums are of multiples of this, so that they do not depend on their order.
_STEPS_PER_UNIT = 2.0**20
#: Fewest others that a subject is compared with.
MIN_OTHERS = 4


def organ_of(template: Template) -> NDArray[np.bool_]:
    """Return the voxels (x, y, z) of the template in which differences are kept."""
    probable: NDArray[np.bool_] = template.probabilities.sum(axis=0) >= _ORGAN
    return probable


def of_field(
    displacement_mm: NDArray[Any], organ: NDArray[np.bool_], *, spacing_mm: Sequence[float]
) -> tuple[Half, Half]:
    """Return the log-Jacobian (voxels,) and displacement (voxels, 3) of a field (x, y, z, 3)."""
    volume = jacobian_determinant(displacement_mm, spacing_mm=spacing_mm)[organ]
    logs = np.log(np.clip(volume, _LEAST_VOLUME, 1 / _LEAST_VOLUME))
    return logs.astype(np.float16), displacement_mm[organ].astype(np.float16)


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How some subjects differ from the template that they were registered to.

    Attributes
    ----------
    organ : ndarray of bool, shape (x, y, z)
        The voxels, in the template's space.
    log_jacobian : ndarray of float16, shape (n, voxels)
        Natural logarithm of the local volume relative to the template's.
    displacement_mm : ndarray of float16, shape (n, voxels, 3)
        From the template to the subject.
    """

    organ: NDArray[np.bool_]
    log_jacobian: Half
    displacement_mm: Half

    @classmethod
    def stacked(cls, organ: NDArray[np.bool_], rows: Sequence[tuple[Half, Half]]) -> Differences:
        """Return what `of_field` gave of several subjects; no subject gives no row."""
        n_voxels = int(organ.sum())
        logs = np.empty((len(rows), n_voxels), np.float16)
        moved = np.empty((len(rows), n_voxels, 3), np.float16)
        for row, (log_jacobian, displacement_mm) in enumerate(rows):
            logs[row], moved[row] = log_jacobian, displacement_mm
        return cls(organ=organ, log_jacobian=logs, displacement_mm=moved)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays, keys starting with ``differences_``."""
        return {f"differences_{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Differences | None:
        """Return what `to_arrays` described; None where there is nothing of it."""
        named = {f.name: f"differences_{f.name}" for f in fields(cls)}
        if any(key not in arrays for key in named.values()):
            return None
        return cls(**{name: arrays[key] for name, key in named.items()})


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over the subjects of one group.

    Attributes
    ----------
    n
        How many.
    log_jacobian, squares : ndarray, shape (voxels,)
        Sums of the logarithms and of their squares.
    displacement_mm : ndarray, shape (voxels, 3)
        Sum of displacements.
    power_mm2
        Sum of their mean squared lengths.
    """

    n: int
    log_jacobian: Floats
    squares: Floats
    displacement_mm: Floats
    power_mm2: float

    @classmethod
    def of(cls, log_jacobian: Half, displacement_mm: Half) -> Moments:
        """Sum subjects, (n, voxels) and (n, voxels, 3): the same bytes in any order and split."""
        logs = np.asarray(log_jacobian, dtype=np.float64)
        power = (displacement_mm.astype(np.float64) ** 2).sum(axis=2).mean(axis=1)
        return cls(
            n=len(logs),
            log_jacobian=_exact(logs).sum(axis=0),
            squares=_exact(logs**2).sum(axis=0),
            displacement_mm=_exact(displacement_mm.astype(np.float64)).sum(axis=0),
            power_mm2=float(_exact(power).sum()),
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(**{f.name: getattr(self, f.name) + getattr(other, f.name)
                          for f in fields(self)})  # fmt: skip

    def without(self, log_jacobian: Half, displacement_mm: Half) -> Moments:
        """Return the sums without one subject, (voxels,) and (voxels, 3)."""
        one = Moments.of(log_jacobian[np.newaxis], displacement_mm[np.newaxis])
        return Moments(**{f.name: getattr(self, f.name) - getattr(one, f.name)
                          for f in fields(self)})  # fmt: skip


def _exact(values: Floats) -> Floats:
    return np.round(values * _STEPS_PER_UNIT) / _STEPS_PER_UNIT


def normal_scores(log_jacobian: Half, others: Moments) -> Half:
    """Return how unusual each voxel's volume is among others, as a standard normal score.

    A new subject's deviation from the mean of n others, over their standard deviation times the
    root of 1 + 1/n, has a t distribution with n - 1 degrees of freedom; the score of equal
    probability is given, so that beyond 3 lie 0.3% of voxels whatever n is.

    Parameters
    ----------
    log_jacobian : ndarray of float16, shape (voxels,)
        Of the subject.
    others
        Of its group without it.

    Returns
    -------
    ndarray of float16, shape (voxels,)
        NaN for fewer than `MIN_OTHERS` others and where these do not vary.
    """
    score = np.full(log_jacobian.shape, np.nan, np.float16)
    if others.n < MIN_OTHERS:
        return score
    mean = others.log_jacobian / others.n
    variance = (others.squares - others.n * mean**2) / (others.n - 1)
    varies = variance > 1e-8
    spread = np.sqrt(variance[varies] * (1 + 1 / others.n))
    ratio = (log_jacobian.astype(np.float64) - mean)[varies] / spread
    tail = np.maximum(special.stdtr(others.n - 1, -np.abs(ratio)), 1e-300)
    score[varies] = -np.sign(ratio) * special.ndtri(tail)
    return score


def shape_distance_mm(displacement_mm: Half, others: Moments) -> float:
    """Return the root mean square distance, in mm, from a group's mean anatomy within the organ.

    The mean of n others lies off the anatomy that it stands for by their variance over n, which is
    taken off: a small group's mean is not further away for being of few. 0 where the subject is no
    further from the mean than the mean is off by chance. NaN for fewer than `MIN_OTHERS` others, of
    which that chance is too large.
    """
    if others.n < MIN_OTHERS:
        return float("nan")
    mean = others.displacement_mm / others.n
    variance = (others.power_mm2 - others.n * float((mean**2).sum(axis=-1).mean())) / (others.n - 1)
    away = displacement_mm.astype(np.float64) - mean
    squared = float((away**2).sum(axis=-1).mean()) - max(variance, 0.0) / others.n
    return float(np.sqrt(max(squared, 0.0)))
