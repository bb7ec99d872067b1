"""What the atlas leaves: images, tables, ``atlas.json`` and pictures for the report."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.disk import write_atomic
from popscan.protocol import AtlasFrame, load
from popscan.protocols import protocol_of
from popscan.records import PopscanError, Scan, Status
from popscan.stages.atlas.columns import EFFECTS, NUMBERS
from popscan.stages.atlas.differences import Compared, write_differences
from popscan.stages.atlas.effects import write_effects
from popscan.stages.atlas.stored import (
    load_arrays,
    read_made_from,
    read_templates,
    save_arrays,
)
from popscan.study import dictionary
from popscan.study.accounts import read_account, study_account
from popscan.study.study import Study
from popscan.study.tables import write_table

if TYPE_CHECKING:
    from popscan.atlas import Template


def atlas_frame(options: Mapping[str, object]) -> AtlasFrame:
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


def write_atlas(study_root: Path, template: Path, options: Mapping[str, object]) -> None:
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
    from popscan.atlas import ALL
    from popscan.io.nifti import write_scan

    summaries = {}
    templates = read_templates(template)
    frame = atlas_frame(options)
    regions = region_names(frame)
    for old in (study_root / "atlas").glob("*.nii.gz"):
        old.unlink()  # of a group that is no more
        old.with_name(f"{old.name.removesuffix('.nii.gz')}.json").unlink(missing_ok=True)
    names = file_names(list(templates))
    for group, average in templates.items():
        spacing = average.grid.spacing
        affine = load(frame.affine)(average.grid)
        name = names[group]
        layers = {
            "mean": average.image,
            **dict(zip(regions, average.probabilities, strict=True)),
        }
        for layer, array in layers.items():
            filled = np.nan_to_num(np.asarray(array, dtype=np.float32))[..., None]
            scan = Scan(array=filled, affine=affine, spacing_mm=spacing, view="atlas")
            write_scan(study_root / "atlas" / f"{name}_{layer}.nii.gz", scan)
        summaries[group] = {
            "file_stem": name,
            "n_subjects": average.n_subjects,
            "volumes_ml": average.volumes_ml(regions),
            **_write_cycle(study_root / "atlas" / name, average, affine, regions),
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
    effects = pd.DataFrame(columns=[*EFFECTS])
    numbers = pd.DataFrame()
    if ALL in templates:
        compared = Compared.of_round(study_root, template, templates[ALL].grid, options)
        numbers = write_differences(study_root, compared, frame, options)
        effects = write_effects(study, compared, frame, options)
        _write_map_space(study_root, template, frame)
    distances = _joined(distances, numbers)
    write_table(study_root, "atlas_effects", effects, dictionary.of("atlas_effects"))
    write_table(
        study_root,
        "atlas_distances",
        distances,
        dictionary.of("atlas_distances", protocol_of(options)),
    )
    left = {"template": template.name, "groups": summaries, "rounds": _rounds(template)}
    text = json.dumps(left, indent=1, sort_keys=True)
    write_atomic(study_root / "atlas" / "atlas.json", (text + "\n").encode())


def _write_cycle(
    stem: Path, average: Template, affine: NDArray[np.float64], regions: Sequence[str]
) -> dict[str, object]:
    """Write the average over the cycle as 4D NIfTI, and return what atlas.json says of it."""
    from popscan.io.nifti import write_scan

    cycle = average.cycle
    if cycle is None:  # none asked for, or too few for an average
        return {} if average.n_cycle is None else {"n_cycle": average.n_cycle}
    maps = dict(zip(regions, np.moveaxis(cycle.probabilities, 1, 0), strict=True))
    for layer, array in {"mean": cycle.image, **maps}.items():
        series = np.moveaxis(np.nan_to_num(np.asarray(array, dtype=np.float32)), 0, -1)
        scan = Scan(array=series, affine=affine, spacing_mm=average.grid.spacing, view="atlas")
        write_scan(stem.with_name(f"{stem.name}_cycle-{layer}.nii.gz"), scan)
    voxel_ml = average.grid.spacing_mm**3 / 1000.0
    return {
        "n_cycle": cycle.n_subjects,
        "cycle_volumes_ml": cycle.volumes_ml(regions, voxel_ml=voxel_ml),
    }


def _rounds(template: Path) -> list[dict[str, object]]:
    """Return of how many and of which subjects the average of all is in every round so far."""
    last = int(template.stem.removeprefix("template-"))
    made = [read_made_from(template.with_name(f"template-{n}.npz")) for n in range(last + 1)]
    return [{"n_subjects": n, "subjects_digest": digest} for n, digest in made]


def file_names(groups: Sequence[str]) -> dict[str, str]:
    """Return each group's name within names of files: ``sex-female_bmi_class-normal``.

    Where two are the same (also on disks that do not know small from large letters), the later ones
    have a number behind: ``site-A_B`` and ``site-A_B~2``.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for group in groups:
        plain = group.replace("=", "-").replace("/", "_").replace(", ", "_")
        tries = itertools.chain([plain], (f"{plain}~{number}" for number in itertools.count(2)))
        names[group] = next(name for name in tries if name.casefold() not in taken)
        taken.add(names[group].casefold())
    return names


def _joined(distances: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """Return distances with the numbers of `write_differences`, empty where there are none."""
    joined = distances.copy()
    for name in NUMBERS:
        values = numbers[name] if name in numbers else pd.Series(dtype=object)
        there = values.reindex(pd.Index(joined["unit"])).to_numpy()
        text = NUMBERS[name].kind == "text"
        joined[name] = (
            pd.Series(there, index=joined.index).fillna("").astype(str)
            if text
            else pd.Series(there, index=joined.index).astype(float)
        )
    return joined


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


def _write_map_space(study_root: Path, template: Path, frame: AtlasFrame) -> None:
    """Write the average in whose space the maps are: that which the last round registered to."""
    from popscan.atlas import ALL
    from popscan.io.nifti import write_scan

    iteration = int(template.stem.removeprefix("template-"))
    path = template.with_name(f"template-{iteration - 1}.npz")
    average = read_templates(path).get(ALL) if path.exists() else None
    if average is None:
        return
    folder = study_root / "atlas" / "maps"
    array = np.nan_to_num(np.asarray(average.image, dtype=np.float32))[..., None]
    affine = load(frame.affine)(average.grid)
    scan = Scan(array=array, affine=affine, spacing_mm=average.grid.spacing, view="atlas")
    write_scan(folder / "space_mean.nii.gz", scan)
    save_arrays(folder / "space.npz", replace(average, cycle=None).to_arrays())


def map_pictures(study_root: Path, frame: AtlasFrame) -> dict[str, object]:
    """Pictures of the average in whose space the maps are; empty if there is none."""
    from popscan.atlas import Template

    path = study_root / "atlas" / "maps" / "space.npz"
    return _pictures(Template.from_arrays(load_arrays(path)), frame) if path.exists() else {}


def atlas_pictures(study_root: Path, frame: AtlasFrame) -> dict[str, dict[str, object]]:
    """Pictures of each group's template for the report; empty if there is no atlas.

    That of all subjects has `registered_to`, a number, where an average that was registered to is
    of fewer subjects: a study that has grown (`Atlas.max_growth_pct`).
    """
    from popscan.atlas import ALL

    path = study_root / "atlas" / "atlas.json"
    if not path.exists():
        return {}
    known = json.loads(path.read_text(encoding="utf-8"))
    templates = read_templates(study_root / "atlas" / "work" / known["template"])
    pictures = {group: _pictures(average, frame) for group, average in templates.items()}
    if ALL in pictures and (n_before := _registered_to(known.get("rounds", []))):
        pictures[ALL]["registered_to"] = n_before
    return pictures


def _registered_to(rounds: Sequence[Mapping[str, object]]) -> int:
    """Return the fewest subjects of an average registered to; 0 if all were of all subjects."""
    before = [one for one in rounds if one["subjects_digest"] != rounds[-1]["subjects_digest"]]
    return min((int(str(one["n_subjects"])) for one in before), default=0)


def _pictures(average: Template, frame: AtlasFrame) -> dict[str, object]:
    maps = zip(region_names(frame), average.probabilities, strict=True)
    return {
        "mean": average.image,
        **{f"p_{name}": probability for name, probability in maps},
        "cycle": average.cycle,
        "n": average.n_subjects,
        "spacing_mm": average.grid.spacing,
    }
