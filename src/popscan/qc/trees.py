"""Boosted regression trees as plain numbers, for checks that weigh many signs together.

A file of them is JSON: names of the signs, the value that stands for a missing one, and per tree
rows of sign, threshold, left, right, value. They are fitted by scikit-learn elsewhere
(`to_table`); nothing is ever loaded with pickle, and judging a scan needs numpy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
_LEAF = -1


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Trees whose leaves add up to log-odds.

    Attributes
    ----------
    names
        Signs, in the order of the columns.
    usual : ndarray, shape (signs,)
        What stands for a sign that is missing (NaN): the median of results that are right.
    start
        Log-odds before any tree.
    roots : ndarray of int, shape (trees,)
        Node at which each tree begins.
    sign, left, right : ndarray of int, shape (nodes,)
        Column that a node looks at (-1 for a leaf), and its children; left where the value is at
        most the threshold.
    threshold, value : ndarray, shape (nodes,)
        Threshold of a node, log-odds of a leaf.
    """

    names: tuple[str, ...]
    usual: Floats
    start: float
    roots: NDArray[np.int64]
    sign: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    threshold: Floats
    value: Floats

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of rows of signs, shape (n, signs) -> (n,).

        Examples
        --------
        >>> two = from_table({"names": ["a"], "usual": [0.0], "start": -1.0,
        ...     "trees": [[[0, 0.5, 1, 2, 0.0], [-1, 0, 0, 0, 0.0], [-1, 0, 0, 0, 3.0]]]})
        >>> two.log_odds(np.array([[0.0], [1.0], [np.nan]])).tolist()
        [-1.0, 2.0, -1.0]
        """
        given = np.where(np.isfinite(rows), rows, self.usual).astype(np.float32)
        at = np.broadcast_to(self.roots, (len(given), len(self.roots)))
        index = np.arange(len(given))[:, None]
        while (self.sign[at] != _LEAF).any():
            low = given[index, self.sign[at]] <= self.threshold[at]
            below = np.where(low, self.left[at], self.right[at])
            at = np.where(self.sign[at] == _LEAF, at, below)
        return np.asarray(self.start + self.value[at].sum(axis=1))

    def row(self, signs: Mapping[str, float]) -> Floats:
        """Return signs in the order of the columns, shape (signs,); NaN for one that lacks."""
        return np.array([signs.get(name, np.nan) for name in self.names], dtype=float)

    def contributions(self, signs: Mapping[str, float]) -> dict[str, float]:
        """Return by how much the log-odds would fall if a sign had its usual value."""
        own = self.row(signs)
        rows = np.repeat(own[None], len(own) + 1, axis=0)
        rows[np.arange(len(own)), np.arange(len(own))] = np.nan
        odds = self.log_odds(rows)
        return dict(zip(self.names, (odds[-1] - odds[:-1]).tolist(), strict=True))


def from_table(table: Mapping[str, Any]) -> Trees:
    """Return trees from what a file holds.

    Raises
    ------
    ValueError
        If a node looks at a sign or leads to a node that there is not.
    """
    names = tuple(table["names"])
    sizes = [len(tree) for tree in table["trees"]]
    roots = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
    first = np.repeat(roots, sizes)
    nodes = np.array([node for tree in table["trees"] for node in tree], dtype=float).reshape(-1, 5)
    sign, left, right = (nodes[:, k].astype(np.int64) for k in (0, 2, 3))
    inner = sign != _LEAF
    own = np.repeat(np.array(sizes, dtype=np.int64), sizes)
    after = np.arange(len(nodes)) - first
    for child in (left, right):  # children come later, so that no walk goes round
        if not ((child > after) & (child < own))[inner].all():
            raise ValueError("trees: a node leads to no later node of its tree")
    if not ((sign >= _LEAF) & (sign < len(names))).all() or len(table["usual"]) != len(names):
        raise ValueError("trees: a node looks at a sign that has no name or no usual value")
    return Trees(
        names=names, usual=np.array(table["usual"], dtype=float), start=float(table["start"]),
        roots=roots, sign=sign, left=left + first, right=right + first, threshold=nodes[:, 1],
        value=nodes[:, 4],
    )  # fmt: skip


def to_table(model: Any, names: tuple[str, ...], usual: Floats) -> dict[str, Any]:
    """Return what a file holds of a fitted `GradientBoostingClassifier` of two classes.

    Parameters
    ----------
    model
        Fitted on columns `names`, missing values replaced by `usual`; it starts from the log-odds
        of the classes' weights.
    names, usual
        As of `Trees`.
    """
    first = float(model.init_.class_prior_[1])
    rate = float(model.learning_rate)
    trees = []
    for (one,) in model.estimators_:
        tree = one.tree_
        trees.append(
            [
                [int(max(sign, _LEAF)), _short(at), int(max(low, 0)), int(max(high, 0)), value]
                for sign, at, low, high, value in zip(
                    tree.feature, tree.threshold, tree.children_left, tree.children_right,
                    (_short(rate * float(v)) for v in tree.value[:, 0, 0]), strict=True,
                )
            ]
        )  # fmt: skip
    start = _short(float(special.logit(first)))
    return {"names": [*names], "usual": [_short(v) for v in usual], "start": start, "trees": trees}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def probability(log_odds: float) -> float:
    """Return a probability from log-odds.

    Examples
    --------
    >>> probability(0.0), probability(-1000.0)
    (0.5, 0.0)
    """
    return float(special.expit(log_odds))


def read_trees(path: Path) -> Trees:
    """Return the trees of a file."""
    return from_table(json.loads(path.read_text(encoding="utf-8")))
