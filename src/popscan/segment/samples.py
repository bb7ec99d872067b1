"""What many samples say of a scan, kept as sums per slice.

A sample is what one member of an ensemble says of one mirroring of the image, or of one draw of
Monte-Carlo dropout. Samples are never kept: a `Watch` is shown each of them once and remembers
sums, so memory does not grow with their number, and per slice it keeps a few dozen numbers.
Tensors have axes (n, label, x, y), probabilities sum to 1 over the labels, background first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.morphology import Code
from popscan.segment.uncertainty import flip_risk, most_likely, predictive_entropy

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums over the voxels of each slice, on the grid that the networks see.

    Axes: slices of the scan as (t * z) with z running fastest, then labels, background first.

    Attributes
    ----------
    expected : ndarray, shape (slice, label, label)
        ``[s, j, k]`` is the sum of the probability of label k over the voxels labelled j: the
        confusion matrix that the model expects of itself.
    entropy, information, flip_risk : ndarray, shape (slice, label)
        Sums over the voxels labelled so.
    volumes : ndarray, shape (sample, slice, label)
        Voxels that each sample labels so.
    samples
        What each sample is, e.g. ``member0``, ``member1 flip-x``, ``member0 dropout-2``.
    pixel_mm2
        Area of a voxel in plane.
    """

    expected: Floats
    entropy: Floats
    information: Floats
    flip_risk: Floats
    volumes: Floats
    samples: tuple[str, ...]
    pixel_mm2: float

    def by_frame(self, n_slices: int) -> Tally:
        """Return the sums per frame: axis 0 (of `volumes` axis 1) becomes t."""

        def summed(values: Floats, axis: int = 0) -> Floats:
            shape = values.shape
            split = (*shape[:axis], shape[axis] // n_slices, n_slices, *shape[axis + 1 :])
            return values.reshape(split).sum(axis=axis + 1)

        return Tally(
            expected=summed(self.expected),
            entropy=summed(self.entropy),
            information=summed(self.information),
            flip_risk=summed(self.flip_risk),
            volumes=summed(self.volumes, axis=1),
            samples=self.samples,
            pixel_mm2=self.pixel_mm2,
        )


@dataclass
class Watch:
    """Is shown every sample of every batch once, and keeps sums.

    Attributes
    ----------
    n
        Slices of the scan (t * z).
    n_labels
        Number of labels, background included.
    pixel_mm2
        Area of a voxel of the networks' grid.
    """

    n: int
    n_labels: int
    pixel_mm2: float = 1.0
    names: list[str] = field(default_factory=list)
    _volumes: list[Floats] = field(default_factory=list)
    _now: list[torch.Tensor] = field(default_factory=list)
    _closed: list[tuple[slice, torch.Tensor, list[torch.Tensor]]] = field(default_factory=list)
    _entropy: torch.Tensor | None = None
    _sum: torch.Tensor | None = None

    def __post_init__(self) -> None:
        labels = self.n_labels
        self._expected = np.zeros((self.n, labels, labels))
        self._by_label = np.zeros((3, self.n, labels))

    def restart(self) -> None:
        """Forget the samples of a batch that did not fit into memory."""
        self._now, self._entropy, self._sum = [], None, None

    def sample(self, name: str, probabilities: torch.Tensor) -> None:
        """Take in one sample (n, label, x, y) of the batch at hand, turned back if mirrored."""
        if len(self.names) == len(self._now):
            self.names.append(name)
            self._volumes.append(np.zeros((self.n, self.n_labels)))
        self._now.append(_counts(most_likely(probabilities), self.n_labels))
        entropy = predictive_entropy(probabilities)
        self._entropy = entropy if self._entropy is None else self._entropy + entropy
        self._sum = probabilities if self._sum is None else self._sum + probabilities

    def close(self, start: int, stop: int, mean: torch.Tensor) -> torch.Tensor:
        """End a batch: slices `start` to `stop` have the calibrated probabilities `mean`.

        Returns
        -------
        Mutual information (n, x, y) of the batch's samples.
        """
        if self._sum is None or self._entropy is None:
            raise ValueError("no sample was taken in")
        count = len(self._now)
        information = torch.zeros_like(self._entropy)
        if count > 1:  # One sample agrees with itself.
            information = predictive_entropy(self._sum / count) - self._entropy / count
        information = information.clamp_min(0).to(mean.device)
        maps = torch.stack([predictive_entropy(mean), information, flip_risk(mean)], dim=1)
        values = torch.cat([mean, maps], dim=1).flatten(2)
        chosen = _one_hot(most_likely(mean), self.n_labels).to(mean.dtype).flatten(2)
        # Sums over the voxels of each label, all at once: (n, label, what is summed).
        sums = chosen @ values.transpose(1, 2)
        # They stay where they are until all are there: a GPU is not waited for at every batch.
        self._closed.append((slice(start, stop), sums, self._now))
        self.restart()
        return information

    def tally(self) -> Tally:
        """Return the sums of everything seen."""
        for where, sums, counts in self._closed:
            numbers = _numbers(sums)
            self._expected[where] = numbers[:, :, : self.n_labels]
            self._by_label[:, where] = numbers[:, :, self.n_labels :].transpose(2, 0, 1)
            for volumes, counted in zip(self._volumes, counts, strict=True):
                volumes[where] = _numbers(counted)
        self._closed = []
        entropy, information, risk = self._by_label
        return Tally(
            expected=self._expected,
            entropy=entropy,
            information=information,
            flip_risk=risk,
            volumes=np.stack(self._volumes),
            samples=tuple(self.names),
            pixel_mm2=self.pixel_mm2,
        )


def _one_hot(labels: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Return where each label is: (n, x, y) to bool (n, label, x, y)."""
    every = torch.arange(n_labels, dtype=labels.dtype, device=labels.device)
    return labels[:, None] == every.view(1, -1, 1, 1)


def _counts(labels: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Count the labels of each slice: (n, x, y) to (n, label)."""
    return _one_hot(labels, n_labels).sum(dim=(2, 3))


def _numbers(values: torch.Tensor) -> Floats:
    return values.detach().cpu().numpy().astype(np.float64)


def summaries(tally: Tally, structures: Mapping[Code, str]) -> dict[str, float]:
    """Return numbers per structure over all frames, for the study's table.

    Parameters
    ----------
    tally
        Of a scan, per slice or per frame.
    structures
        Label -> name.

    Returns
    -------
    dict
        ``mean_information_NAME``, ``flip_risk_NAME`` (means over the voxels labelled so),
        ``volume_spread_NAME_pct`` (standard deviation of the samples' total volume, over its
        mean); NaN for a structure that is nowhere, spread and information NaN for one sample.
    """
    several = len(tally.samples) > 1
    values: dict[str, float] = {}
    for label, name in structures.items():
        voxels = tally.expected[:, int(label)].sum()
        totals = tally.volumes[..., int(label)].sum(axis=1)
        values[f"mean_information_{name}"] = (
            _ratio(tally.information[:, int(label)].sum(), voxels) if several else math.nan
        )
        values[f"flip_risk_{name}"] = _ratio(tally.flip_risk[:, int(label)].sum(), voxels)
        spread = float(totals.std(ddof=1)) if several else math.nan
        values[f"volume_spread_{name}_pct"] = 100.0 * _ratio(spread, float(totals.mean()))
    # Beyond this the order of sums decides, and with it the size of a batch.
    return {key: round(value, 5) for key, value in values.items()}


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else math.nan
