"""Smooth reference centiles of a measurement over age, by sex, and where a subject stands in them.

Quantile regression (Koenker and Bassett, Econometrica 1978;46:33, doi:10.2307/1913643), fitted by
statsmodels, on restricted cubic splines of age (Harrell, Regression Modeling Strategies, 2015);
curves that cross are put in order (Chernozhukov et al., Econometrica 2010;78:1093,
doi:10.3982/ECTA7880). Intervals follow from the sandwich covariance of Hendricks and Koenker (JASA
1992;87:58, doi:10.1080/01621459.1992.10475175).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from statsmodels.regression.quantile_regression import QuantReg
from statsmodels.tools.sm_exceptions import IterationLimitWarning

from popscan.columns import Column, text
from popscan.stats.design import clean, unit_of

Floats = NDArray[np.float64]

CENTILES = (2.5, 5.0, 25.0, 50.0, 75.0, 95.0, 97.5)
#: Fewest people of a sex for curves that bend, for a straight line, and for anything.
MIN_SPLINE, MIN_ANY = 200, 40
#: Fewest people for outer limits without a caution (CLSI EP28-A3c).
MIN_LIMITS = 120
#: People within so many years of an age stand behind its centiles.
NEAR_YEARS = 5.0
_SANDWICH = "Hendricks and Koenker 1992, doi:10.1080/01621459.1992.10475175"
#: People whose scores are computed at once.
_CHUNK = 1000
_KOENKER = "Koenker and Bassett 1978, doi:10.2307/1913643"

#: Columns of the table that `centile_table` returns.
DICTIONARY: Mapping[str, Column] = {
    "outcome": text("biomarker"),
    "unit": text("its unit"),
    "sex": text("sex, or all"),
    "age_years": Column("years", "age"),
    "centile": Column("%", "share of subjects of this sex and age that is below"),
    "value": Column("unit", "the centile", _KOENKER),
    "ci_low": Column("unit", "lower end of its 90% interval", _SANDWICH),
    "ci_high": Column("unit", "upper end of its 90% interval", _SANDWICH),
    "n": Column("subjects", "subjects of this sex with a value"),
    "n_near": Column("subjects", f"of these, subjects within {NEAR_YEARS:g} years of the age"),
    "note": text("how the curve was fitted, or why there is none"),
}
#: Columns of the table that `z_scores` returns, beside the people's.
Z_DICTIONARY: Mapping[str, Column] = {
    "outcome": text("biomarker"),
    "value": Column("unit", "measured"),
    "centile": Column("%", "share of subjects of the same sex and age that is below"),
    "z": Column("SD", "the normal deviate of that share; 0 is the median"),
    "z_low": Column(
        "SD", "lower end of its interval: of the curves, and of the value if it has one"
    ),
    "z_high": Column("SD", "upper end of its interval"),
    "n_near": Column("subjects", f"subjects of that sex within {NEAR_YEARS:g} years"),
    "note": text("why there is no score, or with what caution to read it"),
}


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Centile curves of one measurement and sex.

    Attributes
    ----------
    ages
        Ages of the people behind it.
    knots
        Of the spline of age: none for one value, two (its ends) for a line.
    draws
        Coefficients by draw, centile and term; draw 0 is the estimate.
    note
        Cautions.
    """

    ages: Floats
    knots: tuple[float, ...]
    draws: Floats
    note: str

    def at(self, ages: Floats) -> Floats:
        """Centiles at ages, in order, shape (draws, ages, centiles); ages are held within range."""
        held = np.clip(ages, self.ages.min(), self.ages.max())
        matrix = spline_design(held, self.knots)
        return np.sort(np.einsum("at,dct->dac", matrix, self.draws), axis=2)

    def near(self, ages: Floats) -> NDArray[np.int64]:
        """How many people stand near each age."""
        gaps = np.abs(np.asarray(ages)[:, None] - self.ages[None, :])
        counts: NDArray[np.int64] = (gaps <= NEAR_YEARS).sum(axis=1)
        return counts


def fit_curves(
    values: Floats, ages: Floats, *, draws: int = 200, seed: int = 0
) -> tuple[Curves | None, str]:
    """Fit the centiles of one measurement of one sex.

    Parameters
    ----------
    values, ages : ndarray, shape (people,)
        Rows with a missing one are left out.
    draws
        Draws of the coefficients, for intervals; 0 for none.
    seed
        Of the draws.

    Returns
    -------
    curves, note
        None for fewer than `MIN_ANY` people, or without any spread; the note says why.
    """
    known = np.isfinite(values) & np.isfinite(ages)
    y, x = values[known], ages[known]
    if y.size < MIN_ANY:
        return None, f"too few: {y.size} subjects, {MIN_ANY} needed"
    if np.ptp(y) <= 0:
        return None, "all values are equal"
    kind, knots = _knots(x)
    cautions = [kind]
    if y.size < MIN_LIMITS:
        cautions.append(f"outer limits unsure: {y.size} subjects, {MIN_LIMITS} advised (CLSI EP28)")
    design = spline_design(x, knots)
    rng = np.random.default_rng([seed, y.size])
    note = "; ".join(cautions)
    return Curves(
        ages=x, knots=knots, draws=_draws(y, design, count=draws, rng=rng), note=note
    ), note


def _knots(ages: Floats) -> tuple[str, tuple[float, ...]]:
    """Knots that the number of people and the range of their ages allow, in words and years."""
    years, n = float(np.ptp(ages)), ages.size
    if years < 5:
        return "one value for all ages", ()
    if n < MIN_SPLINE or years < 15:
        return "straight line over age", (float(ages.min()), float(ages.max()))
    at = np.unique(np.quantile(ages, [0.05, 0.35, 0.65, 0.95]))
    return f"spline of age, {len(at)} knots", tuple(float(k) for k in at)


def spline_design(ages: Floats, knots: Sequence[float]) -> Floats:
    """Design of a restricted cubic spline: straight beyond its outer knots.

    Parameters
    ----------
    ages : ndarray, shape (n,)
    knots
        None: a constant; two: a line.

    Returns
    -------
    ndarray, shape (n, max(1, len(knots)))
    """
    x = np.asarray(ages, dtype=float)
    if not knots:
        return np.ones((x.size, 1))
    first, last, before = knots[0], knots[-1], knots[-2]
    columns = [np.ones(x.size), (x - first) / (last - first)]

    def cube(k: float) -> Floats:
        return np.maximum((x - k) / (last - first), 0.0) ** 3

    for k in knots[:-2]:
        down = (last - k) / (last - before)
        columns.append(cube(k) - cube(before) * down + cube(last) * (down - 1.0))
    return np.stack(columns, axis=1)


def _draws(y: Floats, design: Floats, *, count: int, rng: np.random.Generator) -> Floats:
    """Coefficients of the estimate and of `count` draws, shape (1 + count, centiles, terms)."""
    scale = float(np.std(y)) or 1.0
    estimate = np.stack([_fitted(y / scale, design, c / 100) for c in CENTILES])
    draws = [estimate[None]]
    if count:
        noise = [
            rng.multivariate_normal(np.zeros(design.shape[1]), v, size=count)
            for v in (_covariance(y / scale, design, c / 100) for c in CENTILES)
        ]
        draws.append(estimate + np.stack(noise, axis=1))
    return np.concatenate(draws) * scale


def _fitted(y: Floats, design: Floats, share: float) -> Floats:
    with warnings.catch_warnings():
        # What is left to converge is far below the standard error.
        warnings.simplefilter("ignore", IterationLimitWarning)
        return np.asarray(QuantReg(y, design).fit(q=share, max_iter=300).params, dtype=float)


def _covariance(y: Floats, design: Floats, share: float) -> Floats:
    """Sandwich of Hendricks and Koenker: density of each person from two nearby centiles."""
    h = 0.5 * min(share, 1.0 - share)
    apart = design @ (_fitted(y, design, share + h) - _fitted(y, design, share - h))
    density = 2.0 * h / np.maximum(apart, 0.02 * float(np.std(y)))
    inverse = np.linalg.pinv((design.T * density) @ design)
    found: Floats = share * (1.0 - share) * inverse @ (design.T @ design) @ inverse
    return found


def position(centiles: Floats, values: Floats) -> Floats:
    """Return the normal deviates of values among centiles; beyond the outer ones by their distance.

    Parameters
    ----------
    centiles : ndarray, shape (..., centiles)
        Values of `CENTILES`, in order.
    values : ndarray, shape (...,)
        NaN gives NaN.
    """
    scores = ndtri(np.asarray(CENTILES) / 100)
    shape = (*centiles.shape[:-1], 1)
    value = np.broadcast_to(np.asarray(values, dtype=float)[..., None], shape)
    # The segment between two centiles that a value lies in; the outer two reach beyond.
    upper = np.clip((centiles < value).sum(axis=-1), 1, len(CENTILES) - 1)[..., None]
    low, high = (np.take_along_axis(centiles, k, axis=-1) for k in (upper - 1, upper))
    share = np.divide(value - low, high - low, out=np.full_like(value, 0.5), where=high > low)
    inner = scores[upper - 1] + share * (scores[upper] - scores[upper - 1])
    middle = centiles[..., [CENTILES.index(50.0)]]
    for end, beyond in ((0, value < centiles[..., :1]), (-1, value > centiles[..., -1:])):
        width = centiles[..., [end]] - middle
        outer = np.divide(value - middle, width, out=np.ones_like(value), where=width != 0)
        inner = np.where(beyond, scores[end] * outer, inner)
    found: Floats = np.where(np.isfinite(value), inner, np.nan)[..., 0]
    return found


def groups_of(table: pd.DataFrame, sex: str) -> dict[str, NDArray[np.bool_]]:
    """Rows of each sex; all together where there is no such column. Unknown sex has no group."""
    if not sex or sex not in table:
        return {"all": np.ones(len(table), bool)}
    words = clean(table[sex], categorical=True)
    return {str(s): (words == s).to_numpy() for s in sorted(words.dropna().unique())}


def centile_table(
    curves: Mapping[tuple[str, str], tuple[Curves | None, str, int]],
    *,
    step_years: float = 5.0,
    min_near: int = 10,
) -> pd.DataFrame:
    """Return centiles on a grid of ages.

    Parameters
    ----------
    curves
        (outcome, sex) -> curves, note, people.
    step_years
        Of the grid.
    min_near
        Ages with fewer people near have no numbers, nor have groups without curves.
    """
    rows: list[dict[str, object]] = []
    for (outcome, sex), (one, note, n) in curves.items():
        about = {"outcome": outcome, "unit": unit_of(outcome), "sex": sex, "n": n}
        if one is None:
            rows.append(about | {"note": note})
            continue
        grid = _grid(one.ages, step_years)
        draws, near = one.at(grid), one.near(grid)
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        for a, age in enumerate(grid):
            for c, centile in enumerate(CENTILES):
                row = about | {"age_years": age, "centile": centile, "note": note}
                if near[a] < min_near:
                    rows.append(row | {"note": f"fewer than {min_near} subjects near this age"})
                    break
                row |= {"value": draws[0, a, c], "n_near": int(near[a])}
                if len(draws) > 1:
                    row |= {"ci_low": low[a, c], "ci_high": high[a, c]}
                rows.append(row)
    return pd.DataFrame(rows, columns=list(DICTIONARY))


def _grid(ages: Floats, step_years: float) -> Floats:
    """Multiples of `step_years` within the ages of the people; their middle where there is none."""
    first = math.ceil(float(ages.min()) / step_years) * step_years
    grid = np.arange(first, float(ages.max()) + 1e-9, step_years)
    return grid if grid.size else np.array([round(float(np.median(ages)), 1)])


def shareable(centiles: pd.DataFrame, *, min_beyond: int = 10) -> pd.DataFrame:
    """Return the rows of `centile_table` that give away no single subject.

    A fitted centile passes through values of some subjects. So a centile is left out where fewer
    than `min_beyond` of its subjects near its age are expected on the smaller side of it, and the
    others are rounded to three digits.
    """
    tail = np.minimum(centiles["centile"], 100 - centiles["centile"]) / 100
    rows = centiles[(centiles["n_near"] * tail >= min_beyond) & centiles["value"].notna()]
    names = ("value", "ci_low", "ci_high")
    return rows.assign(**{name: rows[name].map(_three_digits) for name in names})


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def z_scores(
    table: pd.DataFrame,
    curves: Mapping[tuple[str, str], tuple[Curves | None, str, int]],
    *,
    age: str,
    sex: str,
    keep: Sequence[str],
    ends: Mapping[str, tuple[str, str]] | None = None,
    min_near: int = 10,
) -> pd.DataFrame:
    """Return where every subject stands: a row per outcome, with a reason where no score is.

    Parameters
    ----------
    table
        One row per person.
    curves
        As of `centile_table`.
    age, sex
        Columns.
    keep
        Columns of the people that the result begins with.
    ends
        Outcome -> columns with the ends of its own interval.
    min_near
        Subjects at ages with fewer others near have no score.
    """
    parts = []
    ages = clean(table[age], categorical=False).to_numpy(dtype=float)
    groups = groups_of(table, sex)
    for (outcome, group), (one, note, _) in curves.items():
        values = clean(table[outcome], categorical=False).to_numpy(dtype=float)
        at = np.flatnonzero(groups[group] & np.isfinite(values))
        part = table.iloc[at][list(keep)].assign(outcome=outcome, value=values[at], note=note)
        if one is not None:
            limits = [
                clean(table[c], categorical=False).to_numpy(dtype=float)[at]
                for c in (ends or {}).get(outcome, ())
            ]
            part = part.assign(**_scores(one, values[at], ages[at], limits))
            part.loc[np.isnan(ages[at]), "note"] = "no age"
            beyond = (ages[at] < one.ages.min()) | (ages[at] > one.ages.max())
            part.loc[beyond, "note"] = "older or younger than all of the reference"
            few = ~beyond & (part["n_near"].to_numpy() < min_near)
            part.loc[beyond | few, ["z", "z_low", "z_high", "centile"]] = np.nan
            part.loc[few, "note"] = f"fewer than {min_near} subjects near this age"
        parts.append(part)
    for outcome in dict.fromkeys(name for name, _ in curves):
        values = clean(table[outcome], categorical=False).to_numpy(dtype=float)
        of = [groups[group] for name, group in curves if name == outcome]
        apart = np.isfinite(values) & ~np.any(of, axis=0)
        for rows, note in (
            (apart, "no sex, or one without curves"),
            (np.isnan(values), "no value"),
        ):
            about = {"outcome": outcome, "value": values[rows], "note": note}
            parts.append(table.loc[rows, list(keep)].assign(**about))
    if not parts:
        return pd.DataFrame(columns=[*keep, *Z_DICTIONARY])
    return pd.concat(parts, ignore_index=True).reindex(columns=[*keep, *Z_DICTIONARY])


def _scores(
    curves: Curves, values: Floats, ages: Floats, limits: Sequence[Floats]
) -> dict[str, Floats]:
    """Scores of people of one sex, with the ends of their intervals."""
    names = ("z", "z_low", "z_high", "centile", "n_near")
    found = {name: np.full(values.size, np.nan) for name in names}
    known = np.flatnonzero(np.isfinite(ages))
    for chunk in np.array_split(known, max(1, known.size // _CHUNK)):
        centiles, value = curves.at(ages[chunk]), values[chunk]
        low, high = (
            np.where(np.isfinite(v[chunk]), v[chunk], value) for v in limits or (values, values)
        )
        z = position(centiles[0], value)
        found["z"][chunk] = z
        found["z_low"][chunk] = np.minimum(z, np.quantile(position(centiles, low), 0.05, axis=0))
        found["z_high"][chunk] = np.maximum(z, np.quantile(position(centiles, high), 0.95, axis=0))
        found["centile"][chunk] = 100.0 * ndtr(z)
        found["n_near"][chunk] = curves.near(ages[chunk])
    return found
