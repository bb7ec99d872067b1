"""Lines of k-space that were acquired in another phase of the cycle than they should have been.

A segmented series is put together of shots (beats), each of which acquires some lines of every
frame. A late trigger spoils the lines of its shot alone: found, they can be left out, and what is
left is an undersampled series (Oksuz I, Clough J, Ruijsink B, et al. MICCAI 2019, with a trained
network that classifies lines). Here nothing is trained: the lines of a shot are predicted from all
other lines through the coils, and the shot is left out if they agree better with the prediction of
another phase than with that of their own. A body that moved is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.recon import coils
from popscan.recon.acquired import acquired
from popscan.recon.agreement import Agreement, agreement_of
from popscan.recon.maps import coil_maps
from popscan.recon.predicted import Hybrid, hybrid_of, predicted_lines
from popscan.records import KSpace

#: A shot is left out if another phase explains its lines better by this share of the distance
#: between the two predictions: 1 where the other one is right, -1 where its own is.
THRESHOLD = 0.3
#: So many standard deviations of what noise does to that share are taken off first.
N_SIGMA = 4.0
#: Fewer coils do not predict a line from its neighbours.
MIN_COILS = 4
#: Folds of lines that are predicted together where shots are not known.
N_FOLDS = 7
#: Rounds at most; share of the worst score at which more than the worst is left out at once.
N_ROUNDS, NEARLY = 6, 0.75
#: Fewer frames show no cycle.
MIN_FRAMES = 6

Basis = Literal["shots", "lines"]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Which lines contradict the others.

    Attributes
    ----------
    lines : ndarray of bool, shape (ky, z, t)
        Lines to be left out.
    basis
        Whether whole ``shots`` were judged or single ``lines`` over all frames; empty where
        nothing could be.
    why
        Why nothing could be judged; empty where it was.
    acquired : ndarray of int, shape (z, t)
        Acquired lines of each slice and frame.
    """

    lines: NDArray[np.bool_]
    basis: Basis | Literal[""]
    why: str
    acquired: NDArray[np.int64]

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the acquired lines to be left out, of each slice; NaN where nothing was judged.

        A slice without lines has none to leave out: 0.
        """
        if not self.basis:
            return np.full(self.lines.shape[1], np.nan)
        return np.asarray(self.lines.sum(axis=(0, 2)) / np.maximum(self.acquired.sum(axis=1), 1))


def inconsistent_lines(kspace: KSpace, *, threshold: float = THRESHOLD) -> Rejection:
    """Find the lines that agree better with another phase than with their own.

    Parameters
    ----------
    kspace
        On the grid; with `KSpace.shots`, or with the same lines in every frame: then each line,
        over all frames, is judged alone.
    threshold
        See `THRESHOLD`: from -1 to 1, higher leaves fewer lines out.

    Returns
    -------
    Rejection
        Nothing is judged, and `Rejection.why` says so, off the grid, with fewer than
        `MIN_FRAMES` frames or `MIN_COILS` coils, and where lines differ from frame to frame and
        shots are not known.

    Raises
    ------
    SubjectError
        As `popscan.recon.acquired.acquired` and ``no_calibration_lines``.
    """
    n_lines, n_z, n_t = kspace.data.shape[2:]
    nothing = np.zeros((n_lines, n_z, n_t), dtype=bool)
    if kspace.trajectory is not None:
        return _unjudged(nothing, "k-space off the grid")
    used = acquired(kspace)
    there = np.asarray(used.data.any(axis=(0, 1)))
    counts = there.sum(axis=0)
    if n_t < MIN_FRAMES:
        return _unjudged(nothing, f"fewer than {MIN_FRAMES} frames", counts)
    if used.data.shape[0] < MIN_COILS:
        return _unjudged(nothing, f"fewer than {MIN_COILS} coils", counts)
    units, basis = _units(kspace)
    if not basis:
        return _unjudged(nothing, "lines differ between frames and shots are not known", counts)
    for z in range(n_z):
        if there[:, z].any():
            samples = np.ascontiguousarray(np.moveaxis(used.data[:, :, :, z], -1, 0))
            own = np.where(there[:, z], units, -1).T
            nothing[:, z] = _rejected(samples, own, basis=basis, threshold=threshold).T
    return Rejection(lines=nothing, basis=basis, why="", acquired=counts)


def without(kspace: KSpace, rejection: Rejection) -> KSpace:
    """Return the k-space with the lines marked as left out; coil maps may still use them."""
    return replace(kspace, left_out=rejection.lines) if rejection.lines.any() else kspace


def _unjudged(
    lines: NDArray[np.bool_], why: str, counts: NDArray[np.int64] | None = None
) -> Rejection:
    empty = np.zeros(lines.shape[1:], dtype=np.int64)
    return Rejection(lines=lines, basis="", why=why, acquired=empty if counts is None else counts)


def _units(kspace: KSpace) -> tuple[NDArray[np.int64], Basis | Literal[""]]:
    """Return what is judged as one, (ky, t), -1 where nothing was acquired."""
    mask = np.asarray(kspace.mask)
    if kspace.shots is not None and len(np.unique(kspace.shots[mask])) > 1:
        return np.where(mask, kspace.shots, -1).astype(np.int64), "shots"
    if np.array_equal(mask.any(axis=1), mask.all(axis=1)):
        return np.where(mask, np.arange(len(mask))[:, np.newaxis], -1), "lines"
    return np.full(mask.shape, -1), ""


def _rejected(
    samples: NDArray[np.complex64],
    units: NDArray[np.int64],
    *,
    basis: Basis,
    threshold: float,
) -> NDArray[np.bool_]:
    """Return which lines (t, ky) of a slice (t, coil, kx, ky) contradict the others.

    From round to round, what was found is left out of the prediction and judged anew with the
    rest: lines beside spoilt ones, which they mispredict, come back.
    """
    maps, _ = coil_maps(coils.temporal_average(samples), method="walsh", width=20)
    hybrid = hybrid_of(samples, maps)
    numbers = [int(n) for n in np.unique(units[units >= 0])]
    # Lines of a fold are predicted together: most of their neighbours stay in the prediction.
    n_folds = len(numbers) if basis == "shots" else min(N_FOLDS, len(numbers))
    folds = [numbers[k::n_folds] for k in range(n_folds)]
    out, seen = set[int](), list[set[int]]()
    with torch.inference_mode():
        for _ in range(N_ROUNDS):
            found = _scores(hybrid, units, folds, out)
            # What is new must be nearly as bad as the worst; the rest may be its neighbours.
            worst = max((score for n, score in found.items() if n not in out), default=-1.0)
            fresh = max(threshold, NEARLY * worst)
            new = {n for n, score in found.items() if score > (threshold if n in out else fresh)}
            if new == out or new in seen:
                break
            seen.append(out)
            out = new
    return np.isin(units, sorted(out)) & (units >= 0)


def _scores(
    hybrid: Hybrid, units: NDArray[np.int64], folds: list[list[int]], out: set[int]
) -> dict[int, float]:
    """Return how much better another phase explains each unit, from -1 to about 1."""
    scores = {}
    kept = (units >= 0) & ~np.isin(units, sorted(out))
    whole: Agreement | None = None
    for fold in folds:
        inside = np.isin(units, fold)
        if (kept & inside).any():
            found = agreement_of(hybrid, predicted_lines(hybrid, kept & ~inside))
        else:  # all of it is left out already
            whole = whole or agreement_of(hybrid, predicted_lines(hybrid, kept))
            found = whole
        for n in fold:
            scores[n] = found.score(units == n, n_sigma=N_SIGMA)
    return scores
