"""Subjects of an experiment: who they are, their training slices, and who is tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from popscan.disk import write_atomic
from popscan.experiment import design
from popscan.experiment.design import VERSION
from popscan.names import plural
from popscan.plan import Planned
from popscan.protocol import load as load_place
from popscan.protocols import protocol_key, protocol_of
from popscan.records import Outcome, PopscanError, Record, Status, Subject
from popscan.run import Limits, run_shard
from popscan.stages.experiment.cases import labelled_case, network_table, simulated_case
from popscan.store import Store
from popscan.task import Task

if TYPE_CHECKING:
    from popscan.train.packs import Case, Pack

#: Name of the runner's stage.
DATA = "experiment_data"
#: Most simulated participants that are looked through for the wanted groups; a group of which
#: there is nobody among so many is not there at all.
_MOST_DRAWN, _NONE_AMONG = 100_000, 5_000


def folder(study_root: Path) -> Path:
    """Folder of the experiment's results."""
    return study_root / "experiment"


def wanted_subjects(section: Mapping[str, Any]) -> dict[str, int]:
    """Return how many subjects of each group are needed: as the rule gives it, or counted here."""
    return dict(section.get("needed") or design.needed(section))


def subjects(options: Mapping[str, Any]) -> list[Planned]:
    """Return the subjects that the experiment may use.

    A simulated population is drawn until every group is large enough, and only those are rendered
    who are needed; of a labelled study everybody is taken.

    Raises
    ------
    PopscanError
        If the population has too few of a group.
    """
    if options["source"]["kind"] != "simulated":
        from popscan.study.listing import find_cohort

        planned = find_cohort(options).planned
        return [one for one in planned if one.problem.get("status") != "excluded"]
    section = options["experiment"]
    attribute, wanted = section["attribute"], wanted_subjects(section)
    train_on = section.get("train_on") or {}
    n = 64 * sum(wanted.values())
    while True:
        people = _population(n, options)
        columns = [attribute, *train_on, *section.get("audit", ())]
        if lacking := [name for name in columns if name not in people]:
            raise PopscanError(
                f"experiment.attribute: the population has no column {lacking[0]!r}; there are "
                f"{', '.join(str(c) for c in people if not str(c).startswith('truth_'))}"
            )
        fit = np.ones(len(people), bool)
        for column, value in train_on.items():
            fit &= (people[column].astype(str) == value).to_numpy()
        people = people.assign(_fit=fit)
        groups = {g: _enough(people[people[attribute].astype(str) == g], k) for g, k in
                  wanted.items()}  # fmt: skip
        short = [g for g, k in wanted.items() if groups[g]["_fit"].sum() < k]
        if not short:
            break
        absent = n >= _NONE_AMONG and any(groups[g].empty for g in short)
        if absent or n >= _MOST_DRAWN:
            known = ", ".join(map(str, sorted(people[attribute].unique())))
            raise PopscanError(
                f"experiment.groups: too few simulated participants of {', '.join(short)}; "
                f"values of {attribute!r} are {known}"
            )
        n *= 4
    chosen = pd.concat(groups.values()).sort_index().drop(columns="_fit")
    rows = [{str(k): str(v) for k, v in row.items()} for row in chosen.to_dict("records")]
    return [Planned(subject=Subject(sub=row["participant_id"], row=row)) for row in rows]


def _population(n: int, options: Mapping[str, Any]) -> pd.DataFrame:
    protocol = protocol_of(options)
    if protocol.simulation is None:
        raise PopscanError(f"source.kind: protocol {protocol.name} has no digital population")
    people: pd.DataFrame = load_place(protocol.simulation.population)(
        n, seed=int(options["study"]["seed"]), bias=options["simulate"]["bias"]
    )
    return people


def _enough(people: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """Return the first participants until as many as wanted may be trained on."""
    enough = people["_fit"].cumsum() >= wanted
    return people.head(int(enough.to_numpy().argmax()) + 1) if enough.any() else people


def prepare_part(study_root: Path, part: int, options: Mapping[str, Any]) -> list[Record]:
    """Turn a part of the subjects into training slices, one file each.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    part
        Which of ``experiment.data_jobs`` parts, from 0.
    options
        Config sections study, source, simulate, cohort, experiment.

    Returns
    -------
    Records of the part's subjects.
    """
    jobs = int(options["experiment"]["data_jobs"])
    return run_shard(
        Store(folder(study_root)),
        _data_task(options),
        f"{part:05d}",
        subjects(options)[part::jobs],
        limits=Limits(max_failed_fraction=1.0),
        patience_s=3600.0,
    ).records


def _spacing_mm(options: Mapping[str, Any]) -> float:
    from popscan.train.recipe import load_recipe, parse_recipe

    shared = options["experiment"]["recipe"]
    if isinstance(shared, str):
        return load_recipe(shared).spacing_mm
    return parse_recipe({"name": "experiment", **shared}).spacing_mm


def _target(options: Mapping[str, Any]) -> str:
    """Return the attribute that a recipe's trainings predict; empty where they segment."""
    from popscan.train.recipe import load_recipe

    shared = options["experiment"]["recipe"]
    return load_recipe(shared).target if isinstance(shared, str) else str(shared.get("target", ""))


def _data_task(options: Mapping[str, Any]) -> Task[Case]:
    from popscan.stages.ingest.task import stat_sources
    from popscan.train.cubes import cube_case
    from popscan.train.packs import build_pack, write_pack

    section, source = options["experiment"], options["source"]
    protocol, simulated = protocol_of(options), source["kind"] == "simulated"
    spacing_mm, size = _spacing_mm(options), int(section["field_px"])
    attribute = section["attribute"]
    others = [_target(options), *(section.get("train_on") or {}), *section.get("audit", ())]
    known = list(dict.fromkeys(name for name in (attribute, *others) if name))
    used: dict[str, Any] = {"spacing_mm": spacing_mm, "field_px": size, "attribute": attribute}
    if simulated:
        simulate = options["simulate"]
        used |= {key: simulate[key] for key in ("matrix", "spacing_mm")}
        used |= {"slice_distance_mm": section["slice_distance_mm"]}
        used |= {"seed": options["study"]["seed"], "target_mm": spacing_mm}
    if known[1:]:
        used["known"] = known
    used |= protocol_key(protocol)
    cubes = protocol.series[0].dimensions == 3
    n_labels, table = len(protocol.network_codes) + 1, network_table(protocol)

    def load(subject: Subject) -> Case:
        if simulated:
            return simulated_case(subject, options, known)
        return labelled_case(subject, options, known)

    def work(subject: Subject, case: Case) -> Outcome:
        group = case.attributes[attribute]
        if cubes:
            case = cube_case(case, spacing_mm=spacing_mm, size=size, table=table)
        pack = build_pack(
            [case], spacing_mm=spacing_mm, size=size, around_labels=False, n_labels=n_labels
        )
        images = hashlib.sha256(np.ascontiguousarray(pack.images).tobytes()).hexdigest()[:16]
        values = {"group": group, "n_slices": len(pack), "images": images}
        train_on = section.get("train_on") or {}
        if train_on:
            values["barred"] = int(not design.may_train(case.attributes, train_on))
        return Outcome(files={"slices.npz": pack}, values=values)

    return Task(
        stage=DATA,
        version=VERSION,
        options=used,
        reads=lambda s: {"row": dict(s.row)} if simulated else {"files": stat_sources(s)},
        load=load,
        work=work,
        write=write_pack,
    )


def split(study_root: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the slices of all subjects in one pack and draw the test set.

    Writes ``pack.npz`` and ``split.json``. Of subjects with several visits, and of several names
    with the same images, the first usable one is taken, by name; ``left_out`` says how many others
    there are.

    Raises
    ------
    PopscanError
        If a group has too few usable subjects.
    """
    from popscan.train.packs import read_pack, write_pack

    root, section = folder(study_root), options["experiment"]
    store = Store(root)
    parts = [f"{part:05d}" for part in range(int(section["data_jobs"]))]
    records = [row for part in parts for row in store.read_manifest(DATA, part)]
    members: dict[str, list[str]] = {group: [] for group in section["groups"]}
    for row in records:
        if row["status"] == Status.OK and row["values"]["group"] in members:
            members[row["values"]["group"]].append(row["unit"])
    used = [row for row in records if row["status"] == Status.OK]
    images = {str(row["unit"]): str(row["values"]["images"]) for row in used}
    _, visits = design.first_visits(members)
    members, left_out = design.first_visits(members, images)
    if visits:
        what = plural(visits, "repeated visit")
        print(f"Left out: {what} (each subject's first is taken)", flush=True)
    if left_out > visits:
        what = plural(left_out - visits, "scan")
        print(f"Left out: {what} (the first of each with the same images is taken)", flush=True)
    found: dict[str, Any] = design.split_groups(
        members,
        wanted=wanted_subjects(section),
        n_test=section["n_test"],
        seed=int(options["study"]["seed"]),
        barred={str(row["unit"]) for row in records if row["values"].get("barred")},
    )
    wanted = {unit for units in members.values() for unit in units}
    rows = sorted((r for r in records if r["unit"] in wanted), key=lambda r: str(r["unit"]))
    packs = [read_pack(root / name) for row in rows for name in row["files"]]
    temporary = root / ".pack.tmp.npz"
    write_pack(temporary, _joined(packs))
    temporary.replace(root / "pack.npz")
    statuses = pd.Series([row["status"] for row in records]).value_counts().to_dict()
    digest = hashlib.sha256("".join(row["digest"] for row in rows).encode()).hexdigest()
    found |= {"digest": digest, "statuses": {str(k): int(v) for k, v in statuses.items()}}
    found |= {"left_out": left_out}
    write_atomic(root / "split.json", (json.dumps(found, indent=1) + "\n").encode())
    return found


def _joined(packs: Sequence[Pack]) -> Pack:
    names = ("images", "labels", "unit", "frame", "slice_index", "usable")
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in packs]) for name in names
    }
    known = {
        name: np.concatenate([p.attributes[name] for p in packs]) for name in packs[0].attributes
    }
    return replace(packs[0], **parts, attributes=known)
