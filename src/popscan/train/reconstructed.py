"""Simulated hearts as they look after reconstruction, for a bundle's detector.

A network that was trained on simulated images measures simulated studies with k-space too, but
undersampling, the coils' noise and the reconstruction leave traces that no training image has.
These hearts took no part in the training; they only say how far such scans may lie.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.recon import reconstruct
from popscan.records import LabelMap
from popscan.train.packs import Case

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


def reconstructed_cases() -> list[Case]:
    """Return the hearts by which the shipped bundle's detector knows reconstructed images."""
    return [reconstructed_case(index) for index in range(N_RECONSTRUCTED)]
