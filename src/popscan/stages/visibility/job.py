"""Can an attribute be seen? Features of a shard's subjects; how well attributes are predicted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.config import Fairness, Visibility, study_seed
from popscan.plan import read_plan, read_shard
from popscan.protocol import Protocol
from popscan.protocols import protocol_of
from popscan.records import Status, SubjectError
from popscan.stages.atlas.stored import load_arrays, save_arrays
from popscan.stages.restoring import Restorer
from popscan.stages.visibility.features import subject_features
from popscan.stages.visibility.subjects import attributes_to_see, features_account
from popscan.store import Store
from popscan.study import dictionary
from popscan.study.accounts import PREFIX, Account
from popscan.study.context import ShardContext
from popscan.study.study import Study
from popscan.study.tables import read_table, write_table

log = logging.getLogger(__name__)

_NOT_SAMPLED = "the study has more subjects than visibility.max_subjects"

#: Columns of the table of biomarkers that say nothing of the organ.
_NO_FEATURES = ("analysed", "qc_verdict", "n_frames_measured")


def sampled(unit: str, *, share: float, seed: int) -> bool:
    """Whether a subject is in the sample: by its name alone, the same in every shard and run.

    Parameters
    ----------
    unit
        Its name.
    share
        Share of subjects that are.
    seed
        Of the sample.
    """
    number = int.from_bytes(hashlib.sha256(f"{seed}:{unit}".encode()).digest()[:8], "big")
    return number < share * 2.0**64


def features_shard(store: Store, shard: str, options: Mapping[str, object], output: Path) -> int:
    """Write the features of a shard's segmented subjects, and what became of each subject.

    Parameters
    ----------
    store, shard
        Study and shard.
    options
        Config sections study, visibility and segment.
    output
        An npz: ``unit``, one array (units, features) per source, and the account of the shard.

    Returns
    -------
    int
        Number of subjects.
    """
    section = Visibility.of(options)
    context = ShardContext(
        store=store, shard=shard, options=options, restore=Restorer(store, shard)
    )
    plan = read_plan(store.root)
    share = section.max_subjects / max(int(plan["n_subjects"]), 1)
    units: list[str] = []
    rows: dict[str, list[NDArray[np.float32]]] = {
        name: [] for name in section.sources if name != "biomarkers"
    }
    account = Account()
    for planned in read_shard(store.root, shard):
        subject = planned.subject
        try:
            segmented = context.record("segment", subject)
            if segmented.status is not Status.OK:
                account.add(subject.unit, Status.SKIPPED, segmented.reason, segmented.message)
                continue
            if not sampled(subject.unit, share=share, seed=context.seed):
                account.add(subject.unit, Status.NOT_APPLICABLE, "not_sampled", _NOT_SAMPLED)
                continue
            found = subject_features(context, subject, list(rows))
        except SubjectError as error:
            log.warning("%s: no features: %s", subject.unit, error)
            account.failed(subject.unit, error)
            continue
        account.add(subject.unit, Status.OK)
        units.append(subject.unit)
        for name, values in found.items():
            rows[name].append(values)
    arrays = {name: np.stack(values) for name, values in rows.items() if values}
    named = {"unit": np.array(units, dtype=np.str_), **arrays}
    save_arrays(output, {**named, **account.to_arrays()})
    return len(units)


def read_features(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Read the features of all shards: source -> one row per unit."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for path in paths:
        arrays = load_arrays(path)
        for name in arrays:
            if name == "unit" or name.startswith(PREFIX):
                continue
            frame = pd.DataFrame(arrays[name], index=pd.Index(arrays["unit"], name="unit"))
            parts.setdefault(name, []).append(frame)
    return {name: pd.concat(frames).sort_index() for name, frames in sorted(parts.items())}


def write_visibility(
    study_root: Path, paths: Sequence[Path], options: Mapping[str, object]
) -> pd.DataFrame:
    """Write the tables ``visibility`` and ``visibility_subjects``.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    paths
        Features of all shards.
    options
        Config sections study, visibility, fairness, cohort.
    """
    from popscan.visibility.tables import visibility_table

    section = Visibility.of(options)
    fairness = Fairness.of(options)
    study = Study.of_tables(study_root, options)
    account = features_account(study, paths)
    people = study.analysed_once
    sources = _sources(
        study_root,
        section.sources,
        read_features(paths),
        people.index,
        protocol_of(options),
    )
    table = visibility_table(
        sources,
        people,
        attributes_to_test=attributes_to_see(study),
        adjust_for=section.adjust_for,
        n_folds=section.n_folds,
        n_components=section.n_components,
        n_permutations=section.n_permutations,
        min_group=fairness.min_group,
        alpha=fairness.alpha,
        seed=study_seed(options),
    )
    write_table(study_root, "visibility_subjects", account, dictionary.of("visibility_subjects"))
    write_table(study_root, "visibility", table, dictionary.of("visibility"))
    return table


def _of_the_organ(biomarkers: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Leave out limits of intervals, details, and body size: indexed values hold it."""
    declared = protocol.biomarkers
    left_out = {*declared.limits(), *declared.detail_columns()}
    left_out |= {name for name in map(str, biomarkers) if name.endswith("_m2")}
    return biomarkers.drop(columns=[name for name in map(str, biomarkers) if name in left_out])


def _sources(
    study_root: Path,
    names: Sequence[str],
    features: Mapping[str, pd.DataFrame],
    units: pd.Index,
    protocol: Protocol,
) -> dict[str, pd.DataFrame]:
    """Features of these units, in the config's order; biomarkers come from their table."""
    found = {}
    for name in names:
        table = features.get(name)
        if name == "biomarkers":
            measured = read_table(study_root, "biomarkers")
            frames = [f"{phase.lower()}_frame" for phase in protocol.phase_names]
            table = measured.set_index("unit")
            table = table.drop(columns=[*_NO_FEATURES, *frames], errors="ignore")
            table = _of_the_organ(table.select_dtypes("number"), protocol)
        if table is not None:
            found[name] = table[table.index.isin(units)]
    return found
