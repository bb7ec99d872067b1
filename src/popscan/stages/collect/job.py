"""Collect the manifests of all shards into the study's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from popscan.protocols import protocol_of
from popscan.stages import optional_stages, stages_of
from popscan.stages.rca.tables import predicted_tables
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
    scores = rows_table(records["score"])
    tables = {
        "participants": participants,
        "ledger": ledger,
        "cost": cost_table(records),
        "qc": verdicts,
        "qc_checks": rows_table(records["qc"]),
        "segmentation": values_table(records["segment"]),
        "scores": _kind(scores, "labels"),
        "recon_scores": _kind(scores, "image"),
        "reference_biomarkers": _kind(scores, "biomarkers"),
        "reference_checks": _kind(scores, "reference"),
        "biomarkers": with_analysed(values_table(records["biomarkers"]), verdicts),
    }
    if "simulate" in records:
        tables["truth"] = values_table(records["simulate"])
    if "rca" in records:
        tables |= predicted_tables(records["rca"])
    for name, table in tables.items():
        write_table(root, name, table, dictionary.of(name, protocol_of(options)))
    return {name: len(table) for name, table in tables.items()}


def _kind(scores: pd.DataFrame, kind: str) -> pd.DataFrame:
    if "kind" not in scores:
        return pd.DataFrame({"unit": pd.Series(dtype=str)})
    return scores.loc[scores["kind"] == kind].drop(columns="kind").dropna(axis=1, how="all")
