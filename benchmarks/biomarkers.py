"""Biomarkers against analytic truth, beside an independent computation, and where errors come from.

Random hearts of the digital population are cut into short-axis stacks: every voxel gets the
structure that fills most of it, as a perfect observer would label it. The volumes of the continuous
hearts are known in closed form, so what is left is the error of measuring from voxels alone.

    python benchmarks/biomarkers.py --subjects 30 --seed 1

prints, for each biomarker, bias, median and 95th percentile of the absolute error; then the same
against slice distance and in-plane voxel size, which take the error apart; then what the choice of
end-diastole and end-systole adds when single volumes are noisy. The peer is SimpleITK's label
statistics on the same labels (volumes and times in the same run).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray

from popscan.protocols.cine_sax import biomarkers
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.render import majority_label
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import anatomy_for
from popscan.protocols.cine_sax.volumes import PHASE_SMOOTHING_SHARE, find_phases

VOLUMES = ("lvedv_ml", "lvesv_ml", "lvm_g", "rvedv_ml", "rvesv_ml")
FUNCTION = ("lvef_pct", "rvef_pct")


def random_hearts(count: int, *, seed: int) -> list[tuple[Heart, dict[str, float]]]:
    """Draw hearts of the digital population with their true values."""
    hearts = []
    for _, row in sample_population(count, seed=seed).iterrows():
        who = str(row["participant_id"])
        heart = anatomy_for(dict(row), rng=rng_for(seed, who, "anatomy")).heart
        truth = {name: float(getattr(heart, name)) for name in VOLUMES}
        for side in ("lv", "rv"):
            edv, esv = truth[f"{side}edv_ml"], truth[f"{side}esv_ml"]
            truth[f"{side}ef_pct"] = 100.0 * (edv - esv) / edv
        hearts.append((heart, truth))
    return hearts


def cut(
    heart: Heart,
    *,
    voxel_mm: float,
    distance_mm: float,
    thickness_mm: float,
    rng: np.random.Generator,
    tilt_deg: float = 3.0,
    field_mm: tuple[float, float] = (170.0, 130.0),
) -> NDArray[np.uint8]:
    """Label a short-axis stack of ED and ES, shape (x, y, z, 2), placed at random."""
    bottom = heart.length_mm + heart.apex_wall_mm
    top = -distance_mm * (0.5 + rng.random())
    through = max(1, round(thickness_mm / 2.7))
    inner = ((np.arange(through) + 0.5) / through - 0.5) * thickness_mm
    levels = np.arange(math.ceil((bottom - top) / distance_mm) + 1)[:, None] * distance_mm
    z = (top + levels + inner)[:, :, None, None]
    nx, ny = (math.ceil(size / voxel_mm) for size in field_mm)
    jitter = rng.uniform(-0.5, 0.5, 2) * voxel_mm
    # The right ventricle lies at negative u: most of the field is on its side.
    x = ((np.arange(2 * nx) + 0.5) / 2 - 0.62 * nx) * voxel_mm + jitter[0]
    y = ((np.arange(2 * ny) + 0.5) / 2 - 0.5 * ny) * voxel_mm + jitter[1]
    x, y = x[:, None], y[None, :]
    lean = np.tan(np.deg2rad(rng.normal(0, tilt_deg, 2)))
    scale = 1.0 / np.sqrt(1.0 + lean**2)
    # Two small rotations, about v and about u: they keep all distances.
    u, w1 = scale[0] * (x + lean[0] * z), scale[0] * (z - lean[0] * x)
    v, w = scale[1] * (y + lean[1] * w1), scale[1] * (w1 - lean[1] * y)
    points = [np.broadcast_to(p, w.shape).astype(np.float32) for p in (u, v, w)]
    frames = [
        majority_label(heart_tissue(heart.at(phase), *points), 2) for phase in (0.0, heart.es_phase)
    ]
    return np.ascontiguousarray(np.stack(frames, axis=-1).transpose(1, 2, 0, 3))


def ours(labels: NDArray[np.uint8], spacing_mm: Sequence[float]) -> Mapping[str, float]:
    """Measure with popscan."""
    return biomarkers.measure(labels, spacing_mm=spacing_mm, frame_labels=("ED", "ES"))


def peer(labels: NDArray[np.uint8], spacing_mm: Sequence[float]) -> Mapping[str, float]:
    """Measure the same with SimpleITK's physical sizes."""
    sizes = []
    for frame in range(2):
        image = sitk.GetImageFromArray(np.ascontiguousarray(labels[..., frame].T))
        image.SetSpacing([float(s) for s in spacing_mm])
        statistics = sitk.LabelShapeStatisticsImageFilter()
        statistics.Execute(image)
        sizes.append(
            {label: statistics.GetPhysicalSize(int(label)) / 1000 for label in list(Label)[1:]}
        )
    ed, es = sizes
    return {
        "lvedv_ml": ed[Label.LV],
        "lvesv_ml": es[Label.LV],
        "lvm_g": 1.05 * ed[Label.MYO],
        "rvedv_ml": ed[Label.RV],
        "rvesv_ml": es[Label.RV],
        "lvef_pct": 100 * (1 - es[Label.LV] / ed[Label.LV]),
        "rvef_pct": 100 * (1 - es[Label.RV] / ed[Label.RV]),
    }


def errors(
    hearts: Sequence[tuple[Heart, Mapping[str, float]]],
    measures: Mapping[str, Callable[..., Mapping[str, float]]],
    *,
    seed: int,
    **stack: float,
) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """Errors of each way of measuring (percent for volumes, points for EF), and its seconds."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
    seconds = dict.fromkeys(measures, 0.0)
    for number, (heart, truth) in enumerate(hearts):
        labels = cut(heart, rng=np.random.default_rng([seed, number]), **stack)
        spacing = (stack["voxel_mm"], stack["voxel_mm"], stack["distance_mm"])
        for name, measure in measures.items():
            start = time.perf_counter()
            found = measure(labels, spacing)
            seconds[name] += time.perf_counter() - start
            rows[name].append(
                {k: 100 * (found[k] / truth[k] - 1) for k in VOLUMES}
                | {k: found[k] - truth[k] for k in FUNCTION}
            )
    return {name: pd.DataFrame(row) for name, row in rows.items()}, seconds


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Bias, median and 95th percentile of the absolute error."""
    return pd.DataFrame(
        {
            "bias": table.mean(),
            "median": table.abs().median(),
            "p95": table.abs().quantile(0.95),
        }
    )


def show(title: str, table: pd.DataFrame, *, floats: str = "{:.2f}") -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n")
    print("| " + " | ".join(["", *map(str, table.columns)]) + " |")
    print("|" + "---|" * (len(table.columns) + 1))
    for name, row in table.iterrows():
        cells = [floats.format(v) if isinstance(v, float) else str(v) for v in row]
        print("| " + " | ".join([str(name), *cells]) + " |")


def main_table(hearts: list, *, seed: int, stack: dict[str, float]) -> None:
    """Compare with truth and with the peer at a clinical protocol."""
    found, seconds = errors(hearts, {"popscan": ours, "SimpleITK": peer}, seed=seed, **stack)
    parts = {name: summary(table) for name, table in found.items()}
    table = pd.concat(parts, axis=1)
    table.columns = [f"{name} {column}" for name, column in table.columns]
    table.insert(0, "unit", ["%"] * len(VOLUMES) + ["points"] * len(FUNCTION))
    show(f"Error against analytic truth, {len(hearts)} hearts, {stack}", table)
    widest = float((found["popscan"] - found["SimpleITK"]).abs().max().max())
    print(f"\nLargest difference between the two: {widest:.1e}.", end=" ")
    for name, total in seconds.items():
        print(f"{name}: {1000 * total / len(hearts):.1f} ms a subject.", end=" ")
    print("\n(popscan's time includes wall thickness and phases, the peer's does not.)")


def sweep(hearts: list, *, seed: int, over: str, values: Sequence[float], stack: dict) -> None:
    """Repeat with one property of the stack varied."""
    rows = {}
    for value in values:
        changed: dict[str, float] = stack | {over: value}
        changed["thickness_mm"] = min(8.0, changed["distance_mm"])
        found, _ = errors(hearts, {"popscan": ours}, seed=seed, **changed)
        parts = summary(found["popscan"])
        rows[f"{value:g} mm"] = parts["median"].add_suffix(" median").to_dict() | {
            f"{name} bias": parts.loc[name, "bias"] for name in ("lvedv_ml", "lvesv_ml", "lvm_g")
        }
    fixed = {k: v for k, v in stack.items() if k not in (over, "thickness_mm")}
    show(f"Median absolute error against {over} ({fixed})", pd.DataFrame(rows).T)


def phases_table(hearts: list, *, seed: int, frames: int = 25) -> None:
    """Bias of EF by the choice of ED and ES, for true volumes with noise of single frames."""
    rng = np.random.default_rng(seed)
    shares = (0.0, PHASE_SMOOTHING_SHARE)
    rows: dict[str, dict[str, Any]] = {}
    for noise in (0.0, 0.01, 0.02, 0.04):
        found: dict[float, list[float]] = {share: [] for share in shares}
        for heart, truth in hearts:
            curve = np.array([heart.at(k / frames).lv_ml for k in range(frames)])
            for _ in range(20):
                noisy = curve + rng.normal(0, noise * curve.max(), frames)
                for share, gaps in found.items():
                    ed, es = find_phases(noisy, smoothing_share=share)
                    gaps.append(100 * (1 - noisy[es] / noisy[ed]) - truth["lvef_pct"])
        rows[f"noise {100 * noise:g}% of LVEDV"] = {
            f"{what}, {'raw extremes' if share == 0 else f'smoothed {share:g} of the cycle'}": value
            for share, gaps in found.items()
            for what, value in (("bias", np.mean(gaps)), ("median", np.median(np.abs(gaps))))
        }
    show(f"LVEF error in points by choice of ED and ES, {frames} frames", pd.DataFrame(rows).T)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    hearts = random_hearts(options.subjects, seed=options.seed)
    clinical = {"voxel_mm": 1.8, "distance_mm": 10.0, "thickness_mm": 8.0}
    main_table(hearts, seed=options.seed, stack=clinical)
    sweep(
        hearts,
        seed=options.seed,
        over="distance_mm",
        values=(2.5, 5.0, 8.0, 10.0, 12.0),
        stack=clinical,
    )
    sweep(
        hearts,
        seed=options.seed,
        over="voxel_mm",
        values=(1.0, 1.8, 2.5, 3.5),
        stack=clinical | {"distance_mm": 2.5},
    )
    phases_table(hearts, seed=options.seed)


if __name__ == "__main__":
    main()
