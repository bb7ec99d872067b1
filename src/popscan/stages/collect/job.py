"""Collect the manifests of all shards into the study's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from popscan.config import source_kind
from popscan.protocols import protocol_of
from popscan.stages import STAGES, optional_stages, stages_of
from popscan.stages.collect.streams import AccountStreams, StageStreams, Written, manifests
from popscan.store import Store
from popscan.study import dictionary
from popscan.study.overrides import final_verdicts, with_analysed
from popscan.study.participants import planned_table, with_scans
from popscan.study.tables import (
    check_account,
    check_manifests,
    check_plan,
    describe_written,
    refuse_undescribed,
    study_shards,
    write_table,
)

#: Stages of whose values a table is made with the rest of the study at hand.
_WHOLE = {"ingest": "participants", "qc": "qc", "biomarkers": "biomarkers"}


def collect(store: Store, options: Mapping[str, object]) -> dict[str, int]:
    """Write the study's tables, shard after shard.

    Parameters
    ----------
    store
        The study's store.
    options
        Config sections study, source, qc, segment, and rca and stages, which may enable others.

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
    stages = stages_of(source_kind(options), optional=optional_stages(options))
    check_manifests(store, stages, shards)
    simulated = source_kind(options) == "simulated"
    planned = planned_table(root, shards, simulated=simulated)
    units = list(planned["unit"])
    check_plan(root, units)
    protocol = protocol_of(options)
    written: dict[str, Written] = {}
    whole: dict[str, pd.DataFrame] = {}
    with ExitStack() as stack:  # tables take their names at its end, all of them
        accounts = AccountStreams(root, stack)
        for stage in stages:
            streams = _streams(root, stage, stack)
            recorded = _read(store, stage, shards, streams, accounts)
            check_account(stage, recorded, units)
            written |= streams.close()
            if stage in _WHOLE:
                whole[stage] = streams.values_frame()
        written |= accounts.close()
        meanings = {name: dictionary.of(name, protocol) for name in written}
        for name, table in written.items():
            refuse_undescribed(name, table.names, meanings[name])
    for name, columns in meanings.items():
        describe_written(root, name, columns)
    counts = {name: table.n_rows for name, table in written.items()}
    return counts | _write_whole(root, planned, whole, options)


def _write_whole(
    root: Path,
    planned: pd.DataFrame,
    values: Mapping[str, pd.DataFrame],
    options: Mapping[str, object],
) -> dict[str, int]:
    """Write the tables of one row per subject that need more than one stage's records."""
    verdicts = final_verdicts(values["qc"], options)
    participants = with_scans(planned, values["ingest"])
    made = {
        "participants": participants,
        "qc": verdicts,
        "biomarkers": with_analysed(values["biomarkers"], verdicts),
    }
    # What ingest found has meanings of its own; further columns are the cohort table's.
    brought = [str(name) for name in participants if name not in values["ingest"]]
    for name, table in made.items():
        write_table(root, name, table, dictionary.of(name, protocol_of(options), names=brought))
    return {name: len(table) for name, table in made.items()}


def _streams(root: Path, stage: str, stack: ExitStack) -> StageStreams:
    """Begin the tables that a stage says are made of its records."""
    tables = STAGES[stage].tables.items()
    written = {n: t for n, t in tables if t.of != "job" and n not in _WHOLE.values()}
    return StageStreams(root, written, stack, whole=stage in _WHOLE)


def _read(
    store: Store,
    stage: str,
    shards: Sequence[str],
    streams: StageStreams,
    accounts: AccountStreams,
) -> list[str]:
    """Pass a stage's records on; return the subject of each.

    A second time where the columns of a table turned out otherwise after its beginning was written.
    """
    recorded: list[str] = []
    for manifest in manifests(store, stage, shards):
        recorded += manifest["unit"].to_pylist()
        accounts.add(manifest)
        streams.add(manifest)
    if streams.outgrown:
        streams.again()
        for manifest in manifests(store, stage, shards):
            streams.add(manifest, again=True)
    return recorded
