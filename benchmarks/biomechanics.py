"""Motion of the wall of digital hearts by `biomechanics` beside other registrations.

    python benchmarks/biomechanics.py --subjects 30 --out strain.tsv      # labels: two minutes
    python benchmarks/biomechanics.py --subjects 10 --images --out strain.tsv
    python benchmarks/biomechanics.py --read strain.tsv

End-systole is registered with end-diastole, slice by slice, of hearts whose motion is known in
closed form: their true labels as grey levels, cut as `benchmarks/strain.py --cut` does, or (with
``--images``) simulated images of clinical resolution. The autoencoder of `biomechanics` was trained
on hearts of other seeds; its weight was chosen on hearts of the seed that ``--seed 77`` gives.
Printed: median and 90th percentile of the absolute error of global circumferential and radial
strain (percentage points) and its bias; the mean of |J - 1| over the wall; the mean of J over the
wall less the true ratio of its areas in the same slices (the base descends, so that the area
in a fixed slice grows although the volume does not); mean Dice of RV, wall and LV; folds; CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import Anatomy, anatomy_for
from popscan.protocols.cine_sax.strain.deform import curves_of
from popscan.protocols.cine_sax.strain.follow import tissue_slices
from popscan.protocols.cine_sax.strain.inputs import LEVELS
from popscan.protocols.cine_sax.strain.measure import DEMONS
from popscan.protocols.cine_sax.strain.wall import Wall
from popscan.records import LabelMap, Scan
from popscan.register import Warp, register
from popscan.register.measures import measure_pairs
from strain import at_systole, cut, there_of, true_strain, wall_at_start

#: Seed of the hearts; neither the autoencoder nor its weight saw them.
SEED = 1702
NAMES = {int(label): name for label, name in STRUCTURES.items()}
MODEL = "biomechanics"
SOFT = {"stiffness": 0.003, "smoothing_mm": 3.0, "control_mm": 4.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "demons": {"method": "demons"},
    "demons, soft (stage motion)": {"method": "demons", **DEMONS},
    "svf": {"method": "svf"},
    "svf, as soft as biomechanics": {"method": "svf", **SOFT},
    "biomechanics": {"method": "biomechanics", "model": MODEL},
    "voxelmorph": {"method": "voxelmorph", "model": "motion_cine"},
}
GLOBAL = {"GCS": "gcs_peak_pct", "GRS": "grs_peak_pct"}


def scene(
    row: Mapping[str, Any], seed: int, *, images: bool
) -> tuple[Anatomy, Scan, NDArray[np.uint8], NDArray[np.float32]]:
    """Return a heart, its scan's geometry, labels (x, y, z, 2) and what is registered of them."""
    who = str(row["participant_id"])
    anatomy = anatomy_for(row, rng=rng_for(seed, who, "anatomy"))
    if images:
        # Frame 3 of 8 is at 0.375 of the cycle, where end-systole lasts.
        made = simulate_subject(
            row, seed=seed, kspace=False, matrix=(128, 128), spacing_mm=(1.8, 1.8),
            frames=8, slice_distance_mm=10.0, slice_thickness_mm=8.0,
        )  # fmt: skip
        both = [0, 3]
        array = np.asarray(made.scan.array[..., both], dtype=np.float32)
        low, high = np.percentile(array[..., 0], (1, 99))
        labels = made.labels.array[..., both]
        return anatomy, made.scan, labels, np.clip((array - low) / (high - low), -0.5, 2)
    heart, spacing = anatomy.heart, (1.8, 1.8, 10.0)
    labels = np.stack([cut(heart, phase) for phase in (0.0, heart.es_phase)], axis=-1)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-(95 / 2) * 1.8 - 12.0, -(95 / 2) * 1.8, -6.0)
    affine[:3] = np.column_stack([anatomy.axes, anatomy.base_mm]) @ affine
    scan = Scan(array=labels, affine=affine, spacing_mm=spacing)
    return anatomy, scan, labels, ndimage.gaussian_filter(LEVELS[labels], (0.8, 0.8, 0, 0))


def one_heart(
    row: Mapping[str, Any], seed: int, variants: Mapping[str, dict[str, Any]], *, images: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row per variant."""
    anatomy, scan, labels, grey = scene(row, seed, images=images)
    wall = wall_at_start(LabelMap(array=labels, frames=(0, 1)), scan)
    truth = true_strain(anatomy, wall, scan)
    spacing = tuple(float(s) for s in scan.spacing_mm[:2])
    slices = list(wall.slices)
    pair = np.moveaxis(grey[:, :, slices], (2, 3), (1, 0)).astype(np.float32)
    tissue = tissue_slices(labels, reference=0, base_first=True)[:, wall.slices]
    followed = None if np.isnan(tissue).all() else tissue
    for name, options in variants.items():
        if name == "voxelmorph" and not images:
            continue  # trained on images
        before = time.process_time()
        if options:
            warp = register(pair[0], pair[1], spacing_mm=spacing, **options)
        else:
            warp = Warp.identity(len(slices), pair.shape[2:], spacing_mm=spacing)
        seconds = time.process_time() - before
        positions = there_of(wall, warp.displacement_mm, spacing)
        found = at_systole(curves_of(wall, positions, reference=0, slices=followed))
        masks = np.moveaxis(labels[:, :, slices], (2, 3), (1, 0))
        yield {
            "unit": row["participant_id"], "variant": name, "cpu_s": seconds,
            **{f"{short} error": found[column] - truth[column] for short, column in GLOBAL.items()},
            **_of_wall(warp, masks, wall),
        }  # fmt: skip


def _of_wall(warp: Warp, masks: NDArray[np.uint8], wall: Wall) -> dict[str, float]:
    """Measure how the wall's area changes, overlap and folds."""
    change = np.asarray(warp.jacobian())
    inside = masks[0] == Label.MYO
    true = np.count_nonzero(masks[1] == Label.MYO) / np.count_nonzero(inside)
    measured = measure_pairs(warp, fixed_labels=masks[0], moving_labels=masks[1], structures=NAMES)
    return {
        "|J - 1|": float(np.abs(change[inside] - 1).mean()),
        "sd J": float(change[inside].std()),
        "area error": float(change[inside].mean() - true),
        "dice": float(measured["dice"].mean()),
        "folds": float(measured["folding_share"].max()),
        "slices": float(len(wall.slices)),
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per variant."""
    out = []
    for name, part in table.groupby("variant", sort=False):
        row: dict[str, Any] = {"variant": name, "n": len(part)}
        for short in GLOBAL:
            error = part[f"{short} error"]
            row |= {
                f"{short} median": round(error.abs().median(), 1),
                f"{short} p90": round(error.abs().quantile(0.9), 1),
                f"{short} bias": round(error.mean(), 1),
            }
        row |= {c: round(part[c].mean(), 3) for c in ("|J - 1|", "sd J", "area error", "dice")}
        row |= {"folds": part["folds"].max(), "CPU s": round(part["cpu_s"].median(), 2)}
        out.append(row)
    return pd.DataFrame(out)


def main() -> None:
    """Measure, or read what was measured, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=30)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--images", action="store_true", help="simulated images, not labels")
    parser.add_argument("--model", default=MODEL, help="of biomechanics: a name or a folder")
    parser.add_argument("--weights", type=float, nargs="*", default=(), help="more of them")
    parser.add_argument("--stiffness", type=float, nargs="*", default=(), help="and of these")
    parser.add_argument("--methods", nargs="*", default=None, help="of the rows, in part")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--read", type=Path, nargs="*", default=())
    args = parser.parse_args()
    variants = {
        name: options | ({"model": args.model} if name == "biomechanics" else {})
        for name, options in VARIANTS.items()
        if not args.methods or name in args.methods
    }
    for weight in args.weights:
        for stiffness in args.stiffness or (SOFT["stiffness"],):
            variants[f"biomechanics, {weight:g}, {stiffness:g}"] = {
                "method": "biomechanics", "model": args.model, "plausibility_weight": weight,
                "stiffness": stiffness,
            }  # fmt: skip
    if args.read:
        table = pd.concat([pd.read_csv(path, sep="\t") for path in args.read])
    else:
        rows: list[dict[str, Any]] = []
        for row in sample_population(args.subjects, seed=args.seed).to_dict("records"):
            person = {str(key): value for key, value in row.items()}
            rows += one_heart(person, args.seed, variants, images=args.images)
            if args.out is not None:
                pd.DataFrame(rows).to_csv(args.out, sep="\t", index=False)
        table = pd.DataFrame(rows)
    pd.set_option("display.width", 250, "display.max_columns", 40)
    print(summary(table).to_string(index=False))


if __name__ == "__main__":
    main()
