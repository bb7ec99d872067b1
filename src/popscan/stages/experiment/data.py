"""Subjects of an experiment: who they are, their training slices, and who is tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.config import Simulate, Source
from popscan.experiment import design
from popscan.experiment.design import VERSION
from popscan.plan import Planned
from popscan.records import Outcome, PopscanError, Record, Status, Subject, SubjectError
from popscan.run import Limits, run_shard
from popscan.store import Store, write_atomic
from popscan.worker import Task

#: Name of the runner's stage.
DATA = "experiment_data"
#: Most simulated participants that are looked through for the wanted groups; a group of which
#: there is nobody among so many is not there at all.
_MOST_DRAWN, _NONE_AMONG = 100_000, 5_000


def folder(study_root: Path) -> Path:
    """Folder of the experiment's results."""
    return study_root / "experiment"


def wanted_subjects(section: Mapping[str, Any]) -> dict[str, int]:
    """Return how many subjects of each group are needed: as told by the rule, or counted here."""
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
    from popscan.protocols.cine_sax.simulate.population import sample_population

    section = options["experiment"]
    attribute, wanted = section["attribute"], wanted_subjects(section)
    n = 64 * sum(wanted.values())
    while True:
        people = sample_population(
            n, seed=int(options["study"]["seed"]), bias=options["simulate"]["bias"]
        )
        if attribute not in people:
            raise PopscanError(
                f"experiment.attribute: the population has no column {attribute!r}; there are "
                f"{', '.join(str(c) for c in people if not str(c).startswith('truth_'))}"
            )
        groups = {g: people[people[attribute].astype(str) == g].head(k) for g, k in wanted.items()}
        short = [g for g, k in wanted.items() if len(groups[g]) < k]
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
    chosen = pd.concat(groups.values()).sort_index()
    rows = [{str(k): str(v) for k, v in row.items()} for row in chosen.to_dict("records")]
    return [Planned(subject=Subject(sub=row["participant_id"], row=row)) for row in rows]


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


def _data_task(options: Mapping[str, Any]) -> Task:
    from popscan.stages.ingest.task import stat_sources
    from popscan.train.packs import Case, build_pack, write_pack

    section, source = options["experiment"], options["source"]
    simulated = source["kind"] == "simulated"
    spacing_mm, size = _spacing_mm(options), int(section["field_px"])
    attribute = section["attribute"]
    used: dict[str, Any] = {"spacing_mm": spacing_mm, "field_px": size, "attribute": attribute}
    if simulated:
        simulate = options["simulate"]
        used |= {key: simulate[key] for key in ("matrix", "spacing_mm")}
        used |= {"slice_distance_mm": section["slice_distance_mm"]}
        used |= {"seed": options["study"]["seed"], "target_mm": spacing_mm}

    def load(subject: Subject) -> Case:
        if simulated:
            return _simulated_case(subject, options)
        return _labelled_case(subject, options)

    def work(subject: Subject, case: Case) -> Outcome:
        group = case.attributes[attribute]
        pack = build_pack([case], spacing_mm=spacing_mm, size=size, around_heart=False)
        return Outcome(files={"slices.npz": pack}, values={"group": group, "n_slices": len(pack)})

    return Task(
        stage=DATA,
        version=VERSION,
        options=used,
        reads=lambda s: {"row": dict(s.row)} if simulated else {"files": stat_sources(s)},
        load=load,
        work=work,
        write=write_pack,
    )


def _simulated_case(subject: Subject, options: Mapping[str, Any]) -> Any:
    """Return a rendered heart at end-diastole and near end-systole."""
    from dataclasses import replace

    from popscan.protocols.cine_sax.simulate.scan import simulate_subject
    from popscan.records import LabelMap
    from popscan.train.packs import Case

    section, simulate = options["experiment"], Simulate.of(options)
    made = simulate_subject(
        subject.row,
        seed=int(options["study"]["seed"]),
        kspace=False,
        matrix=(simulate.matrix, simulate.matrix),
        spacing_mm=(simulate.spacing_mm, simulate.spacing_mm),
        frames=3,
        slice_distance_mm=section["slice_distance_mm"],
    )
    # A third of the cycle after end-diastole is close to end-systole at any heart rate.
    labels = LabelMap(array=made.labels.array[..., :2], frames=(0, 1))
    scan = replace(made.scan, array=made.scan.array[..., :2])
    attribute = section["attribute"]
    known = {attribute: subject.row[attribute]}
    return Case(unit=subject.unit, scan=scan, labels=labels, attributes=known)


def _labelled_case(subject: Subject, options: Mapping[str, Any]) -> Any:
    """Return a subject's labelled frames of the protocol's view."""
    from popscan.ingest import prepare
    from popscan.io import get_source
    from popscan.io.references import usable_references
    from popscan.protocols import protocol_of
    from popscan.train.packs import Case

    attribute = options["experiment"]["attribute"]
    source = Source.of(options)
    protocol = protocol_of(options)
    view = protocol.view
    rules = {"labels": source.labels} if source.kind == "bids" else {}
    loaded = get_source(source.kind, protocol).load(subject.sources, views=(view,), **rules)
    if view not in loaded.scans:
        raise SubjectError("view_missing", f"there is no image of view {view}")
    usable, problems = usable_references(loaded, source.label_codes, protocol=protocol)
    if view in problems:
        raise problems[view]
    scan, labels, _ = prepare(protocol, loaded.scans[view], usable.get(view))
    if labels is None:
        raise SubjectError("no_labels", "there are no reference labels to train or test on")
    group = str(subject.row.get(attribute) or loaded.extra.get(attribute) or "")
    if not group:
        raise SubjectError("no_group", f"{attribute} of this subject is not known")
    return Case(unit=subject.unit, scan=scan, labels=labels, attributes={attribute: group})


def split(study_root: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the slices of all subjects in one pack and draw the test set.

    Writes ``pack.npz`` and ``split.json``. Of subjects with several visits the first usable one is
    taken, by name; ``left_out`` says how many others there are.

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
    members, left_out = design.first_visits(members)
    if left_out:
        print(f"{left_out} repeated visits are left out: each subject's first is taken", flush=True)
    found: dict[str, Any] = design.split_groups(
        members,
        wanted=wanted_subjects(section),
        n_test=section["n_test"],
        seed=int(options["study"]["seed"]),
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


def _joined(packs: Sequence[Any]) -> Any:
    from dataclasses import replace

    names = ("images", "labels", "unit", "frame", "slice_index", "usable")
    parts = {name: np.concatenate([getattr(p, name) for p in packs]) for name in names}
    known = {
        name: np.concatenate([p.attributes[name] for p in packs]) for name in packs[0].attributes
    }
    return replace(packs[0], **parts, attributes=known)
