"""What harmonisation did to each measurement, site by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.columns import Column, text
from popscan.stats.design import UNITS, unit_of

DICTIONARY: dict[str, Column] = {
    "outcome": text("measurement before harmonisation"),
    "harmonised": text("its harmonised column"),
    "unit": text("unit of shift and means"),
    "site": text("site or scanner; all: over the sites"),
    "n": Column("subjects", "rows of the site with a harmonised value"),
    "shift": Column("unit", "mean of what was taken off the site's values"),
    "scale": Column("", "factor by which the site's residuals were larger than harmonised ones"),
    "mean_before": Column("unit", "mean of the same rows before"),
    "mean_after": Column("unit", "mean of the same rows after"),
    "site_share_before_pct": Column(
        "%", "share of the variance left by the preserved covariates that sites explain, before"
    ),
    "site_share_after_pct": Column("%", "the same after; of the rows of the fit itself"),
    "note": text("why there is no harmonised value, or with what caution to read it"),
}


def harmonised_name(column: str) -> str:
    """Return the name of a harmonised column, with the unit at its end.

    Examples
    --------
    >>> harmonised_name("brain_ml"), harmonised_name("score")
    ('brain_harmonised_ml', 'score_harmonised')
    """
    endings = [ending for ending in UNITS if column.lower().endswith(ending)]
    if not endings:
        return f"{column}_harmonised"
    longest = max(map(len, endings))
    return f"{column[:-longest]}_harmonised{column[-longest:]}"


def design_of(
    sites: pd.Series, covariates: Mapping[str, pd.Series], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return site indicators, then centred covariates (all but one level of categories)."""
    blocks = [pd.get_dummies(sites.astype(object), dtype=float).to_numpy()]
    for values in covariates.values():
        if pd.api.types.is_numeric_dtype(values):
            part = values[rows]
            blocks.append(((part - part.mean()) / (part.std() or 1.0)).to_numpy()[:, None])
        else:
            blocks.append(
                pd.get_dummies(values[rows].astype(object), dtype=float).to_numpy()[:, 1:]
            )
    return np.hstack(blocks)


def account(
    before: pd.Series,
    after: pd.Series,
    sites: pd.Series,
    covariates: Mapping[str, pd.Series],
    *,
    rows: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return what was done to one measurement: over all sites, then by site."""
    name = str(before.name)
    about = {"outcome": name, "harmonised": harmonised_name(name), "unit": unit_of(name)}
    of = sites[rows]
    matrix = design_of(of, covariates, rows)[:, of.nunique() :]
    both = pd.DataFrame({"before": before, "after": after})
    shown = both[after.notna().to_numpy()]
    found: list[dict[str, object]] = [
        about
        | {
            "site": "all", "n": len(shown),
            "mean_before": shown["before"].mean(), "mean_after": shown["after"].mean(),
            "site_share_before_pct": 100 * site_share(before[rows], of, matrix),
            "site_share_after_pct": 100 * site_share(after[rows], of, matrix),
        }
    ]  # fmt: skip
    scales = _scales(both[rows], of, matrix)
    for one, part in shown.groupby(sites[shown.index].to_numpy()):
        found.append(
            about
            | {
                "site": one, "n": len(part), "shift": (part["before"] - part["after"]).mean(),
                "scale": scales.get(one, np.nan),
                "mean_before": part["before"].mean(), "mean_after": part["after"].mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(found, columns=list(DICTIONARY)).assign(note="")


def site_share(values: pd.Series, sites: pd.Series, matrix: NDArray[np.float64]) -> float:
    """Share of the variance left by covariates that sites explain besides."""
    y = values.to_numpy(dtype=float)
    alone = _residual(y, np.column_stack([np.ones(len(y)), matrix]))
    dummies = pd.get_dummies(sites.astype(object), dtype=float).to_numpy()
    with_sites = _residual(y, np.hstack([dummies, matrix]))
    total = float((alone**2).sum())
    return (
        1 - float((with_sites**2).sum()) / total
        if total > 1e-12 * float((y**2).sum())
        else float("nan")
    )


def _scales(
    both: pd.DataFrame, sites: pd.Series, matrix: NDArray[np.float64]
) -> dict[object, float]:
    """Factor of each site: SD of its residuals before over that after."""
    dummies = pd.get_dummies(sites.astype(object), dtype=float).to_numpy()
    # The values before minus those after are linear in the former within a site.
    design = np.hstack([dummies, matrix])
    before = _residual(both["before"].to_numpy(dtype=float), design)
    effects = both["before"].to_numpy(dtype=float) - before
    shared = effects - dummies @ np.linalg.lstsq(dummies, effects, rcond=None)[0]
    found = {}
    for one in sites.unique():
        at = (sites == one).to_numpy()
        x = both["before"].to_numpy(dtype=float)[at] - shared[at]
        y = both["after"].to_numpy(dtype=float)[at] - shared[at]
        found[one] = float(np.std(x) / np.std(y)) if np.std(y) > 0 else float("nan")
    return found


def _residual(y: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals of least squares."""
    fitted: NDArray[np.float64] = matrix @ np.linalg.lstsq(matrix, y, rcond=None)[0]
    return y - fitted


def without_values(names: Sequence[str], note: str) -> pd.DataFrame:
    """Rows of measurements without harmonised values."""
    rows = [
        {"outcome": n, "harmonised": harmonised_name(n), "unit": unit_of(n), "site": "all", "n": 0,
         "note": note}
        for n in names
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(DICTIONARY))
