"""Whether every slice of k-space has every frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.records import SubjectError

#: A frame with less than this share of the usual number of lines was broken off. Variable sampling
#: differs by far less, and frames with further calibration lines hold more.
_WHOLE = 0.5


def broken_off(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which frames of which slices hold far fewer lines than is usual.

    Parameters
    ----------
    counts : ndarray of int, shape (z, t)
        Lines that were acquired.

    Returns
    -------
    ndarray of bool, shape (z, t)
        True where a frame has less than half of the median number of lines, or none.

    Examples
    --------
    >>> broken_off(np.array([[12, 12, 3], [12, 12, 0]])).tolist()
    [[False, False, True], [False, False, True]]
    """
    return np.asarray((counts == 0) | (counts < _WHOLE * np.median(counts)))


def require_complete(counts: NDArray[np.int64], *, name: str) -> None:
    """Refuse k-space in which a slice lacks a frame, or most of its lines.

    Reconstruction would fill it with the mean of the others, in which nothing moves.

    Parameters
    ----------
    counts : ndarray of int, shape (z, t)
        Lines that were acquired.
    name
        Of the file, for messages.

    Raises
    ------
    SubjectError
        ``missing_frames``.
    """
    short = broken_off(counts)
    if short.any():
        listed = [
            f"slice {z + 1}, frame {t + 1}: {counts[z, t]}" for z, t in np.argwhere(short)[:8]
        ]
        raise SubjectError(
            "missing_frames",
            f"{name}: {int(np.median(counts))} lines per slice and frame are usual here; "
            f"{'; '.join(listed)} ({int(short.sum())} in all)",
        )
