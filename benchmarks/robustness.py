"""Dice against severity of corruptions, and on another vendor's scans, of one or more bundles.

    python benchmarks/robustness.py [--model DIR ...] [--n 14] [--out DIR]

First the corruption suite (`popscan.arrays.corruptions`) on the ACDC patients that the first bundle
names as its validation subjects: mean Dice over RV, MYO, LV at ED, ES, and the loss against the
clean scans. Then slice-wise Dice against the contours of ``$POPSCAN_DATA/sunnybrook``, and what QC
says of these contours. Give ``--model`` several times to see bundles side by side.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from popscan.arrays.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from popscan.arrays.metrics import dice
from popscan.io.contours import Contoured, read_contoured
from popscan.protocols.cine_sax.contours import score_contours
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.qc import check_reference
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.qc import reasons, verdict
from popscan.segment import Bundle, load_bundle
from popscan.train.packs import Case
from segmentation import FLIPS, acdc_cases

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
PEER = "a plain 2 M U-Net trained on the same patients: endocardium 0.929, epicardium 0.950"


def score(case: Case, bundle: Bundle, *, name: str, severity: int, **options: Any) -> list[dict]:
    """Return Dice per structure and frame of one corrupted case, on the slices that it kept."""
    array = corrupt(case.scan.array, name, severity=severity) if severity else case.scan.array
    labels = segment(replace(case.scan, array=array), bundle=bundle, **options).labels
    kept = np.ptp(array, axis=(0, 1)).min(axis=1) > 0
    return [
        {
            "bundle": bundle.name,
            "unit": case.unit,
            "corruption": name,
            "severity": severity,
            "structure": structure,
            "frame": frame,
            "dice": dice(labels[:, :, kept, frame], case.labels.array[:, :, kept, frame], label),
        }
        for frame in case.labels.frames
        for label, structure in STRUCTURES.items()
    ]


def suite(
    cases: list[Case], bundle: Bundle, names: list[str], severities: list[int], **options: Any
) -> pd.DataFrame:
    """Return the rows of all cases, corruptions and severities; clean scans have severity 0."""
    rows = []
    for case in cases:
        clean = score(case, bundle, name=names[0], severity=0, **options)
        rows += [{**row, "corruption": name} for row in clean for name in names]
        for name in names:
            for severity in (s for s in severities if s):
                rows += score(case, bundle, name=name, severity=severity, **options)
        print(f"  {bundle.name} {case.unit}", flush=True)
    return pd.DataFrame(rows)


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean Dice by corruption and severity: structures and frames weigh the same."""
    return rows.groupby(["corruption", "severity"])["dice"].mean().unstack("severity")


def show(rows: pd.DataFrame) -> None:
    """Print the table of a bundle: Dice by severity, loss by structure at the middle severity."""
    table = means(rows)
    table["mean of 1-5"] = table[[s for s in table if s]].mean(axis=1)
    print(table.round(3).to_string())
    worst = rows[rows["severity"] == rows["severity"].max()]
    by = worst.groupby(["corruption", "structure"])["dice"].mean().unstack("structure")
    print(f"by structure at severity {rows['severity'].max()}:\n{by.round(3).to_string()}")


def figure(rows: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw Dice against severity, one panel per corruption, one line per bundle."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(next(iter(rows.values()))["corruption"]))
    drawn = Figure(figsize=(2.4 * len(names), 2.8), layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for label, part in rows.items():
            line = means(part).loc[name]
            panel.plot(line.index, line.values, marker="o", markersize=3, label=label)
        panel.set(title=name.replace("_", " "), xlabel="severity", ylim=(0, 1))
    panels[0].set_ylabel("mean Dice")
    panels[0].legend(fontsize=7)
    drawn.savefig(path, dpi=120)


def contoured(root: Path) -> dict[str, Contoured]:
    """Return the Sunnybrook patients below `root` by their original name."""
    table = pd.read_csv(root / "link.csv", dtype=str)
    return {
        original: read_contoured(root / "dicoms" / folder, root / "contours" / original)
        for folder, original in zip(table["patient_id"], table["original_id"], strict=True)
    }


def external(patients: dict[str, Contoured], bundle: Bundle, **options: Any) -> pd.DataFrame:
    """Return the rows of `score_contours`, with patient and what QC says of the contours."""
    rows = []
    for name, case in patients.items():
        frames = list(case.labels.frames)
        scan = replace(case.scan, array=case.scan.array[..., frames], frame_times_ms=None)
        labels = segment(scan, bundle=bundle, **options).labels
        full = np.zeros(case.scan.array.shape, dtype=np.uint8)
        full[..., frames] = labels
        checks = check_reference(case.scan, case.labels, full)
        told = {"patient": name, "reference": verdict(checks), "why": reasons(checks)}
        scored = score_contours(
            full, case.labels.array, endocardium=case.endocardium, epicardium=case.epicardium
        )
        rows += [{**told, **row} for row in scored]
    return pd.DataFrame(rows)


def show_external(rows: pd.DataFrame) -> None:
    """Print slice-wise Dice per patient, and over those whose contours QC lets pass."""
    by = rows.groupby(["patient", "reference", "contour"])["dice"].agg(["mean", "min", "size"])
    print(by.round(3).to_string())
    for patient, why in rows.drop_duplicates("patient")[["patient", "why"]].to_numpy():
        print(f"  QC of the contours, {patient}: {why or 'pass'}")
    endo = rows[rows["contour"] == "endocardium"]
    fits = rows[(rows["contour"] == "epicardium") & (rows["reference"] != "fail")]
    print(f"endocardium, all slices: {endo['dice'].mean():.4f}")
    print(f"epicardium, contours that fit: {fits['dice'].mean():.4f}")
    print(f"peer: {PEER}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, action="append", help="a bundle; may be repeated")
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    parser.add_argument("--n", type=int, default=14, help="validation patients")
    parser.add_argument("--severity", type=int, action="append", choices=SEVERITIES[1:])
    parser.add_argument("--corruption", action="append", choices=list(CORRUPTIONS))
    parser.add_argument("--flips", choices=list(FLIPS), default="false", help="mirrorings")
    parser.add_argument("--external-only", action="store_true", help="leave the suite out")
    parser.add_argument("--out", type=Path, default=None, help="folder for rows and figure")
    given = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    default = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    data = given.data or default
    bundles = {str(path): load_bundle(path, "auto") for path in given.model or [SHIPPED]}
    first = next(iter(bundles.values()))
    held_out = set(first.about["validation"]["subjects"])
    if not given.external_only:
        cases = [c for c in acdc_cases(data / "acdc") if c.unit in held_out][: given.n]
        names = given.corruption or list(CORRUPTIONS)
        rows = {}
        for label, bundle in bundles.items():
            seen = [c.unit for c in cases if bundle.was_trained_on(c.unit)]
            if seen:
                print(f"{label} was TRAINED ON {', '.join(seen)}: its numbers say nothing")
            rows[label] = suite(
                cases, bundle, names, given.severity or [1, 2, 3, 4, 5], flips=FLIPS[given.flips]
            )
        for label, part in rows.items():
            print(f"\n== {label}: {part['unit'].nunique()} patients, mean Dice by severity ==")
            show(part)
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            for number, part in enumerate(rows.values()):
                part.to_csv(given.out / f"robustness_{number}.tsv", sep="\t", index=False)
            figure(rows, given.out / "robustness.png")
            print(f"drawn: {given.out / 'robustness.png'}")
    patients = contoured(data / "sunnybrook")
    for label, bundle in bundles.items():
        print(f"\n== {label}: Sunnybrook, another vendor, slice-wise Dice ==")
        show_external(external(patients, bundle, flips=FLIPS[given.flips]))


if __name__ == "__main__":
    main()
