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

With `--images FILE`, even and odd slices are segmented by the shipped network, on the patients of
ACDC that it was not trained on, on Sunnybrook's and on images of `--hearts` digital hearts (slices
of 8 mm every 5 mm, so that each half has the usual 10): as they are; after a slice was put between
each two, by linear interpolation of the images; and by registration, each neighbour taken half the
distance to the other (stationary velocity fields) and both averaged. The outermost slices are then
half as thick as before; "ends kept" counts them as thick as they were. FILE keeps the volumes, and
scans in it are not segmented again: `--most` adds some at a time.

Printed per quantity: bias, SD of the difference, limits of agreement (1.96 SD); for digital hearts
also bias and SD against truth.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from base import sunnybrook
from biomarkers import cut, random_hearts, show
from popscan.arrays.slice_interpolation import signed_distance_mm
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.records import Scan
from popscan.register import register
from popscan.segment import load_bundle
from popscan.stats.precision import limits_of_agreement
from segmentation import acdc_cases

MODEL = Path(__file__).parents[1] / "resources" / "models" / "cine_sax"
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


def between_linear(first: np.ndarray, second: np.ndarray, *, spacing_mm: float) -> np.ndarray:
    """Mean of neighbours (x, y, n)."""
    del spacing_mm
    return 0.5 * (first + second)


def between_registered(first: np.ndarray, second: np.ndarray, *, spacing_mm: float) -> np.ndarray:
    """Both neighbours (x, y, n), each taken half the distance to the other, averaged."""
    one, other = (np.moveaxis(image, -1, 0).astype(np.float32) for image in (first, second))
    top = max(float(np.percentile(one, 99.5)), float(np.percentile(other, 99.5)), 1e-6)
    warp = register(one / top, other / top, method="svf", spacing_mm=(spacing_mm, spacing_mm))
    half = 0.5 * np.asarray(warp.displacement_mm)
    free = {"inverse_mm": None, "velocity_mm": None, "sd_mm": None}
    moved = [
        replace(warp, displacement_mm=field, **free).images(image)
        for field, image in ((-half, one), (half, other))
    ]
    return np.moveaxis(0.5 * (moved[0] + moved[1]), 0, -1)


Between = Callable[..., np.ndarray]
BETWEEN: dict[str, Between | None] = {
    "as they are": None, "images, linear": between_linear, "images, registered": between_registered,
}  # fmt: skip
BY_LABELS = "labels, interpolated"


def with_between(scan: Scan, method: str) -> Scan:
    """Return a scan with a slice put between each two, at half the distance."""
    between = BETWEEN[method]
    if between is None:
        return scan
    array = scan.array.astype(np.float32)
    made = np.empty((*array.shape[:2], 2 * array.shape[2] - 1, array.shape[3]), np.float32)
    made[:, :, ::2] = array
    for t in range(array.shape[3]):
        made[:, :, 1::2, t] = between(
            array[:, :, :-1, t], array[:, :, 1:, t], spacing_mm=scan.spacing_mm[0]
        )
    affine = scan.affine.copy()
    affine[:3, 2] *= 0.5
    return replace(
        scan, array=made, affine=affine, spacing_mm=(*scan.spacing_mm[:2], scan.spacing_mm[2] / 2)
    )


def ends_kept(labels: np.ndarray, spacing: tuple[float, float, float]) -> Stack:
    """Labels of `with_between` whose outermost slices are as thick as those of the scan."""
    twice = np.pad(np.repeat(labels, 2, axis=2), ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
    return twice, (spacing[0], spacing[1], 0.5 * spacing[2])


def every_second_scan(scan: Scan) -> list[Scan]:
    """Even slices as one scan, odd ones as another."""
    out = []
    for start in (0, 1):
        affine = scan.affine.copy()
        affine[:3, 3] += start * affine[:3, 2]
        affine[:3, 2] *= 2
        spacing = (*scan.spacing_mm[:2], 2 * scan.spacing_mm[2])
        out.append(
            replace(scan, array=scan.array[:, :, start::2], affine=affine, spacing_mm=spacing)
        )
    return out


def imaged(folder: Path, hearts: int, *, seed: int) -> Iterator[tuple[str, str, Scan, np.ndarray]]:
    """Yield source, name, ED and ES and their labels of scans that the network never saw."""
    held_out = set(load_bundle(MODEL, "cpu").about["validation"]["subjects"])
    for case in acdc_cases(folder / "acdc"):
        if case.unit in held_out:
            part = labelled_part(case)
            yield "ACDC", case.unit, part.scan, part.labels.array
    for pair in sunnybrook(folder):
        yield "Sunnybrook", pair.unit, pair.scan, pair.truth
    rows = sample_population(hearts, seed=seed) if hearts else pd.DataFrame()
    for _, row in rows.iterrows():
        made = simulate_subject(
            row.to_dict(), seed=seed, kspace=False, matrix=(160, 160), spacing_mm=(1.8, 1.8),
            frames=8, slice_distance_mm=5.0,
        )  # fmt: skip
        two = [0, 3]
        scan = replace(made.scan, array=made.scan.array[..., two], frame_times_ms=None)
        yield "digital", str(row["participant_id"]), scan, made.labels.array[..., two]


def segmented(scans: Iterable[tuple[str, str, Scan, np.ndarray]], keep: Path, *, most: int) -> None:
    """Add to `keep` what the shipped network makes of even and odd slices of scans."""
    bundle = load_bundle(MODEL, "auto")
    done = set(_kept(keep)[["source", "name"]].itertuples(index=False, name=None))
    for source, name, scan, labels in scans:
        if (source, name) in done:
            continue
        if not most:
            return
        most -= 1
        one = {"source": source, "name": name}
        rows = [one | {"method": "truth", "half": -1} | values((labels, scan.spacing_mm), "discs")]
        for half, part in enumerate(every_second_scan(scan)):
            for method in BETWEEN:
                more = with_between(part, method)
                stack = segment(more, bundle=bundle).labels, more.spacing_mm
                here = one | {"half": half}
                rows.append(here | {"method": method} | values(stack, "discs"))
                if BETWEEN[method] is None:
                    rows.append(here | {"method": BY_LABELS} | values(stack, "interpolated"))
                else:
                    kept = values(ends_kept(*stack), "discs")
                    rows.append(here | {"method": f"{method}, ends kept"} | kept)
        table = pd.concat([_kept(keep), pd.DataFrame(rows)])
        table.to_csv(keep, sep="\t", index=False)
        print(source, name, flush=True)


def _kept(keep: Path) -> pd.DataFrame:
    columns = ["source", "name", "method", "half", *QUANTITIES]
    return pd.read_csv(keep, sep="\t") if keep.exists() else pd.DataFrame(columns=columns)


def show_segmented(keep: Path) -> None:
    """Print agreement of even and odd slices, and how far their mean is off the labels' volume."""
    for source, part in _kept(keep).groupby("source"):
        by = part.set_index(["name", "method", "half"])[list(QUANTITIES)]
        truth = by.xs(("truth", -1), level=("method", "half"))
        table: dict[str, dict[str, str]] = {}
        for method in part.loc[part["half"] == 0, "method"].drop_duplicates():
            first, second = (by.xs((method, k), level=("method", "half")) for k in (0, 1))
            off = 0.5 * (first + second) - truth
            for name in QUANTITIES:
                one = limits_of_agreement(first[name].to_numpy(), second[name].to_numpy())
                error = f"{off[name].mean():+.1f} ± {off[name].std():.1f}"
                table.setdefault(name, {})[method] = f"{one.bias:+.1f} ± {one.sd:.1f}; {error}"
        show(
            f"{source}, {len(truth)} scans, even against odd slices, segmented: "
            "difference; error of the mean of both",
            pd.DataFrame(table).T,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--positions", type=int, default=2, help="pairs per digital heart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    parser.add_argument("--images", type=Path, help="table of segmented scans, added to")
    parser.add_argument("--most", type=int, default=100, help="scans added to it")
    parser.add_argument("--hearts", type=int, default=0, help="digital hearts that are segmented")
    options = parser.parse_args()
    if options.images:
        data = options.data or Path(os.environ.get("POPSCAN_DATA", "../shared/data"))
        segmented(
            imaged(data, options.hearts, seed=options.seed), options.images, most=options.most
        )
        show_segmented(options.images)
        return
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
