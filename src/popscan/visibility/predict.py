"""Attributes predicted from features: cross-validated AUC, interval, chance, confounders.

Everything that learns (medians, scales, confounder regression, principal components, classifier)
learns within the training folds. Scores are compared within test folds alone, so models of
different folds need no common scale, and the area is 0.5 on average where there is nothing to see.

The test folds of a cross-validation are not independent: what one fold is tested on, the others
train on. On noise this doubles the variance of the area for a kernel-mean classifier, whatever the
number of folds (each pair of rows counts once in either direction), and intervals that ignore it
(DeLong's; LeDell et al. 2015, doi:10.1214/15-EJS1035) cover 0.5 too rarely. Here the spread over
permuted labels, within folds, says by how much the interval is to be widened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.cells import is_recorded
from popscan.records import PopscanError
from popscan.stats.auc import Auc, auc, interval, null_variance
from popscan.visibility.chance import Part, null_areas, p_value, permutations_needed
from popscan.visibility.components import components, make_folds

#: Widening of standard errors where no permutations give it: see above.
_INFLATION = math.sqrt(2.0)
#: Smallest group, where nothing else is asked for.
MIN_GROUP = 10
#: Name of the row with the mean over classes.
MACRO = "mean over groups"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How well a group is predicted from the others.

    Attributes
    ----------
    group
        Compared with all others; for two groups only the first is a row, `MACRO` is their mean.
    n, n_group
        Rows used, and rows of the group.
    n_components
        Principal components that the classifier was given.
    auc, auc_low, auc_high
        Cross-validated area with its interval.
    p
        Share of permuted labels that are predicted as well: one-sided, never 0; NaN without
        permutations. See `popscan.visibility.chance`.
    inflation
        How much wider the interval is than DeLong's.
    """

    group: str
    n: int
    n_group: int
    n_components: int
    auc: float
    auc_low: float
    auc_high: float
    p: float
    inflation: float


def predict_attribute(
    features: ArrayLike,
    labels: Sequence[Any],
    *,
    confounders: ArrayLike | None = None,
    n_folds: int = 5,
    n_components: int = 50,
    penalty: float = 10.0,
    n_permutations: int = 200,
    n_tests: int = 1,
    min_group: int = MIN_GROUP,
    alpha: float = 0.05,
    seed: int = 0,
) -> list[Seen]:
    """Predict an attribute from features by logistic regression, cross-validated.

    Parameters
    ----------
    features : array_like, shape (n, p)
        One row per subject (rows are taken as independent). NaN is filled with the median of the
        training rows; columns without any value there, and constant ones, say nothing.
    labels : sequence, length n
        The attribute as recorded; rows that `popscan.cells.is_recorded` rejects are left out.
    confounders : array_like, shape (n, q), optional
        What may explain that the attribute is seen (height, weight, age): taken out of every
        feature by linear regression within the training rows (Dinga et al. 2020,
        doi:10.1101/2020.08.17.255034). What depends on them otherwise than linearly stays. Rows
        that lack one are left out: a filled value takes nothing out, so where confounders are
        missing more often in one group, filling would let it be predicted from them.
    n_folds
        Folds, stratified by group; fewer where the smallest group is smaller.
    n_components
        Principal components, at most.
    penalty
        Strength of the classifier's ridge penalty (1 / C), on components of mean variance 1.
    n_permutations
        Permutations of the labels within folds; 0 for no p values.
    n_tests
        How many p values this one will be corrected with. If no permutation is predicted as well,
        so many more are drawn that the smallest p outlasts the correction.
    min_group
        Smaller groups are left out.
    alpha
        1 - confidence.
    seed
        Of folds and permutations.

    Returns
    -------
    list of Seen
        One per group against all others, then `MACRO` (for two groups: a single row, of the
        first group by name); empty with fewer than two groups large enough.

    Raises
    ------
    PopscanError
        If lengths differ or an option is out of range.
    """
    x = np.asarray(features, dtype=float)
    names = np.array([str(label).strip() for label in labels], dtype=object)
    q = None if confounders is None else np.asarray(confounders, dtype=float)
    _check(x, names, q, n_folds, n_permutations)
    keep, groups = _usable(x, names, q, min_group)
    if len(groups) < 2:
        return []
    x, names, q = x[keep], names[keep], None if q is None else q[keep]
    rng = np.random.default_rng(seed)
    y = np.stack([names == group for group in groups], axis=1)
    if len(groups) == 2:
        y = y[:, :1]
    smallest = min(int((names == group).sum()) for group in groups)
    folds = make_folds(names, min(n_folds, smallest), rng)
    scores = np.empty(y.shape)
    parts = []
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        z_train, z_test = components(x, q, train, test, min(n_components, len(train) - 1))
        scores[test] = _observed(z_train, y[train], z_test, penalty)
        parts.append(Part(train=train, test=test, z_train=z_train, z_test=z_test))
    size = parts[-1].z_train.shape[1]
    found = [auc(scores[:, k], y[:, k], folds) for k in range(y.shape[1])]
    values = np.array([one.value for one in found])
    null = null_areas(
        parts, y, folds, values, penalty=penalty, rng=rng, n_permutations=n_permutations,
        most=permutations_needed(n_tests, alpha=alpha),
    )  # fmt: skip
    seen = [
        _row(
            group,
            found[k],
            null[:, k],
            positive=y[:, k],
            folds=folds,
            size=size,
            alpha=alpha,
            first=n_permutations,
        )
        for k, group in enumerate(groups[: y.shape[1]])
    ]
    if len(groups) > 2:
        inflations = [one.inflation for one in seen]
        seen.append(
            _macro(
                found, null.mean(axis=1), inflations, size=size, alpha=alpha, first=n_permutations
            )
        )
    return seen


def _check(
    x: Floats, names: NDArray[Any], q: Floats | None, n_folds: int, n_permutations: int
) -> None:
    if x.ndim != 2 or len(names) != len(x) or (q is not None and (q.ndim != 2 or len(q) != len(x))):
        raise PopscanError(
            f"features {x.shape}, {len(names)} labels"
            + ("" if q is None else f", confounders {q.shape}")
            + ": expected one row per subject in each"
        )
    if n_folds < 2 or n_permutations < 0:
        raise PopscanError(f"{n_folds} folds, {n_permutations} permutations: expected >= 2, >= 0")


def _usable(
    x: Floats, names: NDArray[Any], q: Floats | None, min_group: int
) -> tuple[NDArray[np.bool_], list[str]]:
    """Rows with features, confounders, and a group that is large enough; those groups by name."""
    known = np.array([is_recorded(name) for name in names], dtype=bool)
    known &= np.isfinite(x).any(axis=1) if x.shape[1] else False
    if q is not None:
        known &= np.isfinite(q).all(axis=1)
    found, counts = np.unique(names[known].astype(str), return_counts=True)
    groups = [str(g) for g, n in zip(found, counts, strict=True) if n >= max(min_group, 2)]
    return known & np.isin(names, groups), groups


def _observed(z_train: Floats, y: NDArray[np.bool_], z_test: Floats, penalty: float) -> Floats:
    """Scores of the test rows, one column per group against the others."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0 / penalty, max_iter=1000)
    return np.stack(
        [model.fit(z_train, y[:, k]).decision_function(z_test) for k in range(y.shape[1])], axis=1
    )


def _row(
    group: str,
    found: Auc,
    null: Floats,
    *,
    positive: NDArray[np.bool_],
    folds: NDArray[np.intp],
    size: int,
    alpha: float,
    first: int,
) -> Seen:
    inflation = _INFLATION
    if len(null) > 1:
        inflation = max(1.0, float(null.std(ddof=1)) / math.sqrt(null_variance(positive, folds)))
    low, high = interval(found, alpha=alpha, inflation=inflation)
    return Seen(
        group=group,
        n=len(positive),
        n_group=int(positive.sum()),
        n_components=size,
        auc=found.value,
        auc_low=low,
        auc_high=high,
        p=p_value(found.value, null, first=first),
        inflation=inflation,
    )


def _macro(
    found: Sequence[Auc],
    null: Floats,
    inflations: Sequence[float],
    *,
    size: int,
    alpha: float,
    first: int,
) -> Seen:
    """Mean over groups; subjects' parts in it are the means of their parts in each area."""
    mean = Auc(
        value=float(np.mean([one.value for one in found])),
        contributions=np.mean([one.contributions for one in found], axis=0),
        # Everybody is a positive of one group: the mean rests on all of them.
        n_positive=len(found[0].contributions),
        n_negative=len(found[0].contributions),
    )
    inflation = max(inflations)
    low, high = interval(mean, alpha=alpha, inflation=inflation)
    return Seen(
        group=MACRO,
        n=len(mean.contributions),
        n_group=len(mean.contributions),
        n_components=size,
        auc=mean.value,
        auc_low=low,
        auc_high=high,
        p=p_value(mean.value, null, first=first),
        inflation=inflation,
    )
