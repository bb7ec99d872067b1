"""Where the error of the LV mass comes from: which slices, and which border.

    python benchmarks/mass.py [--model DIR]

- validation: the ACDC patients that the bundle names as such, at ED. The error in grams (found
  less expert's) is divided by region of the stack, and by border: towards the cavity, the RV, and
  what is not labelled. Slices whose wall was missed, or found where there is none, stand beside.
- sunnybrook: another vendor, contours of some slices: how far the found border lies outside of
  the contour, as the difference of areas over the circumference, in mm. Outer contours that
  `check_reference` fails (they do not lie on the images) are left out.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from base import Pair, acdc
from popscan.protocols.cine_sax.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import check_reference
from popscan.protocols.cine_sax.regions import slice_regions
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.qc import verdict
from popscan.segment import Bundle, load_bundle
from robustness import contoured

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
BORDERS = {"cavity": Label.LV, "RV": Label.RV, "unlabelled": Label.BACKGROUND}


def parts(pair: Pair, labels: NDArray[np.uint8]) -> Iterator[dict[str, object]]:
    """Yield the error of every slice at ED, in grams, by border."""
    found, truth = labels[..., 0], pair.truth[..., 0]
    grams = MYOCARDIAL_DENSITY_G_ML * float(np.prod(pair.scan.spacing_mm)) / 1000.0
    for z, region in enumerate(slice_regions(truth)):
        own, true = found[:, :, z] == Label.MYO, truth[:, :, z] == Label.MYO
        row = {
            name: (own & (truth[:, :, z] == k)).sum() - (true & (found[:, :, z] == k)).sum()
            for name, k in BORDERS.items()
        }
        sizes = {
            "mass": int(own.sum()) - int(true.sum()),
            "missed": 0 if own.any() else -int(true.sum()),
            "spurious": 0 if true.any() else int(own.sum()),
            "expert": int(true.sum()),
        }
        yield {"unit": pair.unit, "region": region} | {
            name: grams * float(value) for name, value in (sizes | row).items()
        }


def by_region(rows: pd.DataFrame) -> str:
    """Return grams per patient by region, their sum, and the mean absolute error of a patient."""
    n = rows["unit"].nunique()
    columns = ["expert", "mass", "missed", "spurious", *BORDERS]
    table = rows.groupby("region", sort=False)[columns].sum() / n
    own = rows.groupby("unit")[columns].sum()
    table.loc["all: mean"], table.loc["all: median"] = own.mean(), own.median()
    table.loc["all: mean absolute"] = own.abs().mean()
    return table.round(2).to_string()


def offsets(data: Path, bundle: Bundle) -> pd.DataFrame:
    """Return how far found borders lie outside of contours, in mm, one row per contour."""
    rows = []
    for name, case in contoured(data / "sunnybrook").items():
        frames = list(case.labels.frames)
        scan = replace(case.scan, array=case.scan.array[..., frames], frame_times_ms=None)
        full = np.zeros(case.scan.array.shape, dtype=np.uint8)
        full[..., frames] = segment(scan, bundle=bundle).labels
        fails = verdict(check_reference(case.scan, case.labels, full)) == "fail"
        pixel = case.scan.spacing_mm[0] * case.scan.spacing_mm[1]
        for border, drawn, codes in (
            ("endocardium", case.endocardium, [Label.LV]),
            ("epicardium", case.epicardium, [Label.LV, Label.MYO]),
        ):
            if fails and border == "epicardium":
                continue
            for z, t in np.argwhere(drawn):
                true, own = (
                    pixel * np.count_nonzero(np.isin(a[:, :, z, t], codes))
                    for a in (case.labels.array, full)
                )
                mm = (own - true) / math.sqrt(4 * math.pi * true) if own else math.nan
                rows.append({"patient": name, "border": border, "mm": mm})
    return pd.DataFrame(rows)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    given = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    data = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    bundle = load_bundle(given.model, "auto")
    rows = [
        row
        for pair in acdc(data, bundle, "validation")
        for row in parts(pair, segment(pair.scan, bundle=bundle).labels)
    ]
    print(f"== validation: grams at ED ==\n{by_region(pd.DataFrame(rows))}")
    found = offsets(data, bundle).groupby(["patient", "border"])["mm"]
    print("\n== sunnybrook: found border outside of the contour, mm (inside: less than 0) ==")
    print(found.agg(["mean", "std", "size", "count"]).round(2).to_string())


if __name__ == "__main__":
    main()
