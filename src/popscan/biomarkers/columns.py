"""What a data dictionary of biomarkers is made of."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column of a table: its unit, what it means, and where the definition comes from."""

    unit: str
    meaning: str
    source: str
