"""What a series of images must be before relaxation times are fitted to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError

#: Times that are closer than this are the same.
_SAME_MS = 0.5
#: Longest time that is believed.
MAX_TIME_MS = 30_000.0


def check_series(
    samples: ArrayLike, times_ms: ArrayLike, *, least: int, what: str = "inversion time"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return images (n, ...) and times (n,) as float64, or say why they cannot be fitted.

    Parameters
    ----------
    samples : array_like, shape (n, ...)
        Magnitude, one image per time.
    times_ms
        When they were taken.
    least
        Parameters of the fit: as many different times are needed.
    what
        What the times are called.

    Raises
    ------
    SubjectError
        ``shape_mismatch``, ``bad_times`` (missing, not finite, negative, or in seconds),
        ``too_few_samples``, ``equal_times``.
    """
    data = np.asarray(samples, dtype=float)
    times = np.asarray(times_ms, dtype=float)
    if data.ndim < 2 or times.ndim != 1 or data.shape[0] != times.size:
        raise SubjectError(
            "shape_mismatch", f"{times.size} values of the {what} for images of shape {data.shape}"
        )
    if not np.isfinite(times).all() or (times < 0).any() or (times > MAX_TIME_MS).any():
        raise SubjectError(
            "bad_times", f"{what} {_listed(times)} ms; 0 to {MAX_TIME_MS:g} expected for each image"
        )
    if times.max() < 20.0:
        raise SubjectError("bad_times", f"{what} {_listed(times)} ms: these look like seconds")
    if times.size < least:
        raise SubjectError(
            "too_few_samples", f"{times.size} images; at least {least} are needed for the fit"
        )
    different = 1 + int(np.count_nonzero(np.diff(np.sort(times)) > _SAME_MS))
    if different < least:
        raise SubjectError(
            "equal_times",
            f"{what} {_listed(times)} ms: {different} different ones; at least {least} expected",
        )
    return data, times


def _listed(times: NDArray[np.float64]) -> str:
    return ", ".join(f"{t:g}" for t in times[:12])
