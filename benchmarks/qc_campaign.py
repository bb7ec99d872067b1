"""What `qc.py` prints: found and false alarms, by manner, and which checks make them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from popscan.protocols.cine_sax.qc import CHECKS
from popscan.protocols.cine_sax.qc.label_risk import trees
from popscan.qc.model import Spec, Verdict
from popscan.qc.trees import probability
from popscan.stats.intervals import wilson
from qc_silent import share_by_patient

DEVELOPMENT = ("training", "simulated")
_FLAGS = (Verdict.REVIEW, Verdict.FAIL)


def flags(rows: pd.DataFrame, specs: Mapping[str, Spec] = CHECKS) -> pd.DataFrame:
    """Return which check flags which row, with the limits of `specs` (today's by default)."""
    known = [name for name in specs if f"value {name}" in rows]
    return pd.DataFrame(
        {
            name: [
                bool(seen) and specs[name].judge(float(value)) in _FLAGS
                for value, seen in zip(rows[f"value {name}"], rows[f"assessed {name}"], strict=True)
            ]
            for name in known
        },
        index=rows.index,
    )


def with_label_risk(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the value of `label_risk` by today's trees."""
    known = trees()
    odds = known.log_odds(rows[[f"sign {name}" for name in known.names]].to_numpy(dtype=float))
    values = [probability(float(value)) for value in odds]
    return rows.assign(**{"value label_risk": values, "assessed label_risk": True})


def share(k: int, n: int) -> str:
    """Return a share with its count and 95% interval."""
    if n == 0:
        return "none"
    low, high = wilson(k, n, alpha=0.05)
    return f"{k} of {n} ({100 * k / n:.0f}%, {100 * low:.0f} to {100 * high:.0f})"


def _most(table: pd.DataFrame, n: int = 4) -> str:
    """Return the checks that flag most of the rows of a table."""
    counts = table.sum().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{name} {k}" for name, k in counts[counts > 0][:n].items())


def show(rows: pd.DataFrame) -> None:
    """Print everything, the report part last."""
    rows = rows[rows["assessed snr"].notna()]  # of others there are signs alone
    table = flags(rows)
    for side in ("development", "report"):
        own = rows["part"].isin(DEVELOPMENT) == (side == "development")
        if own.any():
            _show_side(side, rows[own], table[own])


def _show_side(side: str, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    hit = table.any(axis=1)
    bad = (rows["of"] == "labels") & rows["matters"]
    little = (rows["of"] == "labels") & ~rows["matters"]
    clean = rows["of"] == "clean"
    by_patient = rows.drop(columns="unit").rename(columns={"patient": "unit"})
    print(f"\n== {side} ==")
    for name, which in (
        ("errors that matter found", bad),
        ("flagged of labels spoilt too little to matter", little),
    ):
        print(f"{name}: {share_by_patient(by_patient[which], hit[which].to_numpy())}")
    for part, of_part in rows[clean].groupby("part", sort=False):
        found = share(int(hit[of_part.index].sum()), len(of_part))
        print(f"false alarms, clean {part}: {found}; {_most(table.loc[of_part.index], 9)}")
    print(f"false alarms, all clean: {share(int(hit[clean].sum()), int(clean.sum()))}")
    for title, which in (("labels", bad), ("image", rows["of"] == "image")):
        print(f"{title}, by kind: found, and which checks found most")
        for kind, own in rows[which].groupby("kind", sort=False):
            k = int(hit[own.index].sum())
            print(f"  {kind}: {share(k, len(own))}; {_most(table.loc[own.index])}")
    for title, which in (("spoilt labels", bad), ("clean", clean)):
        alone = table[which][table[which].sum(axis=1) == 1]
        print(f"flagged by one check alone, {title}: {_most(alone, 12)}")
