"""In how many scans the 90% intervals hold the truth, on scans that took no part in calibrating.

    python benchmarks/interval_coverage.py [--model DIR] [--simulated 8]

- sunnybrook: another vendor, contours of the LV at ED and ES (3 patients);
- simulated: digital hearts as images, stacks that reach above the valve, true labels at ED and ES.

Simulated studies with reconstruction: `demo_truth.py`, against the analytic truth. Printed per
quantity: how many intervals hold the truth (95% interval of Wilson), the mean half-width and the
mean error, both in the quantity's unit.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd

from base import simulated as digital
from base import sunnybrook
from demo_truth import ends_of, share
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES, bounds
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.segment import load_bundle

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--simulated", type=int, default=8, help="digital hearts")
    given = parser.parse_args()
    data = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    bundle = load_bundle(given.model, "cpu")
    rows = []
    for pair in (*sunnybrook(data), *digital(given.simulated)):
        found = segment(pair.scan, bundle=bundle)
        names, spacing = list(pair.scan.meta["frame_labels"]), pair.scan.spacing_mm
        values, truth = (
            measure(a, spacing_mm=spacing, frame_labels=names) for a in (found.labels, pair.truth)
        )
        ends = ends_of(found, pair.scan, values, bundle=bundle)
        known = (Label.LV in pair.of, Label.RV in pair.of, Label.MYO in pair.of)
        for name in QUANTITIES:
            structure = 2 if name == "lvm_g" else int(name.startswith("rv"))
            if not known[structure]:
                continue
            low, high = (ends[end] for end in bounds(name))
            rows.append(
                {"part": pair.part, "quantity": name, "holds": low <= truth[name] <= high,
                 "half": (high - low) / 2, "error": values[name] - truth[name]}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    for part, own in table.groupby("part", sort=False):
        print(f"== {part} ==")
        for name, one in own.groupby("quantity", sort=False):
            print(
                f"{name}: holds {share(int(one['holds'].sum()), len(one))}; half-width "
                f"{one['half'].mean():.1f}, mean error {one['error'].mean():+.1f}"
            )


if __name__ == "__main__":
    main()
