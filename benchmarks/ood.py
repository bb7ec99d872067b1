"""Which scans a bundle's detector calls unlike its training, and what errors its score goes with.

    python benchmarks/ood.py [--model DIR] [--beside DIR] [--study DIR ...] [--n 14]
        [--severities 3 5] [--out FILE]

Scans that a detector should let pass: the ACDC patients that the bundle was not trained on, and the
short-axis cines of Sunnybrook (GE), of a 3 T exam and of two other cohorts below ``$POPSCAN_DATA``.
Scans that it should warn of: long-axis cines, a T1-mapping phantom, brains, mice, negatives, strong
noise, stacks cut across (as a scout is), and late enhancement imitated on ACDC in several looks
(nulled muscle with bright scars; blood bright, grey or dark; no real one is among the data).
Then the corruption suite: how often it warns, how many results are wrong (`demo_truth.py`), and
which checks flag them. Limits are of the
training patients and hearts alone, each judged by what was fitted without it; no scan here took
part in them.

``--study``: the images in use of simulated studies that have run, at ED and ES, parted by whether
the study's result is right (`demo_truth.py`). ``--beside`` judges the same features with the
detector of another bundle of the same weights: before and after, by one run.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
from scipy import ndimage

from demo_truth import Run, wrong
from popscan.arrays.corruptions import CORRUPTIONS, corrupt
from popscan.arrays.intensity import black_and_white
from popscan.arrays.metrics import dice
from popscan.io.contours import read_contoured
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.qc import check
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.segmentation.window import scout_frames
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.records import Scan
from popscan.segment import Bundle, load_bundle, ood
from popscan.stages.segment.uncertainty import base_doubt
from popscan.stats.intervals import wilson
from popscan.train.packs import Case
from segmentation import acdc_cases

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
DATA = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
SUNNYBROOK = (
    ("SCD0000101", "SC-HF-I-1"), ("SCD0000301", "SC-HF-I-4"), ("SCD0000501", "SC-HF-I-6"),
)  # fmt: skip
#: Looks of late enhancement: brightness of blood, share of slices with a scar, noise.
ENHANCED = {
    "bright blood": (0.62, 0.6, 0.04),
    "grey blood": (0.35, 0.6, 0.04),
    "dark blood": (0.12, 0.6, 0.04),
    "no scar": (0.62, 0.0, 0.04),
    "hardly any noise": (0.62, 0.6, 0.01),
    "noisy": (0.5, 0.6, 0.12),
}
#: Kinds that ought to pass.
USUAL = ("acdc held out", "sunnybrook", "3 T exam, short axis", "other cohorts, short axis")


def made(array: np.ndarray, spacing_mm: tuple[float, ...]) -> Scan:
    """Return an array (x, y, z) or (x, y, z, t) as a scan."""
    array = array[..., None] if array.ndim == 3 else array
    steps = tuple(float(s) for s in spacing_mm)
    affine = np.diag([*steps, 1.0])
    return Scan(array=np.asarray(array, np.float32), affine=affine, spacing_mm=steps, view="sax")


def stack_of(path: Path) -> Scan:
    """Read a stack whose slices lie along its coarsest axis."""
    image = nib.load(path)
    array = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    steps = [float(s) for s in image.header.get_zooms()[:3]]
    axis = int(np.argmin(array.shape)) if min(array.shape) == 1 else int(np.argmax(steps))
    order = [a for a in range(3) if a != axis] + [axis]
    return made(array.transpose(order), tuple(steps[a] for a in order))


def series(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    """Return a DICOM series of one slice: normal, position, images (x, y, 1, t), pixel spacing."""
    read = [pydicom.dcmread(p) for p in sorted(folder.rglob("*")) if p.is_file()]
    images = [d for d in read if hasattr(d, "PixelData")]
    images.sort(key=lambda d: float(d.get("TriggerTime", 0) or 0))
    first = images[0]
    across, down = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    array = np.stack([d.pixel_array.T for d in images], -1)[:, :, None]
    rows, columns = (float(s) for s in first.PixelSpacing)
    position = np.array(first.ImagePositionPatient, float)
    return np.cross(across, down), position, array, (columns, rows)


def exam() -> Iterator[tuple[str, str, Scan]]:
    """Yield the short-axis stack of the 3 T exam, and its other views one by one."""
    folders = sorted((DATA / "cine_exam" / "patient1").iterdir())
    found = [series(folder) for folder in folders]
    parallel = [[abs(a[0] @ b[0]) > 0.99 for b in found] for a in found]
    axis = max(range(len(found)), key=lambda i: sum(parallel[i]))
    stack = [s for s, same in zip(found, parallel[axis], strict=True) if same]
    stack.sort(key=lambda s: float(s[1] @ found[axis][0]))
    slices = [s[2][..., scout_frames(s[2].shape[3])] for s in stack]
    yield USUAL[2], "exam", made(np.concatenate(slices, 2), (*stack[0][3], 18.0))
    for folder, own, same in zip(folders, found, parallel[axis], strict=True):
        if not same:
            frames = scout_frames(own[2].shape[3])
            yield "long axis", folder.name, made(own[2][..., frames], (*own[3], 8.0))


def others() -> Iterator[tuple[str, str, Scan]]:
    """Yield the scans of all further data."""
    for folder, contours in SUNNYBROOK:
        root = DATA / "sunnybrook"
        scan = read_contoured(root / "dicoms" / folder, root / "contours" / contours).scan
        part = scan.array[..., scout_frames(scan.array.shape[3])]
        yield USUAL[1], folder, replace(scan, array=part, frame_times_ms=None, meta={})
    yield from exam()
    for path in sorted((DATA / "cine_sax_lax").glob("*.nii.gz")):
        yield "long axis" if "lax" in path.name else USUAL[3], path.name, stack_of(path)
    for folder in sorted((DATA / "t1_shmolli_phantom").iterdir()):
        if folder.is_dir():
            _, _, array, spacing = series(folder)
            yield "T1 mapping phantom", folder.name, made(array, (*spacing, 8.0))
    for path in sorted((DATA / "brain").glob("sub-*/**/*T1w.nii.gz")):
        image = nib.load(path)
        array, steps = np.asanyarray(image.dataobj), image.header.get_zooms()
        chosen = np.linspace(0.25, 0.75, 10) * array.shape[2]
        yield "brain", path.name, made(array[:, :, chosen.astype(int)], (*steps[:2], 8.0))
    for path in sorted((DATA / "reg_pairs").glob("mouse*.nii.gz")):
        array = np.asanyarray(nib.load(path).dataobj)
        array = array.reshape(array.shape[:3])
        chosen = np.linspace(0.3, 0.7, 6) * array.shape[2]
        yield "mouse", path.name, made(array[:, :, chosen.astype(int)], (1.5, 1.5, 8.0))


def spoilt(case: Case, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """Yield what is made of a patient: other contrasts, noise, a stack cut across."""
    scan, array = case.scan, case.scan.array.astype(np.float32)
    low, high = map(float, black_and_white(array))
    for name, (blood, share, noise) in ENHANCED.items():
        made_of = enhanced(case, rng, level_of_blood=blood, scarred=share, noise=noise)
        yield f"late enhancement, {name}", replace(scan, array=made_of)
    one = enhanced(case, rng)[..., :1]
    frame = {**scan.meta, "frame_labels": scan.meta["frame_labels"][:1]}
    yield "late enhancement, one frame", replace(scan, array=one, frame_times_ms=None, meta=frame)
    yield "negative", replace(scan, array=array.max() - array)
    noise = [rng.normal(0, 0.5 * (high - low), array.shape) for _ in range(2)]
    yield "noise, SD half the range", replace(scan, array=np.hypot(array + noise[0], noise[1]))
    yield "noise alone", replace(scan, array=rng.random(array.shape, np.float32))
    cut = np.stack([array[int(array.shape[0] * q)] for q in (0.3, 0.5, 0.7)], axis=2)
    stretch = scan.spacing_mm[2] / scan.spacing_mm[1]
    across = ndimage.zoom(cut, (1, stretch, 1, 1), order=1)
    yield "cut across", made(across, (scan.spacing_mm[1], scan.spacing_mm[1], 10.0))


def enhanced(
    case: Case,
    rng: np.random.Generator,
    *,
    level_of_blood: float = 0.62,
    scarred: float = 0.6,
    noise: float = 0.04,
) -> np.ndarray:
    """Imitate late enhancement: muscle nulled, scars bright, more noise.

    Parameters
    ----------
    case
        Labelled cine.
    rng
        Source of scars and noise.
    level_of_blood
        Brightness of blood; fat is 1.2, nulled muscle 0.06.
    scarred
        Share of the slices with a scar.
    noise
        Standard deviation of the noise, in the same unit.
    """
    scan, labels = case.scan, case.labels.array
    low, high = map(float, black_and_white(scan.array))
    level = np.clip((scan.array.astype(float) - low) / (high - low), 0, 1.5)
    wall, blood = labels == Label.MYO, np.isin(labels, (Label.LV, Label.RV))
    m, b = float(np.median(level[wall])), float(np.median(level[blood]))
    made_of = np.interp(
        level,
        [0, 0.6 * m, m, 1.4 * m, b, 1.5],
        [0.12, 0.1, 0.06, 0.4 * level_of_blood, level_of_blood, 1.2],
    )
    made_of[wall] = 0.06 + 0.3 * np.abs(level[wall] - m)
    for z in range(labels.shape[2]):
        for t in range(labels.shape[3]):
            at = np.argwhere(wall[:, :, z, t])
            if len(at) > 30 and rng.random() < scarred:
                reach = rng.uniform(4, 10) / scan.spacing_mm[0]
                scar = at[((at - at[rng.integers(len(at))]) ** 2).sum(axis=1) < reach**2]
                made_of[scar[:, 0], scar[:, 1], z, t] = rng.uniform(0.8, 1.1)
    parts = [rng.normal(0, noise, made_of.shape) for _ in range(2)]
    return np.hypot(made_of + parts[0], parts[1]).astype(np.float32)


def studied(roots: list[Path]) -> Iterator[tuple[str, str, Scan]]:
    """Yield the images in use of simulated studies, ED and ES, by whether the result is right."""
    for root in roots:
        run = Run(root)
        for unit in run.tables["biomarkers"].index:
            found = {str(k): v for k, v in run.tables["biomarkers"].loc[unit].items()}
            truth = {str(k): float(v) for k, v in run.tables["truth"].loc[unit].items()}
            kind = "wrong" if wrong(found, truth) else "right"
            scan = run.image(unit)
            frames = [int(found[name]) for name in ("ed_frame", "es_frame")]
            part = replace(scan, array=scan.array[..., frames], frame_times_ms=None)
            yield f"simulated study, {kind}", f"{root.name} {unit}", part


def judged(
    kind: str, name: str, scan: Scan, bundle: Bundle, other: Bundle | None = None
) -> dict[str, Any]:
    """Return the score of one scan, whether it is warned of, and another detector's score."""
    seen = segment(scan, bundle=bundle, features=other is not None)
    score = float(seen.values["ood_score"])
    range_alone = bool(str(seen.values["input_warning"]).split("unlike")[0].strip("; "))
    row = {"kind": kind, "name": name, "score": score, "range": range_alone}
    if other is not None:
        assert seen.tissue is not None
        beside = ood.unlikeness(
            other.training, seen.features, seen.tissue, n_slices=scan.array.shape[2]
        )
        row["beside"] = beside.score
    return row


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return by kind how many are warned of, with a 95% interval (Wilson), and their scores."""
    lines = []
    for kind, part in rows.groupby("kind", sort=False):
        n, k = len(part), int((part["score"] > 1).sum())
        low, high = wilson(k, n, alpha=0.05)
        lines.append(
            {"kind": kind, "n": n, "warned": k, "share": f"{low:.0%} to {high:.0%}",
             "by input_range": int(part["range"].sum()), "median": part["score"].median(),
             "lowest": part["score"].min(), "highest": part["score"].max()}
        )  # fmt: skip
        if "beside" in part:
            other = part["beside"]
            lines[-1] |= {"beside: warned": int((other > 1).sum()), "median ": other.median()}
    return pd.DataFrame(lines)


def spoilt_results(
    cases: list[Case], bundle: Bundle, severities: list[int], names: list[str], *, seconds: float
) -> pd.DataFrame:
    """Return score, Dice, errors and flags for every case as it is, and for every corruption."""
    rows = []
    begun = time.monotonic()
    for case in map(labelled_part, cases):
        if time.monotonic() - begun > seconds:
            break
        todo = [("as it is", 0), *((n, s) for n in names for s in severities)]
        for name, severity in todo:
            array = case.scan.array
            if severity:
                array = corrupt(array, name, severity=severity, seed=0)
            scan = replace(case.scan, array=array)
            found = segment(scan, bundle=bundle)
            frames = list(scan.meta["frame_labels"])
            made, truth = (
                measure(a, spacing_mm=scan.spacing_mm, frame_labels=frames)
                for a in (found.labels, case.labels.array)
            )
            samples = {**found.values, "base": base_doubt(found, scan)}
            checks = check(scan, found.labels, from_segmentation=samples)
            flags = [c.name for c in checks if c.verdict in ("review", "fail")]
            overlaps = [
                dice(found.labels[..., t], case.labels.array[..., t], k)
                for t in range(len(frames))
                for k in STRUCTURES
            ]
            rows.append(
                {"unit": case.unit, "kind": f"{name} {severity}" if severity else name,
                 "score": float(found.values["ood_score"]), "dice": float(np.nanmean(overlaps)),
                 "lvef_pct": abs(made["lvef_pct"] - truth["lvef_pct"]),
                 "lvedv_ml": abs(made["lvedv_ml"] - truth["lvedv_ml"]),
                 "wrong": wrong(made, truth), "checks": " ".join(flags)}
            )  # fmt: skip
        print(f"{case.unit} done", flush=True)
    return pd.DataFrame(rows)


def caught(rows: pd.DataFrame) -> pd.DataFrame:
    """Return by kind how many results are wrong, and by what they are flagged."""
    rows = rows.assign(
        any=rows["checks"] != "",
        rest=[bool(set(c.split()) - {"ood"}) for c in rows["checks"]],
    )
    lines = []
    for kind, part in rows.groupby("kind", sort=False):
        bad, good = part[part["wrong"]], part[~part["wrong"]]
        lines.append(
            {"kind": kind, "n": len(part), "dice": part["dice"].mean(),
             "lvef error": part["lvef_pct"].mean(), "score, median": part["score"].median(),
             "warned": int((part["score"] > 1).sum()), "wrong": len(bad),
             "wrong flagged": int(bad["any"].sum()), "without ood": int(bad["rest"].sum()),
             "right flagged": f"{int(good['any'].sum())} of {len(good)}"}
        )  # fmt: skip
    return pd.DataFrame(lines)


def show_kinds(
    cases: list[Case], bundle: Bundle, other: Bundle | None, chosen: argparse.Namespace
) -> None:
    """Print which kinds of scans are warned of."""
    rng = np.random.default_rng(0)
    rows = [judged(USUAL[0], c.unit, c.scan, bundle, other) for c in cases]
    rows += [judged(*found, bundle, other) for found in studied(chosen.study)]
    if not chosen.made_only:
        rows += [judged(*found, bundle, other) for found in others()]
    for case in cases[: chosen.n]:
        rows += [judged(kind, case.unit, scan, bundle, other) for kind, scan in spoilt(case, rng)]
    found = pd.DataFrame(rows)
    print(table(found).round(2).to_string(index=False))
    passed = found[found["kind"].isin(USUAL[:2])]
    k, n = int((passed["score"] > 1).sum()), len(passed)
    low, high = wilson(k, n, alpha=0.05)
    print(f"false alarms, ACDC held out and Sunnybrook: {k} of {n} ({low:.0%} to {high:.0%})")
    if chosen.out:
        found.to_csv(chosen.out, sep="\t", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--n", type=int, default=14, help="patients to spoil")
    parser.add_argument("--severities", type=int, nargs="*", default=[3, 5])
    parser.add_argument("--corruptions", nargs="*", default=list(CORRUPTIONS))
    parser.add_argument("--seconds", type=float, default=math.inf, help="spoil no more after these")
    parser.add_argument("--made-only", action="store_true", help="only what is made of patients")
    parser.add_argument("--spoilt-only", action="store_true", help="only the corruption suite")
    parser.add_argument("--out", type=Path, help="write the rows here, as TSV")
    parser.add_argument("--beside", type=Path, help="bundle with another detector")
    parser.add_argument("--study", type=Path, nargs="*", default=[], help="simulated studies")
    chosen = parser.parse_args()
    other = load_bundle(chosen.beside, "cpu") if chosen.beside else None
    bundle = load_bundle(chosen.model, "cpu")
    cases = [
        c for c in acdc_cases(DATA / "acdc") if not bundle.recognise(c.unit, c.scan.array).seen
    ]
    if not chosen.spoilt_only:
        show_kinds(cases, bundle, other, chosen)
    if chosen.severities:
        off = spoilt_results(
            cases[: chosen.n], bundle, chosen.severities, chosen.corruptions, seconds=chosen.seconds
        )
        print(caught(off).round(2).to_string(index=False))
        for name in ("lvef_pct", "lvedv_ml"):
            above = off["score"] > 1
            print(
                f"mean error of {name}: {off.loc[~above, name].mean():.3f} up to the limit "
                f"(n {int((~above).sum())}), {off.loc[above, name].mean():.3f} above it "
                f"(n {int(above.sum())})"
            )


if __name__ == "__main__":
    main()
