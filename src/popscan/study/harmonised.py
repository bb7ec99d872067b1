"""Biomarkers harmonised between the sites of a study: of the whole study, since the fit is.

`popscan.study.study.Study.biomarkers` has the harmonised columns behind those they were made of, so
that associations, audit and report see both; the stage associate writes them as tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from popscan.config import Harmonise
from popscan.fairness.roles import PROTECTED, role_of
from popscan.stats.harmonise import Harmonised, harmonise
from popscan.stats.harmonise_account import harmonised_name


def harmonised_biomarkers(
    biomarkers: pd.DataFrame,
    attributes: pd.DataFrame,
    section: Harmonise,
    *,
    outcomes: Sequence[str],
    audited: Sequence[str],
    roles: Mapping[str, str],
    once: Collection[str],
) -> Harmonised:
    """Harmonise the biomarkers of those who are analysed.

    Parameters
    ----------
    biomarkers
        Of those who are analysed, with ``unit``.
    attributes
        Of all subjects, by unit.
    section
        Of the config.
    outcomes
        Biomarkers where the section names none; those that the table lacks are left out.
    audited, roles
        Attributes that the audit compares, and their roles as the config gives them: protected ones
        that sites explain are not separable (`popscan.stats.harmonise.harmonise`).
    once
        Units of one visit per subject, which the fit rests on.

    Raises
    ------
    PopscanError
        If the study has no such site or covariate.
    """
    columns = [name for name in section.columns or outcomes if name in biomarkers]
    table = biomarkers[["unit", *columns]].set_index("unit")
    beside = attributes.reindex(table.index).drop(columns=columns, errors="ignore")
    return harmonise(
        table.join(beside),
        columns=columns,
        site=section.by,
        preserve=section.preserve or (),
        guard=[name for name in audited if role_of(name, roles) == PROTECTED],
        fit_rows=table.index.isin(list(once)),
        min_site=section.min_site,
        pool_small=section.small_sites == "pool",
    )


def with_harmonised(biomarkers: pd.DataFrame, made: Harmonised | None) -> pd.DataFrame:
    """Return biomarkers with the harmonised columns behind them."""
    if made is None or made.values.empty:
        return biomarkers
    return biomarkers.assign(**{str(n): v.to_numpy() for n, v in made.values.items()})


def and_harmonised(names: Sequence[str], table: pd.DataFrame) -> list[str]:
    """Return names, each followed by its harmonised column where the table has that."""
    both = [one for name in names for one in (name, harmonised_name(name))]
    return [one for one in both if one in names or one in table]
