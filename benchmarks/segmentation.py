"""Dice, surface distances and volume errors of a bundle on the ACDC patients it never saw.

    python benchmarks/segmentation.py [--model DIR] [--decision 0] [--training] [--flips NAME] ...
    python benchmarks/segmentation.py --cross-fit WORK [--recipe cross_fold] [--out DIR] ...

Reads ``$POPSCAN_DATA/acdc`` (by default ``../shared/data/acdc``). The patients are those that the
bundle itself names as its validation subjects; with ``--training`` those that it was trained on
are scored too, in tables of their own headed "seen in training". With ``--cross-fit`` no bundle is
looked at: all patients are divided into folds, a network is trained for each on the others
(checkpoints in WORK, gone on from when called again), and every patient is scored by the one that
never saw them: patients that chose nothing. Recipe ``cine_sax_cross`` has 12,000 steps a fold,
``cross_fold`` 1,300 from a start on digital hearts (an hour on one core, and networks that are
weaker than the shipped one). With ``--out`` it leaves the tables for ``popscan calibrate
--cross-fitted``. Published results on the same
challenge stand below the table as peers: other patients of the same cohort, so a guide only.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from popscan.io import get_source
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.regions import score_regions
from popscan.protocols.cine_sax.training.crossfit import cross_fit, observe_folds
from popscan.protocols.cine_sax.training.crosstable import write_cross_fitted
from popscan.protocols.cine_sax.training.evaluate import score_case, volume_errors
from popscan.protocols.cine_sax.training.simulated import (
    N_HIGH,
    N_SIMULATED,
    simulated_case,
    simulated_high_case,
)
from popscan.segment import Bundle, load_bundle
from popscan.segment.devices import pick_device
from popscan.segment.ensemble import Flips
from popscan.train.evaluate import mean_dice
from popscan.train.packs import Case
from popscan.train.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
#: Values of `segment.flips`, as the command line has them.
FLIPS: Mapping[str, Flips] = {"false": False, "true": True, "doubtful": "doubtful"}
PEERS = """peers, as published (mean Dice over RV, MYO, LV at ED, ES; other patients of ACDC):
  nnU-Net, 5-fold on 100 patients                     0.915
  best published, 5-fold                              0.927
  a plain 2 M U-Net, this split's size, 35 min, CPU   0.901"""


def acdc_cases(root: Path) -> list[Case]:
    """Return all labelled patients below `root`."""
    source = get_source("acdc")
    cases = []
    for found in source.find(root):
        loaded = source.load(found.paths, views=["sax"])
        if "sax" in loaded.labels:
            group = str(loaded.extra.get("group", "unknown"))
            cases.append(
                Case(
                    unit=found.sub.removeprefix("sub-"),
                    scan=loaded.scans["sax"],
                    labels=loaded.labels["sax"],
                    attributes={"group": group},
                )
            )
    return cases


def decided_at(bundle: Bundle, log_odds: float | None) -> Bundle:
    """Return the bundle with other log-odds of the LV's cavity; None for its own."""
    if log_odds is None:
        return bundle
    return replace(bundle, about={**bundle.about, "decision": {"lv": log_odds}})


def table(scores: pd.DataFrame) -> str:
    """Return structures by phases: means, medians, lowest Dice, distances."""
    grouped = scores.groupby(["structure", "phase"])
    frame = pd.DataFrame(
        {
            "dice": grouped["dice"].mean(),
            "median": grouped["dice"].median(),
            "lowest": grouped["dice"].min(),
            "hd95_mm": grouped["hd95_mm"].mean(),
            "msd_mm": grouped["msd_mm"].mean(),
        }
    )
    return frame.round(3).to_string()


def regions_table(cases: list[Case], labels: dict[str, NDArray[np.uint8]]) -> str:
    """Return structures by region: Dice, distances in plane, missed and spurious slices."""
    rows = [
        row
        for case in cases
        for row in score_regions(labels[case.unit], case.labels, case.scan.spacing_mm)
    ]
    grouped = pd.DataFrame(rows).groupby(["structure", "region"], sort=False)
    frame = grouped[["dice", "hd95_mm", "msd_mm"]].mean().round(3)
    frame.loc[frame.index.get_level_values("region") == "outside", "dice"] = np.nan
    slices = grouped[["missed_slices", "spurious_slices"]].sum()
    return frame.join(slices).sort_index(level="structure", sort_remaining=False).to_string()


def volumes(scores: pd.DataFrame) -> str:
    """Return bias and mean absolute error of volumes, EF and mass."""
    errors = volume_errors(scores).drop(columns="unit")
    frame = pd.DataFrame(
        {"bias": errors.mean(), "sd": errors.std(), "mean absolute error": errors.abs().mean()}
    )
    return frame.round(2).to_string()


def by_group(scores: pd.DataFrame) -> str:
    """Return mean Dice by disease group, with group sizes."""
    return "  ".join(
        f"{name} (n={part['unit'].nunique()}) {mean_dice(part):.3f}"
        for name, part in scores.groupby("group")
    )


def picture(case: Case, labels: NDArray[np.uint8], path: Path, *, title: str) -> None:
    """Draw every slice of both frames: expert contours left of each pair, the model's right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_slices = case.scan.array.shape[2]
    figure = Figure(figsize=(1.6 * n_slices, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, n_slices, squeeze=False)
    inside = np.argwhere(case.labels.array.any(axis=(2, 3)))
    (x0, y0), (x1, y1) = np.maximum(inside.min(0) - 15, 0), inside.max(0) + 15
    for row, (frame, source) in enumerate(
        (f, s) for f in case.labels.frames for s in (case.labels.array, labels)
    ):
        for z in range(n_slices):
            ax = axes[row, z]
            ax.imshow(case.scan.array[x0:x1, y0:y1, z, frame].T, cmap="gray")
            for label, colour in zip(
                STRUCTURES, ("tab:blue", "tab:orange", "tab:red"), strict=True
            ):
                mask = source[x0:x1, y0:y1, z, frame] == int(label)
                if mask.any():
                    ax.contour(mask.T, levels=[0.5], colors=[colour], linewidths=0.8)
            ax.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(f"frame {frame}, {'expert' if row % 2 == 0 else 'model'}")
    figure.suptitle(title)
    figure.savefig(path, dpi=90)


def evaluate(cases: list[Case], bundle: Bundle, **options: Any) -> tuple[pd.DataFrame, dict, float]:
    """Return score rows, labels by unit, and seconds per patient."""
    rows, labels = [], {}
    start = time.perf_counter()
    for case in cases:
        scored, found = score_case(case, bundle=bundle, **options)
        rows += scored
        labels[case.unit] = found.labels
    return pd.DataFrame(rows), labels, (time.perf_counter() - start) / max(1, len(cases))


def cross_fitted(cases: list[Case], given: argparse.Namespace) -> pd.DataFrame:
    """Train a network per fold, print the table of all patients together, return its rows."""
    recipe = load_recipe(given.recipe)
    recipe = replace(recipe, steps=given.steps or recipe.steps)
    others = {
        "simulated": [simulated_case(k) for k in range(N_SIMULATED)],
        "simulated_high": [simulated_high_case(k) for k in range(N_HIGH)],
    }
    device = str(pick_device(given.device))
    parts, labels, seconds, networks = [], {}, 0.0, []
    for held, bundle in cross_fit(
        recipe,
        cases,
        name="acdc",
        others=others,
        folds=given.folds,
        work=given.cross_fit,
        device=device,
    ):
        rows, found, each = evaluate(held, bundle)
        parts.append(rows)
        networks.append((held, bundle))
        labels |= found
        seconds += each * len(held) / len(cases)
        print(f"fold {len(parts)} of {given.folds}: mean Dice {mean_dice(rows):.4f}", flush=True)
    scores = pd.concat(parts, ignore_index=True)
    show(scores, f"cross-fitted, {given.folds} folds of {recipe.steps} steps", seconds)
    print("\nby region (thirds of the labelled slices; in-plane distances):")
    print(regions_table(cases, labels))
    if given.out is not None:
        said = f"{recipe.name}, {recipe.steps} steps a fold"
        found = observe_folds(networks, recipe=said, progress=lambda text: print(text, flush=True))
        write_cross_fitted(given.out, found)
    return scores


def show(scores: pd.DataFrame, heading: str, seconds: float) -> None:
    """Print everything about one set of patients under one setting."""
    n = scores["unit"].nunique()
    print(f"\n== {heading}: {n} patients, {seconds:.1f} s each ==")
    print(f"mean Dice {mean_dice(scores):.4f}")
    print(table(scores))
    print(volumes(scores))
    print("by group:", by_group(scores))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "cine_sax")
    parser.add_argument("--decision", type=float, help="log-odds of the LV instead of the bundle's")
    parser.add_argument("--data", type=Path, default=None, help="folder that holds acdc/")
    parser.add_argument("--training", action="store_true", help="score training patients too")
    parser.add_argument("--flips", action="append", choices=list(FLIPS), help="by default all")
    parser.add_argument("--out", type=Path, default=None, help="folder for pictures and scores")
    parser.add_argument("--worst", type=int, default=3, help="number of worst cases to draw")
    parser.add_argument("--cross-fit", type=Path, metavar="WORK", help="train and score by folds")
    parser.add_argument("--recipe", default="cine_sax_cross", help="of the cross-fitting")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-fitting")
    parser.add_argument("--steps", type=int, default=0, help="per fold; 0: the recipe's")
    parser.add_argument("--device", default="auto", help="where folds are trained")
    arguments = parser.parse_args()
    default = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    if arguments.cross_fit is not None:
        scores = cross_fitted(acdc_cases((arguments.data or default) / "acdc"), arguments)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            scores.to_csv(arguments.out / "cross_fitted.tsv", sep="\t", index=False)
        return
    bundle = decided_at(load_bundle(arguments.model, "auto"), arguments.decision)
    held_out = set(bundle.about["validation"]["subjects"])
    cases = acdc_cases((arguments.data or default) / "acdc")
    unseen = [c for c in cases if c.unit in held_out and not bundle.was_trained_on(c.unit)]
    print(f"{bundle.name}, digest {bundle.digest[:12]}, {len(bundle.networks)} member(s)")
    for name in arguments.flips or list(FLIPS):
        scores, labels, seconds = evaluate(unseen, bundle, flips=FLIPS[name])
        show(scores, f"not seen in training, flips: {name}", seconds)
        if not FLIPS[name]:
            print("\nby region (thirds of the labelled slices; in-plane distances):")
            print(regions_table(unseen, labels))
    if arguments.training:
        seen, _, seconds = evaluate([c for c in cases if bundle.was_trained_on(c.unit)], bundle)
        show(seen, "SEEN IN TRAINING (says nothing about new patients)", seconds)
    print("\n" + PEERS)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        scores.to_csv(arguments.out / "segmentation.tsv", sep="\t", index=False)
        means = scores.groupby("unit")["dice"].mean().nsmallest(arguments.worst)
        for case in (c for c in unseen if c.unit in means.index):
            path = arguments.out / f"worst_{case.unit}.png"
            title = f"{case.unit}, {case.attributes['group']}, mean Dice {means[case.unit]:.3f}"
            picture(case, labels[case.unit], path, title=title)
            print(f"drawn: {path}")


if __name__ == "__main__":
    main()
