"""Lines of k-space in the wrong phase: how many are found, and what leaving them out is worth.

    python benchmarks/recon_motion.py [--n 4] [--seed 31] [--slices 6] [--acceleration 4]
                                      [--pattern lattice] [--method cs_tv] [--unknown-shots]
                                      [--first 0] [--faults none late_beats breath] [--rows FILE]
    python benchmarks/recon_motion.py --from FILE [MORE ...]

Digital hearts (k-space of 8 coils, 8 beats a slice) are scanned without a fault, with two late
beats in every slice, and with a breath before the last beats. Each k-space is reconstructed as it
is (``uncorrected``), without the lines that `popscan.recon.rejection` finds (``corrected``), and
without those that are spoilt in truth (``oracle``). Shown are PSNR (relative to the reference's
maximum, within the true heart and whole), Dice of the shipped segmentation with the true labels,
the error of LVEF of the stack's slices against that of the clean k-space reconstructed the same
(of few slices it hangs on the network's blunders at the base), how many of the spoilt lines are
found (also weighted by the energy by which they differ from what they should be) and how many of
the others are. ``--unknown-shots`` takes the numbers of the shots away: then lines must be the same
in every frame (``--acceleration 1``) to be judged. The hearts are others than those on which
limits were chosen (seed 905).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.arrays.metrics import dice
from popscan.config import Segment
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.recon import reconstruct
from popscan.recon.rejection import Rejection, inconsistent_lines, without
from popscan.records import KSpace, LabelMap, Scan, SubjectError
from popscan.segment import load_bundle
from popscan.stages.segment.task import labelling

CINE = get_protocol("cine_sax")
BUNDLE = Path(__file__).resolve().parents[1] / "resources" / "models" / "cine_sax"
SEGMENT = Segment.model_validate({"method": CINE.segmentation.method, "device": "cpu"})
FAULTS = ("none", "late_beats", "breath")


def scanned(row: Mapping[str, Any], fault: str, options: argparse.Namespace) -> Any:
    return simulate_subject(
        {**row, "fault": fault}, seed=options.seed, slices=options.slices,
        acceleration=options.acceleration, pattern=options.pattern,
    )  # fmt: skip


def psnr_db(scan: Scan, reference: Scan, where: NDArray[np.bool_]) -> float:
    """Relative to the reference's maximum, after the best gain."""
    a, b = scan.array.astype(float), reference.array.astype(float)
    error = a * ((a * b).sum() / (a * a).sum()) - b
    return float(20 * np.log10(b.max() / np.sqrt(np.mean(error[where] ** 2))))


def ejection_pct(labels: NDArray[np.uint8]) -> float:
    """Ejection fraction of the LV within the slices."""
    volumes = (labels == Label.LV).sum(axis=(0, 1, 2))
    return float(100 * (1 - volumes.min() / max(volumes.max(), 1)))


def overlap(labels: NDArray[np.uint8], truth: LabelMap) -> float:
    scores = [
        dice(labels[..., t], truth.array[..., t], code)
        for code in CINE.labels.names
        for t in truth.frames
    ]
    return float(np.nanmean(scores))


def measured(
    kspace: KSpace, reference: Scan, truth: LabelMap, bundle: Any, options: argparse.Namespace
) -> dict[str, float]:
    scan = reconstruct(kspace, method=options.method)
    labels = np.asarray(labelling(CINE, SEGMENT, bundle)(scan).labels)
    return {
        "psnr_heart": psnr_db(scan, reference, truth.array > 0),
        "psnr_whole": psnr_db(scan, reference, np.ones(truth.array.shape, bool)),
        "dice": overlap(labels, truth),
        "lvef_pct": ejection_pct(labels),
    }


def found_of(
    found: Rejection, damage: NDArray[np.float64], spoilt: NDArray[np.bool_], there: NDArray
) -> dict[str, float]:
    """Sensitivity by lines and by energy of the damage, false alarms; shares in %."""
    hit = found.lines & spoilt
    n_bad, n_good = int(spoilt.sum()), int((there & ~spoilt).sum())
    total = damage[spoilt].sum()
    return {
        "spoilt_pct": 100 * n_bad / max(int(there.sum()), 1),
        "found_pct": 100 * hit.sum() / n_bad if n_bad else np.nan,
        "damage_found_pct": 100 * damage[hit].sum() / total if n_bad else np.nan,
        "false_pct": 100 * (found.lines & ~spoilt).sum() / max(n_good, 1),
    }


def cases(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    bundle = load_bundle(BUNDLE, "cpu")
    people = sample_population(options.first + options.n, seed=options.seed).to_dict("records")
    for row in people[options.first :]:
        clean = scanned(row, "", options)
        assert clean.kspace is not None
        for fault in ("" if name == "none" else name for name in options.faults):
            made = clean if not fault else scanned(row, fault, options)
            kspace: KSpace = made.kspace
            change = np.abs(kspace.data - clean.kspace.data) ** 2
            damage = change.sum(axis=(0, 1)).astype(float)  # the noise is the same
            spoilt = damage > 0
            there = np.broadcast_to(kspace.mask[:, np.newaxis], spoilt.shape)
            given = replace(kspace, shots=None) if options.unknown_shots else kspace
            found = inconsistent_lines(given, threshold=options.threshold)
            about = {"unit": row["participant_id"], "fault": fault or "none",
                     "judged_by": found.basis or found.why}  # fmt: skip
            about |= found_of(found, damage, spoilt, there)
            ways = {
                "uncorrected": kspace,
                "corrected": without(kspace, found),
                "oracle": replace(kspace, left_out=spoilt),
            }
            kept: dict[int, dict[str, float]] = {}
            for name, one in ways.items():
                key = hash(one.left_out.tobytes()) if one.left_out is not None else 0
                if one.left_out is not None and not one.left_out.any():
                    key = 0
                try:
                    if key not in kept:
                        kept[key] = measured(one, clean.scan, clean.labels, bundle, options)
                    yield {**about, "k-space": name, **kept[key]}
                except SubjectError as error:
                    yield {**about, "k-space": name, "failed": error.reason}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over hearts; of LVEF the mean absolute error."""
    clean = rows[(rows["fault"] == "none") & (rows["k-space"] == "uncorrected")]
    error = rows["lvef_pct"] - rows["unit"].map(clean.set_index("unit")["lvef_pct"])
    shown = rows.assign(lvef_error=error, lvef_abs_error=error.abs())
    columns = ["spoilt_pct", "found_pct", "damage_found_pct", "false_pct", "psnr_heart",
               "psnr_whole", "dice", "lvef_error", "lvef_abs_error"]  # fmt: skip
    return shown.groupby(["fault", "k-space"], sort=False)[columns].mean()


def show(rows: pd.DataFrame) -> None:
    with pd.option_context("display.width", 200, "display.max_columns", 20):
        print(summary(rows).round(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="hearts to pass over")
    parser.add_argument("--faults", nargs="+", default=FAULTS, choices=FAULTS)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--pattern", default="lattice")
    parser.add_argument("--method", default="cs_tv")
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--unknown-shots", action="store_true")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--from", dest="given", nargs="+", type=Path, help="rows of earlier runs")
    options = parser.parse_args()
    if options.given:
        show(pd.concat([pd.read_csv(path, sep="\t") for path in options.given]))
        return
    found = []
    for one in cases(options):
        found.append(one)
        print(" ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in one.values()),
              flush=True)  # fmt: skip
    rows = pd.DataFrame(found)
    if options.rows:
        rows.to_csv(options.rows, sep="\t", index=False)
    show(rows)


if __name__ == "__main__":
    main()
