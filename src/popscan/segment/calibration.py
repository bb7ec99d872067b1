"""Whether probabilities mean what they say: reliability, temperature, worth of the uncertainty.

Everything is per structure, one against the rest, on the voxels given: restrict them to the
surroundings of the organ first (`surroundings`), or millions of sure background voxels make any
model look calibrated (Mehrtash et al., IEEE TMI 2020, doi:10.1109/TMI.2020.3006437).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from popscan.arrays.morphology import Code

Floats = NDArray[np.float64]
#: Lowest probability whose logarithm is taken.
_LEAST = 1e-7
#: Summed entropy of a slice, in nats, above which it is doubtful: two in five of ACDC's are.
DOUBT_LIMIT = 320.0


@dataclass(frozen=True)
class Reliability:
    """Probabilities by bin: how often, how sure, how often right. Adds up over subjects.

    Attributes
    ----------
    count, confidence, hits : ndarray, shape (bin,)
        Voxels per bin, the sum of their probabilities, and how many are in truth so.
    """

    count: Floats
    confidence: Floats
    hits: Floats

    def __add__(self, other: Reliability) -> Reliability:
        """Pool the voxels of both."""
        return Reliability(
            self.count + other.count, self.confidence + other.confidence, self.hits + other.hits
        )

    @property
    def mean_confidence(self) -> Floats:
        """Mean probability of each bin; NaN in empty bins."""
        return _ratios(self.confidence, self.count)

    @property
    def frequency(self) -> Floats:
        """Share of each bin that is in truth so; NaN in empty bins."""
        return _ratios(self.hits, self.count)


def _ratios(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def reliability(probability: NDArray[Any], truth: NDArray[Any], *, bins: int = 20) -> Reliability:
    """Sort voxels into bins of equal width by their probability.

    Parameters
    ----------
    probability, truth
        Probability of the structure, and whether it is there; one shape.
    bins
        Number of bins of [0, 1]; a probability of 1 is in the last.
    """
    p = np.asarray(probability, dtype=np.float64).ravel()
    hit = np.asarray(truth, dtype=np.float64).ravel()
    if p.shape != hit.shape:
        raise ValueError(f"shapes differ: {p.shape} and {hit.shape}")
    index = np.clip((p * bins).astype(np.int64), 0, bins - 1)
    count, confidence, hits = (
        np.bincount(index, weights=w, minlength=bins).astype(np.float64)
        for w in (np.ones_like(p), p, hit)
    )
    return Reliability(count, confidence, hits)


def calibration_error(found: Reliability) -> float:
    """Return the expected calibration error (ECE): mean distance of sure and right over voxels.

    Naeini et al., AAAI 2015; Guo et al., ICML 2017. NaN without voxels.

    Examples
    --------
    Ten voxels called 0.8, of which six are: off by 0.2.

    >>> round(calibration_error(reliability(np.full(10, 0.8), np.arange(10) < 6)), 6)
    0.2
    """
    total = float(found.count.sum())
    return float(np.abs(found.confidence - found.hits).sum()) / total if total else math.nan


def tempered(probabilities: NDArray[Any], temperature: float) -> Floats:
    """Return probabilities (voxel, label) after temperature scaling."""
    powered = np.asarray(probabilities, dtype=np.float64).clip(_LEAST) ** (1.0 / temperature)
    return powered / powered.sum(axis=-1, keepdims=True)


def log_loss(probabilities: NDArray[Any], labels: NDArray[Any], temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood in nats of the true labels; NaN without voxels."""
    if not len(labels):
        return math.nan
    p = tempered(probabilities, temperature)
    return float(-np.log(p[np.arange(len(labels)), labels.astype(np.int64)]).mean())


def fit_temperature(
    probabilities: NDArray[Any], labels: NDArray[Any], *, lowest: float = 0.25, highest: float = 4.0
) -> float:
    """Return the temperature with the lowest log-loss (Guo et al., ICML 2017).

    Parameters
    ----------
    probabilities
        Mean probabilities (voxel, label) of voxels that the model was not trained on.
    labels
        True label of each voxel.
    lowest, highest
        Range that is searched.

    Returns
    -------
    1.0 without voxels.
    """
    if not len(labels):
        return 1.0
    found = optimize.minimize_scalar(
        lambda log_t: log_loss(probabilities, labels, math.exp(log_t)),
        bounds=(math.log(lowest), math.log(highest)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(math.exp(found.x))


def temperature_of(about: Mapping[str, Any], *, flips: bool | Literal["doubtful"] = False) -> float:
    """Return the temperature that a bundle was calibrated with; 1 where it was not.

    Averaging over mirrorings makes a model less sure of itself, so it has a temperature of its
    own; mirroring doubtful slices another one, without which that of no mirrorings is taken.
    """
    section = about.get("calibration", {})
    usual = section.get("temperature", 1.0)
    if flips == "doubtful":
        return float(section.get("temperature_doubtful", usual))
    return float(section.get("temperature_flips", 1.0) if flips else usual)


def doubt_limit_of(about: Mapping[str, Any]) -> float:
    """Return the entropy, summed over a slice in nats, above which the slice is doubtful.

    On the grid that the networks see. Three in five of the slices that the bundle was calibrated
    on have less; `DOUBT_LIMIT` where it was not calibrated.
    """
    return float(about.get("calibration", {}).get("doubt_limit", DOUBT_LIMIT))


def log_odds_of(about: Mapping[str, Any], labels: Mapping[str, int]) -> list[float]:
    """Return what a bundle adds to the scores of each label, background first.

    Section ``decision``: 0 for labels that it does not name. A network trained by an overlap loss
    may draw a border at a place that is biased as a volume; moving where it decides mends that.
    """
    section = about.get("decision", {})
    return [
        0.0,
        *(float(section.get(name, 0.0)) for name in sorted(labels, key=labels.__getitem__)),
    ]


def surroundings(
    labels: Sequence[NDArray[np.uint8]], *, spacing_mm: Sequence[float], margin_mm: float = 10.0
) -> NDArray[np.bool_]:
    """Return the voxels in or near a structure of any of the label maps, slice by slice.

    Parameters
    ----------
    labels
        Label maps of one shape (x, y, ...), e.g. reference and prediction.
    spacing_mm
        Distance of voxel centres along x and y (and further axes, not used).
    margin_mm
        How near, in plane.
    """
    organ = np.any([np.asarray(a) != 0 for a in labels], axis=0)
    flat = organ.reshape(*organ.shape[:2], -1)
    near = np.zeros_like(flat)
    for index in np.flatnonzero(flat.any(axis=(0, 1))):
        away = ndimage.distance_transform_edt(~flat[..., index], sampling=tuple(spacing_mm[:2]))
        near[..., index] = away <= margin_mm
    return near.reshape(organ.shape)


def binary_entropy_pct(probability: NDArray[Any]) -> Floats:
    """Return the uncertainty of one structure against the rest, 0 to 100: binary entropy."""
    p = np.clip(np.asarray(probability, dtype=np.float64), _LEAST, 1 - _LEAST)
    return -100.0 * (p * np.log2(p) + (1 - p) * np.log2(1 - p))


def qu_brats(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    uncertainty_pct: NDArray[Any],
    *,
    thresholds: int = 51,
) -> dict[str, float]:
    """Score an uncertainty map by what leaving out uncertain voxels does (QU-BraTS).

    Voxels above a threshold are left out. Rewarded is a Dice of the rest that rises, penalised are
    true positives and true negatives that had to go (Mehta et al., MELBA 2022,
    arXiv:2112.10074): ``(AUC of Dice + 1 - AUC of lost TP + 1 - AUC of lost TN) / 3``, areas over
    thresholds 0 to 100.

    Parameters
    ----------
    prediction, reference
        Masks of one structure.
    uncertainty_pct
        0 (sure) to 100.
    thresholds
        At how many evenly spaced thresholds it is measured.

    Returns
    -------
    dict
        ``score``, ``dice_auc``, ``lost_tp_auc``, ``lost_tn_auc``; NaN where there is no true
        positive or no true negative at all. Where nothing of the structure is left in either
        mask, Dice counts as 1, as in the challenge.
    """
    levels = np.linspace(0.0, 100.0, thresholds)
    shifted = np.asarray(uncertainty_pct, dtype=np.float64)
    kinds = {
        "tp": prediction & reference,
        "fp": prediction & ~reference,
        "fn": ~prediction & reference,
        "tn": ~prediction & ~reference,
    }
    kept = {name: _kept(shifted[mask], levels) for name, mask in kinds.items()}
    total = 2 * kept["tp"] + kept["fp"] + kept["fn"]
    dice = np.divide(2 * kept["tp"], total, out=np.ones_like(total), where=total > 0)
    areas = {"dice_auc": _area(dice, levels)}
    for name in ("tp", "tn"):
        whole = float(kinds[name].sum())
        lost = 1 - kept[name] / whole if whole else np.full_like(levels, np.nan)
        areas[f"lost_{name}_auc"] = _area(lost, levels)
    score = (areas["dice_auc"] + (1 - areas["lost_tp_auc"]) + (1 - areas["lost_tn_auc"])) / 3
    return {"score": score, **areas}


def _kept(values: Floats, levels: Floats) -> Floats:
    return np.searchsorted(np.sort(values), levels + 1e-9, side="right").astype(np.float64)


def _area(values: Floats, levels: Floats) -> float:
    return float(np.trapezoid(values, levels) / 100.0)


def by_structure(
    probabilities: NDArray[Any],
    labels: NDArray[Any],
    *,
    structures: Mapping[Code, str],
    bins: int = 20,
) -> dict[str, Reliability]:
    """Return the reliability of every structure, one against the rest.

    Parameters
    ----------
    probabilities
        (voxel, label).
    labels
        True label of each voxel.
    structures
        Label -> name.
    bins
        Number of bins.
    """
    return {
        name: reliability(probabilities[:, int(label)], labels == int(label), bins=bins)
        for label, name in structures.items()
    }
