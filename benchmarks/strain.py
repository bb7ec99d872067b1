"""Strain of digital hearts, whose motion is known in closed form, by tracking and by peers.

Hearts of the digital population are scanned as images of clinical resolution (1.8 mm, slices of
8 mm every 10 mm, tilted planes, breath-holds that differ). Tracked are their true labels, the
labels of the shipped network on the same images, and the images themselves with true labels at
end-diastole. Truth is the strain of the material points that are sampled, at end-systole.

    python benchmarks/strain.py --subjects 30 --out strain.tsv
    python benchmarks/strain.py --read strain.tsv

    python benchmarks/strain.py --subjects 30 --cut --out strain.tsv  # labels alone: a minute

prints median and 90th percentile of the absolute error and the bias of global circumferential and
radial strain (percentage points), by segment, of time to peak, and the coverage of the intervals:
as they are, and as they would be, each heart with what was fitted to all others.
Peers in the same run: the outlines of every frame's labels without any registration, and the same
tracks without following tissue through the stack. `--first` and `--count` do a part of the
subjects; tables of parts can be read together. With `--cut` no image is made: every voxel of such a
stack gets the structure that fills most of it, and end-systole alone is registered.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.aha import aha_segments
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart
from popscan.protocols.cine_sax.simulate.motion import material_points, strain_at
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.render import majority_label
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.session import SimulatedSubject
from popscan.protocols.cine_sax.simulate.subject import Anatomy, anatomy_for
from popscan.protocols.cine_sax.strain.deform import Curves, carried, curves_of
from popscan.protocols.cine_sax.strain.follow import tissue_slices
from popscan.protocols.cine_sax.strain.inputs import LEVELS
from popscan.protocols.cine_sax.strain.intervals import CALIBRATION, posterior_intervals
from popscan.protocols.cine_sax.strain.measure import BAYESIAN, DEMONS, measure_motion
from popscan.protocols.cine_sax.strain.numbers import global_numbers, segment_numbers, segment_rows
from popscan.protocols.cine_sax.strain.quality import segmented_mm
from popscan.protocols.cine_sax.strain.wall import Wall, wall_of
from popscan.records import LabelMap, Scan, SubjectError
from popscan.register import register
from popscan.register.velocities import integrate

#: Seed of the hearts; the shipped network was trained on others.
SEED = 1702
GLOBAL = ("gcs_peak_pct", "grs_peak_pct")
SEGMENTAL = {"ecc": "circumferential", "err": "radial"}


def wall_at_start(labels: LabelMap, scan: Scan) -> Wall:
    """Sample the wall at end-diastole, the first frame of simulated cines."""
    first = labels.array[..., 0]
    segments = aha_segments(first, spacing_mm=scan.spacing_mm, affine=scan.affine)
    return wall_of(first, segments, spacing_mm=scan.spacing_mm)


#: A strain that no wall has.
_LARGEST = 2.0


def true_strain(anatomy: Anatomy, wall: Wall, scan: Scan) -> dict[str, float]:
    """Strain at end-systole of the material points that lie where the wall is sampled."""
    index = np.ones((*wall.points_mm.shape[:-1], 4))
    index[..., :2] = wall.points_mm / scan.spacing_mm[:2]
    index[..., 2] = wall.slices[:, None, None]
    points = ((index @ scan.affine.T)[..., :3] - anatomy.base_mm) @ anatomy.axes
    heart: Heart = anatomy.heart
    flat = points.reshape(-1, 3)
    depth, _, share = material_points(heart, flat).T
    # Outlines of labels lie a little beyond the wall's here and there.
    inside = (depth > -0.3) & (depth < 1.3) & (share > 0) & (share < 0.88)
    # Beyond the apex there is no wall, and no derivative to invert.
    strain = strain_at(heart, flat[inside], phase=heart.es_phase)
    # On the axis near the apex the radius vanishes, and the derivative is no number.
    known = (np.abs(strain.circumferential) < _LARGEST) & (np.abs(strain.radial) < _LARGEST)
    inside[inside] = known
    segments = np.repeat(wall.segments[:, :, None], wall.points_mm.shape[2], axis=2).ravel()
    truth = {"time_ms": heart.es_phase * anatomy.rr_ms}
    for short, name, values in (
        ("gcs", "ecc", strain.circumferential[known]),
        ("grs", "err", strain.radial[known]),
    ):
        truth[f"{short}_peak_pct"] = 100 * float(values.mean())
        for number in range(1, 17):
            mine = segments[inside] == number
            truth[f"{name}_aha{number:02d}_peak_pct"] = (
                100 * float(values[mine].mean()) if mine.any() else float("nan")
            )
    return truth


def by_outlines(scan: Scan, labels: LabelMap, *, follow: bool) -> dict[str, float]:
    """Peer: lengths of each frame's own outlines, without a registration."""
    wall = wall_at_start(labels, scan)
    drawn = segmented_mm(wall, labels.array, spacing_mm=scan.spacing_mm)
    slices = None
    if follow:
        slices = tissue_slices(labels.array, reference=0, base_first=True)[:, wall.slices]
    lost = ~np.isfinite(drawn).all(axis=(2, 3, 4))
    if lost.any():  # the cavity closes at the apex
        keep = ~lost.any(axis=0)
        wall = Wall(
            slices=wall.slices[keep], points_mm=wall.points_mm[keep], segments=wall.segments[keep]
        )
        drawn, slices = drawn[:, keep], None if slices is None else slices[:, keep]
    curves = curves_of(wall, drawn, reference=0, slices=slices)
    period_ms = float(scan.meta["rr_ms"])
    rows = segment_rows(curves, period_ms=period_ms)
    return global_numbers(curves, period_ms=period_ms) | segment_numbers(rows)


def estimates(
    made: SimulatedSubject, shipped: LabelMap | None, *, images: bool, posterior: bool
) -> Iterator[tuple[str, dict[str, float], str, float]]:
    """Yield each estimate's name, values, reason of failure and CPU seconds."""
    runs: dict[str, Any] = {
        "outlines of true labels": lambda: by_outlines(made.scan, made.labels, follow=True),
        "outlines, fixed slices": lambda: by_outlines(made.scan, made.labels, follow=False),
        "true labels": lambda: measure_motion(made.scan, made.labels).values,
    }
    if shipped is not None:
        runs["shipped network"] = lambda: measure_motion(made.scan, shipped).values
    if images:
        for words, labels in (("true labels", made.labels), ("shipped network", shipped)):
            for source in ("images", "both") if labels is not None else ():
                runs[f"{source}, {words}"] = lambda source=source, labels=labels: (
                    measure_motion(made.scan, labels, source=source).values
                )
    if posterior:
        runs = {"true labels, bayesian": lambda: (
            measure_motion(made.scan, made.labels, method="bayesian").values
        )}  # fmt: skip
    for name, run in runs.items():
        before = time.process_time()
        try:
            values, reason = dict(run()), ""
        except SubjectError as error:
            values, reason = {}, error.reason
        yield name, values, reason, time.process_time() - before


def network_labels(scan: Scan) -> LabelMap:
    """Label a scan by the shipped network."""
    from popscan.protocols.cine_sax.segmentation.inference import segment
    from popscan.segment.bundle import load_bundle
    from popscan.stages.segment.bundles import bundle_path

    labels = segment(scan, bundle=load_bundle(bundle_path("cine_sax"))).labels
    return LabelMap(array=labels, frames=tuple(range(labels.shape[3])))


def one_heart(row: Mapping[str, Any], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the rows of one heart."""
    made = simulate_subject(
        row, seed=SEED, kspace=False, matrix=(128, 128), spacing_mm=(1.8, 1.8),
        frames=args.frames, slice_distance_mm=10.0, slice_thickness_mm=8.0,
    )  # fmt: skip
    who = str(row["participant_id"])
    anatomy = anatomy_for(row, rng=rng_for(SEED, who, "anatomy"))
    shipped = network_labels(made.scan) if args.network else None
    truths = {"true": true_strain(anatomy, wall_at_start(made.labels, made.scan), made.scan)}
    if shipped is not None:
        try:
            truths["shipped"] = true_strain(anatomy, wall_at_start(shipped, made.scan), made.scan)
        except SubjectError:
            truths["shipped"] = truths["true"]
    for name, values, reason, seconds in estimates(
        made, shipped, images=args.images, posterior=args.posterior
    ):
        truth = truths["shipped" if name.endswith("shipped network") else "true"]
        columns = [*GLOBAL, *(f"{s}_aha{n:02d}_peak_pct" for s in SEGMENTAL for n in range(1, 17))]
        yield {
            "unit": who, "estimate": name, "reason": reason, "cpu_s": seconds,
            **{c: values.get(c, np.nan) for c in columns},
            **{f"true_{c}": truth[c] for c in columns},
            "time_error_ms": values.get("gcs_peak_time_ms", np.nan) - truth["time_ms"],
            **{f"{s}_peak_{e}_pct": values.get(f"{s}_peak_{e}_pct", np.nan)
               for s in ("gcs", "grs") for e in ("low", "high", "se")},
            **{c: values.get(c, np.nan)
               for c in ("closing_error_mm", "contour_error_mm", "fields_mb")},
        }  # fmt: skip


def cut(heart: Heart, phase: float) -> NDArray[np.uint8]:
    """Label a stack of 1.8 mm and 10 mm as a perfect observer would, slices of 8 mm."""
    per, through = 2, 4
    x = (np.arange(96 * per) - (96 * per - 1) / 2) * 1.8 / per
    z = np.arange(13)[:, None] * 10.0 - 6.0 + (np.arange(through) - 1.5) * 2.0
    grid = np.meshgrid(z.ravel(), x - 12.0, x, indexing="ij")
    w, u, v = (axis.astype(np.float32) for axis in grid)
    tissue = heart_tissue(heart.at(phase), u, v, w)
    labels = majority_label(tissue.reshape(13, through, 96 * per, 96 * per), per)
    return np.ascontiguousarray(labels.transpose(1, 2, 0))


def there_of(wall: Wall, displacement_mm: NDArray, spacing_mm: tuple[float, float]) -> NDArray:
    """Return where the wall's points are at end-diastole and, displaced, at end-systole."""
    both = np.stack([np.zeros_like(displacement_mm), displacement_mm])
    return carried(wall, both, spacing_mm=spacing_mm)


def at_systole(curves: Curves) -> dict[str, float]:
    """Return global strains at the second of two frames, in percent."""
    pairs = (("gcs", curves.circumferential), ("grs", curves.radial))
    return {f"{name}_peak_pct": 100 * float(curve[1, 0]) for name, curve in pairs}


def cut_heart(row: Mapping[str, Any], *, posterior: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows of one heart whose labels alone are tracked, at end-systole alone."""
    who = str(row["participant_id"])
    anatomy = anatomy_for(row, rng=rng_for(SEED, who, "anatomy"))
    heart, spacing = anatomy.heart, (1.8, 1.8, 10.0)
    labels = np.stack([cut(heart, phase) for phase in (0.0, heart.es_phase)], axis=-1)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-(95 / 2) * 1.8 - 12.0, -(95 / 2) * 1.8, -6.0)
    affine[:3] = np.column_stack([anatomy.axes, anatomy.base_mm]) @ affine
    scan = Scan(array=labels, affine=affine, spacing_mm=spacing)
    both = LabelMap(array=labels, frames=(0, 1))
    wall = wall_at_start(both, scan)
    truth = true_strain(anatomy, wall, scan)
    levels = ndimage.gaussian_filter(LEVELS[labels[:, :, wall.slices]], (0.8, 0.8, 0, 0))
    pair = np.moveaxis(levels, (2, 3), (1, 0))
    slices = tissue_slices(labels, reference=0, base_first=True)[:, wall.slices]
    followed = None if np.isnan(slices).all() else slices
    before = time.process_time()
    found = {"outlines": segmented_mm(wall, labels, spacing_mm=spacing)}
    for name, options in {"tracked": DEMONS, "tracked, stiff as an atlas": {}}.items():
        warp = register(pair[0], pair[1], method="demons", spacing_mm=spacing[:2], **options)
        found[name] = there_of(wall, warp.displacement_mm, spacing[:2])
    if posterior:
        warp = register(pair[0], pair[1], method="bayesian", spacing_mm=spacing[:2], **BAYESIAN)
        found = {"bayesian": there_of(wall, warp.displacement_mm, spacing[:2])}
        drawn = [
            there_of(wall, integrate(one, shape, spacing_mm=spacing[:2]).displacement_mm,
                     spacing[:2])
            for shape in [pair.shape[2:]] for one in np.moveaxis(warp.velocity_samples_mm, 1, 0)
        ]  # fmt: skip
    for name, positions in found.items():
        for words, where in (("", followed), (", fixed slices", None)):
            curves = curves_of(wall, positions, reference=0, slices=where)
            values = {"gcs_peak_pct": curves.circumferential, "grs_peak_pct": curves.radial}
            ends = {"gcs_peak_low_pct": np.nan}
            if posterior:
                others = [at_systole(curves_of(wall, one, reference=0, slices=where))
                          for one in drawn]  # fmt: skip
                ends = posterior_intervals(at_systole(curves), others)
            yield {
                "unit": who, "estimate": name + words, "reason": "", "time_error_ms": np.nan,
                "cpu_s": time.process_time() - before, **ends,
                **{c: 100 * curve[1, 0] for c, curve in values.items()},
                **{f"{s}_aha{n:02d}_peak_pct": 100 * curve[1, n]
                   for s, curve in zip(SEGMENTAL, values.values(), strict=True)
                   for n in range(1, 17)},
                **{f"true_{c}": value for c, value in truth.items()},
            }  # fmt: skip


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return errors by estimate."""
    out = []
    for name, part in table.groupby("estimate", sort=False):
        row: dict[str, Any] = {
            "estimate": name,
            "n": len(part),
            "failed": int((part["reason"] != "").sum()),
        }
        for column in GLOBAL:
            error = (part[column] - part[f"true_{column}"]).dropna()
            short = column[:3].upper()
            row |= {
                f"{short} median": error.abs().median(),
                f"{short} p90": error.abs().quantile(0.9),
                f"{short} bias": error.mean(),
            }
        for short, words in SEGMENTAL.items():
            errors = np.concatenate(
                [part[c] - part[f"true_{c}"] for c in part if c.startswith(f"{short}_aha")]
            )
            row[f"segment {words[:4]}. median"] = np.nanmedian(np.abs(errors))
        row |= {"time ms": part["time_error_ms"].abs().median(), "CPU s": part["cpu_s"].median()}
        out.append(row)
    return pd.DataFrame(out).round(1)


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of truths in the intervals, by half of the hearts (first: fitted on)."""
    tracked = table[table["gcs_peak_low_pct"].notna()]
    half = tracked["unit"].map({u: i % 2 for i, u in enumerate(sorted(table["unit"].unique()))})
    out = []
    for (estimate, part_of), part in tracked.groupby([tracked["estimate"], half], sort=False):
        row: dict[str, Any] = {"estimate": estimate, "half": int(part_of), "n": len(part)}
        for column in GLOBAL:
            stem = column.removesuffix("_pct")
            true, low, high = (
                part[c] for c in (f"true_{column}", f"{stem}_low_pct", f"{stem}_high_pct")
            )
            row[f"{stem} held"] = int(((true >= low) & (true <= high)).sum())
            row[f"{stem} width"] = round(float((high - low).median()), 1)
        out.append(row)
    return pd.DataFrame(out)


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the second number of `CALIBRATION`, and count what intervals fitted to others hold.

    A heart's error that its spread of estimates does not explain is what its interval would need
    beside it. The number is the 90% quantile of these by the rule of conformal prediction, which is
    the largest of up to nine hearts. Each heart is then tried with that of all others.
    """
    out = []
    tracked = table[table["gcs_peak_low_pct"].notna() & ~table["estimate"].str.contains("bayesian")]
    for estimate, part in tracked.groupby("estimate", sort=False):
        for column, (factor, least) in CALIBRATION.items():
            stem = column.removesuffix("_pct")
            half = ((part[f"{stem}_high_pct"] - part[f"{stem}_low_pct"]) / 2).to_numpy()
            spread2 = np.maximum(half**2 - least**2, 0.0)  # (factor x spread) squared
            error2 = (part[column] - part[f"true_{column}"]).to_numpy() ** 2
            needed = np.sqrt(np.maximum(error2 - spread2, 0.0))
            others = [conformal(np.delete(needed, i)) for i in range(len(needed))]
            held = error2 <= spread2 + np.array(others) ** 2 + 1e-12
            out.append(
                {
                    "estimate": estimate, "column": column, "n": len(part),
                    "held now": int((error2 <= half**2).sum()), "width now": 2 * np.median(half),
                    "fitted": conformal(needed), "held by others' fit": int(held.sum()),
                    "width": 2 * float(np.median(np.sqrt(spread2 + conformal(needed) ** 2))),
                    "factor": factor,
                }
            )  # fmt: skip
    return pd.DataFrame(out).round(1)


def conformal(needed: NDArray[np.float64], level: float = 0.9) -> float:
    """Return the value that a further one stays below in at least this share of cases."""
    rank = min(int(np.ceil(level * (len(needed) + 1))), len(needed))
    return float(np.sort(needed)[rank - 1]) if len(needed) else float("nan")


def main() -> None:
    """Measure, or read what was measured, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--cut", action="store_true", help="labels and end-systole alone")
    parser.add_argument("--images", action="store_true", help="track images, too")
    parser.add_argument("--posterior", action="store_true", help="bayesian tracking alone")
    parser.add_argument("--no-network", dest="network", action="store_false")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--read", type=Path, nargs="*", default=())
    args = parser.parse_args()
    if args.read:
        table = pd.concat([pd.read_csv(p, sep="\t", keep_default_na=True) for p in args.read])
        table["reason"] = table["reason"].astype(object).fillna("")
    else:
        people = sample_population(args.subjects, seed=SEED).to_dict("records")
        chosen = people[args.first : args.first + (args.count or args.subjects)]
        rows: list[dict[str, Any]] = []
        for row in chosen:
            person = {str(k): v for k, v in row.items()}
            if args.cut:
                rows += cut_heart(person, posterior=args.posterior)
            else:
                rows += one_heart(person, args)
            if args.out is not None:
                pd.DataFrame(rows).to_csv(args.out, sep="\t", index=False)
        table = pd.DataFrame(rows)
    pd.set_option("display.width", 250, "display.max_columns", 40)
    print(summary(table).to_string(index=False))
    if table["gcs_peak_low_pct"].notna().any():
        print(coverage(table).to_string(index=False))
        print(fitted(table).to_string(index=False))


if __name__ == "__main__":
    main()
