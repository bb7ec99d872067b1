"""What the atlas leaves: images, tables, ``atlas.json`` and pictures for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.disk import write_atomic
from popscan.protocol import AtlasFrame, load
from popscan.protocols import protocol_of
from popscan.records import PopscanError, Scan, Status
from popscan.stages.atlas.stored import read_templates
from popscan.study import dictionary
from popscan.study.accounts import read_account, study_account
from popscan.study.study import Study
from popscan.study.tables import write_table


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
    from popscan.io.nifti import write_scan

    summaries = {}
    templates = read_templates(template)
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


def atlas_pictures(study_root: Path, frame: AtlasFrame) -> dict[str, dict[str, object]]:
    """Pictures of each group's template for the report; empty if there is no atlas."""
    path = study_root / "atlas" / "atlas.json"
    if not path.exists():
        return {}
    name = json.loads(path.read_text(encoding="utf-8"))["template"]
    templates = read_templates(study_root / "atlas" / "work" / name)
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
