"""What comes of a segmentation by networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.resampling import Window
from popscan.segment.samples import Tally


class Ends(Protocol):
    """Where structures end along a stack: what is doubtful there, frame by frame."""

    @property
    def kept(self) -> Mapping[str, NDArray[np.float64]]:
        """Structure -> voxels of each frame in doubtful slices that count as the structure."""
        ...

    @property
    def removed(self) -> Mapping[str, NDArray[np.float64]]:
        """Structure -> voxels of each frame in doubtful slices that do not."""
        ...

    @property
    def beyond(self) -> Mapping[str, NDArray[np.float64]]:
        """Structure -> voxels of each frame in one more slice that was not acquired; or empty."""
        ...


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What the networks say of a scan.

    Attributes
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
        Codes of every frame, on the grid of the scan.
    near : Window
        The pixels of the scan around the organ that were looked at; all else is background.
    entropy_near : ndarray of float16, shape (*near.size, z, t)
        Entropy of the class probabilities in nats, 0 (sure) to ln labels.
    values
        ``mean_entropy_NAME`` ... (over the voxels labelled so, all frames; NaN where there
        are none), ``n_components_removed``, ``input_warning`` (empty, or what about the input is
        outside of what the model was trained for), ``ood_score``, ``ood_slices``.
    n_components_removed
        Islands that the clean-up took away, over all frames.
    tally
        Sums over voxels per slice: expected confusion, uncertainties, volumes of every sample.
    information_near : ndarray of float16, shape (*near.size, z, t), or None
        Mutual information of the samples in nats, where it was asked for.
    features : ndarray of float32, shape (t * z, feature), or None
        Pooled features of every slice (`popscan.segment.features`), where they were asked for.
    tissue : ndarray, shape (2 * structure,), or None
        Intensities of the structures (`popscan.segment.ood.tissue_features`).
    base
        Where the structures were decided to end; None where that was not asked.
    sampled
        Name of a structure -> what was measured in it of each sample, in order; or empty.
    """

    labels: NDArray[np.uint8]
    near: Window
    entropy_near: NDArray[np.float16]
    values: Mapping[str, Any]
    n_components_removed: int = 0
    tally: Tally | None = None
    information_near: NDArray[np.float16] | None = None
    features: NDArray[np.float32] | None = None
    tissue: NDArray[np.float64] | None = None
    base: Ends | None = None
    sampled: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def entropy(self) -> NDArray[np.float16]:
        """Entropy on the grid of the scan (x, y, z, t), 0 outside of the window."""
        return pasted(self.entropy_near, self.near, self.labels.shape)

    @property
    def information(self) -> NDArray[np.float16] | None:
        """Mutual information on the grid of the scan (x, y, z, t), where it was asked for."""
        found = self.information_near
        return None if found is None else pasted(found, self.near, self.labels.shape)


def on_grid(found: Segmentation, at: Window, shape: tuple[int, ...]) -> Segmentation:
    """Return what was found in a window of a scan on the grid of the whole scan."""
    if found.labels.shape == shape:
        return found
    x, y = (a + b for a, b in zip(at.start, found.near.start, strict=True))
    return replace(
        found, labels=pasted(found.labels, at, shape), near=Window((x, y), found.near.size)
    )


def inside(window: Window) -> tuple[slice, slice]:
    """Return the rows and columns of a window."""
    (x0, y0), (nx, ny) = window.start, window.size
    return slice(x0, x0 + nx), slice(y0, y0 + ny)


def pasted(part: NDArray[Any], window: Window, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of `shape`, 0 but for `part` in a window; x is fastest, as in NIfTI."""
    whole = np.zeros(shape, dtype=part.dtype, order="F")
    whole[inside(window)] = part
    return whole
