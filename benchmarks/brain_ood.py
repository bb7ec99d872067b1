"""Which volumes the brain model's detector calls unlike its training scans.

    python benchmarks/brain_ood.py [--data ../shared/data] [--model DIR] [--n 5]

To let pass: T1-weighted brains that the model was not trained on. To warn of: FLAIR images of such
people read as T1, the same T1 images as negatives, upside down and with strong noise, cine hearts
read as T1, other organs and contrasts below ``reg_pairs``. Everything goes through the protocol's
ingest (RAS, N4) first. Scores above 1 are farther than the farthest training subject, which is
judged by what was fitted without it; no volume here took part in that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from popscan.protocols.brain_t1.ingest import prepare
from popscan.protocols.brain_t1.segmentation import segment
from popscan.records import PopscanError, Scan, SubjectError
from popscan.segment import load_bundle

BUNDLE = Path(__file__).parents[1] / "resources" / "models" / "brain_t1"


def volume(path: Path) -> Scan:
    """Read a file as a T1-weighted volume."""
    image = nib.as_closest_canonical(nib.load(path))
    array = np.asarray(image.dataobj, dtype=np.float32)
    array = array.reshape(array.shape[:3]) if array.ndim > 3 else array
    x, y, z = (float(s) for s in image.header.get_zooms()[:3])
    return Scan(
        array=array[..., None], affine=np.asarray(image.affine), spacing_mm=(x, y, z), view="t1w"
    )


def unusual(scan: Scan, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """Yield what a T1 image must not look like."""
    array = scan.array
    yield "T1, negative", replace(scan, array=array.max() - array)
    yield "T1, upside down", replace(scan, array=np.ascontiguousarray(array[:, :, ::-1]))
    noise = rng.normal(0, 0.35 * np.percentile(array, 99), array.shape).astype(np.float32)
    yield "T1, strong noise", replace(scan, array=np.abs(array + noise))


def scans(data: Path, unseen: list[str], *, n: int) -> Iterator[tuple[str, str, Scan]]:
    """Yield kind, name and volume."""
    rng = np.random.default_rng(0)
    for name in unseen:
        scan = volume(data / "brain" / name / "anat" / f"{name}_T1w.nii.gz")
        yield "T1, held out", name, scan
        if name == unseen[0]:
            for kind, spoilt in unusual(scan, rng):
                yield kind, name, spoilt
    for path in sorted((data / "brain").glob("sub-*/anat/*_FLAIR.nii.gz"))[:n]:
        yield "FLAIR", path.name.split("_")[0], volume(path)
    for path in sorted((data / "acdc").glob("patient*/*_frame01.nii.gz"))[: max(1, n // 2)]:
        yield "cine heart", path.parent.name, volume(path)
    for path in sorted((data / "reg_pairs").rglob("*.nii.gz"))[: 2 * n]:
        if "label" not in path.name and "seg" not in path.name:
            yield "other", path.name, volume(path)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=BUNDLE)
    parser.add_argument("--n", type=int, default=5)
    args = parser.parse_args()
    bundle = load_bundle(args.model, "cpu")
    names = sorted(p.name for p in (args.data / "brain").glob("sub-*"))
    unseen = [name for name in names if not bundle.was_trained_on(name)]
    rows = []
    for kind, name, scan in scans(args.data, unseen, n=args.n):
        try:
            ready, _, _ = prepare(scan)
            values = segment(ready, bundle=bundle).values
            row = {"kind": kind, "name": name, "score": values["ood_score"]}
        except (SubjectError, PopscanError) as error:
            row = {"kind": kind, "name": name, "score": np.nan, "refused": str(error)[:60]}
        print(row, flush=True)
        rows.append(row)
    table = pd.DataFrame(rows)
    table["warned"] = (table["score"] > 1) | table["score"].isna()
    print(table.groupby("kind", sort=False).agg(
        n=("score", "size"), lowest=("score", "min"), highest=("score", "max"),
        warned=("warned", "sum"),
    ).round(2).to_string())  # fmt: skip


if __name__ == "__main__":
    main()
