"""The atlas as map-reduce: prepared subjects and sums of a shard, template of a round."""

from __future__ import annotations

import io as stdio
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.config import Atlas
from popscan.npzfile import read_npz
from popscan.plan import read_shard
from popscan.protocol import AtlasFrame, load
from popscan.protocols import protocol_of
from popscan.records import PopscanError, Status, Subject, SubjectError
from popscan.stages.atlas.members import read_members
from popscan.store import Store, write_atomic
from popscan.study import dictionary
from popscan.study.accounts import PREFIX, Account, read_account, study_account
from popscan.study.context import ShardContext
from popscan.study.kept import fingerprint, keep, restore
from popscan.study.phases import phases_of
from popscan.study.study import Study
from popscan.study.tables import write_table

if TYPE_CHECKING:
    from popscan.atlas import AtlasGrid, Prepared, Template

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as npz, whole or not at all; no object arrays."""
    buffer = stdio.BytesIO()
    np.savez(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    write_atomic(path, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote; damaged files are named."""
    return read_npz(path)


def _nested(parts: Sequence[tuple[str, Arrays]]) -> dict[str, NDArray[Any]]:
    """Join several sets of arrays under their names."""
    return {f"{name}|{key}": value for name, arrays in parts for key, value in arrays.items()}


def _unnested(arrays: Arrays) -> dict[str, dict[str, NDArray[Any]]]:
    """Split what `_nested` joined, in the same order."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for name, value in arrays.items():
        part, _, key = name.rpartition("|")
        parts.setdefault(part, {})[key] = value
    return parts


def prepare_shard(store: Store, shard: str, options: Mapping[str, Any], output: Path) -> None:
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
    context = ShardContext(store=store, shard=shard, options=options)
    parts: list[tuple[str, Arrays]] = []
    account = Account()
    for planned in read_shard(store.root, shard):
        subject = planned.subject
        try:
            segmented = context.record("segment", subject)
            if segmented.status is not Status.OK:
                account.add(subject.unit, Status.SKIPPED, segmented.reason, segmented.message)
                continue
            parts.append((subject.unit, _prepared(context, subject, frame, grid).to_arrays()))
            account.add(subject.unit, Status.OK)
        except SubjectError as error:
            log.warning("%s: not in the atlas: %s", subject.unit, error)
            account.failed(subject.unit, error)
    save_arrays(output, _nested([("|grid", grid.to_arrays()), *parts]) | account.to_arrays())


def atlas_frame(options: Mapping[str, Any]) -> AtlasFrame:
    """Return the frame in which the study's protocol averages subjects.

    Raises
    ------
    PopscanError
        If it declares none.
    """
    protocol = protocol_of(options)
    if protocol.atlas is None:
        raise PopscanError(f"protocol {protocol.name} declares no frame for an atlas")
    return protocol.atlas


def region_names(frame: AtlasFrame) -> list[str]:
    """Return the names of a frame's regions, in their order."""
    return [region.name for region in frame.regions]


def _prepared(
    context: ShardContext, subject: Subject, frame: AtlasFrame, grid: AtlasGrid
) -> Prepared:
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
    return prepared


def map_shard(
    prepared: Path, members: Path, template: Path | None, options: Mapping[str, Any], output: Path
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
        An npz of sums.
    """
    from popscan.atlas import ALL, AtlasGrid, Prepared, map_subjects

    groups = read_members(members)
    arrays = load_arrays(prepared)
    mine = {unit: groups[unit] for unit in arrays[PREFIX + "unit"].tolist() if unit in groups}
    method = Atlas.of(options).registration
    made_of = fingerprint(
        str(options["version"]).encode(), method.encode(), prepared.read_bytes(),
        json.dumps(mine).encode(),
        template.read_bytes() if template else b"",
    )  # fmt: skip
    folder = output.absolute().parents[1] / "kept" / output.absolute().parent.name
    if restore(output, folder, made_of):
        return
    parts = _unnested(arrays)
    grid = AtlasGrid.from_arrays(parts.pop("|grid"))
    subjects = [
        (unit, mine[unit], Prepared.from_arrays(one)) for unit, one in parts.items() if unit in mine
    ]
    before = _read_templates(template).get(ALL) if template else None
    frame = atlas_frame(options)
    sums = map_subjects(
        subjects,
        before,
        regions=frame.regions,
        grid=grid,
        method=method,
        smoothing_mm=frame.smoothing_mm,
    )
    save_arrays(output, sums.to_arrays())
    keep(output, folder, made_of)


def reduce_round(
    study_root: Path,
    iteration: int,
    template: Path | None,
    options: Mapping[str, Any],
    output: Path,
) -> None:
    """Add up the sums of all shards into the round's templates, one per group."""
    from popscan.atlas import ALL, Partial, reduce

    section = Atlas.of(options)
    folder = study_root / "atlas" / "work" / f"sums-{iteration}"
    paths = sorted(folder.glob("*.npz"))
    before = _read_templates(template).get(ALL) if template else None
    templates = reduce(
        (Partial.from_arrays(load_arrays(path)) for path in paths),
        before,
        min_subjects=section.min_group,
    )
    if ALL not in templates:
        log.warning("fewer than %d subjects: no atlas", section.min_group)
    save_arrays(output, _nested([(g, t.to_arrays()) for g, t in sorted(templates.items())]))


def _read_templates(path: Path) -> dict[str, Template]:
    from popscan.atlas import Template

    return {group: Template.from_arrays(a) for group, a in _unnested(load_arrays(path)).items()}


def write_atlas(study_root: Path, template: Path, options: Mapping[str, Any]) -> None:
    """Write each group's mean image and probability maps as NIfTI, ``atlas.json`` and tables.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    template
        Of the last round.
    options
        Config sections study, atlas, fairness and cohort.
    """
    from popscan.io.nifti import write_scan
    from popscan.records import Scan

    summaries = {}
    templates = _read_templates(template)
    frame = atlas_frame(options)
    regions = region_names(frame)
    for group, average in templates.items():
        spacing = average.grid.spacing
        affine = load(frame.affine)(average.grid)
        name = group.replace("=", "-").replace("/", "_")
        layers = {
            "mean": average.image,
            **dict(zip(regions, average.probabilities, strict=True)),
        }
        for layer, array in layers.items():
            filled = np.nan_to_num(np.asarray(array, dtype=np.float32))[..., None]
            scan = Scan(array=filled, affine=affine, spacing_mm=spacing, view="atlas")
            write_scan(study_root / "atlas" / f"{name}_{layer}.nii.gz", scan)
        summaries[group] = {
            "n_subjects": average.n_subjects,
            "volumes_ml": average.volumes_ml(regions),
        }
    prepared = sorted((study_root / "atlas" / "work" / "prepared").glob("*.npz"))
    study = Study.of_tables(study_root, options)
    account = study_account(study, read_account(prepared), stage="atlas")
    if not templates:
        few = "fewer subjects than atlas.min_group: no atlas"
        account.loc[account["status"] == str(Status.OK), ["status", "reason", "message"]] = [
            str(Status.NOT_APPLICABLE), "too_few_subjects", few,
        ]  # fmt: skip
    write_table(study_root, "atlas_subjects", account, dictionary.of("atlas_subjects"))
    distances = atlas_distances(study_root, template, regions)
    write_table(
        study_root,
        "atlas_distances",
        distances,
        dictionary.of("atlas_distances", protocol_of(options)),
    )
    text = json.dumps({"template": template.name, "groups": summaries}, indent=1, sort_keys=True)
    write_atomic(study_root / "atlas" / "atlas.json", (text + "\n").encode())


#: Measure of the atlas -> column of the table of distances, beside Dice.
_DISTANCES = {
    "mean_displacement_mm": "atlas_distance_mm",
    "rms_intensity": "atlas_rms_intensity",
    "min_jacobian": "atlas_min_jacobian",
}


def atlas_distances(study_root: Path, template: Path, regions: Sequence[str]) -> pd.DataFrame:
    """How far each subject is from the average that the round of `template` registered it to.

    Returns
    -------
    DataFrame
        One row per subject of the atlas; empty where no round registered (``iterations: 1``).
    """
    from popscan.atlas import measures

    names = measures(regions)
    dice = {f"dice_{name}": f"atlas_dice_{name}" for name in regions}
    folder = study_root / "atlas" / "work" / template.stem.replace("template-", "sums-")
    rows = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:  # only what is asked for is read
            units, values = stored["units"], stored["values"].reshape(-1, len(names))
        rows += [dict(zip(("unit", *names), (str(u), *v), strict=True))
                 for u, v in zip(units, values, strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["unit", *names]).rename(columns={**dice, **_DISTANCES})
    table["atlas_dice_mean"] = table[list(dice.values())].mean(axis=1, skipna=False)
    return table.dropna(subset=["atlas_distance_mm"]).reset_index(drop=True)


def atlas_pictures(study_root: Path, frame: AtlasFrame) -> dict[str, dict[str, Any]]:
    """Pictures of each group's template for the report; empty if there is no atlas."""
    path = study_root / "atlas" / "atlas.json"
    if not path.exists():
        return {}
    name = json.loads(path.read_text(encoding="utf-8"))["template"]
    templates = _read_templates(study_root / "atlas" / "work" / name)
    return {
        group: {
            "mean": average.image,
            **{
                f"p_{name}": probability
                for name, probability in zip(
                    region_names(frame), average.probabilities, strict=True
                )
            },
            "n": average.n_subjects,
            "spacing_mm": average.grid.spacing,
        }
        for group, average in templates.items()
    }
