"""What the check `slice_order` finds of stacks in a wrong order, and what it flags in vain.

    python benchmarks/slice_order.py [--data DIR] [--simulated N]

The limit was chosen on the ACDC patients that the segmentation was trained on (*chosen on*); the
other rows are ACDC's validation patients, scans of other makers (Sunnybrook; one examination with
slices 18 mm apart) and digital hearts. Every stack is judged as it is, and in wrong orders: each
pair of neighbours exchanged (*inner*, and *outermost* where one of them has one neighbour alone);
even slices before odd ones (*interleaved*); the second half first (*rotated*); sorted by names
without leading zeros (*names*, 10 slices and more); *shuffled*.

Shares are of orders, with 95% intervals of Wilson; orders of one stack hang together, so these are
too narrow for all but *as it is*.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from base import SHIPPED, sunnybrook
from popscan.io.dicom import Dicom
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.qc import CHECKS
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.qc.context import ScanContext
from popscan.qc.order import LEAST_SLICES, best_move, likeness
from popscan.records import Scan
from popscan.segment import load_bundle
from popscan.stats.intervals import wilson
from segmentation import acdc_cases

SEED = 778
CHOSEN_ON = "ACDC training (chosen on)"


def scans(data: Path, n_simulated: int) -> Iterator[tuple[str, Scan]]:
    """Yield the part that a scan belongs to, and the scan."""
    held_out = set(load_bundle(SHIPPED).about["validation"]["subjects"])
    for case in acdc_cases(data / "acdc"):
        yield "ACDC validation" if case.unit in held_out else CHOSEN_ON, case.scan
    for pair in sunnybrook(data):
        yield "Sunnybrook", pair.scan
    exam = Dicom(get_protocol("cine_sax")).load([str(data / "cine_exam" / "patient1")])
    yield "cine_exam", exam.scans["sax"]
    for i, row in enumerate(sample_population(n_simulated, seed=SEED).to_dict("records")):
        gap = (8.0, 10.0)[i % 2]
        yield "digital hearts", simulate_subject(
            {**row, "fault": ""}, seed=SEED, kspace=False, spacing_mm=(1.8, 1.8), frames=10,
            slice_distance_mm=gap, slice_thickness_mm=gap - 1.0,
        ).scan  # fmt: skip


def orders(n: int, rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield wrong orders of `n` slices, by kind."""
    right = np.arange(n)
    for i in range(n - 1):
        order = right.copy()
        order[[i, i + 1]] = order[[i + 1, i]]
        yield "outermost" if i in (0, n - 2) else "inner", order
    yield "interleaved", np.r_[right[::2], right[1::2]]
    yield "rotated", np.roll(right, n // 2)
    if n >= 10:
        yield "names", np.array(sorted(right, key=lambda z: str(z + 1)))
    yield "shuffled", rng.permutation(n)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    data = os.environ.get("POPSCAN_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--simulated", type=int, default=24)
    arguments = parser.parse_args()
    limit = CHECKS["slice_order"].review
    rng = np.random.default_rng(0)
    flagged: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for part, scan in scans(arguments.data, arguments.simulated):
        context = ScanContext(scan)
        if context.n_slices < LEAST_SLICES or context.blank_planes.any():
            flagged[part]["not assessed"].append(True)
            continue
        similarity = likeness(context.mean_image, context.spacing_mm[:2])
        flagged[part]["as it is"].append(best_move(similarity)[0] > limit)
        for kind, order in orders(len(similarity), rng):
            flagged[part][kind].append(best_move(similarity[np.ix_(order, order)])[0] > limit)
    for part, kinds in flagged.items():
        print(part)
        for kind, hits in kinds.items():
            low, high = wilson(sum(hits), len(hits), alpha=0.05)
            words = f"{sum(hits)} of {len(hits)}"
            interval = f"({100 * low:.1f} to {100 * high:.1f})"
            print(f"  {kind:12s} {words:>12s}  {100 * sum(hits) / len(hits):5.1f}%  {interval}")


if __name__ == "__main__":
    main()
