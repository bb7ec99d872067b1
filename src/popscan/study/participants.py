"""The participants table: the cohort table's rows, and what ingest learnt of the scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from popscan.cells import EMPTY
from popscan.plan import read_shard
from popscan.study.tables import numbers_if_all

#: Columns of the cohort table that only the simulator may see.
HIDDEN = ("truth_", "fault", "bias_")
#: Ends a column of the scan while the cohort table's own is beside it; no name has a NUL byte.
_OF_SCAN = "\0scan"


def planned_table(
    study_root: Path, shards: Sequence[str], *, simulated: bool = False
) -> pd.DataFrame:
    """Return unit, sub, ses and the cohort table's columns of every planned subject, as text.

    Columns that only the simulator may see (`HIDDEN`) are left out of a `simulated` study; in
    another one such a name (``bias_field``) is a column as any.
    """
    import pyarrow as pa

    hidden = HIDDEN if simulated else ()
    parts = []
    for shard in shards:
        rows = []
        for planned in read_shard(study_root, shard):
            subject = planned.subject
            cells = {k: v for k, v in subject.row.items() if not k.startswith(hidden)}
            rows.append({**cells, "unit": subject.unit, "sub": subject.sub, "ses": subject.ses})
        columns = pa.array(rows)
        parts.append(pa.table(columns.flatten(), names=[field.name for field in columns.type]))
    whole: pd.DataFrame = pa.concat_tables(parts, promote_options="default").to_pandas()
    return whole


def with_scans(planned: pd.DataFrame, ingest: pd.DataFrame) -> pd.DataFrame:
    """Cohort: unit, sub, ses, the cohort table's columns, and what ingest learnt of the scan.

    A column that both know is the cohort table's, with gaps filled from the scan.
    """
    table = without_empty(planned)
    table = table.drop(columns=["participant_id", "session_id"], errors="ignore")
    merged = table.merge(ingest, on="unit", how="left", suffixes=("", _OF_SCAN))
    for own in [c for c in map(str, table) if c in ingest and c != "unit"]:
        merged[own] = merged[own].where(merged[own].notna(), merged.pop(own + _OF_SCAN))
    for column in merged.columns.difference(["unit", "sub", "ses"]):
        merged[column] = numbers_if_all(merged[column])
    first = ["unit", "sub", "ses"]
    return merged[first + [c for c in merged if c not in first]]


def participants_table(
    study_root: Path, shards: Sequence[str], ingest: pd.DataFrame, *, simulated: bool = False
) -> pd.DataFrame:
    """Return the cohort of a study; see `planned_table` and `with_scans`."""
    return with_scans(planned_table(study_root, shards, simulated=simulated), ingest)


def without_empty(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of text in which cells that hold nothing (`popscan.cells.EMPTY`) are None."""
    cells = {cell for column in table for cell in table[column].unique() if isinstance(cell, str)}
    return table.replace(dict.fromkeys(cell for cell in cells if cell.strip().lower() in EMPTY))
