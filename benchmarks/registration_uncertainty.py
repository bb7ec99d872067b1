"""Uncertainty of registration: how often its intervals hold a displacement that is known.

    python benchmarks/registration_uncertainty.py [--patients 5 6] [--hearts 3 4] [--threads 1]

Two kinds of pairs whose displacement is known:

- fields: end-diastolic slices of ACDC patients (of those that the shipped segmentation was trained
  on), and the same slice through a smooth random diffeomorphism, both with noise and a brightness
  of their own; what counts is the heart and 10 mm around it.
- hearts: end-diastole and late systole of digital hearts, whose wall moves in closed form; what
  counts is the wall, within the plane.

What is fitted is fitted on the first units of each kind (patients, hearts) such that 90% intervals
hold 90% there, and measured on the last ones, on which nothing was chosen. Rows: `bayesian`
without a discrepancy, with the one fitted here, and with the one that is shipped; the spread of
`svf` over distances and stiffnesses, as it is and times a fitted factor; one fitted standard
deviation for all. Columns: coverage of 50% and 90% intervals, the median width of the latter,
Spearman's correlation of standard deviations with absolute errors, the mean negative log density of
the truth.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

import strain
from popscan.arrays.intensity import black_and_white
from popscan.protocols.cine_sax.simulate.motion import displacements_mm, material_points
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import anatomy_for
from popscan.register import register
from popscan.register.velocities import integrate
from popscan.segment import load_bundle
from registration import DATA, INPLANE_MM, SHIPPED, SIDE, middle, read_patient

#: What is shipped: of `bayesian`, and of stage motion.
SHIPPED_DISCREPANCY = {"fields": 0.1, "hearts": 0.35}
#: Naive peer: settings of `svf` whose results differ.
SPREAD = [
    {"distance": distance, "stiffness": stiffness}
    for distance, stiffnesses in (("mixed", (0.04, 0.08, 0.16)), ("mse", (0.005, 0.01, 0.02)))
    for stiffness in stiffnesses
]
LEVELS = {0.5: stats.norm.ppf(0.75), 0.9: stats.norm.ppf(0.95)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pair in a plane with its true displacement."""

    kind: str
    unit: str
    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    truth_mm: NDArray[np.float64]
    counts: NDArray[np.bool_]
    spacing_mm: tuple[float, float]


def random_field(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth random diffeomorphism of a crop in mm: a few centimetres and millimetres."""
    grid_mm = 6.0
    n = round((SIDE - 1) * INPLANE_MM / grid_mm) + 1
    velocity = rng.normal(size=(2, n, n))
    size_mm, width_mm = rng.uniform(1.5, 3.5), rng.uniform(10.0, 20.0)
    velocity = ndimage.gaussian_filter(velocity, (0, width_mm / grid_mm, width_mm / grid_mm))
    velocity *= size_mm / velocity.std()
    warp = integrate(
        np.moveaxis(velocity, 0, -1)[None], (SIDE, SIDE), spacing_mm=(INPLANE_MM, INPLANE_MM)
    )
    return np.asarray(warp.displacement_mm[0])


def scanned(image: NDArray, rng: np.random.Generator, noise: float) -> NDArray[np.float32]:
    """Add noise and a smooth brightness."""
    gain = ndimage.gaussian_filter(rng.normal(size=image.shape), 30.0)
    seen = image * (1 + 0.05 * gain / gain.std()) + rng.normal(scale=noise, size=image.shape)
    return seen.astype(np.float32)


def field_cases(data: Path, part: slice) -> Iterator[Case]:
    """Yield two slices of each patient."""
    held_out = set(load_bundle(SHIPPED).about["validation"]["subjects"])
    folders = [f for f in sorted((data / "acdc").glob("patient*")) if f.name not in held_out]
    for number, folder in list(enumerate(folders))[part]:
        rng = np.random.default_rng([17, number])
        ed = read_patient(folder)["ED"]
        low, high = black_and_white(ed.image)
        image = np.clip((middle(ed.image, ed.spacing_mm, order=1) - low) / (high - low), -0.5, 2)
        labels = middle(ed.labels, ed.spacing_mm, order=0)
        inside = np.flatnonzero((labels > 0).any(axis=(0, 1)))
        for z in np.quantile(inside, (0.3, 0.7)).round().astype(int):
            truth = random_field(rng)
            at = np.moveaxis(truth, -1, 0) / INPLANE_MM + np.indices((SIDE, SIDE))
            still = image[:, :, z]
            moved = ndimage.map_coordinates(still, at, order=3, mode="nearest")
            seen = ndimage.map_coordinates(labels[:, :, z], at, order=0) > 0
            distance = ndimage.distance_transform_edt(~seen) * INPLANE_MM
            noise = rng.uniform(0.01, 0.05)
            yield Case(
                kind="fields", unit=folder.name, truth_mm=truth.astype(np.float64),
                fixed=scanned(moved, rng, noise), moving=scanned(still, rng, noise),
                counts=distance <= 10.0, spacing_mm=(INPLANE_MM, INPLANE_MM),
            )  # fmt: skip


def heart_cases(part: slice) -> Iterator[Case]:
    """Yield three slices of each digital heart: end-diastole, and a third of the cycle later."""
    people = sample_population(30, seed=strain.SEED).to_dict("records")
    for person in people[part]:
        row = {str(key): value for key, value in person.items()}
        who = str(row["participant_id"])
        made = simulate_subject(
            row, seed=strain.SEED, kspace=False, matrix=(128, 128), spacing_mm=(1.8, 1.8),
            frames=3, slice_distance_mm=10.0, slice_thickness_mm=8.0,
        )  # fmt: skip
        anatomy = anatomy_for(row, rng=rng_for(strain.SEED, who, "anatomy"))
        affine, labels = made.scan.affine, made.labels.array[..., 0]
        low, high = np.percentile(made.scan.array, (1, 99))
        images = np.clip((made.scan.array - low) / (high - low), -0.5, 2).astype(np.float32)
        wall = np.flatnonzero((labels == 2).sum(axis=(0, 1)) > 100)
        for z in np.quantile(wall, (0.25, 0.5, 0.75)).round().astype(int):
            index = np.moveaxis(np.indices(labels.shape[:2]), 0, -1).reshape(-1, 2)
            points = np.column_stack([index, np.full(len(index), z), np.ones(len(index))])
            heart = ((points @ affine.T)[:, :3] - anatomy.base_mm) @ anatomy.axes
            depth, _, share = material_points(anatomy.heart, heart).T
            in_wall = (depth > 0) & (depth < 1) & (share > 0) & (share < 0.88)
            moved = displacements_mm(anatomy.heart, heart, phase=1 / 3) @ anatomy.axes.T
            truth = (moved @ np.linalg.inv(affine[:3, :3]).T)[:, :2] * made.scan.spacing_mm[:2]
            shape = labels.shape[:2]
            yield Case(
                kind="hearts", unit=who, truth_mm=truth.reshape(*shape, 2),
                fixed=images[:, :, z, 0], moving=images[:, :, z, 1],
                counts=in_wall.reshape(shape), spacing_mm=(1.8, 1.8),
            )  # fmt: skip


def measured(case: Case) -> dict[str, NDArray[np.float64]]:
    """Register a pair; errors and standard deviations (points, 2) where they count."""
    pair = {"spacing_mm": case.spacing_mm}
    images = case.fixed[None], case.moving[None]
    started = time.process_time()
    warp = register(*images, method="bayesian", discrepancy=0.0, **pair)
    seconds = time.process_time() - started
    started = time.process_time()
    best = register(*images, method="svf", **pair)
    svf_seconds = time.process_time() - started
    others = [register(*images, method="svf", **pair, **one) for one in SPREAD]
    spread = np.std([other.displacement_mm[0] for other in others], axis=0, ddof=1)
    held = {
        "error": warp.displacement_mm[0] - case.truth_mm,
        "svf_error": best.displacement_mm[0] - case.truth_mm,
        "sd": warp.sd_mm[0],
        "length": np.broadcast_to(
            np.linalg.norm(warp.displacement_mm[0], axis=-1, keepdims=True), case.truth_mm.shape
        ),
        "spread": spread,
        "truth": case.truth_mm,
    }
    times = {"seconds": np.array([seconds]), "svf_seconds": np.array([svf_seconds])}
    return {name: a[case.counts].ravel() for name, a in held.items()} | times


def fitted(error: NDArray, sd_of: Callable[[float], NDArray]) -> float:
    """Return the number with which 90% intervals hold 90% of the errors."""
    low, high = 0.0, 100.0
    for _ in range(50):
        middle_one = (low + high) / 2
        held = np.mean(np.abs(error) <= LEVELS[0.9] * sd_of(middle_one))
        low, high = (low, middle_one) if held >= 0.9 else (middle_one, high)
    return high


def row(name: str, error: NDArray, sd: NDArray, number: float) -> dict[str, object]:
    """Return what intervals of a normal distribution are worth."""
    sd = np.maximum(sd, 1e-3)
    off = np.abs(error) / sd
    return {
        "intervals": name, "fitted": number,
        **{f"{level:.0%} hold": np.mean(off <= z) for level, z in LEVELS.items()},
        "width mm": np.median(2 * LEVELS[0.9] * sd),
        "order": stats.spearmanr(sd, np.abs(error))[0] if np.ptp(sd) > 0 else np.nan,
        "-log density": np.mean(0.5 * off**2 + np.log(sd) + 0.5 * np.log(2 * np.pi)),
    }  # fmt: skip


def table(kind: str, known: list[dict], new: list[dict]) -> pd.DataFrame:
    """Fit on the first units, and measure on the others."""
    a, b = (
        {name: np.concatenate([one[name] for one in part]) for name in part[0]}
        for part in (known, new)
    )

    def joint(of: dict) -> Callable[[float], NDArray]:
        return lambda share: np.hypot(of["sd"], share * of["length"])

    share = fitted(a["error"], joint(a))
    factor = fitted(a["svf_error"], lambda f: f * a["spread"])
    constant = fitted(a["svf_error"], lambda sd: np.full_like(a["sd"], sd))
    shipped, alone = SHIPPED_DISCREPANCY[kind], np.full_like(b["sd"], constant)
    return pd.DataFrame([
        row("bayesian, no discrepancy", b["error"], b["sd"], np.nan),
        row("bayesian, discrepancy fitted", b["error"], joint(b)(share), share),
        row("bayesian, as shipped", b["error"], joint(b)(shipped), shipped),
        row("svf, spread of settings", b["svf_error"], b["spread"], np.nan),
        row("svf, spread, factor fitted", b["svf_error"], factor * b["spread"], factor),
        row("svf, one deviation for all", b["svf_error"], alone, constant),
    ])  # fmt: skip


def main() -> None:
    """Print one table per kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    for kind, default in (("patients", (5, 6)), ("hearts", (3, 4))):
        parser.add_argument(
            f"--{kind}",
            type=int,
            nargs=2,
            default=default,
            help="to fit on, and to measure; 0 leaves the kind out",
        )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    parts = {
        "fields": (lambda part: field_cases(arguments.data, part), arguments.patients),
        "hearts": (heart_cases, arguments.hearts),
    }
    for kind, (cases, (n_known, n_new)) in parts.items():
        if not n_known or not n_new:
            continue
        halves = []
        for part in (slice(n_known), slice(-n_new, None)):
            halves.append([])
            for case in cases(part):
                halves[-1].append(measured(case))
                print(".", end="", flush=True, file=sys.stderr)
        new = {name: np.concatenate([one[name] for one in halves[1]]) for name in halves[1][0]}
        errors = {n: np.sqrt(np.mean(new[n] ** 2)) for n in ("truth", "error", "svf_error")}
        print(
            f"\n{kind}: fitted on {len(halves[0])} pairs, measured on {len(halves[1])} others; "
            f"root mean square of the truth {errors['truth']:.2f} mm, of the error of bayesian "
            f"{errors['error']:.2f} mm, of svf {errors['svf_error']:.2f} mm; CPU "
            f"{np.median(new['seconds']):.2f} s and {np.median(new['svf_seconds']):.2f} s per pair"
        )
        shown = table(kind, *halves).set_index("intervals")
        print(shown.to_string(float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
