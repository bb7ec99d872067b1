"""The account of a study of several protocols: every subject, every stage of every protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pandas as pd

from popscan.columns import UNIT, Column, Kind, flag, text
from popscan.names import subject_of
from popscan.protocol import Beside
from popscan.protocols import get_protocol, known
from popscan.records import PopscanError, Status
from popscan.study.agreeing import AGREEMENT, agreement
from popscan.study.agreeing_visits import FLAGS, agreement_visits, flags
from popscan.study.agreeing_visits import dictionary as meanings_of_visits
from popscan.study.study import Study
from popscan.study.tables import (
    check_account,
    read_table,
    remove_table,
    tables_folder,
    write_table,
)
from popscan.study.together import dictionary, together

#: Of a subject of another part that a part's source does not list.
ABSENT = {
    "status": str(Status.NOT_APPLICABLE),
    "reason": "no_images",
    "message": "this protocol's source does not list the subject",
}
#: Attributes that are the same in all parts where they are about the same subject.
_SAME = ("sex", "race", "age_years")
#: Ages at scans of two protocols may be a visit apart.
_YEARS = 1.0

LEDGER: Mapping[str, Column] = {
    **UNIT,
    "protocol": text("protocol"),
    "stage": text("stage of the pipeline"),
    "status": text("ok, failed, excluded, skipped or not_applicable"),
    "reason": text("short code of why"),
    "message": text("why, in a sentence"),
}


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What all parts say together.

    Attributes
    ----------
    ledger
        One row per subject, protocol and stage.
    subjects
        One row per subject: of every protocol whether it is analysed, and why not.
    biomarkers
        One row per subject that is analysed in a protocol: ``PROTOCOL_COLUMN``.
    meanings
        Column of `subjects` or `biomarkers` -> what it means.
    conflicts
        Sentences on attributes that differ between parts.
    agreement
        One row per biomarker that two protocols have.
    visits
        One row per visit and number that a protocol's limits hold against another's; None where no
        protocol of the study has such limits.
    visits_meanings
        Column of `visits` -> what it means.
    together
        One row per visit: numbers that need the labels of two protocols; None likewise.
    together_meanings
        Column of `together` -> what it means.
    """

    ledger: pd.DataFrame
    subjects: pd.DataFrame
    biomarkers: pd.DataFrame
    meanings: Mapping[str, Column]
    conflicts: Sequence[str]
    agreement: pd.DataFrame
    visits: pd.DataFrame | None = None
    visits_meanings: Mapping[str, Column] = field(default_factory=dict)
    together: pd.DataFrame | None = None
    together_meanings: Mapping[str, Column] = field(default_factory=dict)


def join_parts(parts: Mapping[str, Study], *, earlier: pd.DataFrame | None = None) -> Joined:
    """Join the tables of all parts.

    Parameters
    ----------
    parts
        Protocol -> its part, in the order of the config.
    earlier
        The table `together` of an earlier run: visits in which nothing changed are not read again.

    Raises
    ------
    PopscanError
        If a subject has not exactly one row per stage of every protocol, or a part lacks the table
        of its biomarkers.
    """
    units = list(dict.fromkeys(unit for study in parts.values() for unit in study.units))
    subjects = pd.DataFrame({"unit": units})
    biomarkers = subjects.copy()
    meanings: dict[str, Column] = dict(UNIT)
    for name, study in parts.items():
        lost = study.lost.reindex(units)
        here = pd.Series(units).isin(study.units).to_numpy()
        subjects[f"{name}_analysed"] = [unit in study.analysed for unit in units]
        for column, absent in (("status", ABSENT["status"]), ("reason", ABSENT["reason"])):
            values = lost[column].fillna("").to_numpy()
            subjects[f"{name}_{column}"] = [
                v if h else absent for v, h in zip(values, here, strict=True)
            ]
        meanings |= {
            f"{name}_analysed": flag(f"whether the subject is in the analyses of {name}"),
            f"{name}_status": text(f"{name}: status that ended its analysis; empty if analysed"),
            f"{name}_reason": text(f"{name}: why, as a short code"),
        }
        measured, columns = _measured(name, study)
        biomarkers = biomarkers.merge(measured, on="unit", how="left")
        meanings |= columns
    subjects["n_analysed"] = subjects[[f"{name}_analysed" for name in parts]].sum(axis=1)
    meanings["n_analysed"] = Column("", "protocols in whose analyses the subject is")
    beside = _beside(list(parts))
    visits = agreement_visits(biomarkers, meanings, beside=beside) if beside else None
    if visits is not None:
        subjects = pd.concat([subjects, flags(visits, units)], axis=1)
        meanings |= FLAGS
    roots = {name: study.root for name, study in parts.items()}
    pairs = any(bool(one.measure) for declared in beside.values() for one in declared)
    kept = subjects.loc[subjects["n_analysed"] > 0, "unit"]
    return Joined(
        visits=visits,
        visits_meanings={} if visits is None else meanings_of_visits(visits),
        together=together(roots, biomarkers, beside=beside, earlier=earlier) if pairs else None,
        together_meanings=dictionary(beside),
        ledger=_ledger(parts, units),
        subjects=subjects,
        biomarkers=biomarkers[biomarkers["unit"].isin(kept)].reset_index(drop=True),
        meanings=meanings,
        conflicts=_conflicts(parts),
        agreement=agreement(
            list(parts),
            biomarkers,
            meanings,
            equals={name: get_protocol(name).equals for name in parts if name in known()},
        ),
    )


def write_joined(study_root: Path, joined: Joined) -> None:
    """Write the joined tables into the study's folder; what an earlier run alone had goes."""
    written = {
        "agreement": (joined.agreement if len(joined.agreement) else None, AGREEMENT),
        "agreement_visits": (joined.visits, joined.visits_meanings),
        "together": (joined.together, joined.together_meanings),
    }
    write_table(study_root, "ledger", joined.ledger, LEDGER)
    write_table(study_root, "subjects", joined.subjects, joined.meanings)
    write_table(study_root, "biomarkers", joined.biomarkers, joined.meanings)
    for name, (table, meanings) in written.items():
        if table is None:
            remove_table(study_root, name)
        else:
            write_table(study_root, name, table, meanings)


def _beside(names: Sequence[str]) -> dict[str, tuple[Beside, ...]]:
    """Protocol -> how its visits stand to those of others; empty where none is of the study."""
    declared = {name: get_protocol(name).beside if name in known() else () for name in names}
    pairs = [one for those in declared.values() for one in those if one.of in declared]
    return declared if pairs else {}


def _ledger(parts: Mapping[str, Study], units: Sequence[str]) -> pd.DataFrame:
    columns = list(LEDGER)
    rows = []
    for name, study in parts.items():
        ledger = study.ledger.assign(protocol=name)[columns]
        stages = list(dict.fromkeys(ledger["stage"]))
        absent = [unit for unit in units if unit not in set(study.units)]
        added = [
            {"unit": unit, "protocol": name, "stage": stage, **ABSENT}
            for unit in absent
            for stage in stages
        ]
        rows += [ledger, pd.DataFrame(added, columns=columns)] if added else [ledger]
    joined = pd.concat(rows, ignore_index=True)
    named = joined["protocol"] + " " + joined["stage"]
    for stage, here in joined.groupby(named, sort=False):
        check_account(str(stage), list(here["unit"]), units)
    return joined


def _measured(name: str, study: Study) -> tuple[pd.DataFrame, dict[str, Column]]:
    """Biomarkers of the subjects analysed, and what they mean; columns with the protocol's name."""
    table = read_table(study.root, "biomarkers")
    if "unit" not in table:
        raise PopscanError(f"{name}: no table biomarkers in {tables_folder(study.root)}")
    path = tables_folder(study.root) / "biomarkers.json"
    described = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "analysed" in table:
        table = table[table["analysed"].astype(bool)].drop(columns=["analysed"])
    names = {column: f"{name}_{column}" for column in table if column != "unit"}
    meanings = {names[c]: _column(described[c]) for c in names if c in described}
    return table.rename(columns=names).reset_index(drop=True), meanings


def _column(entry: Mapping[str, str]) -> Column:
    kind = cast(Kind, entry.get("kind", "any"))
    return Column(entry["unit"], entry["meaning"], entry["source"], kind)


def _conflicts(parts: Mapping[str, Study]) -> list[str]:
    """Say where two parts know different things of what should be one subject."""
    sentences = []
    names = list(parts)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = parts[first].attributes, parts[second].attributes
            common = a.index.intersection(b.index)
            if other := _other_visits(a.index, b.index):
                sentences.append(
                    f"Subjects who have visits in {first} that {second} does not have, and others "
                    f"there: {other}. Each visit counts as a subject of its own, and is joined "
                    "to none"
                )
            for column in (c for c in _SAME if c in a and c in b):
                n = int(_differ(a.loc[common, column], b.loc[common, column]).sum())
                if n:
                    sentences.append(
                        f"{column} of {n} of {len(common)} subjects differs between {first} and "
                        f"{second}: are they the same people?"
                    )
    return sentences


def _other_visits(a: pd.Index, b: pd.Index) -> int:
    """How many subjects are in both parts, but no visit of theirs is."""
    people = [{subject_of(str(unit)) for unit in units} for units in (a, b, a.intersection(b))]
    return len((people[0] & people[1]) - people[2])


def _differ(a: pd.Series, b: pd.Series) -> pd.Series:
    """Return where both are recorded and differ."""
    both = a.notna() & b.notna()
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        return both & ((a - b).abs() > _YEARS)
    return both & (a.astype(str) != b.astype(str))
