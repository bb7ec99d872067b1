"""Signals matched to a dictionary, and how sure the match is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.fingerprinting.dictionary import Dictionary
from popscan.fingerprinting.sequences import Schedule, fisp_signals
from popscan.records import PopscanError

_CHUNK = 4096
#: Relative step of the derivatives by T1 and T2.
_STEP = 0.01


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What signals were matched to; NaN where a signal is zero or not finite.

    Attributes
    ----------
    t1_ms, t2_ms : ndarray, shape (n,)
        Of the atom that correlates best.
    density : ndarray of complex64, shape (n,)
        Equilibrium magnetisation with its phase, in units of the signals.
    correlation : ndarray, shape (n,)
        With that atom, 0 to 1: low where the signal is of no tissue of the dictionary, or of noise.
    at_edge : ndarray of bool, shape (n,)
        Whether the atom is at an end of the dictionary, so that the true value may lie beyond.
    """

    t1_ms: NDArray[np.float64]
    t2_ms: NDArray[np.float64]
    density: NDArray[np.complex64]
    correlation: NDArray[np.float64]
    at_edge: NDArray[np.bool_]


def match(dictionary: Dictionary, signals: ArrayLike) -> Matched:
    """Match signals to the atoms of largest correlation.

    Parameters
    ----------
    dictionary
        Of the sequence that gave the signals.
    signals : array_like, shape (n, frames)
        Real or complex.

    Returns
    -------
    Matched
        One entry per signal; none for no signals.

    Raises
    ------
    PopscanError
        If the signals have another number of frames than the dictionary.
    """
    given = np.asarray(signals)
    _expect_frames(dictionary.schedule, given)
    usable = np.isfinite(given).all(axis=1) & (given != 0).any(axis=1)
    out = Matched(
        t1_ms=np.full(len(given), np.nan),
        t2_ms=np.full(len(given), np.nan),
        density=np.full(len(given), np.nan, dtype=np.complex64),
        correlation=np.full(len(given), np.nan),
        at_edge=np.zeros(len(given), dtype=bool),
    )
    rows = np.flatnonzero(usable)
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        part = given[some].astype(np.complex64)
        products = (part @ dictionary.basis) @ dictionary.atoms.T
        best = np.abs(products).argmax(axis=1)
        found = products[np.arange(len(some)), best]
        out.t1_ms[some], out.t2_ms[some] = dictionary.t1_ms[best], dictionary.t2_ms[best]
        out.density[some] = found / dictionary.norms[best]
        out.correlation[some] = np.minimum(np.abs(found) / np.linalg.norm(part, axis=1), 1.0)
        out.at_edge[some] = dictionary.edges[best]
    return out


def standard_errors(
    schedule: Schedule, matched: Matched, *, noise_sd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest standard errors that T1 and T2 can have (Cramer-Rao).

    Parameters
    ----------
    schedule
        The sequence.
    matched
        The tissues.
    noise_sd
        Standard deviation of the noise in the real and in the imaginary part of a frame.

    Returns
    -------
    t1_ms, t2_ms : ndarray, shape (n,)
        Standard errors of an estimate without bias; NaN where nothing was matched. The grid of the
        dictionary adds its own: a third of its step or so.

    Raises
    ------
    PopscanError
        If `noise_sd` is below 0.
    """
    if not noise_sd >= 0:
        raise PopscanError(f"noise_sd {noise_sd:g}: 0 or more is expected")
    errors = np.full((2, len(matched.t1_ms)), np.nan)
    usable = np.flatnonzero(np.isfinite(matched.t1_ms))
    pairs = np.stack([matched.t1_ms[usable], matched.t2_ms[usable]], axis=1)
    tissues, which = np.unique(pairs, axis=0, return_inverse=True)
    if not len(tissues):
        return errors[0], errors[1]
    t1, t2 = tissues.T
    signal = fisp_signals(schedule, t1, t2).astype(np.float64)
    slopes = [
        (fisp_signals(schedule, *up).astype(np.float64) - fisp_signals(schedule, *down)) / width
        for up, down, width in (
            ((t1 * (1 + _STEP), t2), (t1 * (1 - _STEP), t2), (2 * _STEP * t1)[:, None]),
            ((t1, t2 * (1 + _STEP)), (t1, t2 * (1 - _STEP)), (2 * _STEP * t2)[:, None]),
        )
    ]
    # The density is complex and unknown: its phase is orthogonal to the real derivatives.
    design = np.stack([signal, *slopes], axis=2)
    information = np.einsum("nfi,nfj->nij", design, design)
    inverse = np.linalg.pinv(information, hermitian=True)
    scale = noise_sd / np.abs(matched.density[usable])
    for i in (0, 1):
        errors[i, usable] = scale * np.sqrt(inverse[which.ravel(), i + 1, i + 1])
    return errors[0], errors[1]


def _expect_frames(schedule: Schedule, signals: NDArray[np.generic]) -> None:
    if signals.ndim != 2 or signals.shape[1] != schedule.n_frames:
        raise PopscanError(
            f"signals {signals.shape}: (n, {schedule.n_frames}) are expected, a value per frame"
        )
