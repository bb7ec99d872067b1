"""A bundle whose detector also knows simulated hearts after reconstruction; measured, not shipped.

    python benchmarks/reconstructed_detector.py --out DIR
    python benchmarks/ood.py --model DIR --beside resources/models/cine_sax --study results/demo

Renders hearts with k-space (accelerations of 2 to 4, several noise levels, no faults), reconstructs
them with CG-SENSE, and stores where they lie in the network's features as a third kind beside
patients and simulated hearts. No network was trained on them. What it brings and costs is in
docs/segmentation.md ("Scans unlike the training").
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.recon import reconstruct
from popscan.records import LabelMap
from popscan.segment import load_bundle, ood
from popscan.segment.trainingfile import write_training
from popscan.train.known import seen_by_network, spaces_of
from popscan.train.packs import Case

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
#: Number of the kind: patients are 0, simulated hearts 1.
KIND = 2
#: What these cases are called, before their number.
PREFIX = "train-reconstructed-"
N_RECONSTRUCTED = 30
SEED = 2046
#: Net accelerations, in turn, and the range of the noise in units of the scanner's usual one.
ACCELERATIONS = (2.0, 3.0, 4.0)
_NOISE = (0.8, 1.5)
_FIELD_MM = (230.4, 294.4)


def reconstructed_case(index: int, *, seed: int = SEED, matrix: int = 128) -> Case:
    """Return one simulated heart, reconstructed from k-space, at end-diastole and end-systole.

    Scanner, spacing, slice distance, acceleration and noise vary from heart to heart; there are no
    faults.

    Parameters
    ----------
    index, seed
        Which heart of which population.
    matrix
        In-plane voxels, each way.

    Returns
    -------
    Case
        Two frames, named ED and ES, with the true labels.
    """
    rng = np.random.default_rng([seed, index])
    row = {str(k): v for k, v in sample_population(index + 1, seed=seed).iloc[index].items()}
    spacing = float(rng.uniform(*_FIELD_MM)) / matrix
    found = simulate_subject(
        {**row, "truth_noise_factor": float(rng.uniform(*_NOISE))},
        seed=seed,
        matrix=(matrix, matrix),
        spacing_mm=(spacing, spacing),
        frames=12,
        slice_distance_mm=float(rng.uniform(8, 10)),
        acceleration=ACCELERATIONS[index % len(ACCELERATIONS)],
    )
    assert found.kspace is not None
    scan = reconstruct(found.kspace, method="cg_sense")
    cavity = (found.labels.array == int(Label.LV)).sum(axis=(0, 1, 2))
    frames = [int(cavity.argmax()), int(cavity.argmin())]
    meta = {**scan.meta, "frame_labels": ["ED", "ES"]}
    return Case(
        unit=f"{PREFIX}{seed}-{index:03d}",
        scan=replace(scan, array=scan.array[..., frames], frame_times_ms=None, meta=meta),
        labels=LabelMap(array=found.labels.array[..., frames], frames=(0, 1)),
        attributes={"group": "simulated"},
    )


def main() -> None:
    """Write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    parser.add_argument("--hearts", type=int, default=N_RECONSTRUCTED)
    given = parser.parse_args()
    shutil.copytree(given.model, given.out)
    cases = [reconstructed_case(index) for index in range(given.hearts)]
    seen = seen_by_network(cases, load_bundle(given.model, "cpu"), segmenter=segment)
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, space in spaces_of(seen, [case.subject for case in cases]).items():
        arrays |= space.arrays(f"{ood.PREFIX}.{KIND}.{name}")
        print(f"{name}: limit {space.limit:.2f}")
    write_training(given.out, arrays)


if __name__ == "__main__":
    main()
