"""Simulated hearts that models of short-axis cines are trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.labels import Label
from popscan.records import LabelMap
from popscan.train.packs import Case

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle

#: Seed of the split and of the simulated population.
SEED = 2026
N_SIMULATED = 24
#: Seed and number of the simulated hearts whose stacks begin high in the atria.
HIGH_SEED = 2036
N_HIGH = 14


def whole_or_empty(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which slices of which frames (z, t) no valve plane cuts.

    Simulated truth ends at an oblique valve plane, in the middle of a slice; experts label a slice
    wholly or not at all. Slices cut like this would teach a convention that nobody follows.
    A slice counts as whole from the first one on whose cavities are both nearly as large as in
    the slice below; above the valves, slices without any label are kept.

    Parameters
    ----------
    labels
        (x, y, z, t), base first.
    """
    areas = np.stack([(labels == int(k)).sum(axis=(0, 1)) for k in (Label.RV, Label.LV)])
    whole = ((areas[:, :-1] >= 0.93 * areas[:, 1:]) & (areas[:, :-1] > 0)).all(axis=0)
    below_valves = np.logical_or.accumulate(whole, axis=0)
    below_valves = np.concatenate([below_valves, below_valves[-1:]])
    return below_valves | ~(labels != int(Label.BACKGROUND)).any(axis=(0, 1))


def simulated_case(index: int, *, seed: int = SEED) -> Case:
    """Return one simulated heart: a frame at end-diastole and one near end-systole.

    Spacing, slice distance and noise vary from heart to heart, as they do between hospitals.
    """
    rng = np.random.default_rng([seed, index])
    spacing = float(rng.uniform(1.3, 2.2))
    return _rendered(
        index,
        seed=seed,
        spacing_mm=spacing,
        side_mm=float(rng.uniform(300, 370)),
        slice_distance_mm=float(rng.uniform(7, 11)),
        slice_thickness_mm=float(rng.uniform(6, 8)),
        noise=float(rng.uniform(0.02, 0.09)),
        tilt_sd_deg=4.0,
    )


def simulated_high_case(index: int, *, seed: int = HIGH_SEED) -> Case:
    """Return a simulated heart as `simulated_case`, its stack begun up to three slices higher."""
    rng = np.random.default_rng([seed, index])
    spacing = max(1.3, float(rng.uniform(0.9, 2.2)))
    return _rendered(
        index,
        seed=seed,
        spacing_mm=spacing,
        side_mm=float(rng.uniform(240, 330)),
        slices_above=int(rng.integers(1, 4)),
        slice_distance_mm=float(rng.uniform(7, 12)),
        slice_thickness_mm=float(rng.uniform(6, 8)),
        noise=float(rng.uniform(0.02, 0.09)),
        tilt_sd_deg=6.0,
    )


def _rendered(index: int, *, seed: int, spacing_mm: float, side_mm: float, **options: Any) -> Case:
    """Return one heart of a simulated population of many diseases."""
    from popscan.protocols.cine_sax.simulate.population import sample_population
    from popscan.protocols.cine_sax.simulate.scan import simulate_subject

    conditions = {"dilated": 0.2, "hypertrophic": 0.2, "infarct": 0.15, "rv_dilated": 0.15}
    population = sample_population(index + 1, seed=seed, conditions=conditions)
    row = {str(k): v for k, v in population.iloc[index].items()}
    side = 2 * round(side_mm / spacing_mm / 2)
    found = simulate_subject(
        row,
        seed=seed,
        kspace=False,
        matrix=(side, side),
        spacing_mm=(spacing_mm, spacing_mm),
        frames=3,
        fine=(2, 2),
        **options,
    )
    # A third of the cycle after end-diastole is close to end-systole at any heart rate.
    truth = found.labels.array[..., :2]
    return Case(
        unit=_simulated_unit(index, seed),
        scan=replace(found.scan, array=found.scan.array[..., :2]),
        labels=LabelMap(array=truth, frames=(0, 1)),
        attributes={"group": "simulated"},
        usable=whole_or_empty(truth),
    )


def simulated_cases(bundle: Bundle) -> list[Case]:
    """Return the simulated hearts that a bundle was trained on, made again."""
    makers = (
        (simulated_case, N_SIMULATED, SEED),
        (simulated_high_case, N_HIGH, HIGH_SEED),
    )
    return [
        make(i)
        for make, n, seed in makers
        for i in range(n)
        if bundle.was_trained_on(_simulated_unit(i, seed))
    ]


def _simulated_unit(index: int, seed: int) -> str:
    return f"train-simulated-{seed}-{index:03d}"
