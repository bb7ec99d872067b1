"""What a cross-validated area would be by chance: labels permuted within folds, and the p value.

A p value counted among B permutations is never below 1 / (B + 1), so that Holm's correction over m
tests leaves nothing below m / (B + 1): 200 permutations find nothing among 11 attributes and
sources. A normal tail would reach further, but the areas of permuted labels are not normal, the
less so the fewer features and subjects there are. So permutations are drawn in two rounds: the
second only where the first has none that is predicted as well as the observed labels; whoever was
reached in the first round keeps that round's p value. This is a valid p value: a level that the
first round can reach is met only if that round alone meets it, and a level below only if both
together do (Besag and Clifford 1991, doi:10.1093/biomet/78.2.301, stop early in the same spirit).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from popscan.visibility.components import Floats, logistic_slopes, permutations

#: Permutations that are fitted at once; bounds the memory.
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Part:
    """One fold: its rows and their components.

    Attributes
    ----------
    train, test : ndarray of int
        Rows.
    z_train, z_test : ndarray, shape (rows, components)
        Their principal components.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    z_train: Floats
    z_test: Floats


def permutations_needed(n_tests: int, *, alpha: float = 0.05) -> int:
    """Return with how many permutations the smallest p, times `n_tests`, is half of `alpha`.

    Half, so that it does not hang on a single permutation.

    Examples
    --------
    >>> permutations_needed(11)
    440
    """
    return math.ceil(2 * n_tests / alpha)


def null_areas(
    parts: Sequence[Part],
    y: NDArray[np.bool_],
    folds: NDArray[np.intp],
    observed: Floats,
    *,
    penalty: float,
    rng: np.random.Generator,
    n_permutations: int,
    most: int = 0,
) -> Floats:
    """Return areas under permuted labels: `n_permutations`, and more where none reaches.

    Parameters
    ----------
    parts
        Folds.
    y : ndarray of bool, shape (n, groups)
        Labels, one column per group against all others.
    folds : ndarray of int, shape (n,)
        Fold of each row.
    observed : ndarray, shape (groups,)
        Observed areas.
    penalty
        Of the classifier.
    rng
        Of the permutations.
    n_permutations
        In the first round; 0: none at all.
    most
        In both rounds. The second is drawn if of a group, or of the mean over groups, no area of
        the first reaches the observed one.

    Returns
    -------
    ndarray, shape (permutations, groups)
        The first round first.
    """

    def draw(number: int) -> Floats:
        sizes = [min(_AT_ONCE, number - done) for done in range(0, number, _AT_ONCE)]
        rounds = [_areas(parts, y, permutations(len(y), folds, n, rng), penalty) for n in sizes]
        return np.concatenate(rounds) if rounds else np.zeros((0, y.shape[1]))

    null = draw(n_permutations)
    if not len(null) or most <= n_permutations:
        return null
    unreached = not _reaches(null, observed).any(axis=0).all()
    if unreached or not _reaches(null.mean(axis=1), observed.mean()).any():
        null = np.concatenate([null, draw(most - n_permutations)])
    return null


def p_value(observed: float, null: Floats, *, first: int) -> float:
    """Return the share of permutations predicted as well, the observed labels counted as one.

    Parameters
    ----------
    observed
        Observed area.
    null : ndarray, shape (permutations,)
        As a column of `null_areas`.
    first
        Permutations of the first round; they decide if one of them reaches the observed area.

    Returns
    -------
    float
        One-sided, never 0; NaN without permutations.
    """
    if not len(null):
        return math.nan
    reaches = _reaches(null, observed)
    if reaches[:first].any():
        reaches = reaches[:first]
    return (1 + int(reaches.sum())) / (1 + len(reaches))


def _reaches(null: Floats, observed: Floats | float) -> NDArray[np.bool_]:
    # Areas are sums of the same terms in another order: equal ones may differ in the last digit.
    return null >= np.asarray(observed) - 1e-12


def _areas(
    parts: Sequence[Part], y: NDArray[np.bool_], permuted: NDArray[np.intp], penalty: float
) -> Floats:
    """Areas over all folds' pairs, shape (permutations, groups)."""
    wins = np.zeros((len(permuted), y.shape[1]))
    pairs = np.zeros(y.shape[1])
    for part in parts:
        n = y[part.test].sum(axis=0).astype(float)
        pairs += n * (len(part.test) - n)
        for k in range(y.shape[1]):
            wins[:, k] += _wins(part, y[:, k][permuted], penalty)
    return wins / np.maximum(pairs, 1)


def _wins(part: Part, labels: NDArray[np.bool_], penalty: float) -> Floats:
    """Pairs of a fold's test rows in which the positive scores higher, per permutation."""
    slopes = logistic_slopes(part.z_train, labels[:, part.train].T, penalty=penalty)
    ranks = stats.rankdata(part.z_test @ slopes, axis=0)
    high = labels[:, part.test].T
    n = high.sum(axis=0)
    won: Floats = (ranks * high).sum(axis=0) - n * (n + 1) / 2
    return won
