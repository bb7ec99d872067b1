"""The direction in feature space along which an attribute is predicted, learnt on everybody.

For maps only: how well an attribute is predicted is what `predict` says, on rows that it did not
learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popscan.visibility.components import Floats, component_scale, leading_svd, standardised


def attribute_direction(
    features: ArrayLike,
    labels: Sequence[Any],
    group: str,
    *,
    n_components: int = 50,
    penalty: float = 10.0,
) -> Floats:
    """Return the weights with which a group is predicted from the others.

    Parameters
    ----------
    features : array_like, shape (n, p)
        One row per subject, some value in each.
    labels : sequence, length n
        The attribute; rows other than `group` are the others.
    group
        Those that it is compared with.
    n_components, penalty
        As in `popscan.visibility.predict.predict_attribute`.

    Returns
    -------
    ndarray, shape (p,)
        Change of the log odds per unit of each feature; 0 for constant ones.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.asarray(features, dtype=float)
    y = np.array([str(label) == group for label in labels])
    medians = np.nanmedian(x, axis=0)
    x = np.where(np.isfinite(x), x, np.nan_to_num(medians))
    scale = x.std(axis=0)
    varies = scale > 1e-9 * np.maximum(np.abs(x.mean(axis=0)), 1e-12)
    z, _ = standardised(x[:, varies], x[:0, varies])
    _, s, vt = leading_svd(z, max(1, min(n_components, len(x) - 1)))
    axes = vt / component_scale(s, len(x))
    model = LogisticRegression(C=1.0 / penalty, max_iter=1000).fit(z @ axes.T, y)
    weights = np.zeros(x.shape[1])
    weights[varies] = (model.coef_[0] @ axes) / scale[varies]
    return weights


def activation_pattern(features: ArrayLike, weights: Floats) -> Floats:
    """Return how each feature goes with the score (Haufe et al. 2014).

    A large weight may only cancel noise of a neighbour; the correlation of a feature with the
    score says whether the attribute is seen there (doi:10.1016/j.neuroimage.2013.10.067).

    Parameters
    ----------
    features : array_like, shape (n, p)
        One row per subject.
    weights : ndarray, shape (p,)
        As `attribute_direction`.

    Returns
    -------
    ndarray, shape (p,)
        Correlations from -1 to 1; 0 for features that do not vary.
    """
    x = np.nan_to_num(np.asarray(features, dtype=float))
    x = x - x.mean(axis=0)
    score = x @ weights
    norm = np.sqrt((x**2).sum(axis=0) * (score**2).sum())
    return np.divide(x.T @ score, norm, out=np.zeros(x.shape[1]), where=norm > 0)
