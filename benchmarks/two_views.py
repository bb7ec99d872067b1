"""How far LV volumes of the long and of the short axis differ in one visit, and which errors show.

    python benchmarks/two_views.py --hearts 40 --seed 1 --out FILE [--most N] [--networks]

Digital hearts at clinical resolution (1.8 mm, planes 6 mm thick, short-axis slices of 8 mm every
10 mm, 12 frames) are measured in both views of one visit: from true labels; and as labels are
drawn, outlines that wander by 1 mm (SD) in both views and basal slices counted wholly or not at
all. Their difference, long less short axis, is what measurement explains: the limits of `cine_lax`
(`popscan.protocols.cine_lax.limits`) are mean ± 2.74 SD of 40 drawn ones of seed 1, within which
99% of new ones are expected (Student's t of 39 degrees of freedom, times sqrt(1 + 1/40)).
Another seed gives the false alarms, and what of spoilt short-axis labels is found: the basal slice
missing at ED, at ES or always, one above the base counted, the cavity 2 mm too large or too small.
With ``--networks`` the shipped bundles segment both views. FILE keeps rows; hearts in it are not
made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from biomarkers import show
from long_axis import MATRIX, PIXEL_MM, as_read
from popscan.protocols.cine_lax.biomarkers import measure
from popscan.protocols.cine_lax.limits import LIMITS
from popscan.protocols.cine_lax.segmentation import segment as segment_planes
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.biomarkers.sax import measure as measure_stack
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment as segment_stack
from popscan.protocols.cine_sax.simulate.faults import blur_labels
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject as short_axis
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.segment.bundle import load_bundle
from popscan.stages.segment.bundles import bundle_path
from popscan.stats.intervals import wilson

FRAMES, NOISE_MM = 12, 1.0
QUANTITIES = ("lvedv_ml", "lvesv_ml", "lvef_pct")
GRID: dict[str, Any] = {
    "matrix": (MATRIX, MATRIX), "spacing_mm": (PIXEL_MM, PIXEL_MM), "frames": FRAMES,
}  # fmt: skip
TRUE, DRAWN, NETWORKS = "true labels", "as drawn", "networks"


def drawn(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels (x, y, z, t) whose outlines wander."""
    out = blur_labels(
        codes.transpose(3, 2, 0, 1), spacing_mm=(PIXEL_MM, PIXEL_MM), noise_mm=NOISE_MM, rng=rng
    )
    return np.ascontiguousarray(out.transpose(2, 3, 1, 0))


def read(codes: np.ndarray) -> np.ndarray:
    """Labels whose basal slices are counted wholly or not at all, frame by frame."""
    return np.stack([as_read(codes[..., t]) for t in range(codes.shape[3])], axis=3)


def resized(codes: np.ndarray, frames: list[int], grow_mm: float) -> np.ndarray:
    """Labels whose cavity is too large or too small at some frames."""
    out = codes.copy()
    reach = abs(grow_mm) / PIXEL_MM
    for t in frames:
        for z in range(codes.shape[2]):
            cavity = codes[:, :, z, t] == Label.LV
            if not cavity.any():
                continue
            if grow_mm > 0:
                near = ndimage.distance_transform_edt(~cavity) <= reach
                out[:, :, z, t][near] = Label.LV
            else:
                lost = cavity & (ndimage.distance_transform_edt(cavity) <= reach)
                out[:, :, z, t][lost] = Label.MYO
    return out


def without_base(codes: np.ndarray, frames: list[int]) -> np.ndarray:
    """Labels without their most basal slice at some frames."""
    out = codes.copy()
    for t in frames:
        held = np.flatnonzero((codes[..., t] == Label.LV).any(axis=(0, 1)))
        if held.size:
            out[:, :, held[0], t] = 0
    return out


def with_more(codes: np.ndarray, frames: list[int]) -> np.ndarray:
    """Labels whose most basal slice is counted twice, one slice higher, too."""
    out = codes.copy()
    for t in frames:
        held = np.flatnonzero((codes[..., t] == Label.LV).any(axis=(0, 1)))
        if held.size and held[0]:
            out[:, :, held[0] - 1, t] = codes[:, :, held[0], t]
    return out


def spoilt(codes: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield short-axis labels with an error, and its name."""
    sizes = (codes == Label.LV).sum(axis=(0, 1, 2))
    whole = list(range(codes.shape[3]))
    late = [t for t in whole if sizes[t] < 0.5 * (sizes.max() + sizes.min())]
    early = [t for t in whole if t not in late]
    yield "basal slice missing", without_base(codes, whole)
    yield "basal slice missing, diastole", without_base(codes, early)
    yield "basal slice missing, systole", without_base(codes, late)
    yield "a slice too many", with_more(codes, whole)
    yield "a slice too many, systole", with_more(codes, late)
    for grow in (2.0, -2.0):
        name = "too large" if grow > 0 else "too small"
        yield f"cavity 2 mm {name}", resized(codes, whole, grow)
        yield f"cavity 2 mm {name}, systole", resized(codes, late, grow)


def rows_of(row: Mapping[str, Any], *, seed: int, networks: bool) -> list[dict[str, Any]]:
    """Measure one heart in both views."""
    planes = simulate_subject(row, seed=seed, **GRID)
    stack = short_axis(row, seed=seed, kspace=False, **GRID)
    who = str(row["participant_id"])

    def both(case: str, lax: np.ndarray, sax: np.ndarray) -> dict[str, Any]:
        one = measure(lax, meta=planes.scan.meta)
        other = measure_stack(sax, spacing_mm=stack.scan.spacing_mm)
        return {
            "unit": who, "case": case,
            **{f"lax_{q}": one[q] for q in QUANTITIES},
            **{f"sax_{q}": other[q] for q in QUANTITIES},
            **{f"true_{q}": stack.truth[q] for q in QUANTITIES},
        }  # fmt: skip

    lax, sax = planes.labels.array, stack.labels.array
    out = [both(TRUE, lax, sax)]
    lax = drawn(lax, rng_for(seed, who, "outlines"))
    sax = drawn(read(sax), rng_for(seed, who, "outlines of the stack"))
    out.append(both(DRAWN, lax, sax))
    out += [both(name, lax, codes) for name, codes in spoilt(sax)]
    if networks:
        found = segment_planes(planes.scan, bundle=load_bundle(bundle_path("cine_lax"), "cpu"))
        other = segment_stack(stack.scan, bundle=load_bundle(bundle_path("cine_sax"), "cpu"))
        out.append(both(NETWORKS, found.labels, other.labels))
    return out


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Long less short axis: volumes in percent of the mean of both, LVEF in points."""
    out = rows[["unit", "case"]].copy()
    for q in QUANTITIES:
        one, other = rows[f"lax_{q}"], rows[f"sax_{q}"]
        out[q] = one - other if q == "lvef_pct" else 200.0 * (one - other) / (one + other)
    return out


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hearts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="table of rows, added to")
    parser.add_argument("--most", type=int, default=1000, help="hearts added to it")
    parser.add_argument("--networks", action="store_true", help="segment both views, too")
    options = parser.parse_args()
    kept = pd.read_csv(options.out, sep="\t") if options.out.exists() else pd.DataFrame()
    done = set(kept["unit"]) if len(kept) else set()
    population = sample_population(options.hearts, seed=options.seed).to_dict("records")
    for row in [r for r in population if r["participant_id"] not in done][: options.most]:
        made = rows_of(row, seed=options.seed, networks=options.networks)
        kept = pd.concat([kept, pd.DataFrame(made)], ignore_index=True)
        kept.to_csv(options.out, sep="\t", index=False)
    off = differences(kept)
    groups = off.groupby("case", sort=False)[list(QUANTITIES)]
    n = off["unit"].nunique()
    table = groups.mean().round(1).astype(str) + " ± " + groups.std().round(1).astype(str)
    show(f"Long less short axis, {n} hearts: percent of the mean, points", table)
    clean = off[off["case"] == DRAWN][list(QUANTITIES)]
    m = len(clean)
    reach = float(stats.t.ppf(0.995, m - 1)) * np.sqrt(1 + 1 / m) * clean.std() if m > 1 else np.nan
    low, high = clean.mean() - reach, clean.mean() + reach
    show(
        "Limits of drawn labels, 99% of new hearts",
        pd.DataFrame({"low": low, "high": high}).round(1),
    )
    limits = {one.column: one for one in LIMITS}
    if limits:
        beyond = pd.DataFrame(
            {q: (off[q] < limits[q].low) | (off[q] > limits[q].high) for q in QUANTITIES}
        )
        hit = beyond.any(axis=1).groupby(off["case"], sort=False)
        found = {}
        for case, k, m in zip(hit.sum().index, hit.sum(), hit.size(), strict=True):
            a, b = wilson(int(k), int(m), alpha=0.05)
            found[case] = {"flagged": f"{k} of {m} ({100 * a:.0f} to {100 * b:.0f}%)"}
        show("Flagged by the limits of cine_lax", pd.DataFrame(found).T)


if __name__ == "__main__":
    main()
