"""Brain scans as people really have them: which give other numbers, and which of those pass.

    python benchmarks/brain_inputs.py [--data ../shared/data] [--subjects NAME ...]
        [--only WORD ...] [--out TABLE.tsv] [--seconds N]

Makes variants of T1-weighted scans (headers that are wrong or silent, other contrasts, cut, masked,
resampled, spoilt), writes each as a BIDS folder, and sends it through the source, ingest,
segmentation, checks and biomarkers of the protocol. Prints for each the volumes beside those of the
plain scan, whether left and right are exchanged, the status and the verdict. `wrong` are volumes
more than 10% off, or exchanged sides; `passed` those that no check sees beyond what it sees of the
plain scan. Variants whose right numbers are other than the plain scan's are marked.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from brain_spoilt import plain_of
from brain_variants import Files, variants
from popscan.ingest import prepare
from popscan.io.bids import Bids
from popscan.io.references import usable_references
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1.biomarkers import measure
from popscan.protocols.brain_t1.labels import GROUPS
from popscan.protocols.brain_t1.qc import CHECKS, Context
from popscan.protocols.brain_t1.segmentation import segment
from popscan.qc import run_checks, verdict
from popscan.records import SubjectError
from popscan.segment import load_bundle
from popscan.segment.bundle import Bundle

BUNDLE = Path(__file__).parents[1] / "resources" / "models" / "brain_t1"
PROTOCOL = get_protocol("brain_t1")
#: Volumes that are compared.
VOLUMES = ("icv_ml", "brain_ml", "grey_ml", "white_ml", "ventricles_ml", "hippocampus_ml")
#: Made first, where the time is limited.
_FIRST = (
    "plain", "template_code_1", "t2_as_t1", "uncoded_lps", "skull_stripped_tight",
    "cropped_top_blank_15mm", "mp2rage_inv2", "voxels_times_0.9", "enhanced_1.8", "back_to_front",
    "rotated_90_axial", "slices_times_0.8", "mp2rage_uni", "padded_minus_1000", "clipped_at_white",
    "cropped_side_blank_12mm", "slices_interleaved", "slices_5mm", "t1_map_as_t1", "ct_as_t1",
    "grey_probability_as_t1", "phantom", "thorax", "negative_in_head", "mirrored_both_forms",
    "cropped_cerebellum_blank", "defaced_into_brain", "offset_1000", "motion_strong", "bias_8",
    "lesion_half", "sagittal_slices_times_1.2", "voxels_times_1.1", "pd_as_t1", "blurred_6mm",
    "noise_strong", "slices_exchanged", "upside_down", "rotated_identity_sagittal",
)  # fmt: skip
_SIDED = tuple(f"{g.name}_asymmetry_pct" for g in GROUPS if g.paired)


def run(files: Files, root: Path, bundle: Bundle, keep: Path | None = None) -> dict[str, Any]:
    """Send one visit through the protocol; return its status, verdict and numbers.

    `keep` is a file for the prepared volume, the labels and what the segmentation says of itself.
    """
    folder = root / "sub-X1" / "anat"
    folder.mkdir(parents=True)
    for name, image in files.items():
        nib.save(image, folder / f"sub-X1_{name}.nii.gz")
    found = Bids(PROTOCOL).find(root)[0]
    try:
        loaded = Bids(PROTOCOL).load(found.paths, views=("t1w",))
        usable_references(loaded, protocol=PROTOCOL)
        scan, _, values = prepare(PROTOCOL, loaded.scans["t1w"], None)
        labelled = segment(scan, bundle=bundle)
    except SubjectError as error:
        return {"status": "failed", "reason": error.reason, "message": str(error)[-120:]}
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        said = {k: v for k, v in labelled.values.items() if isinstance(v, (int, float))}
        np.savez_compressed(
            keep, volume=scan.array[..., 0].astype(np.float32), labels=labelled.labels[..., 0],
            spacing=np.asarray(scan.spacing_mm), affine=scan.affine,
            names=np.array(list(said)), values=np.array(list(said.values()), float),
        )  # fmt: skip
    context = Context(scan, labelled.labels, from_segmentation=labelled.values)
    checks = run_checks(CHECKS, context)
    return {
        "status": "ok",
        "verdict": str(verdict(checks)),
        "failed": " ".join(c.name for c in checks if c.verdict == "fail"),
        "review": " ".join(c.name for c in checks if c.verdict == "review"),
        **{f"check_{c.name}": c.value for c in checks},
        **{k: v for k, v in values.items() if k != "orientation_found"},
        **measure(labelled.labels, spacing_mm=scan.spacing_mm),
    }


def compared(row: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Return how far the numbers of a variant are from those of the plain scan."""
    if row["status"] != "ok" or plain["status"] != "ok":
        return {}
    off = {f"off_{n}": round(100 * (row[n] / plain[n] - 1), 1) for n in VOLUMES}
    own, other = (np.array([r[n] for n in _SIDED]) for r in (row, plain))
    both = np.isfinite(own) & np.isfinite(other)
    sides = float(own[both] @ other[both] / np.linalg.norm(own[both]) / np.linalg.norm(other[both]))
    new = {*f"{row['failed']} {row['review']}".split()}
    old = {*f"{plain['failed']} {plain['review']}".split()}
    worst = max(abs(v) for v in off.values())
    return {
        **off, "worst": worst, "sides": round(sides, 2), "wrong": worst > 10 or sides < -0.3,
        "new": " ".join(sorted(new - old)),
        "passed": not new - old and (row["verdict"] == plain["verdict"]),
    }  # fmt: skip


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", nargs="*", default=["sub-A04", "sub-B04"])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf)
    args = parser.parse_args()
    bundle = load_bundle(BUNDLE, "cpu")
    rows: list[dict[str, Any]] = []
    done: set[tuple[str, str]] = set()
    if args.out and args.out.exists():
        rows = pd.read_csv(args.out, sep="\t").to_dict("records")
        done = {(row["subject"], row["variant"]) for row in rows}
    start = time.monotonic()
    for name in args.subjects:
        plain = plain_of(args.data, name)
        kept = [r for r in rows if r["subject"] == name and r["variant"] == "plain"]
        base = {k: ("" if v != v and k in ("failed", "review") else v)
                for k, v in kept[0].items()} if kept else None  # fmt: skip
        known = list(variants(plain))
        known.sort(key=lambda v: _FIRST.index(v[0]) if v[0] in _FIRST else len(_FIRST))
        for variant, kind, make in known:
            wanted = not args.only or variant == "plain" or any(w in variant for w in args.only)
            if not wanted or (name, variant) in done or time.monotonic() - start > args.seconds:
                continue
            with tempfile.TemporaryDirectory() as root:
                try:
                    keep = args.out and args.out.parent / "kept" / f"{name}_{variant}.npz"
                    row = run(make(), Path(root), bundle, keep)
                except SubjectError as error:
                    row = {"status": "failed", "reason": error.reason}
            base = row if base is None else base
            row = {"subject": name, "variant": variant, "kind": kind, **row, **compared(row, base)}
            rows.append(row)
            keys = ("status", "reason", "verdict", "worst", "sides", "new")
            shown = [f"{k}={row.get(k)}" for k in keys if row.get(k) not in (None, "")]
            print(name, variant, *shown, flush=True)
            if args.out:
                pd.DataFrame(rows).to_csv(args.out, sep="\t", index=False)


if __name__ == "__main__":
    main()
