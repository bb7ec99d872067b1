"""Very many points as a density, with the outliers still drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

#: More points than these are drawn as a density.
MANY = 3000
#: Outliers of a group that are drawn, and named, beside a density; on either end of violins.
OUTLIERS = 12
_BINS = (56, 36)
_COLOUR = "#4b6a80"


def farthest(distances: NDArray[np.float64], limit: int = OUTLIERS) -> NDArray[np.intp]:
    """Return the places of the largest distances, in the order of the values."""
    return np.sort(np.argsort(-distances, kind="stable")[:limit])


def shade(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Draw how many points lie in each cell of a grid, on a logarithmic scale."""
    counts, right, top = np.histogram2d(x, y, bins=_BINS)
    share = np.log1p(counts) / np.log1p(max(counts.max(), 1.0))
    picture = np.zeros((*counts.T.shape, 4))
    picture[..., :3] = to_rgb(_COLOUR)
    picture[..., 3] = np.where(counts > 0, 0.15 + 0.75 * share, 0.0).T
    axes.imshow(
        picture, origin="lower", aspect="auto", interpolation="nearest", zorder=0.5,
        extent=(right[0], right[-1], top[0], top[-1]),
    )  # fmt: skip
    axes.use_sticky_edges = False
