"""What a simulated study gets wrong, where it comes from, and whether its checks say so.

    popscan run demo
    python benchmarks/demo_truth.py results/demo [MORE ...] [--rows FILE]
    python benchmarks/demo_truth.py results/demo --again [--method NAME --set KEY=VALUE ...]

Reads studies of simulated cines that have run, and holds them against every heart's analytic
truth. The errors of a subject add up:

- grid: biomarkers of the true labels less the truth: what slices, pixels and frames cost, and
  slices that were never acquired;
- network: what the network makes of the fully sampled images, less the true labels;
- reconstruction: what it makes of the images in use, less that (0 in a study without k-space).

A result is *right* where LVEF is within 5 points and the LV's and RV's volumes at ED and ES within
15%, or 10 mL, of the truth. Printed are the errors by source, how many right and wrong results are
flagged (review or fail) and by which checks, and in how many the intervals hold the truth.

``--again`` segments and judges the study's images anew, with today's bundle, checks and intervals;
``--method`` reconstructs its k-space anew before that: what another method or option would change.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from popscan.arrays.widening import stored_widening
from popscan.io.kspace import read_kspace
from popscan.io.nifti import read_labels, read_scan
from popscan.protocols.cine_sax import biomarkers
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES, bounds
from popscan.protocols.cine_sax.biomarkers.samples import interval_values
from popscan.protocols.cine_sax.qc import check
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training.observe import sample_volumes_ml
from popscan.recon import reconstruct
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment import Bundle, Segmentation, load_bundle
from popscan.stages.segment.uncertainty import base_doubt, matching
from popscan.stats.intervals import wilson

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
SHOWN = ("lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct")
VOLUMES = ("lvedv_ml", "lvesv_ml", "rvedv_ml", "rvesv_ml")
SOURCES = ("grid", "network", "reconstruction", "all")
#: As the demo's config has it: its cines have 12 frames.
THRESHOLDS = {"frame_count": {"review": 10}}
LVEF_POINTS, VOLUME_PCT, LEAST_ML = 5.0, 15.0, 10.0


def measured(labels: LabelMap, scan: Scan) -> dict[str, float]:
    """Return the biomarkers of labels on a scan's grid."""
    found: dict[str, float] = biomarkers.measure(labels.array, spacing_mm=scan.spacing_mm)
    return found


def ends_of(
    found: Segmentation, scan: Scan, values: Mapping[str, float], *, bundle: Bundle
) -> dict[str, float]:
    """Return the ends of the intervals at 90% of what was measured on a segmentation."""
    assert found.tally is not None
    score = float(found.values["ood_score"])
    known = bundle.about.get("intervals", ())
    samples = {
        "volumes_ml": sample_volumes_ml(found.tally, scan),
        "calibration": matching(known, flips=False, dropout_samples=0),
        "base": base_doubt(found, scan),
        "widening": stored_widening(bundle.about.get("widening"), score),
    }
    return interval_values(values, samples=samples, level=0.9, method="auto")


def wrong(found: Mapping[str, float], truth: Mapping[str, float]) -> bool:
    """Return whether LVEF or a volume is off by more than the limits; NaN is."""
    if not abs(found["lvef_pct"] - truth["lvef_pct"]) <= LVEF_POINTS:
        return True
    limits = {v: max(VOLUME_PCT / 100 * truth[v], LEAST_ML) for v in VOLUMES}
    return any(not abs(found[v] - truth[v]) <= limits[v] for v in VOLUMES)


class Run:
    """A study that has run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables = {
            name: pd.read_csv(root / "tables" / f"{name}.tsv", sep="\t").set_index("unit")
            for name in ("truth", "biomarkers", "qc", "segmentation")
        }

    def file(self, unit: str, stage: str, ending: str) -> Path:
        """Return the path of one of a subject's files."""
        return self.root / "derivatives" / unit / stage / f"{unit}_acq-sax_{ending}"

    def image(self, unit: str) -> Scan:
        """Return the images in use: reconstructed where there is k-space."""
        stage = "reconstruct" if self.file(unit, "ingest", "kspace.h5").exists() else "ingest"
        return read_scan(self.file(unit, stage, "cine.nii.gz"))

    def subject(self, unit: str) -> dict[str, Any]:
        """Return biomarkers by source, and what the study says of the result."""
        scan = self.image(unit)
        full = self.file(unit, "segment", "desc-ofreference_dseg.nii.gz")
        own = {str(k): v for k, v in self.tables["biomarkers"].loc[unit].items()}
        verdict = self.tables["qc"].loc[unit]
        named = " ".join(str(verdict[k]) for k in ("failed", "review") if verdict[k] == verdict[k])
        true_labels = read_labels(self.file(unit, "ingest", "desc-reference_dseg.nii.gz"))
        return {
            "scan": scan,
            "grid": measured(true_labels, scan),
            "network": measured(read_labels(full), scan) if full.exists() else own,
            "all": own,
            "ood": float(self.tables["segmentation"].loc[unit, "ood_score"]),
            "checks": named.split(),
        }

    def again(
        self, unit: str, *, bundle: Bundle, method: str, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the same, reconstructed with a method, where one is named, and judged anew."""
        seen = self.subject(unit)
        if method:
            kspace = read_kspace(self.file(unit, "ingest", "kspace.h5"))
            seen["scan"] = reconstruct(kspace, method=method, **options)
        scan = seen["scan"]
        found = segment(scan, bundle=bundle)
        score = float(found.values["ood_score"])
        values = measured(LabelMap(array=found.labels, frames=()), scan)
        ends = ends_of(found, scan, values, bundle=bundle)
        values_of_segment = {**found.values, "base": base_doubt(found, scan)}
        checks = check(
            scan, found.labels, from_segmentation=values_of_segment, thresholds=THRESHOLDS
        )
        flagged = [c.name for c in checks if c.verdict in ("review", "fail")]
        return seen | {"all": {**values, **ends}, "ood": score, "checks": flagged}


def row_of(unit: str, seen: Mapping[str, Any], truth: Mapping[str, float]) -> dict[str, Any]:
    """Return the errors by source, whether the intervals hold, and what was flagged."""
    row: dict[str, Any] = {"unit": unit, "wrong": wrong(seen["all"], truth), "ood": seen["ood"]}
    row |= {"checks": " ".join(seen["checks"])}
    for name in SHOWN:
        parts = [truth[name], *(float(seen[k][name]) for k in ("grid", "network", "all"))]
        steps = (*np.diff(parts), parts[-1] - parts[0])
        row |= {f"{name} {source}": v for source, v in zip(SOURCES, steps, strict=True)}
    for name in QUANTITIES:
        low, high = (float(seen["all"].get(end, np.nan)) for end in bounds(name))
        known = np.isfinite([low, high]).all() and name in truth
        row[f"holds {name}"] = float(low <= truth[name] <= high) if known else np.nan
    return row


def share(k: int, n: int) -> str:
    """Return ``k of n (95% interval)``."""
    low, high = wilson(k, n, alpha=0.05) if n else (0.0, 1.0)
    return f"{k} of {n} ({low:.0%} to {high:.0%})"


def show(rows: pd.DataFrame) -> None:
    """Print errors by source, flags of right and wrong results, and coverage."""
    lines = {
        (name, source): {
            "median": rows[f"{name} {source}"].median(),
            "mean abs.": rows[f"{name} {source}"].abs().mean(),
        }
        for name in SHOWN
        for source in SOURCES
    }
    table = pd.DataFrame(lines).T.unstack()
    table.columns = [f"{source}: {kind}" for kind, source in table.columns]
    order = [f"{source}: {kind}" for source in SOURCES for kind in ("median", "mean abs.")]
    print(table.loc[list(SHOWN), order].round(1).to_string())
    off = rows["lvef_pct all"].abs() > LVEF_POINTS
    print(f"LVEF off by more than {LVEF_POINTS:g} points: {share(int(off.sum()), len(rows))}")
    for kind, part in (("right", rows[~rows["wrong"]]), ("wrong", rows[rows["wrong"]])):
        names = [set(c.split()) for c in part["checks"]]
        other = sum(bool(n - {"ood"}) for n in names)
        beyond = int((part["ood"] > 1).sum())
        print(
            f"{kind} results flagged: {share(sum(map(bool, names)), len(part))}; by checks other "
            f"than ood: {share(other, len(part))}; ood score above 1: {beyond}"
        )
        counts = Counter(x for c in names for x in c).most_common()
        print("   ", ", ".join(f"{name} {k}" for name, k in counts))
    for name in QUANTITIES:
        held = rows[f"holds {name}"].dropna()
        print(f"interval of {name} holds: {share(int(held.sum()), len(held))}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", nargs="+", type=Path)
    parser.add_argument("--again", action="store_true", help="segment and judge anew")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="with --again")
    parser.add_argument("--method", default="", help="reconstruct anew; implies --again")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--n", type=int, help="only the first so many of each study")
    parser.add_argument("--rows", type=Path, help="write the rows here, as TSV")
    given = parser.parse_args()
    options = {k: yaml.safe_load(v) for k, _, v in (item.partition("=") for item in given.set)}
    bundle = load_bundle(given.model, "cpu") if given.again or given.method else None
    rows = []
    for root in given.study:
        run = Run(root)
        for unit in run.tables["biomarkers"].index[: given.n]:
            truth = {str(k): float(v) for k, v in run.tables["truth"].loc[unit].items()}
            try:
                if bundle is None:
                    seen = run.subject(unit)
                else:
                    seen = run.again(unit, bundle=bundle, method=given.method, options=options)
            except (PopscanError, FileNotFoundError) as error:
                print(f"{root.name} {unit}: left out ({error})")
                continue
            rows.append({"study": root.name, **row_of(unit, seen, truth)})
    table = pd.DataFrame(rows)
    print(f"{len(table)} subjects")
    show(table)
    if given.rows:
        table.to_csv(given.rows, sep="\t", index=False)


if __name__ == "__main__":
    main()
