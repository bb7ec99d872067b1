"""The shipped model of T1-weighted brains on real data, against the labels that came with them.

    python benchmarks/brain_t1.py [--data ../shared/data] [--flips] [--subjects validation|all]
    python benchmarks/brain_t1.py --study results/brain # the same of a study that has run
    python benchmarks/brain_t1.py --train WORK OUT      # make the bundle again

Prints Dice per structure (validation subjects of the training, or all, those seen in training
apart), volumes against those of the labels per structure, and trends with age and differences by
sex, at equal head size and of volumes adjusted by the residual method (as the study's tables have
them), beside those of a table of 291 healthy adults. Labels are another program's (DLMUSE). Of a
study also predicted against true Dice (rca), where it has both.
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
from popscan.protocols.brain_t1.labels import GROUPS, LABELS
from popscan.protocols.brain_t1.segmentation import segment
from popscan.protocols.brain_t1.training import split, train_brain_t1
from popscan.records import LabelMap, Scan
from popscan.segment import load_bundle
from popscan.stats.residual import residual_adjusted, size_slope
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
    """Return the change per ten years, and women against men; at equal `scale` where given."""
    y = people[column] / people[column].mean() * 100
    terms = [np.ones(len(people)), people["age_years"] / 10, people["sex"].eq("female")]
    if scale:
        terms.append((people[scale] - people[scale].mean()) / people[scale].std())
    design = np.column_stack(terms).astype(float)
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


def of_images(
    cases: list[Case], people: pd.DataFrame, *, flips: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Segment; return scores per structure, and biomarkers of model and labels."""
    bundle = load_bundle(BUNDLE, "cpu")
    rows, volumes = [], []
    for case in cases:
        start = time.monotonic()
        found = segment(case.scan, bundle=bundle, flips=flips)
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
    return pd.DataFrame(rows), pd.DataFrame(volumes)


def of_study(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the same from the tables of a study."""
    read = {
        name: pd.read_parquet(root / "tables" / f"{name}.parquet")
        for name in ("participants", "scores", "biomarkers", "reference_biomarkers")
    }
    people = read["participants"].set_index("unit")[["sex", "age_years", "site"]]
    scores = read["scores"].join(people, on="unit").rename(columns={"seen_in_training": "seen"})
    seen = scores.groupby("unit")["seen"].first()
    model = read["biomarkers"].assign(source="model")
    labels = read["reference_biomarkers"]
    labels = labels[labels["source"] == "reference_labels"].assign(source="labels")
    volumes = pd.concat([model, labels], ignore_index=True).join(people, on="unit")
    return scores, volumes.assign(seen=volumes["unit"].map(seen).astype(bool))


def print_predicted(root: Path, scores: pd.DataFrame) -> None:
    """Print how predicted Dice goes with true Dice, where the study predicted any."""
    path = root / "tables" / "predicted_dice_structures.parquet"
    if not path.exists():
        return
    predicted = pd.read_parquet(path)
    both = predicted.merge(scores[["unit", "structure", "dice", "seen"]], on=["unit", "structure"])
    means = both.groupby("unit")[["predicted_dice", "dice"]].mean()
    by_structure = both.groupby("structure")[["predicted_dice", "dice"]].mean()
    print("\npredicted (rca) against true Dice: correlation (Spearman)")
    for name, table in (
        ("subjects and structures", both), ("structures' means", by_structure),
        ("subjects' means", means), ("unseen, subjects and structures", both[~both["seen"]]),
    ):  # fmt: skip
        r = table["predicted_dice"].corr(table["dice"])
        rank = table["predicted_dice"].corr(table["dice"], method="spearman")
        print(f"{name:32s} {r:+.2f} ({rank:+.2f}), n = {len(table)}")
    print(f"mean predicted {both['predicted_dice'].mean():.3f}, true {both['dice'].mean():.3f}")


def adjusted(people: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a table whose column is at mean head size, by the residual method."""
    line = size_slope(people[column], people["icv_ml"])
    return people.assign(**{column: residual_adjusted(people[column], people["icv_ml"], line)})


def print_trends(model: pd.DataFrame, labels: pd.DataFrame, healthy: pd.DataFrame) -> None:
    """Print trends with age and differences by sex of all three."""
    print("\n% per ten years (SE) | women, % (SE) | subjects")
    for name in ("brain_ml", "grey_ml", "white_ml", "hippocampus_ml"):
        for source, table in (("table", healthy), ("model", model), ("labels", labels)):
            if len(table) < 10:
                continue
            print(f"{name:15s} {source:7s} at equal head size {trends(table, name, 'icv_ml')}")
            rest = trends(adjusted(table, name), name, "")
            print(f"{'':15s} {'':7s} residual method    {rest}")


def print_volumes(model: pd.DataFrame, labels: pd.DataFrame) -> None:
    """Print how far volumes of the model are off those of the labels, unseen and seen subjects."""
    print("\nvolumes, model against labels: mean difference, % (SD) | mean absolute, %")
    groups = [f"{one.name}_ml" for one in GROUPS]
    for name in dict.fromkeys((*TABLE, "ventricles_ml", "deep_grey_ml", *groups)):
        off = 100 * (model[name] / labels[name] - 1)
        parts = [
            f"{kind} {part.mean():+6.2f} ({part.std():5.2f}) | {part.abs().mean():5.2f}"
            for kind, part in (("unseen", off[~model["seen"]]), ("seen", off[model["seen"]]))
            if len(part)
        ]
        print(f"{name:22s} {'   '.join(parts)}")


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--subjects", default="validation", choices=["validation", "all"])
    parser.add_argument("--study", type=Path, help="results of a study of the same subjects")
    parser.add_argument("--train", nargs=2, type=Path, metavar=("WORK", "OUT"))
    args = parser.parse_args()
    healthy = reference_table(args.data / "tables" / "ixi_brain_volumes.tsv")
    if args.study:
        table, volumes = of_study(args.study)
        report(table, volumes, healthy)
        print_predicted(args.study, table)
        return
    folder = args.data / "brain"
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype={"participant_id": str})
    people = people.set_index("participant_id")
    cases = [read_case(folder, subject, row) for subject, row in people.iterrows()]
    if args.train:
        print(train_brain_t1(cases, work=args.train[0], out=args.train[1]))
        return
    chosen = split(cases)[1] if args.subjects == "validation" else cases
    table, volumes = of_images(chosen, people, flips=args.flips)
    report(table, volumes, healthy)


def report(table: pd.DataFrame, volumes: pd.DataFrame, healthy: pd.DataFrame) -> None:
    """Print everything that is measured."""
    unseen = table[~table["seen"]]
    print(f"\nunseen subjects: {unseen['unit'].nunique()}; structures by side: {len(LABELS.names)}")
    print(f"mean Dice {unseen.groupby('structure')['dice'].mean().mean():.4f}")
    print(unseen.groupby("site")["dice"].mean().round(4).to_string())
    print(unseen.groupby("structure", sort=False)["dice"].agg(["mean", "min"]).round(3).to_string())
    both = volumes.set_index(["unit", "source"])
    model, labels = (both.xs(s, level="source") for s in ("model", "labels"))
    print_volumes(model, labels.reindex(model.index))
    print_trends(model, labels, healthy)


if __name__ == "__main__":
    main()
