"""How well reverse classification accuracy predicts Dice, on real hearts with expert labels.

    python benchmarks/rca.py --acdc ../shared/data/acdc [--subjects 20] [--references 8] [--seed 1]

Reference cases and subjects are different patients of ACDC (end-diastole). Every subject is judged
with its expert labels and with five spoilt versions of them (shifted, eroded, slices lost, RV
grown, a hole), so that the true Dice is known and spans the range. Peers in the same run: the same
without registration (labels compared in the heart's frame), and the similarity of the images alone.
Printed: correlation, mean absolute error, bias, AUC for a true Dice below 0.7, CPU time of one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, stats

from popscan.arrays.metrics import dice
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.crops import covering_heart
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.rca.atlas import predict_dice
from popscan.rca.references import Pose, Reference, make_reference
from popscan.records import SubjectError
from popscan.stats.auc import auc, interval

GRID = covering_heart()
POSE = Pose.of(get_protocol("cine_sax"))
WAYS = ("expert", "shifted", "eroded", "slices lost", "RV grown", "hole")

Case = tuple[str, NDArray[Any], NDArray[np.uint8], tuple[float, float, float]]


def read_case(folder: Path) -> Case:
    """Read a patient's end-diastolic image and labels."""
    told = dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines() if line)
    stem = f"{folder.name}_frame{int(told['ED']):02d}"
    image = nibabel.load(folder / f"{stem}.nii.gz")
    labels = np.asarray(nibabel.load(folder / f"{stem}_gt.nii.gz").dataobj).astype(np.uint8)
    spacing = tuple(float(s) for s in image.header.get_zooms()[:3])
    return folder.name, np.asarray(image.dataobj, dtype=np.float32), labels, spacing  # type: ignore[return-value]


def spoil(labels: NDArray[np.uint8], way: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Spoil a segmentation at random, in one way."""
    spoilt = labels.copy()
    if way == "shifted":
        return np.roll(labels, int(rng.integers(2, 8)) * rng.choice([-1, 1]), axis=rng.integers(2))
    if way == "eroded":
        n = int(rng.integers(1, 4))
        return labels * ndimage.binary_erosion(labels > 0, np.ones((3, 3, 1)), iterations=n)
    if way == "slices lost":
        held = np.flatnonzero((labels > 0).any(axis=(0, 1)))
        lost = held[: rng.integers(1, len(held) // 2 + 1)]
        spoilt[..., lost] = 0
    elif way == "RV grown":
        grown = ndimage.binary_dilation(labels == Label.RV, np.ones((5, 5, 1)), iterations=2)
        spoilt[grown & (labels == 0)] = Label.RV
    elif way == "hole":
        held = np.argwhere(labels > 0)
        centre = held[rng.integers(len(held))]
        away = np.indices(labels.shape) - centre.reshape(3, 1, 1, 1)
        spoilt[(away[:2] ** 2).sum(axis=0) < rng.uniform(8, 18) ** 2] = 0
    return spoilt


def judge(
    case: Case, references: list[Reference], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Judge all versions of one subject's segmentation."""
    name, image, labels, spacing = case
    rows = []
    for way in WAYS:
        spoilt = spoil(labels, way, rng)
        row = {"subject": name, "way": way}
        row["true"] = float(np.mean([dice(spoilt, labels, s) for s in STRUCTURES]))
        for peer, options in {"rca": {}, "no registration": {"n_iterations": (0,)}}.items():
            began = time.process_time()
            found = predict_dice(
                image, spoilt, references, spacing_mm=spacing, grid=GRID, pose=POSE, **options
            )
            row[f"{peer} s"] = time.process_time() - began
            row[peer] = found.values()["predicted_dice"]
            if peer == "rca":
                row["image similarity"] = found.similarity
        rows.append(row)
    return rows


def report(table: pd.DataFrame) -> None:
    """Print the comparison."""
    low = table["true"] < 0.7
    print(
        f"{len(table)} segmentations, true Dice {table['true'].min():.2f} to 1, {low.sum()} < 0.7"
    )
    print(
        f"{'':18s} {'r':>6s} {'rho':>6s} {'MAE':>6s} {'bias':>7s} {'AUC < 0.7':>20s} {'CPU s':>7s}"
    )
    for peer in ("rca", "no registration", "image similarity"):
        error = table[peer] - table["true"]
        found = auc(-table[peer], low)
        ends = interval(found)
        cost = table[f"{peer} s"].mean() if f"{peer} s" in table else float("nan")
        print(
            f"{peer:18s} {table['true'].corr(table[peer]):6.2f} "
            f"{stats.spearmanr(table['true'], table[peer]).statistic:6.2f} "
            f"{error.abs().mean():6.3f} {error.mean():+7.3f} "
            f"{found.value:6.2f} ({ends[0]:.2f} to {ends[1]:.2f}) {cost:7.2f}"
        )
    print(table.groupby("way", sort=False)[["true", "rca"]].mean().round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--acdc", type=Path, required=True, help="folder with patientNNN")
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    folders = rng.permutation(sorted(arguments.acdc.glob("patient*")))
    references: list[Reference] = []
    rest = []
    for folder in map(Path, folders):
        if len(references) == arguments.references:
            rest.append(folder)
            continue
        name, image, labels, spacing = read_case(folder)
        try:
            references.append(
                make_reference(name, "ED", image, labels, spacing_mm=spacing, grid=GRID, pose=POSE)
            )
        except SubjectError:
            continue
    rows: list[dict[str, Any]] = []
    for folder in rest[: arguments.subjects]:
        rows += judge(read_case(folder), references, rng)
    report(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
