"""Names of columns that a config gives, against the columns that there are.

A name that the config gives and no table has is a problem. A name that only stands in the defaults
and that the study lacks (no race, no body size) is a note: what it concerns goes without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from popscan.cells import is_recorded
from popscan.config.section import Section
from popscan.fairness.groups import MISSING
from popscan.names import did_you_mean

#: Column that popscan makes -> columns that it is made of.
MADE_OF: Mapping[str, tuple[str, ...]] = {
    "age_band": ("age_years",),
    "bmi_class": ("height_cm", "weight_kg"),
    "bsa_m2": ("height_cm", "weight_kg"),
    "bmi_kg_m2": ("height_cm", "weight_kg"),
}


class Named(NamedTuple):
    """A name in the config: its key, and whether the config gives it (else it is a default)."""

    key: str
    name: str
    given: bool


@dataclass
class Known:
    """What a study has.

    Attributes
    ----------
    table
        Attributes of the subjects, as the statistics see them; no rows without a cohort table.
    others
        Columns that are known by name only, before the images are read.
    what
        Where columns stand, for messages.
    """

    table: pd.DataFrame
    others: tuple[str, ...] = ()
    what: str = "the cohort table"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """All columns."""
        return list(dict.fromkeys([*map(str, self.table.columns), *self.others]))


def listed(section: Section, name: str, key: str) -> list[Named]:
    """Return the columns that the list `key` of a config section names."""
    given = key in section.model_fields_set
    return [Named(f"{name}.{key}", column, given) for column in getattr(section, key)]


def check_columns(
    known: Known,
    names: Iterable[Named],
    more: Collection[str],
    *,
    used: bool = False,
    strict: bool = False,
) -> None:
    """Report columns that do not exist or hold nothing; those `used` in models also if constant.

    `strict`: also a default that a study lacks is a problem.
    """
    for named in names:
        name = named.name
        if name in known.table and len(known.table):
            column = known.table[name]
            different = column[[is_recorded(v) and v != MISSING for v in column]].nunique()
            if different == 0 and name not in known.others:
                _report(known, named, strict, f"{name!r} has no value in {known.what}")
            elif different == 1 and used and name not in known.others:
                known.notes.append(
                    f"{named.key}: {name} is the same for all subjects, so no model uses it."
                )
        elif name not in known.columns and (name not in more or name in MADE_OF):
            lacking = [n for n in MADE_OF.get(name, ()) if n not in known.columns]
            why = f"{name!r} is no column of {known.what}"
            if lacking:
                why = f"{name!r} is made of {' and '.join(lacking)}, which {known.what} lacks"
            _report(known, named, strict, why, [n for n in (*known.columns, *more) if n != name])


def check_names(known: Known, names: Iterable[Named], allowed: Collection[str]) -> None:
    """Report names that are not among those allowed."""
    for named in names:
        if named.name not in allowed:
            _report(known, named, False, f"{named.name!r} cannot be used there", allowed)


def _report(
    known: Known, named: Named, strict: bool, text: str, allowed: Collection[str] = ()
) -> None:
    if named.given or strict:
        hint = suggestion(named.name, allowed) if allowed else ""
        known.problems.append(f"{named.key}: {text}{hint}")
    else:
        known.notes.append(f"{named.key} (default): {text}; it is left out.")


def suggestion(name: str, allowed: Collection[str]) -> str:
    """Say what may have been meant, and what exists."""
    hint = did_you_mean(name, allowed)
    if len(allowed) > 60:
        return hint
    return f"{hint}; expected one of: {', '.join(sorted(allowed)) or 'none exist'}"
