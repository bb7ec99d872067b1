"""What a column of a table means: the one type of every data dictionary. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

#: What a column holds: ``flag`` is true or false, ``any`` depends on the study.
Kind = Literal["number", "text", "flag", "any"]


class Column(NamedTuple):
    """One column of a table.

    Attributes
    ----------
    unit
        Of its numbers, empty where they have none.
    meaning
        In words.
    source
        Where it, or its definition, comes from.
    kind
        What it holds.
    """

    unit: str
    meaning: str
    source: str = "popscan"
    kind: Kind = "number"


def text(meaning: str, source: str = "popscan") -> Column:
    """Return a column of text."""
    return Column("", meaning, source, "text")


def flag(meaning: str, source: str = "popscan") -> Column:
    """Return a column that is true or false."""
    return Column("", meaning, source, "flag")


#: The key of every table of subjects.
UNIT: Mapping[str, Column] = {
    "unit": text("the subject's visit: sub-* or sub-*_ses-*; key of every table")
}


def entries(names: Iterable[str], columns: Mapping[str, Column]) -> dict[str, dict[str, str]]:
    """Return the data dictionary of a table as it is written: column -> its entry."""
    return {name: columns[name]._asdict() for name in names}
