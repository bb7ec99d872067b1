"""Clusters of series, however many there are: agglomerative, average linkage, a distance limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from popscan.sorting.facts import Floats

#: Series of one cluster are on average no further apart (see `popscan.sorting.features`).
LIMIT = 1.0


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Clusters, and the series that they were found on.

    Attributes
    ----------
    features : ndarray, shape (series, k)
        Of those series.
    labels : ndarray of int, shape (series,)
        Their clusters: 0 is the largest.
    """

    features: Floats
    labels: NDArray[np.int64]

    def of(self, features: Floats) -> NDArray[np.int64]:
        """Return the cluster of other series (n, k): that of the nearest; -1 beyond the limit."""
        if not len(features):
            return np.zeros(0, dtype=np.int64)
        square = np.sum(features**2, axis=1)[:, None] + np.sum(self.features**2, axis=1)
        distance = np.sqrt(np.maximum(square - 2.0 * features @ self.features.T, 0.0))
        nearest = np.argmin(distance, axis=1)
        far = distance[np.arange(len(features)), nearest] > LIMIT
        return np.where(far, -1, self.labels[nearest])


def cluster(features: Floats, *, limit: float = LIMIT) -> Clusters:
    """Cluster series.

    Parameters
    ----------
    features : ndarray, shape (series, k)
        At least one series.
    limit
        Clusters further apart on average stay apart.
    """
    labels = np.zeros(len(features), dtype=np.int64)
    if len(features) > 1:
        model = AgglomerativeClustering(
            n_clusters=None, distance_threshold=limit, linkage="average"
        )
        labels = np.asarray(model.fit_predict(features), dtype=np.int64)
    return Clusters(features=features, labels=_by_size(labels))


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give clusters numbers by size, of equals the one that begins first."""
    values, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    return rank[np.searchsorted(values, labels)]
