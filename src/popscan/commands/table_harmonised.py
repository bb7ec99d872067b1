"""Harmonisation between sites in ``popscan ranges``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from popscan.cells import column_name
from popscan.columns import Column, text
from popscan.stats.harmonise import Harmonised, harmonise
from popscan.stats.harmonise_account import DICTIONARY
from popscan.study.harmonised import and_harmonised
from popscan.study.tables import write_table

_KEYS = {"unit": text("subject"), "participant_id": text("subject")}
_VALUE = Column("", "measurement, as in the table and harmonised between sites by ComBat")


@dataclass(frozen=True, kw_only=True)
class Between:
    """Sites between which measurements are harmonised.

    Attributes
    ----------
    site
        Column with the site or scanner.
    preserve
        Covariates whose effects are kept; None: age and sex.
    min_site
        Fewest subjects of a site.
    pool_small
        Whether smaller sites are treated as one.
    """

    site: str
    preserve: Sequence[str] | None = None
    min_site: int = 10
    pool_small: bool = False


@dataclass(frozen=True, kw_only=True)
class People:
    """One row per person, and what is to be described."""

    name: str
    table: pd.DataFrame
    key: str
    outcomes: Sequence[str]
    protocol: str
    notes: Sequence[str]


def harmonised_people(
    people: People, between: Between | None, *, age: str, sex: str
) -> tuple[People, Harmonised | None]:
    """Return people with harmonised measurements beside the others, and what was done.

    Age and sex are preserved unless `between` says otherwise; where one is not, and sites explain
    it, nothing is harmonised.
    """
    if between is None:
        return people, None
    axes = [name for name in (age, sex) if name and name in people.table]
    preserve = axes if between.preserve is None else [*map(column_name, between.preserve)]
    made = harmonise(
        people.table,
        columns=people.outcomes,
        site=column_name(between.site),
        preserve=preserve,
        guard=axes,
        min_site=between.min_site,
        pool_small=between.pool_small,
    )
    table = people.table.assign(**{str(n): v.to_numpy() for n, v in made.values.items()})
    notes = [*people.notes, *made.notes]
    if made.refused:
        notes.append(f"Not harmonised: {made.refused}.")
    outcomes = and_harmonised(people.outcomes, made.values)
    return replace(people, table=table, outcomes=outcomes, notes=notes), made


def write_harmonised(out: Path, table: pd.DataFrame, key: str, made: Harmonised) -> None:
    """Write ``harmonisation`` and ``harmonised_values`` (as measured and harmonised)."""
    write_table(out, "harmonisation", made.account, DICTIONARY)
    done = made.account[(made.account["site"] == "all") & (made.account["note"] == "")]
    columns = and_harmonised(list(done["outcome"]), made.values)
    write_table(
        out,
        "harmonised_values",
        table[[key, *columns]],
        {**_KEYS, **dict.fromkeys(columns, _VALUE)},
    )
