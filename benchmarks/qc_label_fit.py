"""The trees of the check `label_risk`, fitted on the development part of `qc.py` (``--fit``).

Wrong labels are those spoilt so that it matters, in manners that no rule is made for; right ones
are clean, or redrawn by a second observer. Both weigh the same. A patient's own risk, for the
choice of the limit, is that of trees fitted on the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.ensemble import GradientBoostingClassifier

from popscan.protocols.cine_sax.qc import label_risk
from popscan.qc.trees import from_table, to_table
from qc_spoilt import PLAIN

Floats = NDArray[np.float64]
FOLDS = 8
FILE = Path(label_risk.__file__).with_name("label_risk.json")


def chosen(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows are wrong labels, and which are right ones."""
    wrong = ((rows["of"] == "labels") & rows["matters"]).to_numpy(dtype=bool)
    right = (rows["of"] == "clean") | ((rows["of"] == "redrawn") & ~rows["matters"])
    return wrong, right.to_numpy(dtype=bool)


def fitted(rows: pd.DataFrame, learn: NDArray[np.bool_], names: list[str]) -> dict[str, Any]:
    """Return what a file holds of trees; `learn` says which of the wrong rows are looked at."""
    wrong, right = chosen(rows)
    used = (wrong & learn) | right
    x = rows[[f"sign {name}" for name in names]].to_numpy(dtype=float)
    usual = np.nan_to_num(np.nanmedian(x[right], axis=0))
    x = np.where(np.isfinite(x), x, usual)[used]
    y = wrong[used]
    weight = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum()) * len(y)
    model = GradientBoostingClassifier(
        n_estimators=150, max_depth=3, learning_rate=0.1, subsample=0.7, min_samples_leaf=6,
        max_features=0.3, random_state=0,
    )  # fmt: skip
    model.fit(x, y, sample_weight=weight)
    return to_table(model, tuple(names), usual)


def left_out(rows: pd.DataFrame, learn: NDArray[np.bool_], names: list[str]) -> Floats:
    """Return the log-odds of every row by trees fitted on other patients."""
    units = sorted(rows["patient"].unique())
    order = np.random.default_rng(0).permutation(units)
    fold = rows["patient"].map({unit: i % FOLDS for i, unit in enumerate(order)}).to_numpy()
    x = rows[[f"sign {name}" for name in names]].to_numpy(dtype=float)
    odds = np.zeros(len(rows))
    for k in range(FOLDS):
        own = fold == k
        odds[own] = from_table(fitted(rows[~own], learn[~own], names)).log_odds(x[own])
    return odds


def show_fit(rows: pd.DataFrame, file: Path) -> None:
    """Print what trees find of patients left out, and write those of all patients to a file."""
    if rows.empty:
        raise SystemExit("--fit: no case of the development part was judged")
    names = [name.removeprefix("sign ") for name in rows if name.startswith("sign ")]
    wrong, right = chosen(rows)
    learn = ~rows["kind"].isin(PLAIN).to_numpy()
    odds = left_out(rows, learn, names)
    print(f"\n== label_risk, patients left out: {wrong.sum()} wrong, {right.sum()} right ==")
    hard = wrong & learn
    for share in (0.02, 0.03, 0.05, 0.1, 0.15):
        limit = float(np.quantile(odds[right], 1 - share))
        by_kind = pd.Series(odds[hard] > limit).groupby(rows["kind"].to_numpy()[hard]).mean()
        print(
            f"right flagged {100 * share:.0f}% (limit {expit(limit):.3f}): of wrong ones that no "
            f"rule is made for {100 * (odds[hard] > limit).mean():.0f}% found; "
            + ", ".join(f"{kind} {100 * v:.0f}%" for kind, v in by_kind.items())
        )
    file.write_text(json.dumps(fitted(rows, learn, names)) + "\n", encoding="utf-8")
    label_risk.trees.cache_clear()
    print(f"wrote {file}")
