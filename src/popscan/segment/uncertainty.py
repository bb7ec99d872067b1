"""How sure the networks are: from samples of class probabilities to maps and to sums per slice.

A sample is what one member of an ensemble says of one mirroring of the image, or of one draw of
Monte-Carlo dropout. Samples are never kept: a `Watch` is shown each of them once and remembers
sums, so memory does not grow with their number, and per slice it keeps a few dozen numbers.

Tensors have axes (n, label, x, y), probabilities sum to 1 over the labels, background first.
Entropies are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.records import STRUCTURES, Label, PopscanError

Floats = NDArray[np.float64]


def predictive_entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (n, x, y) of the mean probabilities: all uncertainty, 0 to ln labels.

    Examples
    --------
    >>> even = torch.full((1, 4, 1, 1), 0.25)
    >>> round(float(predictive_entropy(even)), 4) == round(math.log(4), 4)
    True
    """
    return torch.special.entr(probabilities.clamp_min(0)).sum(dim=1)


def mutual_information(samples: torch.Tensor) -> torch.Tensor:
    """Return what the samples disagree about: entropy of their mean less their mean entropy.

    The part of the uncertainty that is the model's (another training would say otherwise), not
    the image's (Houlsby et al. 2011, arXiv:1112.5745; Gal 2016).

    Parameters
    ----------
    samples
        Probabilities of each sample, shape (sample, n, label, x, y).

    Returns
    -------
    Shape (n, x, y), 0 where all samples agree.
    """
    each = torch.stack([predictive_entropy(sample) for sample in samples]).mean(dim=0)
    return (predictive_entropy(samples.mean(dim=0)) - each).clamp_min(0)


def flip_risk(probabilities: torch.Tensor) -> torch.Tensor:
    """Return how unsure it is which structure a voxel is, given that it is one: 0 to 1.

    Entropy of the foreground labels' probabilities among themselves, over the logarithm of their
    number; after the flip-risk of Achara et al., "label flips" of semantic segmentation. The border
    of a structure to the background does not raise it, the border between two structures does.
    """
    foreground = probabilities[:, 1:].clamp_min(0)
    among = foreground / foreground.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return predictive_entropy(among) / math.log(foreground.shape[1])


def most_likely(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the likeliest label (n, x, y) as uint8; the lowest of several equal ones.

    One comparison per label over whole planes: many times faster than an argmax over an axis
    that is not the innermost.
    """
    best = probabilities[:, 0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for label in range(1, probabilities.shape[1]):
        above = probabilities[:, label] > best
        labels[above] = label
        best = torch.maximum(best, probabilities[:, label])
    return labels


def temper(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return probabilities after temperature scaling: above 1 less sure, below 1 surer.

    Applied to the mean of all samples, which is where an ensemble has to be calibrated (Guo et al.,
    ICML 2017; Rahaman and Thiery, NeurIPS 2021). The likeliest label stays the likeliest.

    Raises
    ------
    PopscanError
        If the temperature is not positive.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise PopscanError(f"temperature {temperature!r} is not a positive number")
    if temperature == 1.0:
        return probabilities
    powered = probabilities.clamp_min(0).pow(1.0 / temperature)
    return powered / powered.sum(dim=1, keepdim=True)


@contextmanager
def dropped(network: torch.nn.Module, *, rate: float, seed: int) -> Iterator[None]:
    """Silence random feature channels of a network: one draw of Monte-Carlo dropout.

    The network's own dropout layers are used where it has any; else the outputs of its deepest
    convolutions (at least half as many channels as the widest), as in dropout injection (Ledda et
    al., Information Sciences 2023). A draw silences the same channels for every slice, so that it
    stands for one network and volumes of one draw belong together (Gal and Ghahramani, ICML 2016).

    Parameters
    ----------
    network
        In evaluation mode; unchanged afterwards.
    rate
        Share of the channels, 0 up to 1.
    seed
        Which draw.
    """
    if not 0 <= rate < 1:
        raise PopscanError(f"dropout rate {rate!r} is not between 0 and 1")
    masks: dict[int, torch.Tensor] = {}

    def hook(index: int) -> Any:
        def silence(_module, _inputs, output: torch.Tensor) -> torch.Tensor:
            if index not in masks:
                rng = np.random.default_rng([seed, index])
                kept = (rng.random(output.shape[1]) >= rate) / (1.0 - rate)
                masks[index] = torch.tensor(kept, dtype=torch.float32)
            mask = masks[index].to(output.device, output.dtype)
            return output * mask.view(1, -1, *[1] * (output.ndim - 2))

        return silence

    handles = [m.register_forward_hook(hook(i)) for i, m in enumerate(_droppable(network))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _droppable(network: torch.nn.Module) -> list[torch.nn.Module]:
    modules = list(network.modules())
    own = [m for m in modules if isinstance(m, torch.nn.modules.dropout._DropoutNd)]
    if own:
        return list[torch.nn.Module](own)
    convolutions = [m for m in modules if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
    widest = max((m.out_channels for m in convolutions), default=0)
    return [m for m in convolutions if m.out_channels >= widest / 2]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums over the voxels of each slice, on the grid that the networks see.

    Axes: slices of the cine as (t * z) with z running fastest, then labels, background first.

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
        Slices of the cine (t * z).
    dropout_samples, dropout_rate, seed
        How many draws of Monte-Carlo dropout the networks make beside their plain passes. Draws
        inform about uncertainty only; labels come from the plain passes.
    pixel_mm2
        Area of a voxel of the networks' grid.
    """

    n: int
    dropout_samples: int = 0
    dropout_rate: float = 0.1
    seed: int = 0
    pixel_mm2: float = 1.0
    names: list[str] = field(default_factory=list)
    _volumes: list[Floats] = field(default_factory=list)
    _now: list[torch.Tensor] = field(default_factory=list)
    _entropy: torch.Tensor | None = None
    _sum: torch.Tensor | None = None

    def __post_init__(self) -> None:
        labels = len(Label)
        self._expected = np.zeros((self.n, labels, labels))
        self._by_label = np.zeros((3, self.n, labels))

    def restart(self) -> None:
        """Forget the samples of a batch that did not fit into memory."""
        self._now, self._entropy, self._sum = [], None, None

    def sample(self, name: str, probabilities: torch.Tensor) -> None:
        """Take in one sample (n, label, x, y) of the batch at hand, turned back if mirrored."""
        if len(self.names) == len(self._now):
            self.names.append(name)
            self._volumes.append(np.zeros((self.n, len(Label))))
        self._now.append(_counts(most_likely(probabilities)))
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
        chosen = torch.nn.functional.one_hot(most_likely(mean).long(), len(Label)).to(mean.dtype)
        self._expected[start:stop] = _numbers(torch.einsum("nxyj,nkxy->njk", chosen, mean))
        maps = torch.stack([predictive_entropy(mean), information, flip_risk(mean)])
        self._by_label[:, start:stop] = _numbers(torch.einsum("nxyj,mnxy->mnj", chosen, maps))
        for volumes, counted in zip(self._volumes, self._now, strict=True):
            volumes[start:stop] = _numbers(counted)
        self.restart()
        return information

    def tally(self) -> Tally:
        """Return the sums of everything seen."""
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


def _counts(labels: torch.Tensor) -> torch.Tensor:
    """Count the labels of each slice: (n, x, y) to (n, label)."""
    return torch.stack([(labels == int(k)).sum(dim=(1, 2)) for k in Label], dim=1)


def _numbers(values: torch.Tensor) -> Floats:
    return values.detach().cpu().numpy().astype(np.float64)


def summaries(tally: Tally) -> dict[str, float]:
    """Return numbers per structure over all frames, for the study's table.

    Parameters
    ----------
    tally
        Of a cine, per slice or per frame.

    Returns
    -------
    dict
        ``mean_information_rv`` ..., ``flip_risk_rv`` ... (means over the voxels labelled so),
        ``volume_spread_rv_pct`` ... (standard deviation of the samples' total volume, over its
        mean); NaN for a structure that is nowhere, spread and information NaN for one sample.
    """
    several = len(tally.samples) > 1
    values: dict[str, float] = {}
    for label, name in STRUCTURES.items():
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
