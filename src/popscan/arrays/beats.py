"""Beats of a segmented series: which lines each acquired, and what went wrong in it.

A gated series is put together of several beats: each acquires some of the lines of every frame.
A beat whose trigger came late, an early (ectopic) beat and a breath therefore spoil those lines
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: Which lines a beat acquires: every n-th one of a frame, or neighbouring ones.
Order = Literal["interleaved", "blocks"]


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a beat acquired other than it should have.

    Attributes
    ----------
    frames : tuple of int, or None
        For each frame the frame in which the body really was; None: as it should be.
    moved_px : tuple of 2 floats
        How far the body lay from its place along x and y.
    """

    frames: tuple[int, ...] | None = None
    moved_px: tuple[float, float] = (0.0, 0.0)

    @property
    def regular(self) -> bool:
        """Whether nothing went wrong."""
        return self.frames is None and not any(self.moved_px)


def late(n_frames: int, delay: int) -> Beat:
    """Return a beat whose trigger came `delay` frames late: frames show a later phase."""
    return Beat(frames=tuple((t + delay) % n_frames for t in range(n_frames)))


def early(n_frames: int, first: int) -> Beat:
    """Return a beat after which the next one came early, in frame `first`."""
    return Beat(frames=tuple(t if t < first else t - first for t in range(n_frames)))


def beat_numbers(mask: NDArray[np.bool_], n_beats: int, *, order: Order) -> NDArray[np.int64]:
    """Return the beat in which each line of each frame is acquired.

    Parameters
    ----------
    mask : ndarray of bool, shape (ky, t)
        Acquired lines.
    n_beats
        Beats, at least 1; each acquires an equal share of the lines of every frame.
    order
        ``interleaved``: every n-th acquired line; ``blocks``: neighbouring ones.

    Returns
    -------
    ndarray of int, shape (ky, t)
        From 0; -1 where nothing is acquired.
    """
    out = np.full(mask.shape, -1, dtype=np.int64)
    for t in range(mask.shape[1]):
        lines = np.flatnonzero(mask[:, t])
        place = np.arange(lines.size)
        out[lines, t] = place % n_beats if order == "interleaved" else place * n_beats // lines.size
    return out


def seen_in(
    spectrum: NDArray[np.complexfloating], beat: Beat, *, frame: int
) -> NDArray[np.complexfloating]:
    """Return what a beat sees of an object in one frame.

    Parameters
    ----------
    spectrum : ndarray, shape (t, ..., kx, ky)
        Centred k-space of the object, without coils.
    beat
        What went wrong in it.
    frame
        The frame that it acquires.

    Returns
    -------
    ndarray, shape (..., kx, ky)
    """
    seen = spectrum[frame if beat.frames is None else beat.frames[frame]]
    if not any(beat.moved_px):
        return seen
    ramps = [
        np.exp(-2j * np.pi * moved * (np.arange(n) - n // 2) / n).astype(np.complex64)
        for n, moved in zip(seen.shape[-2:], beat.moved_px, strict=True)
    ]
    return np.asarray(seen * (ramps[0][:, np.newaxis] * ramps[1]))


def spoilt(numbers: NDArray[np.int64], beats: Sequence[Beat]) -> NDArray[np.bool_]:
    """Return which lines (ky, t) were acquired in a beat in which something went wrong."""
    wrong = np.array([not beat.regular for beat in beats] + [False])
    return np.asarray(wrong[numbers])  # -1, not acquired, is the last entry
