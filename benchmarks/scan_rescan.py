"""Volumes of one heart at two slice positions: limits of agreement by way of adding slices up.

    python benchmarks/scan_rescan.py --subjects 20 --positions 4 --seed 1

Three kinds of "rescan", each measured by summation of discs and by interpolation between slices in
label space (`biomarkers.between_slices: interpolated`):

- digital hearts, cut into stacks of 10 mm at random positions and small random tilts; truth is
  known in closed form;
- ACDC's expert labels and Sunnybrook's contours (LV; the cavity alone where no epicardium was
  drawn), every second slice: the even ones are one scan, the odd ones the other, at twice the slice
  distance. Nothing is interpolated to make them;
- the same scans, cut anew half a slice distance further, by linear interpolation of signed
  distances: at the distance of the scan, but the new slices come from a method akin to the tested.

Printed per quantity: bias, SD of the difference, limits of agreement (1.96 SD); for digital hearts
also bias and SD against truth.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from base import sunnybrook
from biomarkers import cut, random_hearts, show
from popscan.arrays.slice_interpolation import signed_distance_mm
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.stats.precision import limits_of_agreement
from segmentation import acdc_cases

QUANTITIES = ("lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml")
METHODS = ("discs", "interpolated")
Stack = tuple[np.ndarray, tuple[float, float, float]]


def values(stack: Stack, method: str) -> dict[str, float]:
    """Measure the two frames of a stack."""
    labels, spacing = stack
    found = measure(labels, spacing_mm=spacing, frame_labels=("ED", "ES"), between_slices=method)
    return {name: found[name] for name in QUANTITIES}


def every_second(labels: np.ndarray, spacing: tuple[float, float, float]) -> tuple[Stack, Stack]:
    """Even slices as one stack, odd ones as another."""
    doubled = (spacing[0], spacing[1], 2 * spacing[2])
    return (labels[:, :, ::2], doubled), (labels[:, :, 1::2], doubled)


def half_further(labels: np.ndarray, spacing: tuple[float, float, float]) -> tuple[Stack, Stack]:
    """Return the stack, and one half a slice distance further."""
    shape = (*labels.shape[:2], labels.shape[2] - 1, labels.shape[3])
    out = np.zeros(shape, np.uint8)
    nested = ((Label.RV,), (Label.MYO, Label.LV), (Label.LV,))
    for codes in nested:
        for t in range(shape[3]):
            mask = np.isin(labels[..., t], codes)
            fields = np.stack(
                [
                    signed_distance_mm(mask[:, :, z], spacing)
                    if mask[:, :, z].any()
                    else np.full(mask.shape[:2], -0.5 * spacing[2])
                    for z in range(mask.shape[2])
                ],
                axis=2,
            )
            inside = 0.5 * (fields[:, :, :-1] + fields[:, :, 1:]) > 0
            out[..., t][inside] = codes[0]
    return (labels, spacing), (out, spacing)


def real(folder: Path) -> Iterator[tuple[str, np.ndarray, tuple[float, float, float]]]:
    """Labels of ED and ES of real scans."""
    for case in acdc_cases(folder / "acdc"):
        part = labelled_part(case)
        yield "ACDC", part.labels.array, part.scan.spacing_mm
    for pair in sunnybrook(folder):
        yield "Sunnybrook", pair.truth, pair.scan.spacing_mm


def summary(pairs: list[tuple[Stack, Stack]]) -> pd.DataFrame:
    """Agreement of both ways over pairs of stacks."""
    rows = {}
    found = {m: [tuple(values(stack, m) for stack in pair) for pair in pairs] for m in METHODS}
    for name in QUANTITIES:
        row: dict[str, float | str] = {}
        for method in METHODS:
            first, second = (np.array([v[k][name] for v in found[method]]) for k in (0, 1))
            one = limits_of_agreement(first, second)
            row |= {
                f"{method}: bias": one.bias,
                f"{method}: SD": one.sd,
                f"{method}: limits": f"{one.loa_low:.1f} to {one.loa_high:.1f}",
            }
        rows[name] = row
    return pd.DataFrame(rows).T


def digital(count: int, positions: int, *, seed: int) -> tuple[list, pd.DataFrame]:
    """Pairs of stacks of digital hearts, and the errors against truth."""
    pairs, errors = [], []
    for number, (heart, truth) in enumerate(random_hearts(count, seed=seed)):
        stacks = [
            (
                cut(
                    heart, voxel_mm=1.8, distance_mm=10.0, thickness_mm=8.0,
                    rng=np.random.default_rng([seed, number, k]),
                ),
                (1.8, 1.8, 10.0),
            )
            for k in range(2 * positions)
        ]  # fmt: skip
        pairs += list(zip(stacks[::2], stacks[1::2], strict=True))
        for method in METHODS:
            for stack in stacks:
                found = values(stack, method)
                errors.append({"method": method} | {k: found[k] - truth[k] for k in QUANTITIES})
    groups = pd.DataFrame(errors).groupby("method")
    table = groups.mean().T.add_suffix(": bias").join(groups.std().T.add_suffix(": SD"))
    return pairs, table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--positions", type=int, default=2, help="pairs per digital heart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    options = parser.parse_args()
    pairs, errors = digital(options.subjects, options.positions, seed=options.seed)
    show(f"Digital hearts, 10 mm, {len(pairs)} pairs", summary(pairs))
    show("Digital hearts: error against truth", errors)
    data = options.data or Path(os.environ.get("POPSCAN_DATA", "../shared/data"))
    stacks: dict[str, list] = {}
    for name, labels, spacing in real(data):
        stacks.setdefault(name, []).append((labels, spacing))
    for name, scans in stacks.items():
        thin = [one for one in scans if one[1][2] <= 6.0]
        for title, chosen in ((f"{name}", scans), (f"{name}, slices of 6 mm or less", thin)):
            if len(chosen) < 3:
                continue
            halves = [every_second(*one) for one in chosen]
            show(f"{title}: even against odd slices, {len(halves)} scans", summary(halves))
        further = [half_further(*one) for one in scans]
        show(f"{name}: half a slice distance further, {len(further)} scans", summary(further))


if __name__ == "__main__":
    main()
