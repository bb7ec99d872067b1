"""Clusters of series, however many there are: agglomerative, average linkage, a distance limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from popscan.sorting.facts import Floats
from popscan.sorting.features import Looks, joined, learnt

#: Series of one cluster are on average no further apart (see `popscan.sorting.features`).
LIMIT = 1.0
#: Clusters of so many series are looked at by themselves, where parts are nearer to each other.
LEAST_SPLIT, LIMIT_WITHIN = 12, 0.85


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

    def of(self, features: Floats, *, far: bool = False) -> NDArray[np.int64]:
        """Return the cluster of other series (n, k): that of the nearest; -1 beyond the limit.

        With `far` there is no limit.
        """
        if not len(features):
            return np.zeros(0, dtype=np.int64)
        square = np.sum(features**2, axis=1)[:, None] + np.sum(self.features**2, axis=1)
        distance = np.sqrt(np.maximum(square - 2.0 * features @ self.features.T, 0.0))
        nearest = np.argmin(distance, axis=1)
        beyond = distance[np.arange(len(features)), nearest] > LIMIT
        return np.where(beyond & (not far), -1, self.labels[nearest])


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


@dataclass(frozen=True, kw_only=True)
class Model:
    """What was learnt on a sample of series: features, clusters, and features within clusters.

    Attributes
    ----------
    looks, clusters
        Of the whole sample.
    within
        Cluster -> features that were learnt on its own series, and its parts by them. What differs
        between the contrasts of one organ is little beside what differs between organs.
    numbers
        ``(cluster, part) -> number``: 0 is the largest.
    """

    looks: Looks
    clusters: Clusters
    within: Mapping[int, tuple[Looks, Clusters]]
    numbers: Mapping[tuple[int, int], int]

    def of(self, thumbs: NDArray[np.uint8], where: Floats) -> NDArray[np.int64]:
        """Return the clusters of series; -1 for those unlike all of the sample.

        Parameters
        ----------
        thumbs : ndarray of uint8, shape (n, 2, THUMB, THUMB)
            Pictures.
        where : ndarray, shape (n, k)
            `popscan.sorting.features.geometry` of each.
        """
        first = self.clusters.of(joined(where, self.looks.of(thumbs)))
        second = np.zeros_like(first)
        for number, (looks, parts) in self.within.items():
            here = np.flatnonzero(first == number)
            if here.size:
                second[here] = parts.of(joined(where[here], looks.of(thumbs[here])), far=True)
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        return np.array([self.numbers.get(pair, -1) for pair in pairs], dtype=np.int64)


def fit(thumbs: NDArray[np.uint8], where: Floats, *, seed: int) -> Model:
    """Learn features and clusters, then both again within each larger cluster.

    Parameters
    ----------
    thumbs, where
        As in `Model.of`; at least one series.
    seed
        See `popscan.sorting.features.learnt`.
    """
    looks = learnt(thumbs, seed=seed)
    clusters = cluster(joined(where, looks.of(thumbs)))
    within: dict[int, tuple[Looks, Clusters]] = {}
    parts = np.zeros(len(thumbs), dtype=np.int64)
    for number in range(int(clusters.labels.max()) + 1):
        here = np.flatnonzero(clusters.labels == number)
        if len(here) >= LEAST_SPLIT:
            own = learnt(thumbs[here], seed=seed)
            split = cluster(joined(where[here], own.of(thumbs[here])), limit=LIMIT_WITHIN)
            within[number] = (own, split)
            parts[here] = split.labels
    both = clusters.labels * (int(parts.max()) + 1) + parts
    ranks = _by_size(both)
    found = zip(clusters.labels.tolist(), parts.tolist(), ranks.tolist(), strict=True)
    numbers = {(first, second): rank for first, second, rank in found}
    return Model(looks=looks, clusters=clusters, within=within, numbers=numbers)


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give clusters numbers by size, of equals the one that begins first."""
    values, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    return rank[np.searchsorted(values, labels)]
