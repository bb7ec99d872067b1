"""Does the task look where the attribute is seen? Rank profiles of regions and their correlation.

After OSCAR (Achara et al. 2025, arXiv:2512.18888): attribution maps become ranks of image regions,
averaged over a data set, and the profile of the task is correlated with that of an attribute
predictor while a baseline's profile is held constant. Here regions are blocks of the organ's frame,
and the baseline is a model trained on balanced groups or, where there is none, the image's edges:
any network's attributions lie on edges, whatever it was trained for (Adebayo et al. 2018,
arXiv:1810.03292).

Intervals are over subjects. Neighbouring regions are alike, so no p value is given to a correlation
over regions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from popscan.columns import Column, text
from popscan.protocol import Protocol

Floats = NDArray[np.float64]


def columns_in(organ: str) -> tuple[str, str]:
    """Return the columns of how much of task and attribute lies within an organ."""
    return f"task_in_{organ}", f"attribute_in_{organ}"


def dictionary(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the table ``visibility_attributions``."""
    organ = protocol.words.organ
    task, attribute = columns_in(organ)
    return {
        "attribute": text("attribute"),
        "group": text("its group, distinguished from all others"),
        "n": Column("", "subjects whose maps were averaged"),
        "n_regions": Column("", f"regions of the {organ}'s frame that all of them cover"),
        "baseline": text("what was held constant: edges, or the name of a model"),
        "r": Column("", "rank correlation over regions of task and attribute attributions"),
        "r_low": Column("", "lower limit, percentile bootstrap over subjects"),
        "r_high": Column("", "upper limit"),
        "partial_r": Column("", "the same, baseline held constant"),
        "partial_r_low": Column("", "lower limit, percentile bootstrap over subjects"),
        "partial_r_high": Column("", "upper limit"),
        task: Column("", f"share of the task's attribution that lies within the labelled {organ}"),
        attribute: Column("", f"share of the attribute's attribution within the labelled {organ}"),
    }


def rank_profiles(maps: ArrayLike) -> Floats:
    """Rank the regions of every map, from 0 (least) to 1.

    Parameters
    ----------
    maps : array_like, shape (subjects, regions)
        Attribution of each region; ties share a rank.

    Returns
    -------
    ndarray, shape (subjects, regions)
        Ranks; 0.5 everywhere for a map that does not vary.
    """
    values = np.asarray(maps, dtype=float)
    return (stats.rankdata(values, axis=1) - 1.0) / max(values.shape[1] - 1, 1)


def partial_correlation(a: ArrayLike, b: ArrayLike, given: ArrayLike | None = None) -> float:
    """Pearson correlation of two profiles, with a third held constant.

    Parameters
    ----------
    a, b : array_like, shape (regions,)
        Profiles.
    given : array_like, shape (regions,), optional
        What is held constant.

    Returns
    -------
    float
        NaN where one of them does not vary (beyond what `given` explains).
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if given is not None:
        design = np.column_stack([np.ones(len(x)), np.asarray(given, dtype=float)])
        x = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
        y = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float(x @ y) / size if size > 1e-12 * len(x) else math.nan


def compare_attributions(
    task: ArrayLike,
    attribute: ArrayLike,
    baseline: ArrayLike,
    *,
    n_boot: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
) -> dict[str, Any]:
    """Correlate where the task looks with where an attribute is predicted from.

    Parameters
    ----------
    task, attribute, baseline : array_like, shape (subjects, regions)
        Attributions of the same subjects and regions, and what is held constant.
    n_boot, seed
        Bootstrap over subjects.
    alpha
        1 - confidence.

    Returns
    -------
    dict
        n, n_regions, r, partial_r with ``_low`` and ``_high``; NaN limits for one subject.
    """
    profiles = [rank_profiles(maps) for maps in (task, attribute, baseline)]
    n, n_regions = profiles[0].shape
    means = [p.mean(axis=0) for p in profiles]
    found: dict[str, Any] = {
        "n": n,
        "n_regions": n_regions,
        "r": partial_correlation(means[0], means[1]),
        "partial_r": partial_correlation(*means),
    }
    rng = np.random.default_rng(seed)
    draws = np.full((n_boot if n > 1 else 0, 2), math.nan)
    for row in draws:
        weights = np.bincount(rng.integers(0, n, n), minlength=n) / n
        t, a, b = (weights @ p for p in profiles)
        row[:] = partial_correlation(t, a), partial_correlation(t, a, b)
    for column, name in enumerate(("r", "partial_r")):
        values = draws[np.isfinite(draws[:, column]), column]
        limits = np.quantile(values, (alpha / 2, 1 - alpha / 2)) if len(values) else (math.nan,) * 2
        found[f"{name}_low"], found[f"{name}_high"] = map(float, limits)
    return found
