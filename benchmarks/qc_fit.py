"""Weights of the check `error_risk`, fitted on results with truth (`qc_truth.py --fit`).

A logistic model whose signs can only speak against a result (weights >= 0), with a penalty on
squared weights. Wrong and right results weigh the same in all, and every patient the same within
these. A patient's own risk, for the choice of the limit, is that of a model fitted on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from popscan.protocols.cine_sax.qc.evidence import SIGNS
from popscan.protocols.cine_sax.qc.risk import FARTHEST

Floats = NDArray[np.float64]
RIDGE = 0.05
#: Weights below this are left out of what is printed, and of what is shipped.
LEAST = 0.05
#: Of right results of the development half, so many may be flagged, by all checks together.
RIGHT_FLAGGED = 0.15


class Weights(NamedTuple):
    """A fitted model: centre, spread and weight of every sign, and what there is without any."""

    centre: Floats
    spread: Floats
    weight: Floats
    intercept: float
    nearest: float = -FARTHEST

    def log_odds(self, signs: Floats) -> Floats:
        """Return the log-odds of a wrong result for rows of signs; a missing one says nothing."""
        z = np.clip((signs - self.centre) / self.spread, self.nearest, FARTHEST)
        return np.asarray(self.intercept + np.nan_to_num(z) @ self.weight)


def fit(
    rows: pd.DataFrame,
    *,
    ridge: float = RIDGE,
    names: Collection[str] = SIGNS.keys(),
    nearest: float = -FARTHEST,
) -> Weights:
    """Fit the model of the signs `names`; centre and spread are those of right results.

    They are the median and the quartile range. A sign counts from `nearest` spreads on.
    """
    x = rows[[f"sign {name}" for name in names]].to_numpy(dtype=float)
    bad = rows["wrong"].to_numpy(dtype=bool)
    low, centre, high = np.nan_to_num(np.nanpercentile(x[~bad], [25, 50, 75], axis=0))
    spread = np.maximum((high - low) / 1.35, 0.25 * np.nan_to_num(np.nanstd(x, axis=0)) + 1e-9)
    z = np.nan_to_num(np.clip((x - centre) / spread, nearest, FARTHEST))
    of_unit = rows.groupby(["unit", "wrong"])["wrong"].transform("size").to_numpy()
    w = 1.0 / np.sqrt(of_unit)
    w = np.where(bad, w / w[bad].sum(), w / w[~bad].sum()) / 2.0

    def loss(p: Floats) -> tuple[float, Floats]:
        s = p[0] + z @ p[1:]
        value = (w * np.logaddexp(0.0, np.where(bad, -s, s))).sum()
        value += 0.5 * ridge * (p[1:] ** 2).sum()
        slope = w * (1.0 / (1.0 + np.exp(-s)) - bad)
        return float(value), np.r_[slope.sum(), z.T @ slope + ridge * p[1:]]

    start, bounds = np.zeros(1 + z.shape[1]), [(None, None), *[(0.0, None)] * z.shape[1]]
    p = optimize.minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return Weights(centre, spread, p[1:], float(p[0]), nearest)


def left_out(
    rows: pd.DataFrame,
    *,
    folds: int = 8,
    ridge: float = RIDGE,
    names: Collection[str] = SIGNS.keys(),
    nearest: float = -FARTHEST,
) -> Floats:
    """Return the risk of every row by models fitted on other patients."""
    units = np.array(sorted(rows["unit"].unique()))
    side = {unit: i % folds for i, unit in enumerate(np.random.default_rng(0).permutation(units))}
    fold = rows["unit"].map(side).to_numpy()
    x = rows[[f"sign {name}" for name in names]].to_numpy(dtype=float)
    odds = np.zeros(len(rows))
    for k in range(folds):
        model = fit(rows[fold != k], ridge=ridge, names=names, nearest=nearest)
        odds[fold == k] = model.log_odds(x[fold == k])
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def limit_of(risk: Floats, bad: NDArray[np.bool_], already: NDArray[np.bool_]) -> float:
    """Return the lowest limit with which at most `RIGHT_FLAGGED` of right results are flagged.

    `already` says which the other checks flag.
    """
    allowed = int(RIGHT_FLAGGED * (~bad).sum()) - int((already & ~bad).sum())
    free = np.sort(risk[~bad & ~already])[::-1]
    return float(free[max(allowed, 0)]) if free.size else 1.0


def show_fit(rows: pd.DataFrame, flags: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Print weights as `popscan.protocols.cine_sax.qc.risk` holds them, and the limit."""
    model, risk = fit(rows), left_out(rows)
    bad = rows["wrong"].to_numpy(dtype=bool)
    others = flags(rows).drop(columns="error_risk", errors="ignore").any(axis=1).to_numpy()
    limit = limit_of(risk, bad, others)
    order = np.argsort(-model.weight)
    print(f"\n== error_risk, {len(rows)} results, {int(bad.sum())} wrong ==")
    for k in order[model.weight[order] >= LEAST]:
        numbers = f"{model.centre[k]:.4g}, {model.spread[k]:.4g}, {model.weight[k]:.3f}"
        print(f'    "{list(SIGNS)[k]}": ({numbers}),')
    print(f"intercept {model.intercept:.3f}, limit of review {limit:.3f}")
    for name, hit in (("error_risk", risk > limit), ("others", others)):
        print(f"{name} alone: {hit[bad].mean():.1%} of wrong, {hit[~bad].mean():.1%} of right")
    hit = others | (risk > limit)
    print(f"together: {hit[bad].mean():.1%} of wrong, {hit[~bad].mean():.1%} of right flagged")
