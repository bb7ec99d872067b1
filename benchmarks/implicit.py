"""Labels between slices: implicit shapes beside interpolated signed distances.

    python benchmarks/implicit.py --work DIR [--prior both|hearts] [--part patients hearts] [--n 14]

Trains the prior in DIR (three minutes on one core; gone on from when called again): on digital
hearts alone, or on them and the labels of ACDC's training patients. Then

- ``patients``: of every labelled stack of the validation patients every second slice is left out,
  20 mm lie between the others; Dice of the left-out slices between known ones, and beyond them.
- ``hearts``: digital hearts that the prior has not seen, in stacks every 10 mm whose slices are
  shifted in their plane, or not; Dice against the truth on a fine grid, errors of volumes, and how
  far the estimated shifts are from the true ones.

Reads ``$POPSCAN_DATA/acdc`` (by default ``../shared/data/acdc``).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from popscan.arrays.slice_interpolation import interpolated_labels, interpolated_volume_mm3
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.subject import NUMBERS, heart_for
from popscan.protocols.cine_sax.simulate.tissue import LABEL_OF
from popscan.segment.implicit import FittedShape, ImplicitShape, fit_shape
from popscan.segment.places import LabelledPoints, slice_points
from popscan.train.loop import fit
from popscan.train.packs import Case
from popscan.train.points import PointPack, point_pack
from popscan.train.recipe import Recipe, parse_recipe
from recipes_patients import patients

#: Shares of the cycle of the labelled frames: end-diastole, and end-systole as it is on average.
PHASES = (0.0, 0.37)
#: Points of a subject that are kept, and hearts in the prior.
N_POINTS, N_HEARTS = 20_000, 60
#: Corners of the box around a digital heart, in its coordinates (mm).
LOW, HIGH = np.array([-85.0, -55.0, -15.0]), np.array([50.0, 55.0, 125.0])
#: The wall with the cavity in it, then the cavity.
LAYERS = ((Label.RV,), (Label.MYO, Label.LV), (Label.LV,))
#: How a code is fitted, by name.
FITS: dict[str, dict[str, Any]] = {
    "code": {"steps": 150},
    "code and weights": {"steps": 150, "weight_steps": 150},
}
SHIFT_SD_MM = 3.0


def hearts(n: int, seed: int) -> list[Heart]:
    """Return digital hearts of the simulated population."""
    rows = sample_population(n, seed=seed).to_dict("records")
    return [
        heart_for(
            {name: float(row[name]) for name in NUMBERS},
            condition=str(row.get("truth_condition", "healthy")),
            rng=np.random.default_rng([seed, i]),
        )
        for i, row in enumerate(rows)
    ]


def truth(heart: Heart, places: NDArray[Any], phase: float) -> NDArray[np.uint8]:
    """Return the labels of places (..., 3) in heart coordinates."""
    flat = np.asarray(places, np.float32).reshape(-1, 3)
    return LABEL_OF[heart_tissue(heart.at(phase), *flat.T)].reshape(places.shape[:-1])


def heart_points(heart: Heart, rng: np.random.Generator) -> LabelledPoints:
    """Return points anywhere in the box, half of them at twelve phases, the rest at two."""
    places = rng.uniform(LOW, HIGH, (N_POINTS, 3)).astype(np.float32)
    phases = [0, PHASES[1], *np.linspace(0, 1, 12, endpoint=False)]
    phase = rng.choice(phases, N_POINTS).astype(np.float32)
    label = np.zeros(N_POINTS, np.uint8)
    for value in np.unique(phase):
        label[phase == value] = truth(heart, places[phase == value], float(value))
    none = np.zeros(N_POINTS, np.int64)
    return LabelledPoints(places_mm=places, phase=phase, label=label, slice_index=none)


def prior(root: Path, work: Path, kind: str) -> ImplicitShape:
    """Return the trained network."""
    packs: dict[str, PointPack] = {}
    if kind == "both":
        known = {
            f"a{i}": slice_points(case.labels.array, case.scan.spacing_mm, phases=PHASES)
            for i, case in enumerate(patients(root)[0])
        }
        packs["a"] = point_pack(known, n=N_POINTS, seed=0)
    rng = np.random.default_rng(1)
    made = {f"h{i}": heart_points(heart, rng) for i, heart in enumerate(hearts(N_HEARTS, 5))}
    packs["h"] = point_pack(made, n=N_POINTS, seed=1)
    how = recipe(packs)
    network = fit(how, packs, work / how.name).averaged
    assert isinstance(network, ImplicitShape)
    return network


def recipe(packs: Mapping[str, PointPack]) -> Recipe:
    """Return how the prior is trained."""
    subjects = sum(len(pack.unit) for pack in packs.values())
    return parse_recipe({
        "name": f"implicit_{''.join(packs)}", "task": "implicit", "architecture": "implicit",
        "architecture_arguments": {"subjects": subjects, "code": 48, "width": 96, "depth": 4,
                                   "waves": 3},
        "batch": 8, "patch": 1024, "steps": 3000, "labels": ["rv", "myo", "lv"],
        "learning_rate": 3e-3, "warmup_steps": 50, "weight_decay": 1e-4, "ema_decay": 0.995,
        "autocast": False, "checkpoint_every": 500, "log_every": 100, "clip_norm": 1.0,
    })  # fmt: skip


def dice(found: NDArray[Any], reference: NDArray[Any]) -> dict[str, float]:
    """Return Dice by structure; NaN where the reference has none."""
    scores = {}
    for code, name in STRUCTURES.items():
        p, t = found == code, reference == code
        scores[name] = float(2 * (p & t).sum() / (p.sum() + t.sum())) if t.any() else np.nan
    return scores


def left_out(case: Case, network: ImplicitShape) -> list[dict[str, Any]]:
    """Return Dice of every second slice of a patient, by method and frame."""
    labels, spacing = case.labels.array, case.scan.spacing_mm
    held = np.flatnonzero((labels > 0).any(axis=(0, 1, 3)))
    known = [z for z in range(labels.shape[2]) if (z - held[0]) % 2 == 0]
    out = [z for z in range(held[0], held[-1] + 1) if z not in known]
    near = (labels > 0).any(axis=(2, 3))
    window = tuple(
        np.arange(max(0, rows[0] - 20), min(len(along), rows[-1] + 21))
        for along in (near.any(axis=1), near.any(axis=0))
        for rows in [np.flatnonzero(along)]
    )
    points = slice_points(labels, spacing, phases=PHASES, slices=known)
    fitted: dict[str, tuple[FittedShape, float]] = {}
    for name, how in FITS.items():
        begun = time.process_time()
        fitted[name] = (fit_shape(network, points, **how), time.process_time() - begun)
    places = np.stack(np.meshgrid(*window, out, indexing="ij"), -1) * np.asarray(spacing[:3])
    rows = []
    for t, phase in enumerate(PHASES):
        part = labels[np.ix_(*window, range(labels.shape[2]), [t])][..., 0]
        found = {name: (f.labels_at(places, phase), s) for name, (f, s) in fitted.items()}
        begun = time.process_time()
        between = interpolated_labels(
            part[:, :, known], np.array(known) * spacing[2], np.array(out) * spacing[2],
            spacing_mm=spacing[:2], layers=LAYERS,
        )  # fmt: skip
        found["signed distances"] = (between, time.process_time() - begun)
        labelled = [z for z in known if part[:, :, z].any()]
        for name, (maps, seconds) in found.items():
            for i, z in enumerate(out):
                inside = bool(labelled) and labelled[0] < z < labelled[-1]
                scores = dice(maps[:, :, i], part[:, :, z])
                where = "between" if inside else "beyond"
                rows.append({"unit": case.unit, "method": name, "where": where, **scores,
                             "cpu_s": seconds})  # fmt: skip
    return rows


def print_patients(root: Path, network: ImplicitShape, n: int) -> None:
    """Print Dice of left-out slices."""
    rows = [row for case in patients(root)[1][:n] for row in left_out(case, network)]
    table = pd.DataFrame(rows)
    names = list(STRUCTURES.values())
    print("\nleft-out slices: Dice, mean over patients; slices; CPU seconds a patient")
    means = table.groupby(["where", "method", "unit"])[names].mean()
    print(means.groupby(["where", "method"]).mean().round(3).to_string())
    print(table[table.method == "code"].groupby("where").size().to_string())
    print(table.groupby("method").cpu_s.mean().round(2).to_string())
    for name in FITS:
        apart = means.loc["between", name] - means.loc["between", "signed distances"]
        better, mean = (apart > 0).sum().to_dict(), apart.mean().round(3).to_dict()
        print(f"{name} over signed distances, better in so many of {len(apart)}: {better}, {mean}")


def heart_rows(heart: Heart, network: ImplicitShape, *, sd_mm: float, seed: int) -> list[Any]:
    """Return errors of a digital heart in a stack whose slices are shifted by `sd_mm`."""
    rng = np.random.default_rng(seed)
    plane = [np.arange(LOW[k], HIGH[k], 2.0) for k in (0, 1)]
    levels = np.arange(LOW[2] + rng.uniform(0, 10), HIGH[2], 10.0)
    fine = np.arange(levels[0], levels[-1], 2.5)
    shifts = rng.normal(size=(len(levels), 2)) * sd_mm
    grid = np.stack(np.meshgrid(*plane, levels, indexing="ij"), -1)
    moved = grid - np.concatenate([shifts, np.zeros((len(levels), 1))], 1)[None, None]
    labels = np.stack([truth(heart, moved, phase) for phase in PHASES], -1)
    origin = np.array([LOW[0], LOW[1], levels[0]])
    points = slice_points(labels, (2.0, 2.0, 10.0), phases=PHASES)
    held = np.flatnonzero((labels > 0).any(axis=(0, 1, 3)))
    true_shift = shifts[held] - shifts[held].mean(axis=0)
    places = np.stack(np.meshgrid(*plane, fine, indexing="ij"), -1)
    rows = []
    fits = {name: (how, 0.0) for name, how in FITS.items()}
    fits |= {f"{name}, shifts": (how, SHIFT_SD_MM) for name, how in FITS.items()}
    found = {
        name: fit_shape(network, points, shift_sd_mm=shift, **how)
        for name, (how, shift) in fits.items()
    }
    for t, phase in enumerate(PHASES):
        reference = truth(heart, places, phase)
        maps = {name: one.labels_at(places - origin, phase) for name, one in found.items()}
        maps["signed distances"] = interpolated_labels(
            labels[..., t], levels, fine, spacing_mm=(2.0, 2.0), layers=LAYERS
        )
        exact = {"lv": heart.at(phase).lv_ml, "rv": heart.at(phase).rv_ml}
        exact["myo"] = heart.myocardium_ml
        for name, one in maps.items():
            volumes = {k: float((one == code).sum()) * 0.01 for code, k in STRUCTURES.items()}
            rows.append(_row(name, volumes, exact) | dice(one, reference))
            if name.endswith("shifts"):
                mine = np.array([found[name].shifts_mm[int(z)] for z in held])
                off = mine - mine.mean(axis=0) - true_shift
                rows[-1]["shift_rms_mm"] = float(np.sqrt(np.square(off).mean()))
        discs = {k: float((labels[..., t] == code).sum()) * 0.04 for code, k in STRUCTURES.items()}
        rows.append(_row("discs", discs, exact))
        volume = {
            layer[0]: interpolated_volume_mm3(np.isin(labels[..., t], layer), spacing_mm=(2, 2, 10))
            / 1000
            for layer in LAYERS
        }
        smooth = {"lv": volume[Label.LV], "rv": volume[Label.RV]}
        smooth["myo"] = volume[Label.MYO] - volume[Label.LV]
        rows.append(_row("interpolated volume", smooth, exact))
    return rows


def _row(name: str, volumes: Mapping[str, float], exact: Mapping[str, float]) -> dict[str, Any]:
    return {"method": name} | {
        f"{k}_pct": 100 * (volumes[k] / exact[k] - 1) for k in ("lv", "myo", "rv")
    }


def print_hearts(network: ImplicitShape, n: int) -> None:
    """Print errors of digital hearts."""
    for sd_mm in (0.0, SHIFT_SD_MM):
        rows = [
            row
            for i, heart in enumerate(hearts(n, 77))
            for row in heart_rows(heart, network, sd_mm=sd_mm, seed=i)
        ]
        table = pd.DataFrame(rows)
        errors = [f"{name}_pct" for name in ("lv", "myo", "rv")]
        grouped = table.groupby("method")
        mean = grouped[[*STRUCTURES.values(), "shift_rms_mm"]].mean().round(3)
        bias = grouped[errors].mean().round(1).add_suffix("_bias")
        absolute = grouped[errors].agg(lambda v: v.abs().mean()).round(1)
        print(f"\n{n} digital hearts, slices shifted by {sd_mm:g} mm (standard deviation)")
        print(pd.concat([mean, absolute, bias], axis=1).to_string(), flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the trained prior")
    parser.add_argument("--prior", choices=("both", "hearts"), default="both")
    parser.add_argument("--part", nargs="+", default=["patients", "hearts"])
    parser.add_argument("--n", type=int, default=14, help="patients, and digital hearts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("POPSCAN_DATA", default)) / "acdc"
    network = prior(root, arguments.work, arguments.prior)
    if "patients" in arguments.part:
        print_patients(root, network, arguments.n)
    if "hearts" in arguments.part:
        print_hearts(network, arguments.n)


if __name__ == "__main__":
    main()
