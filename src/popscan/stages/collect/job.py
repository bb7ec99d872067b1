"""Collect the manifests of all shards into the study's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from popscan.protocols import protocol_of
from popscan.stages import STAGES, optional_stages, stages_of
from popscan.store import Store
from popscan.study import dictionary
from popscan.study.overrides import final_verdicts, with_analysed
from popscan.study.tables import (
    check_accounts,
    check_manifests,
    check_plan,
    cost_table,
    ledger_table,
    participants_table,
    read_records,
    rows_table,
    study_shards,
    values_table,
    write_table,
)


def collect(store: Store, options: Mapping[str, Any]) -> dict[str, int]:
    """Write the study's tables.

    Parameters
    ----------
    store
        The study's store.
    options
        Config sections study, source, qc, segment, and rca where it may be enabled.

    Returns
    -------
    dict
        Table -> number of rows.

    Raises
    ------
    PopscanError
        If a subject has not exactly one record in every stage, the plan has counted others, a
        manifest is older than what is known, or the overrides are wrong.
    """
    root = store.root
    shards = study_shards(root)
    stages = stages_of(options["source"]["kind"], optional=optional_stages(options))
    check_manifests(store, stages, shards)
    records = {stage: read_records(store, stage, shards) for stage in stages}
    ingest = values_table(records["ingest"])
    participants = participants_table(
        root, shards, ingest, simulated=options["source"]["kind"] == "simulated"
    )
    ledger = ledger_table(records)
    check_plan(root, list(participants["unit"]))
    check_accounts(ledger, list(participants["unit"]), stages)
    verdicts = final_verdicts(values_table(records["qc"]), options)
    tables = {
        "participants": participants,
        "ledger": ledger,
        "cost": cost_table(records),
        **stage_tables(records),
    }
    tables["qc"] = verdicts
    tables["biomarkers"] = with_analysed(tables["biomarkers"], verdicts)
    # What ingest found has meanings of its own; further columns are the cohort table's.
    brought = [str(name) for name in participants if name not in ingest]
    for name, table in tables.items():
        meanings = dictionary.of(name, protocol_of(options), names=brought)
        write_table(root, name, table, meanings)
    return {name: len(table) for name, table in tables.items()}


def stage_tables(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, pd.DataFrame]:
    """Return the tables that the stages say are made of their records, by name."""
    made = {}
    for stage, of_stage in records.items():
        for name, table in STAGES[stage].tables.items():
            if table.of == "values":
                made[name] = values_table(of_stage)
            elif table.of == "rows":
                made[name] = _kind(rows_table(of_stage), table.kind)
    return made


def _kind(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the rows of one kind; all of them where none is named."""
    if not kind:
        return rows
    if "kind" not in rows:
        return pd.DataFrame({"unit": pd.Series(dtype=str)})
    return rows.loc[rows["kind"] == kind].drop(columns="kind").dropna(axis=1, how="all")
