"""Which unlabelled scans are worth a reviewer's time: uncertain ones that stand for many others.

After suggestive annotation (Yang et al., MICCAI 2017, arXiv:1706.04737): of the scans that the
network is least sure of, one after the other is chosen that adds most to how well all scans are
represented by the labelled and the chosen ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.records import PopscanError

Floats = NDArray[np.float64]
#: A gain per scan below this is rounding: the scan is a copy of one that is represented already.
_NOTHING = 1e-9
#: Scans that are compared with each other at most: their similarities are held in memory.
MAX_SCANS = 15_000


def similarities(rows: Floats, others: Floats) -> Floats:
    """Return how alike scans are, 1 for copies down to 0.

    Parameters
    ----------
    rows, others
        Features (scan, feature); both are standardised by `others`.

    Returns
    -------
    Shape (rows, others): ``exp(-d^2 / k)`` of the distance d in k features; two scans of `others`
    have d^2 = 2 k on average.
    """
    mean, sd = others.mean(axis=0), others.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    a, b = (rows - mean) / sd, (others - mean) / sd
    similar: Floats = np.exp(-_squares(a, b) / others.shape[1])
    return similar


def _squares(a: Floats, b: Floats) -> Floats:
    """Return squared distances (a, b); rounding of equal rows is taken as none."""
    lengths = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)
    squares = lengths - 2 * a @ b.T
    return np.where(squares > 1e-9 * np.maximum(lengths, 1.0), squares, 0.0)


def suggest(
    names: Sequence[str],
    uncertainty: Floats,
    features: Floats,
    *,
    labelled: Sequence[str] = (),
    labelled_features: Floats | None = None,
    n: int = 20,
    among: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank unlabelled scans by what a label of theirs would bring.

    Parameters
    ----------
    names
        Of the scans.
    uncertainty
        Shape (scan,); NaN, where the network labels nothing, counts as the most uncertain.
    features
        Of the network, pooled over each scan, shape (scan, feature).
    labelled, labelled_features
        Scans that have labels already, as names and features: what they represent is not chosen.
    n
        Scans to choose one after the other. The others follow, by what they would still add.
    among
        Share of the scans, the most uncertain ones, that is chosen from as long as any of them
        adds something; 1 chooses by coverage alone.
    seed
        Which of equally good scans comes first.

    Returns
    -------
    DataFrame
        A row per scan, best first: ``rank``, ``unit``, ``uncertainty``, ``chosen`` (whether it is
        among the `n`), ``covers`` (scans that it represents best of all chosen and labelled ones,
        itself included), ``like`` (the labelled or earlier scan that is most like it; empty for
        none), ``similarity`` to that, and ``coverage`` (mean similarity of all scans to the best
        of the labelled and those chosen so far).

    Raises
    ------
    PopscanError
        If there is no scan or there are too many, a number is not finite, or an option is out of
        its range.
    """
    _check(names, uncertainty, features, n=n, among=among)
    if labelled_features is None:
        labelled_features = np.empty((0, features.shape[1]))
    similar = similarities(np.concatenate([labelled_features, features]), features)
    best = similar[: len(labelled)].max(axis=0, initial=0.0)
    own = similar[len(labelled) :]
    unsure = np.where(np.isnan(uncertainty), np.inf, uncertainty)
    lots = np.random.default_rng(seed).permutation(len(names))
    first = np.zeros(len(names), bool)
    first[np.lexsort((lots, -unsure))[: max(1, round(among * len(names)))]] = True
    order: list[int] = []
    coverage: list[float] = []
    for _ in range(min(n, len(names))):
        pick = _next(own, best, order=order, first=first, unsure=unsure, lots=lots)
        if pick is None:
            break
        order.append(pick)
        best = np.maximum(best, own[pick])
        coverage.append(float(best.mean()))
    rest = _by_gain(own, best, order=order, unsure=unsure, lots=lots)
    everyone = [*order, *rest]
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(names) + 1),
            "unit": [names[i] for i in everyone],
            "uncertainty": uncertainty[everyone],
            "chosen": [place < len(order) for place in range(len(names))],
        }
    )
    covers, like, nearest = _covered(similar, labelled, names, everyone, n_chosen=len(order))
    last = coverage[-1] if coverage else float(best.mean())
    return table.assign(
        covers=covers,
        like=like,
        similarity=nearest,
        coverage=coverage + [last] * len(rest),
    )


def _check(
    names: Sequence[str], uncertainty: Floats, features: Floats, *, n: int, among: float
) -> None:
    problem = ""
    if not 0 < len(names) <= MAX_SCANS:
        problem = f"{len(names)} unlabelled scans; 1 to {MAX_SCANS} can be compared at once"
    elif n < 1:
        problem = f"n {n}: 1 scan at least is chosen"
    elif not 0 < among <= 1:
        problem = f"among {among}: a share above 0 and up to 1 is expected"
    elif not np.isfinite(features).all() or np.isinf(uncertainty).any():
        problem = "features and uncertainties must be finite"
    if problem:
        raise PopscanError(f"suggest: {problem}")


def _gains(own: Floats, best: Floats) -> Floats:
    """Return what each scan would add to the mean similarity (scan,), 0 for copies."""
    gains: Floats = np.maximum(own - best, 0.0).mean(axis=1)
    return np.where(gains * len(best) > _NOTHING * len(best), gains, 0.0)


def _next(
    own: Floats,
    best: Floats,
    *,
    order: Sequence[int],
    first: NDArray[np.bool_],
    unsure: Floats,
    lots: NDArray[np.int64],
) -> int | None:
    """Return the next scan to choose; None if no scan adds anything."""
    gains = _gains(own, best)
    gains[list(order)] = 0.0
    pool = first if (gains[first] > 0).any() else np.ones_like(first)
    gains = np.where(pool, gains, 0.0)
    if not (gains > 0).any():
        return None
    return int(np.lexsort((lots, -unsure, -gains))[0])


def _by_gain(
    own: Floats, best: Floats, *, order: Sequence[int], unsure: Floats, lots: NDArray[np.int64]
) -> list[int]:
    """Return the scans that were not chosen, by what they would still add."""
    ranked = np.lexsort((lots, -unsure, -_gains(own, best))).tolist()
    chosen = set(order)
    return [i for i in ranked if i not in chosen]


def _covered(
    similar: Floats,
    labelled: Sequence[str],
    names: Sequence[str],
    everyone: Sequence[int],
    *,
    n_chosen: int,
) -> tuple[list[int], list[str], list[float]]:
    """Return what each ranked scan covers, and which earlier one it is like, and how much."""
    m = len(labelled)
    chosen = list(everyone[:n_chosen])
    shown = [*range(m), *(m + i for i in chosen)]
    titles = [*labelled, *(names[i] for i in chosen)]
    owner = similar[shown].argmax(axis=0)
    counts = np.bincount(owner, minlength=len(shown))[m:].tolist()
    like, nearest = [], []
    for place, i in enumerate(everyone):
        before = shown[: m + min(place, n_chosen)]
        column = similar[before, i]
        k = int(column.argmax()) if before else -1
        like.append(titles[k] if before else "")
        nearest.append(float(column[k]) if before else float("nan"))
    return counts + [0] * (len(everyone) - n_chosen), like, nearest
