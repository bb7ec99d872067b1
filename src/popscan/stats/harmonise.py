"""Harmonisation of measurements between sites or scanners by ComBat, fitted by combatlearn.

Every site gets a shift and a scale per measurement, around a linear model of the covariates that
are to be preserved (Johnson et al. 2007, doi:10.1093/biostatistics/kxj037; Fortin et al. 2018,
doi:10.1016/j.neuroimage.2017.11.024). What is not preserved and differs between sites is removed
with them: `harmonise` says so, and refuses where site and attribute cannot be separated.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.records import PopscanError
from popscan.stats.design import clean, is_categorical
from popscan.stats.harmonise_account import (
    account,
    design_of,
    harmonised_name,
    site_share,
    without_values,
)

#: Share of a covariate's variance that sites explain from which both cannot be separated (a
#: variance inflation of 10), and, above what chance gives, from which a caution is given.
NOT_SEPARABLE, CAUTION = 0.9, 0.02
#: Share of a preserved covariate that sites explain, above what chance gives, from which tests on
#: harmonised values are too sure: standard errors are a twentieth too small.
_TOO_SURE = 0.1
#: A measurement known in a smaller share of the rows is fitted alone, on its own rows.
_COMMON = 0.8
#: Levels of a category with fewer rows do not decide whether it can be separated from sites.
_MIN_LEVEL = 5
#: Site of small sites that are pooled.
POOLED = "small sites, pooled"


@dataclass(frozen=True, kw_only=True)
class Harmonised:
    """Result of `harmonise`.

    Attributes
    ----------
    values : DataFrame
        Harmonised columns by the names of `harmonised_name`, indexed as the table. Rows without
        site, covariates or measurement have NaN. No column if nothing could be harmonised.
    account : DataFrame
        Columns as in `DICTIONARY`.
    notes
        Sentences on what was left out, and with what caution to read the values.
    refused
        Why nothing was harmonised; empty if something was.
    preserved
        Covariates whose effects were kept.
    site
        Column with the site or scanner.
    n_fitted
        Rows that the common fit rests on.
    """

    values: pd.DataFrame
    account: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    refused: str = ""
    preserved: tuple[str, ...] = ()
    site: str = ""
    n_fitted: int = 0


def harmonise(
    table: pd.DataFrame,
    *,
    columns: Sequence[str],
    site: str,
    preserve: Sequence[str],
    guard: Sequence[str] = (),
    fit_rows: NDArray[np.bool_] | None = None,
    min_site: int = 10,
    pool_small: bool = False,
) -> Harmonised:
    """Remove shift and scale of every site from measurements, and keep the covariates' effects.

    Parameters
    ----------
    table
        One row per unit.
    columns
        Measurements.
    site
        Column with the site or scanner.
    preserve
        Covariates whose effects are kept. Nothing else enters the fit.
    guard
        Attributes that will be compared between groups: they do not enter, but where sites explain
        one of them nothing is harmonised, since its effect would be removed as the site's.
    fit_rows : ndarray of bool, optional
        Rows that are fitted (one visit per subject); the others are transformed only.
    min_site
        Fewest rows of a site, at least 3.
    pool_small
        Whether smaller sites are treated as one; else their rows have no harmonised value.

    Returns
    -------
    Harmonised
        With ``refused`` where fewer than two sites are left, or an attribute is not separable.

    Raises
    ------
    PopscanError
        If a column is absent, is both site and covariate, or combatlearn is not installed.
    """
    _check(table, columns=columns, site=site, preserve=preserve)
    index, table = table.index, table.reset_index(drop=True)
    chosen = np.ones(len(table), bool) if fit_rows is None else np.asarray(fit_rows, bool)
    covariates = {name: _cleaned(table[name]) for name in preserve}
    known = np.ones(len(table), bool)
    for one in covariates.values():
        known &= one.notna().to_numpy()
    sites, notes = _sites(table[site], chosen & known, max(min_site, 3), pool_small)
    usable = known & sites.notna().to_numpy()
    if lost := int((sites.notna().to_numpy() & ~known).sum()):
        notes.append(f"No harmonised value without {' or '.join(preserve)}: {_rows(lost)}.")
    others = [name for name in guard if name in table and name not in {site, *preserve}]
    guarded = {name: _cleaned(table[name]) for name in others}
    made = Harmonised(
        values=pd.DataFrame(index=index), account=without_values([], ""), notes=notes,
        preserved=tuple(preserve), site=site,
    )  # fmt: skip
    if refused := _refused(sites, covariates, guarded, chosen & usable):
        return replace(made, account=without_values(columns, refused), refused=refused)
    notes += _differing(sites, guarded, covariates, chosen & usable)
    notes += _too_sure(sites, covariates, chosen & usable)
    numbers = pd.DataFrame({name: clean(table[name], categorical=False) for name in columns})
    groups, flat = _groups(numbers[chosen & usable], sites[chosen & usable])
    values: dict[str, pd.Series] = {}
    parts = [without_values(flat, "fewer than two different values at a site")]
    fitted = 0
    for names in groups:
        rows = chosen & usable & numbers[names].notna().all(axis=1).to_numpy()
        counts = sites[rows].value_counts()
        if counts.size < sites[usable].nunique() or counts.min() < max(min_site, 3):
            parts.append(without_values(names, "too few values at a site"))
            continue
        after, cautions = _combat(numbers[names], sites, covariates, rows=rows, usable=usable)
        notes += cautions
        fitted = max(fitted, int(rows.sum()))
        for name in names:
            values[harmonised_name(name)] = after[name]
            parts.append(account(numbers[name], after[name], sites, covariates, rows=rows))
    return replace(
        made,
        values=pd.DataFrame(values, index=table.index).set_axis(index),
        account=pd.concat(parts, ignore_index=True),
        notes=list(dict.fromkeys(notes)),
        refused="" if values else "no measurement has enough values at every site",
        n_fitted=fitted,
    )


def _check(
    table: pd.DataFrame, *, columns: Sequence[str], site: str, preserve: Sequence[str]
) -> None:
    """Refuse what cannot be meant."""
    if absent := [name for name in [site, *preserve, *columns] if name not in table]:
        raise PopscanError(f"harmonisation: no column {absent[0]!r} in the table")
    if twice := [name for name in [site, *columns] if name in preserve]:
        raise PopscanError(
            f"harmonisation: {twice[0]} cannot be preserved and be the site or a measurement too"
        )
    if importlib.util.find_spec("combatlearn") is None:
        raise PopscanError("harmonisation needs combatlearn: pip install 'popscan[harmonise]'")


def _cleaned(column: pd.Series) -> pd.Series:
    return clean(column, categorical=is_categorical(column))


def _sites(
    column: pd.Series, rows: NDArray[np.bool_], min_site: int, pool: bool
) -> tuple[pd.Series, list[str]]:
    """Site of every row, NaN where unknown or too small, and sentences on the latter."""
    sites = clean(column, categorical=True)
    counts = sites[rows].value_counts()
    small = sorted(name for name in sites.dropna().unique() if counts.get(name, 0) < min_site)
    notes = []
    if unknown := int(sites.isna().sum()):
        notes.append(f"No harmonised value without {column.name}: {_rows(unknown)}.")
    if not small:
        return sites, notes
    total = int(sum(counts.get(name, 0) for name in small))
    listed = ", ".join(f"{name} ({counts.get(name, 0)})" for name in small[:10])
    if pool and total >= min_site and len(small) > 1:
        notes.append(f"Sites with fewer than {min_site} subjects were pooled as one: {listed}.")
        return sites.mask(sites.isin(small), POOLED), notes
    notes.append(f"Sites with fewer than {min_site} subjects have no harmonised value: {listed}.")
    return sites.mask(sites.isin(small)), notes


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _indicators(values: pd.Series, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """Return a covariate as columns of numbers: itself, or one per level."""
    if pd.api.types.is_numeric_dtype(values):
        return values[rows].to_frame()
    levels = pd.get_dummies(values[rows].astype(object), dtype=float)
    return levels.loc[:, levels.sum() >= _MIN_LEVEL]


def _share(
    values: pd.Series,
    sites: pd.Series,
    rows: NDArray[np.bool_],
    given: Mapping[str, pd.Series] | None = None,
) -> float:
    """Largest share of the variance of a covariate, or of one of its levels, that sites explain.

    With `given` it is the share of what these covariates leave.
    """
    rows = rows & values.notna().to_numpy()
    of = sites[rows]
    beside = design_of(of, given or {}, rows)[:, of.nunique() :]
    shares = [site_share(column, of, beside) for _, column in _indicators(values, rows).items()]
    return max([0.0, *(share for share in shares if np.isfinite(share))])


def _refused(
    sites: pd.Series,
    covariates: Mapping[str, pd.Series],
    guarded: Mapping[str, pd.Series],
    rows: NDArray[np.bool_],
) -> str:
    """Return why nothing can be harmonised, or nothing."""
    if sites[rows].nunique() < 2:
        return "fewer than two sites with enough subjects"
    for name, values in {**covariates, **guarded}.items():
        share = _share(values, sites, rows)
        if share >= NOT_SEPARABLE:
            return (
                f"{sites.name} and {name} are not separable: {sites.name} explains "
                f"{100 * share:.0f}% of {name}, so that removing the one removes the other"
            )
    matrix = design_of(sites[rows], covariates, rows)
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        listed = ", ".join(covariates)
        return f"{sites.name} and {listed} are not separable: they determine each other"
    return ""


def _differing(
    sites: pd.Series,
    guarded: Mapping[str, pd.Series],
    covariates: Mapping[str, pd.Series],
    rows: NDArray[np.bool_],
) -> list[str]:
    """Sentences on attributes that differ between sites and are not preserved."""
    found = []
    for name, values in guarded.items():
        share = _share(values, sites, rows, covariates)
        by_chance = (sites[rows].nunique() - 1) / max(int(rows.sum()) - 1, 1)
        if share - by_chance >= CAUTION:
            found.append(
                f"{sites.name} explains {100 * share:.0f}% of {name}, which is not preserved: part "
                f"of the differences by {name} was removed with those of {sites.name}. Compare "
                "with the values before harmonisation."
            )
    return found


def _too_sure(
    sites: pd.Series, covariates: Mapping[str, pd.Series], rows: NDArray[np.bool_]
) -> list[str]:
    """Sentences on preserved covariates that differ between sites.

    Their effects and the sites' shifts were estimated together, but what comes after takes the
    shifts for known (Nygaard et al. 2016, doi:10.1093/biostatistics/kxv027).
    """
    found = []
    for name, values in covariates.items():
        share = _share(values, sites, rows)
        by_chance = (sites[rows].nunique() - 1) / max(int(rows.sum()) - 1, 1)
        if share - by_chance >= _TOO_SURE:
            larger = 100 * (1 / np.sqrt(1 - share) - 1)
            found.append(
                f"{sites.name} explains {100 * share:.0f}% of {name}, which is preserved: standard "
                f"errors of differences by {name} in harmonised values are too small (true ones "
                f"are about {larger:.0f}% larger), unless {sites.name} is adjusted for."
            )
    return found


def _groups(numbers: pd.DataFrame, sites: pd.Series) -> tuple[list[list[str]], list[str]]:
    """Measurements that are fitted together, and those without spread at some site."""
    spread = numbers.groupby(sites.to_numpy()).std()
    flat = [str(name) for name in numbers if not (spread[name].fillna(1.0) > 0).all()]
    left = [str(name) for name in numbers if name not in flat]
    known = numbers.notna().groupby(sites.to_numpy()).mean()
    common = [name for name in left if known[name].min() >= _COMMON]
    return [*([common] if common else []), *([n] for n in left if n not in common)], flat


def _combat(
    numbers: pd.DataFrame,
    sites: pd.Series,
    covariates: Mapping[str, pd.Series],
    *,
    rows: NDArray[np.bool_],
    usable: NDArray[np.bool_],
) -> tuple[pd.DataFrame, list[str]]:
    """Fit on `rows`, transform the `usable` ones; measurements are transformed one by one."""
    from combatlearn import ComBat

    index = numbers.index[usable]
    of = sites[usable].astype(str)
    means = numbers[rows].groupby(sites[rows]).mean()
    filled = numbers[usable].copy()
    for name in numbers:
        filled[name] = filled[name].fillna(of.map(means[name]))
    words = {n: v[usable] for n, v in covariates.items() if not pd.api.types.is_numeric_dtype(v)}
    quantities = {n: v[usable] for n, v in covariates.items() if n not in words}
    model = ComBat(
        batch=of,
        discrete_covariates=pd.DataFrame(words, index=index) if words else None,
        continuous_covariates=pd.DataFrame(quantities, index=index) if quantities else None,
        method="fortin",
    )
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        model.fit(filled.loc[numbers.index[rows]])
        after = model.transform(filled)
    cautions = [
        f"combatlearn: {one.message}"
        for one in raised
        if "Only one feature" not in str(one.message)
    ]
    return after.where(numbers[usable].notna()).reindex(numbers.index), cautions
