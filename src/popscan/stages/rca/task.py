"""Predicted Dice without a reference: reference cases of the study, and the stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popscan.config import Rca, study_seed
from popscan.disk import write_atomic
from popscan.methods import call_with
from popscan.plan import read_shard
from popscan.protocol import Protocol, load
from popscan.protocols import protocol_key, protocol_of
from popscan.records import (
    LabelMap,
    NotApplicable,
    Outcome,
    PopscanError,
    Scan,
    Subject,
    SubjectError,
)
from popscan.stages import upstream_of
from popscan.stages.atlas.stored import load_arrays, save_arrays
from popscan.stages.restoring import Restorer
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.phases import phases_of
from popscan.study.study import Study
from popscan.study.tables import study_shards
from popscan.task import Task

if TYPE_CHECKING:
    from popscan.rca.references import Reference
    from popscan.register.crops import CropGrid

#: Seed of simulated reference cases, apart from that of a simulated study.
_OTHER_SEED = 7_919
#: Key of a file of references: whose labels these are.
_PROTOCOL = "protocol"


def references_path(study_root: Path) -> Path:
    """File of the study's reference cases."""
    return study_root / "rca" / "references.npz"


def make_references(store: Store, options: Mapping[str, object], output: Path) -> list[str]:
    """Choose reference cases and write their crops.

    Parameters
    ----------
    store
        The study's store.
    options
        Config sections study, rca, cohort, fairness, source and qc.
    output
        An npz; without any reference case where the study has none and none are simulated.

    Returns
    -------
    list of str
        Who they are.
    """
    from popscan.rca.references import to_arrays

    section = Rca.of(options)
    if section.references not in ("auto", "study", "simulated"):
        return _foreign(Path(section.references), output, protocol=protocol_of(options))
    protocol = protocol_of(options)
    grid = _grid(section, protocol)
    found: list[Reference] = []
    if section.references != "simulated":
        found = _of_study(store, options, section, grid)
    if not found and section.references != "study" and protocol.simulation is not None:
        seed = study_seed(options) + _OTHER_SEED
        found = _simulated(section, grid, protocol, seed=seed)
    save_arrays(output, {**to_arrays(found, grid), _PROTOCOL: np.array([protocol.name])})
    return sorted({reference.unit for reference in found})


def _grid(section: Rca, protocol: Protocol) -> CropGrid:
    if protocol.crops is None:
        raise PopscanError(f"protocol {protocol.name} declares no frame for rca")
    grid: CropGrid = load(protocol.crops.grid)(
        inplane_mm=section.inplane_mm, along_mm=section.along_mm
    )
    return grid


def _foreign(path: Path, output: Path, *, protocol: Protocol) -> list[str]:
    """Take another study's reference cases, of the same protocol where the file says which."""
    from popscan.rca.references import from_arrays

    try:
        arrays = load_arrays(path)
        references, _ = from_arrays(arrays)
    except (PopscanError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise PopscanError(
            f"rca.references: {path}: expected auto, study, simulated, or a references.npz of "
            f"another study ({error})"
        ) from error
    known = arrays.get(_PROTOCOL)
    if known is not None and known.tolist() != [protocol.name]:
        raise PopscanError(
            f"rca.references: {path}: reference cases of protocol {known.tolist()[:1]}; "
            f"{protocol.name} expected: codes of labels mean other structures there"
        )
    # Their names may be those of this study's subjects by chance.
    names = np.array([f"{path.stem}:{r.unit}" for r in references], dtype=np.str_)
    save_arrays(output, {**arrays, "unit": names})
    return sorted(set(names.tolist()))


def _of_study(
    store: Store, options: Mapping[str, object], section: Rca, grid: CropGrid
) -> list[Reference]:
    """Labelled subjects that QC does not exclude, balanced over groups; an earlier choice stays."""
    from popscan.rca.references import choose

    study = Study.of_manifests(store, options)
    where = {
        subject.unit: (context, subject)
        for context, subject in _labelled(store, options)
        if subject.unit not in study.excluded
    }
    table = study.groups(section.balance_by)
    groups = {unit: " & ".join(str(group).lower() for group in table.loc[unit]) for unit in where}
    left_out: dict[str, str] = {}
    sticky = store.root / "rca" / "chosen.json"
    settings = section.model_dump(exclude={"enabled", "low_dice", "n_registered", "affine"})
    try:
        saved = json.loads(sticky.read_text())
    except (OSError, ValueError):
        # None yet, or damaged: the same seed chooses the same again.
        saved = {}
    keep = saved["units"] if saved.get("settings") == settings else []
    made: dict[str, list[Reference]] = {}
    while True:
        chosen = choose(groups, n=section.n_references, seed=study_seed(options), keep=keep)
        for unit in [unit for unit in chosen if unit not in made]:
            try:
                made[unit] = _prepared(*where[unit], section.phases, grid)
            except (SubjectError, OSError) as error:
                # Not every labelled organ is whole (a truncated stack); another one is taken.
                left_out[unit] = str(error)
                del groups[unit]
        if all(unit in made for unit in chosen):
            break
    choice = {"settings": settings, "units": chosen, "left_out": left_out}
    write_atomic(sticky, json.dumps(choice, indent=1).encode())
    return [reference for unit in chosen for reference in made[unit]]


def _labelled(
    store: Store, options: Mapping[str, object]
) -> Iterator[tuple[ShardContext, Subject]]:
    for shard in study_shards(store.root):
        context = ShardContext(
            store=store, shard=shard, options=options, restore=Restorer(store, shard)
        )
        for planned in read_shard(store.root, shard):
            subject = planned.subject
            try:
                stage = context.image_stage(subject)
                if context.has("ingest", subject, context.names.labels(subject, desc="reference")):
                    image = context.names.image(subject)
                    # What was removed is made again once its subject is chosen.
                    if context.is_stored(stage, subject, image):
                        context.path(stage, subject, image)
                    yield context, subject
            except SubjectError:
                continue


def _prepared(
    context: ShardContext, subject: Subject, phases: Sequence[str], grid: CropGrid
) -> list[Reference]:
    from popscan.io.nifti import read_labels, read_scan

    stage = context.image_stage(subject)
    scan = read_scan(context.path(stage, subject, context.names.image(subject)))
    name = context.names.labels(subject, desc="reference")
    reference = read_labels(context.path("ingest", subject, name))
    return _of_case(
        subject.unit, scan, reference, phases=phases, grid=grid, protocol=context.protocol
    )


def _of_case(
    unit: str, scan: Scan, labels: LabelMap, *, phases: Sequence[str], grid: CropGrid,
    protocol: Protocol,
) -> list[Reference]:  # fmt: skip
    """Return the reference case of each phase of one scan."""
    from popscan.rca.references import Pose, make_reference

    pose, frames = Pose.of(protocol), phases_of(scan, labels, protocol)
    return [
        make_reference(
            unit,
            phase,
            scan.array[..., frames[phase]],
            labels.array[..., frames[phase]],
            spacing_mm=scan.spacing_mm,
            grid=grid,
            pose=pose,
        )
        for phase in phases or [next(iter(frames))]
    ]


def _simulated(section: Rca, grid: CropGrid, protocol: Protocol, *, seed: int) -> list[Reference]:
    """Subjects of the digital population."""
    simulation = protocol.simulation
    if simulation is None:
        raise PopscanError(f"protocol {protocol.name} has no digital population")
    people = load(simulation.population)(section.n_references, seed=seed, allocation="quota")
    found = []
    for person in people.to_dict("records"):
        row = {str(name): value for name, value in person.items()}
        made = call_with(load(simulation.subject), row, seed=seed, kspace=False, frames=8)
        unit = f"simulated:{row['participant_id']}"
        found += _of_case(
            unit, made.scan, made.labels, phases=section.phases, grid=grid, protocol=protocol
        )
    return found


@cache
def _read_references(path: Path, modified: int) -> tuple[list[Reference], CropGrid, str]:
    from popscan.rca.references import from_arrays

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return (*from_arrays(load_arrays(path)), digest)


def rca_task(context: ShardContext) -> Task[tuple[Scan, LabelMap]]:
    """Predict every subject's Dice from what its segmentation teaches about reference cases."""
    section = context.section(Rca)
    path = references_path(context.store.root)
    if not path.exists():
        raise PopscanError(f"{path}: no reference cases; run 'popscan rca-references' first")
    from popscan.rca.references import Pose

    references, grid, digest = _read_references(path, path.stat().st_mtime_ns)
    pose = Pose.of(context.protocol)

    def load(subject: Subject) -> tuple[Scan, LabelMap]:
        from popscan.io.nifti import read_labels, read_scan

        if not references:
            raise NotApplicable("no_references", "the study has no reference cases")
        image = context.path(context.image_stage(subject), subject, context.names.image(subject))
        labels = read_labels(context.path("segment", subject, context.names.labels(subject)))
        return read_scan(image), labels

    def work(subject: Subject, inputs: tuple[Scan, LabelMap]) -> Outcome:
        from popscan.rca.atlas import predict_dice

        scan, labels = inputs
        frames = phases_of(scan, labels, context.protocol)
        others = [r for r in references if r.unit.partition("_ses-")[0] != subject.sub]
        rows, values = [], []
        for phase in section.phases or [next(iter(frames))]:
            found = predict_dice(
                scan.array[..., frames[phase]],
                labels.array[..., frames[phase]],
                [r for r in others if r.phase == phase],
                spacing_mm=scan.spacing_mm,
                grid=grid,
                pose=pose,
                n_registered=section.n_registered,
                affine=section.affine,
            )
            values.append(found.values())
            rows += [
                {"phase": phase, "structure": name, "predicted_dice": value}
                for name, value in found.dice.items()
            ]
        return Outcome(values=_mean_values(values), rows=tuple(rows))

    def reads(subject: Subject) -> Mapping[str, object]:
        stages = ("segment", context.image_stage(subject))
        return {stage: context.digest(stage, subject) for stage in stages}

    return Task(
        stage="rca",
        version=context.version,
        options={
            **section.model_dump(include={"phases", "n_registered", "affine"}),
            "references": digest,
            **protocol_key(context.protocol),
        },
        reads=reads,
        load=load,
        work=work,
        write=context.names.write,
        upstream=upstream_of("rca"),
    )


def _mean_values(values: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Means over phases; words are those of the first phase."""
    first = values[0]
    return {
        name: float(np.mean([v[name] for v in values])) if isinstance(value, float) else value
        for name, value in first.items()
    }
