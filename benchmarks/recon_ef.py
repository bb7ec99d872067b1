"""What reconstruction costs in ejection fraction: undersampled cines of patients, segmented.

    python benchmarks/recon_ef.py [--data FOLDER] [--n 14] [--r 4] [--variants cg_sense cs_tv ...]
                                  [--model BUNDLE ...] [--crop 144] [--every 2] [--rows FILE]

Patients are the 14 of ACDC that the shipped models were validated on. Their two labelled frames are
made a cycle of 10 (motion interpolated along the optical flow), cut to a square around the
heart, every second slice; k-space of 8 coils with noise and phase is simulated, reconstructed by
each variant, and the frames of end-diastole and end-systole segmented by the shipped model. The
error is against the same model on the images before undersampling. ``--model`` adds bundles, by
their own methods.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training.recon import SYSTOLE, whole_cycle
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.recon import reconstruct
from popscan.recon.retrospective import simulated_kspace
from popscan.records import Scan
from popscan.segment import load_bundle
from popscan.train.packs import Case
from recon import method_of
from recon_problems import DATA
from segmentation import acdc_cases

BUNDLE = Path(__file__).resolve().parents[1] / "resources" / "models" / "cine_sax"


def volumes_ml(scan: Scan, bundle: Any) -> tuple[float, float]:
    """Return end-diastolic and end-systolic volume of the LV by the shipped model."""
    ends = replace(scan, array=np.ascontiguousarray(scan.array[..., [0, SYSTOLE]]))
    labels = np.asarray(segment(ends, bundle=bundle).labels)
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    first, last = (labels == Label.LV).sum(axis=(0, 1, 2)) * voxel_ml
    return float(first), float(last)


def rows_of(case: Case, given: argparse.Namespace, bundle: Any) -> Iterator[dict[str, Any]]:
    whole, _ = whole_cycle(case, crop=given.crop, slices=slice(None, None, given.every))
    kspace = simulated_kspace(
        whole, acceleration=given.r, pattern=given.pattern, centre_lines=12, coils=8, noise=0.01,
        seed=int(case.unit[-3:]),
    )  # fmt: skip
    truth = volumes_ml(whole, bundle)
    variants = [(name, {}) for name in given.variants]
    variants += [(method_of(model), {"model": model}) for model in given.model]
    for method, options in variants:
        found = volumes_ml(reconstruct(kspace, method=method, **options), bundle)
        yield {
            "unit": case.unit, "method": method, "edv_error_ml": found[0] - truth[0],
            "esv_error_ml": found[1] - truth[1],
            "lvef_error": 100 * (found[0] - found[1]) / max(found[0], 1)
            - 100 * (truth[0] - truth[1]) / max(truth[0], 1),
        }  # fmt: skip


def show(rows: pd.DataFrame) -> None:
    by = rows.groupby("method", sort=False)
    table = pd.DataFrame({
        "n": by.size(),
        "LVEF, mean error": by["lvef_error"].mean(),
        "LVEF, mean absolute": by["lvef_error"].apply(lambda v: v.abs().mean()),
        "LVEF, largest": by["lvef_error"].apply(lambda v: v.abs().max()),
        "LVEDV, mean absolute (mL)": by["edv_error_ml"].apply(lambda v: v.abs().mean()),
        "LVESV, mean absolute (mL)": by["esv_error_ml"].apply(lambda v: v.abs().mean()),
    })  # fmt: skip
    with pd.option_context("display.width", 200, "display.max_columns", 20):
        print(table.round(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds acdc/")
    parser.add_argument("--n", type=int, default=14, help="patients")
    parser.add_argument("--first", type=int, default=0, help="patients to pass over")
    parser.add_argument("--r", type=float, default=4.0, help="acceleration")
    parser.add_argument("--pattern", default="random")
    parser.add_argument(
        "--variants", nargs="*", default=["zero_filled", "cg_sense", "kt_sense", "cs_tv"]
    )
    parser.add_argument("--model", nargs="*", default=["recon_cine"], help="bundles")
    parser.add_argument("--crop", type=int, default=144, help="side of the images, pixels")
    parser.add_argument("--every", type=int, default=2, help="each how many-th slice")
    parser.add_argument("--rows", type=Path, help="where to write the rows")
    given = parser.parse_args()
    bundle = load_bundle(BUNDLE, "cpu")
    rows = []
    for case in split_acdc(acdc_cases(given.data / "acdc"))[1][given.first : given.first + given.n]:
        for row in rows_of(case, given, bundle):
            rows.append(row)
            print(" ".join(f"{v:.2f}" if isinstance(v, float) else v for v in row.values()),
                  flush=True)  # fmt: skip
            if given.rows:
                pd.DataFrame(rows).to_csv(given.rows, sep="\t", index=False)
    show(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
