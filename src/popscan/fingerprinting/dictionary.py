"""A dictionary: simulated signals of a grid of tissues, compressed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.fingerprinting.sequences import Schedule, fisp_signals
from popscan.records import PopscanError

#: Largest dictionary: atoms times frames (1.6 GB of float64 while it is simulated).
MAX_VALUES = 2 * 10**8


def grid(
    t1_ms: tuple[float, float], t2_ms: tuple[float, float], *, step: float = 0.05
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return T1 and T2 of all pairs of a logarithmic grid in which T2 is not above T1.

    Parameters
    ----------
    t1_ms, t2_ms
        Lowest and highest value.
    step
        Relative distance of neighbours.

    Returns
    -------
    t1, t2 : ndarray, shape (n,)
        In ms, T1 first.

    Raises
    ------
    PopscanError
        For ranges that are empty or not above 0, or that leave no pair.
    """
    axes = []
    for name, (low, high) in (("t1_ms", t1_ms), ("t2_ms", t2_ms)):
        if not 0 < low < high < np.inf or not 0 < step < 1:
            raise PopscanError(f"{name} {low:g} to {high:g} by {step:g}: a range above 0 expected")
        axes.append(np.geomspace(low, high, int(np.log(high / low) / np.log1p(step)) + 2))
    t1, t2 = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    if not (t2 <= t1).any():
        raise PopscanError("no pair of the grid has a T2 that is not above its T1")
    return t1[t2 <= t1], t2[t2 <= t1]


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Normalised signals of tissues in the space of their largest singular vectors.

    Attributes
    ----------
    schedule
        With which they were simulated.
    t1_ms, t2_ms : ndarray, shape (n,)
        Of each atom.
    basis : ndarray of float32, shape (frames, rank)
        Orthonormal.
    atoms : ndarray of float32, shape (n, rank)
        Signals in this basis, of length 1.
    norms : ndarray of float32, shape (n,)
        Lengths of the signals before.
    lost
        Largest share of an atom's energy that the basis leaves out.

    Notes
    -----
    McGivney DF, Pierre E, Ma D, et al. SVD compression for magnetic resonance fingerprinting in the
    time domain. IEEE Trans Med Imaging 33:2311-2322, 2014.
    """

    schedule: Schedule
    t1_ms: NDArray[np.float64]
    t2_ms: NDArray[np.float64]
    basis: NDArray[np.float32]
    atoms: NDArray[np.float32]
    norms: NDArray[np.float32]
    lost: float
    edges: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def simulated(
        cls, schedule: Schedule, t1_ms: ArrayLike, t2_ms: ArrayLike, *, rank: int = 25
    ) -> Dictionary:
        """Simulate the FISP signals of tissues and compress them.

        Parameters
        ----------
        schedule
            The sequence.
        t1_ms, t2_ms : array_like, shape (n,)
            The tissues, as `grid` gives them.
        rank
            Singular vectors that are kept, at most all.

        Raises
        ------
        PopscanError
            For no tissues, too many, or relaxation times that are not above 0.
        """
        t1, t2 = np.asarray(t1_ms, dtype=np.float64), np.asarray(t2_ms, dtype=np.float64)
        if not len(t1) or len(t1) * schedule.n_frames > MAX_VALUES:
            raise PopscanError(
                f"{len(t1)} tissues of {schedule.n_frames} frames: 1 to "
                f"{MAX_VALUES // schedule.n_frames} tissues are expected"
            )
        signals = fisp_signals(schedule, t1, t2)
        norms = np.linalg.norm(signals, axis=1)
        basis = np.linalg.svd(signals, full_matrices=False)[2][: max(rank, 1)].T
        inside = signals @ basis
        kept = np.linalg.norm(inside, axis=1)
        return cls(
            schedule=schedule,
            t1_ms=t1,
            t2_ms=t2,
            basis=basis,
            atoms=inside / kept[:, None],
            norms=norms,
            lost=float(np.max(1 - (kept / norms) ** 2)),
            edges=_on_the_edge(t1, t2),
        )


def _on_the_edge(t1: NDArray[np.float64], t2: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a tissue is at an end of the ranges; T2 = T1 bounds by physics, not by choice."""
    ends = (t1 == t1.min()) | (t1 == t1.max()) | (t2 == t2.min()) | (t2 == t2.max())
    return np.asarray(ends)
