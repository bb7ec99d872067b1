"""Tables of reference centiles: on a grid of ages, what of them may be shared, and scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from popscan.associate.centiles import CENTILES, NEAR_YEARS, Curves, Floats, position
from popscan.columns import Column, text
from popscan.stats.design import clean, unit_of

_SANDWICH = "Hendricks and Koenker 1992, doi:10.1080/01621459.1992.10475175"
_KOENKER = "Koenker and Bassett 1978, doi:10.2307/1913643"
#: Note of a value so rare that a reference does not say how rare.
BEYOND = f"beyond the {CENTILES[0]:g} to {CENTILES[-1]:g}% of the reference: z is extrapolated"
#: Share of people on the smaller side of each centile.
_TAILS = np.minimum(np.asarray(CENTILES), 100 - np.asarray(CENTILES)) / 100
_OUTERMOST = float(ndtri(CENTILES[-1] / 100))
#: With fewer people expected beyond a centile its 90% interval holds the true one too seldom: in 68
#: to 84% of made-up tables with 2 to 10 people, in 87 to 94% with 50 (docs/ranges.md).
LEAST_BEYOND = 50
#: People whose scores are computed at once.
_CHUNK = 1000

#: Columns of the table that `centile_table` returns.
DICTIONARY: Mapping[str, Column] = {
    "outcome": text("biomarker"),
    "unit": text("its unit"),
    "sex": text("sex, or all"),
    "age_years": Column("years", "age"),
    "centile": Column("%", "share of subjects of this sex and age that is below"),
    "value": Column("unit", "the centile", _KOENKER),
    "ci_low": Column(
        "unit",
        f"lower end of its 90% interval; empty where fewer than {LEAST_BEYOND} subjects are "
        "expected beyond the centile",
        _SANDWICH,
    ),
    "ci_high": Column("unit", "upper end of its 90% interval, likewise", _SANDWICH),
    "n": Column("subjects", "subjects of this sex with a value"),
    "n_near": Column("subjects", f"of these, subjects within {NEAR_YEARS:g} years of the age"),
    "note": text("how the curve was fitted, or why there is none"),
}
#: Columns of the table that `z_scores` returns, beside the people's.
Z_DICTIONARY: Mapping[str, Column] = {
    "outcome": text("biomarker"),
    "value": Column("unit", "measured"),
    "centile": Column(
        "%",
        "share of subjects of the same sex and age that is below; beyond the outermost centile "
        "that one, as a limit",
    ),
    "z": Column(
        "SD",
        "the normal deviate of that share; 0 is the median; beyond the outermost centile "
        "extrapolated, see note",
    ),
    "z_low": Column(
        "SD",
        "lower end of its interval: of the curves, and of the value if it has one; empty below the "
        "outermost centile that has an interval",
    ),
    "z_high": Column(
        "SD", "upper end of its interval; empty above the outermost centile that has an interval"
    ),
    "n_near": Column("subjects", f"subjects of that sex within {NEAR_YEARS:g} years"),
    "note": text("why there is no score, or with what caution to read it"),
}


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
        unsure = _unsure(one)
        low[:, unsure] = high[:, unsure] = np.nan
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


def _unsure(curves: Curves) -> NDArray[np.bool_]:
    """Which centiles have too few people beyond them for an interval."""
    found: NDArray[np.bool_] = curves.ages.size * _TAILS < LEAST_BEYOND - 1e-9
    return found


def _grid(ages: Floats, step_years: float) -> Floats:
    """Multiples of `step_years` within the ages of the people; their middle where there is none."""
    first = math.ceil(float(ages.min()) / step_years) * step_years
    grid = np.arange(first, float(ages.max()) + 1e-9, step_years)
    return grid if grid.size else np.array([round(float(np.median(ages)), 1)])


def shareable(centiles: pd.DataFrame, *, min_beyond: int = 10) -> pd.DataFrame:
    """Return the rows of `centile_table` that give away no single subject.

    A fitted centile passes through values of some subjects. So a centile is left out where fewer
    than `min_beyond` of its subjects near its age are expected on the smaller side of it, and the
    others are rounded to three digits, and notes hold no count of subjects.
    """
    tail = np.minimum(centiles["centile"], 100 - centiles["centile"]) / 100
    rows = centiles[(centiles["n_near"] * tail >= min_beyond) & centiles["value"].notna()]
    names = ("value", "ci_low", "ci_high")
    notes = rows["note"].str.replace(r"unsure: \d+ subjects, ", "unsure: ", regex=True)
    return rows.assign(note=notes, **{name: rows[name].map(_three_digits) for name in names})


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
            outside = part["z"].abs() > _OUTERMOST + 1e-9
            part.loc[outside, "note"] = BEYOND + "; " + part.loc[outside, "note"]
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
    sure = np.abs(ndtri(np.asarray(CENTILES) / 100))[~_unsure(curves)]
    last = float(sure.max(initial=-np.inf))  # without a sure centile no end is kept
    for chunk in np.array_split(known, max(1, known.size // _CHUNK)):
        centiles, value = curves.at(ages[chunk]), values[chunk]
        low, high = (
            np.where(np.isfinite(v[chunk]), v[chunk], value) for v in limits or (values, values)
        )
        z = position(centiles[0], value)
        found["z"][chunk] = z
        z_low = np.minimum(z, np.quantile(position(centiles, low), 0.05, axis=0))
        z_high = np.maximum(z, np.quantile(position(centiles, high), 0.95, axis=0))
        # Beyond the last sure centile a score is not sure: the tail may not be a normal one, or
        # the curves there rest on few people.
        below, above = z < -last - 1e-9, z > last + 1e-9
        z_low = np.where(above, np.minimum(z_low, last), z_low)
        z_high = np.where(below, np.maximum(z_high, -last), z_high)
        found["z_low"][chunk] = np.where(z_low >= -last - 1e-9, z_low, np.nan)
        found["z_high"][chunk] = np.where(z_high <= last + 1e-9, z_high, np.nan)
        found["centile"][chunk] = np.clip(100.0 * ndtr(z), CENTILES[0], CENTILES[-1])
        found["n_near"][chunk] = curves.near(ages[chunk])
    return found
