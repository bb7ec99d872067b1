"""The atlas as map-reduce: prepared hearts of a shard, sums of a shard, template of a round."""

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

from popscan.config import parse_section
from popscan.npzfile import read_npz
from popscan.plan import read_shard
from popscan.protocols import protocol_of
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.records import Status, Subject, SubjectError
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
    from popscan.atlas import Prepared, Template

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
    """Align the end-diastolic hearts of a shard's segmented subjects.

    Who is analysed, and in which group, is asked later (`write_members`): a manual override or
    another coding of an attribute aligns no heart again.

    Parameters
    ----------
    store, shard
        Study and shard.
    options
        Config sections study and atlas.
    output
        An npz of every prepared heart, and what became of each subject of the shard.
    """
    from popscan.atlas import AtlasGrid

    section = parse_section("atlas", options["atlas"])
    grid = AtlasGrid.covering_heart(spacing_mm=section.spacing_mm)
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
            parts.append((subject.unit, _prepared(context, subject, grid).to_arrays()))
            account.add(subject.unit, Status.OK)
        except SubjectError as error:
            log.warning("%s: not in the atlas: %s", subject.unit, error)
            account.failed(subject.unit, error)
    save_arrays(output, _nested([("|grid", grid.to_arrays()), *parts]) | account.to_arrays())


def _prepared(context: ShardContext, subject: Subject, grid: Any) -> Prepared:
    from popscan.atlas import prepare
    from popscan.io.nifti import read_labels, read_scan

    stage = context.image_stage(subject)
    scan = read_scan(context.path(stage, subject, context.names.image(subject)))
    labels = read_labels(context.path("segment", subject, context.names.labels(subject)))
    frame = next(iter(phases_of(scan, labels, context.protocol).values()))
    return prepare(
        scan.array[..., frame],
        labels.array[..., frame],
        affine=scan.affine,
        spacing_mm=scan.spacing_mm,
        grid=grid,
    )


def map_shard(
    prepared: Path, members: Path, template: Path | None, options: Mapping[str, Any], output: Path
) -> None:
    """Register a shard's hearts to the template of the round before and write their sums.

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
    made_of = fingerprint(
        str(options["version"]).encode(), prepared.read_bytes(), json.dumps(mine).encode(),
        template.read_bytes() if template else b"",
    )  # fmt: skip
    folder = output.absolute().parents[1] / "kept" / output.absolute().parent.name
    if restore(output, folder, made_of):
        return
    parts = _unnested(arrays)
    grid = AtlasGrid.from_arrays(parts.pop("|grid"))
    subjects = [
        (unit, mine[unit], Prepared.from_arrays(heart))
        for unit, heart in parts.items()
        if unit in mine
    ]
    before = _read_templates(template).get(ALL) if template else None
    save_arrays(output, map_subjects(subjects, before, grid=grid).to_arrays())
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

    section = parse_section("atlas", options["atlas"])
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

    told = {}
    templates = _read_templates(template)
    for group, average in templates.items():
        spacing = average.grid.spacing
        # The frame's axes are those of a scan (left, posterior) and base to apex (down): in RAS
        # all three point to the negative, else viewers show a mirrored heart.
        affine = np.diag([*(-mm for mm in spacing), 1.0])
        affine[:3, 3] = -average.grid.to_heart[:3, 3]
        name = group.replace("=", "-").replace("/", "_")
        layers = {
            "mean": average.image,
            **dict(zip(STRUCTURES.values(), average.probabilities, strict=True)),
        }
        for layer, array in layers.items():
            filled = np.nan_to_num(np.asarray(array, dtype=np.float32))[..., None]
            scan = Scan(array=filled, affine=affine, spacing_mm=spacing, view="atlas")
            write_scan(study_root / "atlas" / f"{name}_{layer}.nii.gz", scan)
        told[group] = {"n_subjects": average.n_subjects, "volumes_ml": average.volumes_ml()}
    prepared = sorted((study_root / "atlas" / "work" / "prepared").glob("*.npz"))
    study = Study.of_tables(study_root, options)
    account = study_account(study, read_account(prepared), stage="atlas")
    if not templates:
        few = "fewer subjects than atlas.min_group: no atlas"
        account.loc[account["status"] == str(Status.OK), ["status", "reason", "message"]] = [
            str(Status.NOT_APPLICABLE), "too_few_subjects", few,
        ]  # fmt: skip
    write_table(study_root, "atlas_subjects", account, dictionary.of("atlas_subjects"))
    distances = atlas_distances(study_root, template)
    write_table(
        study_root,
        "atlas_distances",
        distances,
        dictionary.of("atlas_distances", protocol_of(options)),
    )
    text = json.dumps({"template": template.name, "groups": told}, indent=1, sort_keys=True)
    write_atomic(study_root / "atlas" / "atlas.json", (text + "\n").encode())


#: Measure of the atlas -> column of the table of distances.
_DISTANCES = {
    "mean_displacement_mm": "atlas_distance_mm",
    "dice_rv": "atlas_dice_rv",
    "dice_myo": "atlas_dice_myo",
    "dice_lv": "atlas_dice_lv",
    "rms_intensity": "atlas_rms_intensity",
    "min_jacobian": "atlas_min_jacobian",
}


def atlas_distances(study_root: Path, template: Path) -> pd.DataFrame:
    """How far each subject is from the average that the round of `template` registered it to.

    Returns
    -------
    DataFrame
        One row per subject of the atlas; empty where no round registered (``iterations: 1``).
    """
    from popscan.atlas.partial import MEASURES

    folder = study_root / "atlas" / "work" / template.stem.replace("template-", "sums-")
    rows = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:  # only what is asked for is read
            units, values = stored["units"], stored["values"].reshape(-1, len(MEASURES))
        rows += [dict(zip(("unit", *MEASURES), (str(u), *v), strict=True))
                 for u, v in zip(units, values, strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["unit", *MEASURES]).rename(columns=_DISTANCES)
    dice = ["atlas_dice_rv", "atlas_dice_myo", "atlas_dice_lv"]
    table["atlas_dice_mean"] = table[dice].mean(axis=1, skipna=False)
    return table.dropna(subset=["atlas_distance_mm"]).reset_index(drop=True)


def atlas_pictures(study_root: Path) -> dict[str, dict[str, Any]]:
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
                f"p_{structure}": probability
                for structure, probability in zip(
                    STRUCTURES.values(), average.probabilities, strict=True
                )
            },
            "n": average.n_subjects,
            "spacing_mm": average.grid.spacing,
        }
        for group, average in templates.items()
    }
