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
from popscan.recon.contradiction import contradicting, settled_folds
from popscan.recon.maps import coil_maps
from popscan.recon.predicted import hybrid_of
from popscan.records import KSpace, SubjectError

#: A shot is left out if another phase explains its lines better by this share of the distance
#: between the two predictions: 1 where the other one is right, -1 where its own is.
THRESHOLD = 0.3
#: Fewer coils do not predict a line from its neighbours.
MIN_COILS = 4
#: Folds of lines that are predicted together where shots are not known.
N_FOLDS = 7
#: More shots are not judged: each is predicted by itself, several times.
MAX_SHOTS = 32
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
    doubtful : ndarray of bool, shape (z)
        Slices whose shots contradict each other while which are wrong is not clear: none of
        their lines is in `lines`.
    """

    lines: NDArray[np.bool_]
    basis: Basis | Literal[""]
    why: str
    acquired: NDArray[np.int64]
    doubtful: NDArray[np.bool_]

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the acquired lines to be left out, of each slice; NaN where it was not judged.

        Of doubtful slices, too. A slice without lines has none to leave out: 0.
        """
        if not self.basis:
            return np.full(self.lines.shape[1], np.nan)
        share = self.lines.sum(axis=(0, 2)) / np.maximum(self.acquired.sum(axis=1), 1)
        return np.where(self.doubtful, np.nan, share)


def inconsistent_lines(kspace: KSpace, *, threshold: float = THRESHOLD) -> Rejection:
    """Find the lines that agree better with another phase than with their own.

    Parameters
    ----------
    kspace
        On the grid; with `KSpace.shots`, or with the same lines in every frame: then each line,
        over all frames, is judged alone.
    threshold
        See `THRESHOLD`: from 0 to 1, higher leaves fewer lines out.

    Returns
    -------
    Rejection
        Nothing is judged, and `Rejection.why` says so, off the grid, with fewer than
        `MIN_FRAMES` frames or `MIN_COILS` coils, where lines differ from frame to frame and shots
        are not known, where a shot holds half of the lines of a frame or its centre, with more
        than `MAX_SHOTS` shots, and where coil maps cannot be made.

    Raises
    ------
    SubjectError
        As `popscan.recon.acquired.acquired`.
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
    units, basis, why = _units(kspace)
    if not basis:
        return _unjudged(nothing, why, counts)
    doubtful = np.zeros(n_z, dtype=bool)
    for z in range(n_z):
        if there[:, z].any():
            samples = np.ascontiguousarray(np.moveaxis(used.data[:, :, :, z], -1, 0))
            own = np.where(there[:, z], units, -1).T
            try:
                found = _rejected(samples, own, basis=basis, threshold=threshold)
            except SubjectError as error:  # methods without coil maps reconstruct it
                return _unjudged(np.zeros_like(nothing), f"no coil maps: {error}", counts)
            doubtful[z] = found is None
            nothing[:, z] = False if found is None else found.T
    return Rejection(lines=nothing, basis=basis, why="", acquired=counts, doubtful=doubtful)


def without(kspace: KSpace, rejection: Rejection) -> KSpace:
    """Return the k-space with the lines marked as left out; coil maps may still use them."""
    return replace(kspace, left_out=rejection.lines) if rejection.lines.any() else kspace


def _unjudged(
    lines: NDArray[np.bool_], why: str, counts: NDArray[np.int64] | None = None
) -> Rejection:
    empty = np.zeros(lines.shape[1:], dtype=np.int64)
    return Rejection(
        lines=lines,
        basis="",
        why=why,
        acquired=empty if counts is None else counts,
        doubtful=np.zeros(lines.shape[1], dtype=bool),
    )


def _units(kspace: KSpace) -> tuple[NDArray[np.int64], Basis | Literal[""], str]:
    """Return what is judged as one, (ky, t), -1 where nothing was acquired; or why nothing is."""
    mask = np.asarray(kspace.mask)
    if kspace.shots is not None and len(shots := np.unique(kspace.shots[mask])) > 1:
        units = np.where(mask, kspace.shots, -1).astype(np.int64)
        if len(shots) > MAX_SHOTS:
            return units, "", f"more than {MAX_SHOTS} shots"
        if _whole(units, shots):
            return units, "", "a shot holds half of the lines of a frame, or its centre"
        return units, "shots", ""
    if np.array_equal(mask.any(axis=1), mask.all(axis=1)):
        return np.where(mask, np.arange(len(mask))[:, np.newaxis], -1), "lines", ""
    return np.full(mask.shape, -1), "", "lines differ between frames and shots are not known"


def _whole(units: NDArray[np.int64], shots: NDArray[np.int64]) -> bool:
    """Return whether a shot leaves too few lines of a frame, or of its centre, to predict it."""
    n_lines = len(units)
    near = np.abs(np.arange(n_lines) - n_lines // 2) <= max(n_lines // 16, 4)
    every, central = (units >= 0).sum(axis=0), (units[near] >= 0).sum(axis=0)
    for shot in shots:
        own, inner = (units == shot).sum(axis=0), (units[near] == shot).sum(axis=0)
        if (own * 2 >= every)[own > 0].any() or (inner > 0.75 * central).any():
            return True
    return False


def _rejected(
    samples: NDArray[np.complex64],
    units: NDArray[np.int64],
    *,
    basis: Basis,
    threshold: float,
) -> NDArray[np.bool_] | None:
    """Return which lines (t, ky) of a slice (t, coil, kx, ky) contradict the others.

    None where some do, and which is not clear.
    """
    maps, _ = coil_maps(coils.temporal_average(samples), method="walsh", width=20)
    hybrid = hybrid_of(samples, maps)
    with torch.inference_mode():
        if basis == "shots":
            out = contradicting(hybrid, units, threshold=threshold)
        else:
            # Lines of a fold are predicted together: most neighbours stay in the prediction.
            numbers = [int(n) for n in np.unique(units[units >= 0])]
            n_folds = min(N_FOLDS, len(numbers))
            folds = [numbers[k::n_folds] for k in range(n_folds)]
            out = settled_folds(hybrid, units, folds, set(), threshold=threshold)
    return None if out is None else np.isin(units, sorted(out)) & (units >= 0)
