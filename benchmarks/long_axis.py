"""Numbers of long-axis planes of digital hearts against their truth, beside the short axis.

    python benchmarks/long_axis.py --subjects 40 --seed 1
    python benchmarks/long_axis.py --subjects 20 --seed 1 --model cine_lax
    python benchmarks/long_axis.py --subjects 6 --seed 1 --base

Each heart of the digital population is imaged at clinical resolution (1.8 mm, planes 6 mm thick, 25
frames) in a two- and a four-chamber plane, and in a short-axis stack (8 mm slices every 10 mm).
Labels are what fills most of a pixel; what a network or a person adds to the errors is not in
them, but for the rows with noise, whose outlines wander by 1 mm (SD). Printed: error against the
heart's closed form, mean ± SD over hearts, and the mean of its size. Then what each part of the
biplane method costs: planes 60 degrees apart as patients' are, 90 as the formula takes them, and
planes that hit the long axis.

With ``--base`` each short-axis stack is ended as a reader ends it, a basal slice counted wholly or
not at all, and by the valve's plane that the long-axis planes of the same visit show (true labels,
or those of ``--model``): errors of the LV's volume at end-diastole and near end-systole.

With ``--model`` alone the images are segmented by a bundle instead, beside the true labels of the
same planes; the seeds are none that bundles were trained on. Dice is printed first.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from biomarkers import show
from popscan.protocols.cine_lax.biomarkers import measure
from popscan.protocols.cine_lax.curves import view_of
from popscan.protocols.cine_lax.labels import LABELS
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.segmentation import segment
from popscan.protocols.cine_lax.simulate.scan import heart_of, simulate_subject
from popscan.protocols.cine_lax.valve_plane import valve_plane, volume_to_valve_ml
from popscan.protocols.cine_sax.biomarkers.sax import measure as measure_stack
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.faults import blur_labels
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject as short_axis
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.session import SimulatedSubject
from popscan.segment.bundle import load_bundle
from popscan.stages.segment.bundles import bundle_path

PIXEL_MM = 1.8
MATRIX = 160
#: Column -> the true value that it is held against.
NAMES = {
    "lvedv_ml": "LVEDV (mL)", "lvesv_ml": "LVESV (mL)", "lvef_pct": "LVEF (points)",
}  # fmt: skip
ENDINGS = {
    "": "biplane, discs", "_al": "biplane, area-length", "_4ch": "4ch alone", "_2ch": "2ch alone",
}  # fmt: skip
OTHERS = {
    "lav_max_ml": "LA largest, biplane area-length (mL)",
    "lav_max_discs_ml": "LA largest, biplane discs (mL)",
    "lav_max_4ch_ml": "LA largest, 4ch alone (mL)",
    "lav_min_ml": "LA smallest, biplane area-length (mL)",
    "laef_pct": "LA emptying fraction (points)",
    "rav_max_ml": "RA largest, 4ch (mL)",
    "raef_pct": "RA emptying fraction (points)",
    "mapse_mm": "MAPSE (mm)",
    "lv_length_ed_mm": "LV length at ED (mm)",
    "long_axis_shortening_pct": "long-axis shortening (points)",
}
Measured = Callable[[Mapping[str, Any]], tuple[Mapping[str, float], Mapping[str, float]]]


def imaged(row: Mapping[str, Any], *, seed: int, **planes: Any) -> SimulatedSubject:
    """Return a participant's planes at clinical resolution."""
    return simulate_subject(
        row, seed=seed, matrix=(MATRIX, MATRIX), spacing_mm=(PIXEL_MM, PIXEL_MM), frames=25,
        **planes,
    )  # fmt: skip


def long_axis(*, seed: int, noise_mm: float = 0.0, **planes: Any) -> Measured:
    """Return a function that measures a participant in long-axis planes: values, truth."""

    def run(row: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
        made = imaged(row, seed=seed, **planes)
        codes = made.labels.array
        if noise_mm:
            drawn = blur_labels(
                codes.transpose(3, 2, 0, 1), spacing_mm=(PIXEL_MM, PIXEL_MM), noise_mm=noise_mm,
                rng=rng_for(seed, str(row["participant_id"]), "outlines"),
            )  # fmt: skip
            codes = np.ascontiguousarray(drawn.transpose(2, 3, 1, 0))
        return measure(codes, meta=made.scan.meta), made.truth

    return run


def stack(*, seed: int) -> Measured:
    """Return a function that measures a participant in the short axis: values, truth."""

    def run(row: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
        made = short_axis(
            row, seed=seed, kspace=False, matrix=(MATRIX, MATRIX),
            spacing_mm=(PIXEL_MM, PIXEL_MM), frames=25,
        )  # fmt: skip
        values = measure_stack(
            made.labels.array, spacing_mm=made.scan.spacing_mm,
            frame_times_ms=made.scan.frame_times_ms,
        )  # fmt: skip
        return values, made.truth

    return run


def with_network(rows: list[dict[str, Any]], *, seed: int, model: str) -> None:
    """Print Dice of a bundle and errors of its numbers, beside those of true labels."""
    bundle = load_bundle(bundle_path(model), "cpu")
    found: dict[str, list[float]] = defaultdict(list)
    given: dict[str, list[float]] = defaultdict(list)
    dice: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        made = imaged(row, seed=seed)
        labels = segment(made.scan, bundle=bundle).labels
        for plane in planes_of(made.scan.meta, labels.shape):
            for name, code in LABELS.codes.items():
                a, b = (one[:, :, plane.index] == code for one in (labels, made.labels.array))
                if plane.view == "4ch" or name not in ("rv", "ra"):
                    dice[name, plane.view].append(2 * (a & b).sum() / (a.sum() + b.sum()))
        for codes, out in ((labels, found), (made.labels.array, given)):
            values = measure(codes, meta=made.scan.meta)
            for column in (*NAMES, *OTHERS):
                plain = column.replace("_4ch", "").replace("_discs", "")
                out[column].append(values[column] - made.truth[plain])
    show(
        f"Dice of {model}, {len(rows)} digital hearts, 25 frames",
        pd.DataFrame(
            {f"{n} {v}": {"mean": f"{np.mean(d):.3f}", "lowest": f"{min(d):.3f}"}
             for (n, v), d in dice.items()}
        ).T,
    )  # fmt: skip
    show(
        f"Error against the closed form, {len(rows)} hearts",
        pd.DataFrame(
            {
                title: {
                    "true labels": cell(given[column]), model: cell(found[column]),
                    "mean size of the error": f"{np.nanmean(np.abs(found[column])):.1f}",
                    "not measured": f"{int(np.isnan(found[column]).sum())}",
                }
                for column, title in {**NAMES, **OTHERS}.items()
            }
        ).T,
    )  # fmt: skip


def as_read(labels: np.ndarray) -> np.ndarray:
    """Return labels (x, y, z) whose basal slices are counted wholly or not at all.

    A slice that the valve cuts is counted where half of the slice below is cavity in it, too; it
    then has the outline of that slice.
    """
    out = labels.copy()
    areas = (labels == Label.LV).sum(axis=(0, 1))
    for z in range(len(areas) - 1):
        if not areas[z] or areas[z] >= 0.93 * areas[z + 1]:
            continue
        counted = areas[z] >= 0.5 * areas[z + 1]
        out[:, :, z] = labels[:, :, z + 1] if counted else 0
        if counted:
            break
        if areas[z + 1] >= 0.93 * areas[min(z + 2, len(areas) - 1)]:
            break
    return out


def with_base(rows: list[dict[str, Any]], *, seed: int, model: str) -> None:
    """Print errors of stacks that a reader ends, and of those that the valve's plane ends."""
    bundle = load_bundle(bundle_path(model), "cpu") if model else None
    frames, late = 8, 3
    out: dict[str, dict[str, list[float]]] = {
        phase: defaultdict(list) for phase in ("ED", "near ES")
    }
    for row in rows:
        planes = simulate_subject(
            row, seed=seed, matrix=(MATRIX, MATRIX), spacing_mm=(PIXEL_MM, PIXEL_MM), frames=frames
        )
        made = short_axis(
            row, seed=seed, kspace=False, matrix=(MATRIX, MATRIX),
            spacing_mm=(PIXEL_MM, PIXEL_MM), frames=frames,
        )  # fmt: skip
        heart = heart_of(row, seed=seed)[0].heart
        codes = segment(planes.scan, bundle=bundle).labels if bundle else planes.labels.array
        views = [view_of(codes, plane) for plane in planes_of(planes.scan.meta, codes.shape)]
        for phase, t in (("ED", 0), ("near ES", late)):
            truth = heart.at(t / frames).lv_ml
            seen = [view.lv[t] for view in views]
            plane = None if None in seen else valve_plane([one for one in seen if one is not None])
            mask = as_read(made.labels.array[..., t]) == Label.LV
            voxel = float(np.prod(made.scan.spacing_mm)) / 1000
            cut = math.nan
            if plane is not None:
                cut = volume_to_valve_ml(mask, made.scan.affine, plane)
            errors_ml = {
                "as simulated": (made.labels.array[..., t] == Label.LV).sum() * voxel - truth,
                "whole slices, as a reader": mask.sum() * voxel - truth,
                "ended at the valve's plane": cut - truth,
            }
            for name, error in errors_ml.items():
                out[phase][name].append(error)
    names = list(out["ED"])
    show(
        f"LV volume of short-axis stacks, error of {len(rows)} hearts (mL)",
        pd.DataFrame({phase: {n: cell(out[phase][n]) for n in names} for phase in out}),
    )


def errors(rows: list[dict[str, Any]], run: Measured) -> dict[str, list[float]]:
    """Return column -> error of each heart; columns of one plane are held against the whole."""
    out: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values, truth = run(row)
        for column, value in values.items():
            plain = column
            for ending in ("_al", "_4ch", "_2ch", "_discs"):
                plain = plain.replace(ending, "")
            if plain in truth and isinstance(value, float):
                out[column].append(value - truth[plain])
    return out


def cell(values: list[float]) -> str:
    """Mean ± SD."""
    return f"{np.nanmean(values):+.1f} ± {np.nanstd(values, ddof=1):.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--subjects", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="", help="bundle that segments the images")
    parser.add_argument("--base", action="store_true", help="how stacks end at the base")
    options = parser.parse_args()
    rows = [row.to_dict() for _, row in sample_population(
        options.subjects, seed=options.seed).iterrows()]  # fmt: skip
    seed = options.seed
    if options.base:
        with_base(rows, seed=seed, model=options.model)
        return
    if options.model:
        with_network(rows, seed=seed, model=options.model)
        return
    usual = errors(rows, long_axis(seed=seed))
    noisy = errors(rows, long_axis(seed=seed, noise_mm=1.0))
    short = errors(rows, stack(seed=seed))
    table = {}
    for ending, words in ENDINGS.items():
        columns = {c.replace("_ml", f"{ending}_ml").replace("_pct", f"{ending}_pct"): t
                   for c, t in NAMES.items()}  # fmt: skip
        table[words] = {title: cell(usual[column]) for column, title in columns.items()}
    table["biplane, discs, outlines 1 mm"] = {t: cell(noisy[c]) for c, t in NAMES.items()}
    table["short axis, slices added up"] = {t: cell(short[c]) for c, t in NAMES.items()}
    show(f"Left ventricle, error of {len(rows)} hearts", pd.DataFrame(table).T)
    more = {
        title: {
            "true labels": cell(usual[column]), "outlines 1 mm": cell(noisy[column]),
            "mean size of the error": f"{np.mean(np.abs(usual[column])):.1f}",
        }
        for column, title in OTHERS.items()
    }  # fmt: skip
    show("Atria and valve", pd.DataFrame(more).T)
    exact = {"offset_sd_mm": 0.0, "tilt_sd_deg": 0.0, "breath_hold_sd_mm": 0.0}
    cases = {
        "as patients' planes": {},
        "60 degrees apart, on the axis": exact,
        "90 degrees apart, on the axis": {**exact, "turn_deg": {"4ch": 0.0, "2ch": -90.0}},
    }
    shown = {**NAMES, "lav_max_ml": "LA largest (mL)", "mapse_mm": "MAPSE (mm)"}
    parts = {}
    for words, planes in cases.items():
        off = errors(rows, long_axis(seed=seed, **planes)) if planes else usual
        parts[words] = {title: cell(off[column]) for column, title in shown.items()}
    show("What the planes' position costs (biplane)", pd.DataFrame(parts).T)


if __name__ == "__main__":
    main()
