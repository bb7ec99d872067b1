"""Sentences of a study's methods paragraph, and the frame that pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sentences(config: Mapping[str, Any]) -> list[str]:
    """Return what was measured, and how."""
    return [
        "Regions of the vessels were given with the images; nothing was segmented.",
        "Velocity is phase times the velocity encoding over half a turn. A plane fitted to the "
        "mean velocity of still tissue was taken off, aliased velocities were unwrapped over the "
        "plane and the cycle, and flow is velocity summed over a region times the area of a pixel.",
        "Volumes are sums over the frames; forward is the direction of the largest flow. Cardiac "
        "output is the net volume of the ascending aorta times the heart rate.",
    ]


def phase_frames(
    labels: NDArray[np.uint8],
    *,
    frames: Sequence[int] | None = None,
    frame_labels: Sequence[str] | None = None,
) -> dict[str, int]:
    """Return the frame in which the vessels are widest: about the peak of the flow.

    Parameters
    ----------
    labels : ndarray, shape (x, y, 2, t)
        Vessels.
    frames
        Frames that are labelled; all by default.
    frame_labels
        Not needed here.
    """
    area = (labels > 0).sum(axis=(0, 1, 2)).astype(float)
    allowed = np.zeros(area.shape, dtype=bool)
    allowed[list(range(area.size) if frames is None else frames)] = True
    if not area[allowed].any():
        return {}
    return {"widest": int(np.where(allowed, area, -1.0).argmax())}
