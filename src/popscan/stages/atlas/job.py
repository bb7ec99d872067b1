"""The atlas as map-reduce: prepared subjects and sums of a shard, template of a round."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from popscan.config import Atlas
from popscan.plan import read_shard
from popscan.protocol import AtlasFrame, load
from popscan.records import Status, Subject, SubjectError
from popscan.stages.atlas.members import read_members
from popscan.stages.atlas.results import atlas_frame
from popscan.stages.atlas.stored import (
    Arrays,
    joined_arrays,
    load_arrays,
    read_templates,
    save_arrays,
    save_templates,
    split_arrays,
)
from popscan.stages.atlas.targets import (
    Target,
    digest_of,
    digests_as_arrays,
    read_digests,
)
from popscan.stages.restoring import Restorer
from popscan.store import Store
from popscan.study.accounts import PREFIX, Account
from popscan.study.context import ShardContext
from popscan.study.kept import fingerprint, keep, restore
from popscan.study.phases import phases_of

if TYPE_CHECKING:
    from popscan.atlas import AtlasGrid, Prepared


log = logging.getLogger(__name__)


def prepare_shard(store: Store, shard: str, options: Mapping[str, object], output: Path) -> None:
    """Bring a shard's segmented subjects into the common frame.

    Who is analysed, and in which group, is asked later (`write_members`): a manual override or
    another coding of an attribute aligns no subject again.

    Parameters
    ----------
    store, shard
        Study and shard.
    options
        Config sections study and atlas.
    output
        An npz of every prepared subject, and what became of each subject of the shard.
    """
    section = Atlas.of(options)
    frame = atlas_frame(options)
    grid = load(frame.grid)(spacing_mm=section.spacing_mm)
    context = ShardContext(
        store=store, shard=shard, options=options, restore=Restorer(store, shard)
    )
    parts: list[tuple[str, Arrays]] = []
    account = Account()
    for planned in read_shard(store.root, shard):
        subject = planned.subject
        try:
            segmented = context.record("segment", subject)
            if segmented.status is not Status.OK:
                account.add(subject.unit, Status.SKIPPED, segmented.reason, segmented.message)
                continue
            one, note = _prepared(context, subject, frame, grid, n_phases=section.n_phases)
            parts.append((subject.unit, one.to_arrays()))
            account.add(subject.unit, Status.OK, message=note)
        except SubjectError as error:
            log.warning("%s: not in the atlas: %s", subject.unit, error)
            account.failed(subject.unit, error)
    save_arrays(output, joined_arrays([("|grid", grid.to_arrays()), *parts]) | account.to_arrays())


def _prepared(
    context: ShardContext, subject: Subject, frame: AtlasFrame, grid: AtlasGrid, *, n_phases: int
) -> tuple[Prepared, str]:
    """Return a subject in the common frame, and why it has no cycle if one is wanted."""
    from popscan.io.nifti import read_labels, read_scan

    stage = context.image_stage(subject)
    scan = read_scan(context.path(stage, subject, context.names.image(subject)))
    labels = read_labels(context.path("segment", subject, context.names.labels(subject)))
    phases = phases_of(scan, labels, context.protocol)
    index = phases.get(frame.phase, next(iter(phases.values())))
    prepared: Prepared = load(frame.prepare)(
        scan.array[..., index],
        labels.array[..., index],
        affine=scan.affine,
        spacing_mm=scan.spacing_mm,
        grid=grid,
    )
    if not (n_phases and frame.cycle):
        return prepared, ""
    try:
        cycle = load(frame.cycle)(scan, labels, phases=phases, n_phases=n_phases, grid=grid)
    except SubjectError as error:
        log.info("%s: not in the average over the cycle: %s", subject.unit, error)
        return prepared, f"not in the average over the cycle ({error.reason}): {error}"
    return replace(prepared, cycle=cycle), ""


def map_shard(
    prepared: Path,
    members: Path,
    template: Path | None,
    options: Mapping[str, object],
    output: Path,
) -> None:
    """Register a shard's subjects to the template of the round before and write their sums.

    Parameters
    ----------
    prepared, members
        As `prepare_shard` and `write_members` made them.
    template
        Of the round before; None in the first.
    options
        Config sections study and atlas.
    output
        An npz of sums; of no subject where the round before has no average of all, since nothing is
        there to register to.
    """
    from popscan.atlas import ALL, AtlasGrid, Prepared, map_subjects

    groups = read_members(members, options)
    arrays = load_arrays(prepared)
    mine = {unit: groups[unit] for unit in arrays[PREFIX + "unit"].tolist() if unit in groups}
    section = Atlas.of(options)
    method = section.registration
    iteration = int(output.absolute().parent.name.rpartition("-")[2])
    last = iteration == section.iterations - 1
    made_of = fingerprint(
        str(options["version"]).encode(), method.encode(), prepared.read_bytes(),
        json.dumps([mine, last and section.n_phases]).encode(),
        template.read_bytes() if template else b"",
    )  # fmt: skip
    folder = output.absolute().parents[1] / "kept" / output.absolute().parent.name
    before = read_templates(template).get(ALL) if template else None
    parts = split_arrays(arrays)
    grid = AtlasGrid.from_arrays(parts.pop("|grid"))
    if iteration > 0 and before is None:  # averages of the rigid are none of registered subjects
        nobody = map_subjects([], None, regions=atlas_frame(options).regions, grid=grid)
        save_arrays(output, nobody.to_arrays() | digests_as_arrays({}))
        return
    if restore(output, folder, made_of):
        return
    subjects = [
        (unit, mine[unit], Prepared.from_arrays(one)) for unit, one in parts.items() if unit in mine
    ]
    frame = atlas_frame(options)
    sums = map_subjects(
        subjects,
        before,
        regions=frame.regions,
        grid=grid,
        method=method,
        smoothing_mm=frame.smoothing_mm,
        with_cycle=last and bool(section.n_phases),
    )
    counted = [unit for unit in sums.units if mine[unit] is not None]  # no further visit
    made_from = {unit: digest_of(parts[unit]) for unit in counted}
    save_arrays(output, sums.to_arrays() | digests_as_arrays(made_from))
    keep(output, folder, made_of)


def reduce_round(
    study_root: Path,
    iteration: int,
    template: Path | None,
    options: Mapping[str, object],
    output: Path,
) -> None:
    """Add up the sums of all shards into the round's templates, one per group."""
    from popscan.atlas import ALL, Partial, reduce

    section = Atlas.of(options)
    folder = study_root / "atlas" / "work" / f"sums-{iteration}"
    paths = sorted(folder.glob("*.npz"))
    before = read_templates(template).get(ALL) if template else None
    made_from = read_digests(paths)
    target = Target(
        output=output,
        folder=study_root / "atlas" / "work" / "kept" / "targets",
        made_of=fingerprint(
            json.dumps({k: v for k, v in options.items() if k != "atlas"}, sort_keys=True).encode(),
            json.dumps([section.registration, section.spacing_mm, section.min_group]).encode(),
            template.read_bytes() if template else b"",
        ),
        units=made_from,
    )
    last = iteration == section.iterations - 1
    if not last and target.restore(max_growth_pct=section.max_growth_pct):
        log.info("the averages of %d subjects stay what is registered to", target.n_known)
        return
    templates = reduce(
        (Partial.from_arrays(load_arrays(path)) for path in paths),
        before,
        min_subjects=section.min_group,
        with_cycle=last and bool(section.n_phases),
    )
    if ALL not in templates:
        log.warning("fewer than %d subjects: no atlas", section.min_group)
    save_templates(output, templates, made_from=target.made_from)
    if not last:
        target.keep()
