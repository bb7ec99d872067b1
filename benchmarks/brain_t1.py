"""The shipped model of T1-weighted brains on real data, against the labels that came with them.

    python benchmarks/brain_t1.py [--data ../shared/data] [--flips] [--subjects validation|all|FILE]
    python benchmarks/brain_t1.py --train WORK OUT      # make the bundle again

Prints Dice per structure (validation subjects of the training, or all with who was seen in training
told apart), volumes against those of the labels, and trends with age and differences by sex beside
those of a table of 291 healthy adults. Labels are another program's (DLMUSE).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from popscan.arrays.metrics import score_labels
from popscan.protocols.brain_t1.biomarkers import measure
from popscan.protocols.brain_t1.ingest import prepare
from popscan.protocols.brain_t1.labels import LABELS
from popscan.protocols.brain_t1.segmentation import segment
from popscan.protocols.brain_t1.training import split, train_brain_t1
from popscan.records import LabelMap, Scan
from popscan.segment import load_bundle
from popscan.train.packs import Case

BUNDLE = Path(__file__).parents[1] / "resources" / "models" / "brain_t1"
#: Biomarker -> columns of the table (mm3) that add up to it.
TABLE = {
    "icv_ml": ["702"], "brain_ml": ["701"], "grey_ml": ["601"], "white_ml": ["604"],
    "hippocampus_ml": ["47", "48"], "amygdala_ml": ["31", "32"],
}  # fmt: skip


def read_case(folder: Path, subject: str, row: pd.Series) -> Case:
    """Return a subject as ingest leaves it, with its reference labels."""
    image = nib.load(folder / subject / "anat" / f"{subject}_T1w.nii.gz")
    labels = nib.load(folder / "derivatives/dlmuse" / subject / "anat" / f"{subject}_dseg.nii.gz")
    x, y, z = (float(s) for s in image.header.get_zooms()[:3])
    scan = Scan(
        array=np.asarray(image.dataobj, dtype=np.float32)[..., None],
        affine=np.asarray(image.affine),
        spacing_mm=(x, y, z),
        view="t1w",
    )
    codes = np.asarray(labels.dataobj).astype(np.uint8)[..., None]
    scan, truth, _ = prepare(scan, LabelMap(array=codes, frames=(0,)))
    assert truth is not None
    return Case(
        unit=subject, scan=scan, labels=truth, attributes={k: str(row[k]) for k in ("sex", "site")}
    )


def trends(people: pd.DataFrame, column: str, scale: str) -> str:
    """Return the change per ten years at equal head size, and women against men."""
    y = people[column] / people[column].mean() * 100
    design = np.c_[
        np.ones(len(people)),
        people["age_years"] / 10,
        people["sex"].eq("female"),
        (people[scale] - people[scale].mean()) / people[scale].std(),
    ].astype(float)
    known = np.isfinite(design).all(axis=1) & np.isfinite(y)
    found, *_ = np.linalg.lstsq(design[known], y[known], rcond=None)
    rest = y[known] - design[known] @ found
    cov = np.linalg.inv(design[known].T @ design[known]) * rest.var(ddof=design.shape[1])
    se = np.sqrt(np.diag(cov))
    return f"{found[1]:+6.1f} ({se[1]:.1f}) | {found[2]:+6.1f} ({se[2]:.1f}) | {known.sum()}"


def reference_table(path: Path) -> pd.DataFrame:
    """Return the table of healthy adults in the columns used here."""
    table = pd.read_csv(path, sep="\t")
    out = pd.DataFrame({"age_years": table["age_years"]})
    out["sex"] = table["sex"].map({"F": "female", "M": "male"})
    for name, codes in TABLE.items():
        out[name] = sum(table[f"muse_{code}_mm3"] for code in codes) / 1000
    return out


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--subjects", default="validation", choices=["validation", "all"])
    parser.add_argument("--train", nargs=2, type=Path, metavar=("WORK", "OUT"))
    args = parser.parse_args()
    folder = args.data / "brain"
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype={"participant_id": str})
    people = people.set_index("participant_id")
    cases = [read_case(folder, subject, row) for subject, row in people.iterrows()]
    if args.train:
        print(train_brain_t1(cases, work=args.train[0], out=args.train[1]))
        return
    bundle = load_bundle(BUNDLE, "cpu")
    chosen = split(cases)[1] if args.subjects == "validation" else cases
    rows, volumes = [], []
    for case in chosen:
        start = time.monotonic()
        found = segment(case.scan, bundle=bundle, flips=args.flips)
        seconds = time.monotonic() - start
        seen = bundle.was_trained_on(case.unit)
        scores = score_labels(
            found.labels, case.labels, case.scan.spacing_mm, structures=LABELS.names
        )
        rows += [{"unit": case.unit, "seen": seen, **case.attributes, **s} for s in scores]
        mean = np.mean([s["dice"] for s in scores])
        print(f"{case.unit} {seconds:5.1f} s  Dice {mean:.4f}", file=sys.stderr)
        for source, array in (("model", found.labels), ("labels", case.labels.array)):
            values = measure(array, spacing_mm=case.scan.spacing_mm)
            person = people.loc[case.unit]
            volumes.append(
                {"unit": case.unit, "source": source, "seen": seen, **values, **person.to_dict()}
            )
    table = pd.DataFrame(rows)
    unseen = table[~table["seen"]]
    print(f"\nunseen subjects: {unseen['unit'].nunique()}; structures by side: {len(LABELS.names)}")
    print(f"mean Dice {unseen.groupby('structure')['dice'].mean().mean():.4f}")
    print(unseen.groupby("site")["dice"].mean().round(4).to_string())
    print(unseen.groupby("structure", sort=False)["dice"].agg(["mean", "min"]).round(3).to_string())
    both = pd.DataFrame(volumes).set_index(["unit", "source"])
    model, labels = (both.xs(s, level="source") for s in ("model", "labels"))
    print("\nvolumes, model against labels (unseen): mean difference, % | mean absolute, %")
    for name in (*TABLE, "ventricles_ml", "thalamus_ml"):
        off = (100 * (model[name] / labels[name] - 1))[~model["seen"]]
        print(f"{name:18s} {off.mean():+6.2f} | {off.abs().mean():5.2f}")
    healthy = reference_table(args.data / "tables" / "ixi_brain_volumes.tsv")
    print("\n% per ten years at equal head size (SE) | women, % (SE) | subjects")
    for name in ("brain_ml", "grey_ml", "white_ml", "hippocampus_ml"):
        print(f"{name:15s} table   {trends(healthy, name, 'icv_ml')}")
        if len(model) > 8:
            print(f"{'':15s} model   {trends(model, name, 'icv_ml')}")
            print(f"{'':15s} labels  {trends(labels, name, 'icv_ml')}")


if __name__ == "__main__":
    main()
