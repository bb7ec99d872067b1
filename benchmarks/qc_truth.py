"""What quality control finds of results that are wrong, and what it flags that is right.

    python benchmarks/qc_truth.py [--model DIR] [--part NAME ...] [--cases FILE] [--out DIR]

Scans with truth go through segmentation and the checks. A result is *wrong* if its LVEF is off by
more than 5 points, or a volume (LV or RV, ED or ES) by more than 15% of the true one and more than
`LEAST_ML`. Printed are the shares of wrong results in review or fail and of right ones flagged, and
per check: wrong results that it flags, those that no other check flags, right ones that it flags.

Scans are those of benchmarks/base.py: ACDC validation patients clean and corrupted, the training
patients in other looks, digital hearts, Sunnybrook (LV alone). Limits are chosen on the
*development* half alone, and the *report* half is what is claimed: patients are parted by a digest
of their names, so that all looks of one patient are on one side. Training patients are marked: the
network has seen them, so their errors are those of the changed look. ``--cases`` reads the rows of
an earlier run (``--out``) and judges them with today's limits, without segmenting.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from base import SHIPPED, Pair, acdc, simulated, sunnybrook
from popscan.arrays.corruptions import CORRUPTIONS, corrupt
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import CHECKS, check
from popscan.qc.model import Spec, Verdict
from popscan.segment import Bundle, Segmentation, load_bundle, segment

ROOT = Path(__file__).resolve().parents[1]
LVEF_POINTS = 5.0
VOLUME_PCT = 15.0
#: A volume is not wrong by less: 15% of a cavity of 20 mL is within what two experts differ.
LEAST_ML = 10.0
SEVERITIES = (2, 4)
_VOLUMES = {
    Label.LV: ("lvedv_ml", "lvesv_ml"),
    Label.RV: ("rvedv_ml", "rvesv_ml"),
}
_FLAGS = (Verdict.REVIEW, Verdict.FAIL)


def half(unit: str) -> str:
    """Return on which side a patient is: development or report."""
    odd = hashlib.sha256(unit.encode()).digest()[0] % 2
    return "development" if odd else "report"


def corrupted(pairs: Iterator[Pair]) -> Iterator[Pair]:
    """Yield every scan as it is and damaged, two severities of each corruption in turn."""
    for i, pair in enumerate(pairs):
        yield pair
        for k, name in enumerate(CORRUPTIONS):
            severity = SEVERITIES[(i + k) % len(SEVERITIES)]
            array = corrupt(pair.scan.array, name, severity=severity)
            yield replace(pair, look=f"{name} {severity}", scan=replace(pair.scan, array=array))


def wrong(pair: Pair, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return the errors that decide whether a result is wrong, and whether it is."""
    names, spacing = list(pair.scan.meta["frame_labels"]), pair.scan.spacing_mm
    own, true = (measure(a, spacing_mm=spacing, frame_labels=names) for a in (labels, pair.truth))
    lvef = own["lvef_pct"] - true["lvef_pct"]
    bad = not abs(lvef) <= LVEF_POINTS
    worst = 0.0
    for name in (v for k, names_ in _VOLUMES.items() if k in pair.of for v in names_):
        off = own[name] - true[name]
        share = 100.0 * abs(off) / true[name]
        bad |= not (share <= VOLUME_PCT or abs(off) <= LEAST_ML)
        worst = max(worst, share) if np.isfinite(share) else 100.0
    return {"lvef_error": lvef, "volume_error_pct": worst, "wrong": bool(bad)}


def told_of(pair: Pair, found: Segmentation) -> dict[str, Any]:
    """Return what QC is given of a segmentation: its values, and what is doubtful at the base."""
    assert found.base is not None
    voxel_ml = float(np.prod(pair.scan.spacing_mm)) / 1000.0
    doubt = {
        side: {name: curve * voxel_ml for name, curve in curves.items()}
        for side, curves in (("kept", found.base.kept), ("removed", found.base.removed))
    }
    return {**found.values, "base": doubt}


def judged(pairs: Iterator[Pair], bundle: Bundle) -> list[dict[str, Any]]:
    """Segment and check every scan; return one row each, with the value of every check."""
    rows = []
    for pair in pairs:
        found = segment(pair.scan, bundle=bundle)
        checks = check(pair.scan, found.labels, told=told_of(pair, found))
        assessed = {c.name: c.verdict is not Verdict.NOT_ASSESSED for c in checks}
        rows.append(
            {"unit": pair.unit, "part": pair.part, "look": pair.look, "half": half(pair.unit)}
            | wrong(pair, found.labels)
            | {f"value {c.name}": c.value for c in checks}
            | {f"assessed {name}": value for name, value in assessed.items()}
            | {f"segment {k}": v for k, v in found.values.items() if isinstance(v, (int, float))}
        )
    return rows


def flags(rows: pd.DataFrame, specs: dict[str, Spec] | None = None) -> pd.DataFrame:
    """Return which check flags which row, with the limits of `specs` (today's by default)."""
    specs = specs or dict(CHECKS)
    known = [name for name in specs if f"value {name}" in rows]
    return pd.DataFrame(
        {
            name: [
                bool(seen) and specs[name].judge(float(value)) in _FLAGS
                for value, seen in zip(rows[f"value {name}"], rows[f"assessed {name}"], strict=True)
            ]
            for name in known
        },
        index=rows.index,
    )


def rates(rows: pd.DataFrame, flagged: Sequence[bool] | pd.Series) -> str:
    """Return both rates with their counts."""
    hit = np.asarray(flagged, dtype=bool)
    bad = rows["wrong"].to_numpy(dtype=bool)
    parts = []
    for name, own in (("wrong", bad), ("right", ~bad)):
        n, k = int(own.sum()), int((hit & own).sum())
        parts.append(f"{k} of {n} {name} flagged" + (f" ({100 * k / n:.0f}%)" if n else ""))
    return ", ".join(parts)


def per_check(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return the checks that flag anything: what they find, find alone, and flag in vain."""
    bad = rows["wrong"].to_numpy(dtype=bool)
    alone = table.sum(axis=1) == 1
    found = pd.DataFrame(
        {
            "wrong": table[bad].sum(),
            "wrong, alone": table[bad & alone].sum(),
            "right": table[~bad].sum(),
            "right, alone": table[~bad & alone].sum(),
        }
    )
    found = found[(found["wrong"] > 0) | (found["right"] > 0)]
    return found.sort_values(["wrong", "right"], ascending=[False, True]).to_string()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("validation", "training", "simulated", "sunnybrook")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    parser.add_argument("--part", action="append", choices=parts)
    parser.add_argument("--simulated", type=int, default=16, help="digital hearts")
    parser.add_argument("--every", type=int, default=1, help="take every n-th training scan")
    parser.add_argument("--cases", type=Path, default=None, help="rows of an earlier run")
    parser.add_argument("--out", type=Path, default=None, help="folder for the rows")
    given = parser.parse_args()
    if given.cases is not None:
        rows = pd.read_csv(given.cases, sep="\t")
    else:
        torch.set_num_threads(min(2, os.cpu_count() or 1))
        data = given.data or Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
        bundle = load_bundle(given.model, "auto")
        sources = {
            "validation": lambda: corrupted(acdc(data, bundle, "validation")),
            "training": lambda: islice(acdc(data, bundle, "training"), 0, None, given.every),
            "simulated": lambda: simulated(given.simulated),
            "sunnybrook": lambda: sunnybrook(data),
        }
        rows = pd.DataFrame(
            [row for part in given.part or parts for row in judged(sources[part](), bundle)]
        )
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        rows.to_csv(given.out / "qc_truth.tsv", sep="\t", index=False)
    table = flags(rows)
    rows["set"] = rows["part"].where(rows["look"] == "as it is", rows["part"] + ", damaged")
    for side in ("development", "report"):
        own = rows["half"] == side
        print(f"\n== {side}: {rates(rows[own], table[own].any(axis=1))} ==")
        for name, part in rows[own].groupby("set", sort=False):
            print(f"  {name}: {rates(part, table.loc[part.index].any(axis=1))}")
    print(f"\n== per check, all {len(rows)} scans ==\n{per_check(rows, table)}")
    missed = rows[rows["wrong"].astype(bool) & ~table.any(axis=1)]
    print(f"\n== wrong and passed: {len(missed)} ==")
    print(missed[["unit", "set", "look", "lvef_error", "volume_error_pct"]].round(1).to_string())


if __name__ == "__main__":
    main()
