"""How long a radial scan must be: spokes are added until segmentation and biomarkers are good.

    python benchmarks/quality_aware.py [--n 16] [--seed 2] [--rows FILE]
    python benchmarks/quality_aware.py --from FILE [MORE ...] [--dice 0.9] [--width 14]

Digital hearts are scanned by golden-angle spokes: fully sampled coil k-space without noise is
sampled along spokes, the scanner's noise is added, and after every few seconds all spokes so far
are reconstructed (`cg_nufft`), segmented by the shipped model, checked and measured, as a study
does. A scan ends at the first look at which no check fails, every structure's expected Dice is at
least ``--dice`` and the interval of LVEF (90%) is at most ``--width`` points wide. Beats are of 25
phases and each phase gets as many spokes a beat as fit into it; of the phases only ``--frames`` are
made. A slice of full length takes 12 s, as in Machado et al. (2021, 2022).

Printed are, per subject, the seconds and the LVEF against the full 12 s and the truth; the same by
sex, body mass index and heart size; and what fixed lengths would have cost. ``--rows`` writes every
look, ``--from`` applies other limits to such files.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.arrays.metrics import dice
from popscan.config import Biomarkers, Segment
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.scanners import SCANNERS
from popscan.recon.radial import golden_angle_kspace
from popscan.recon.stopping import acquire_until
from popscan.records import LabelMap, Scan
from popscan.segment import load_bundle
from popscan.stages.variants.sufficient import Judged, Limits, judge

ROOT = Path(__file__).resolve().parents[1]
CINE = get_protocol("cine_sax")
N_PHASES = 25
#: Fewer frames than a study has are simulated.
UNCHECKED = ("frame_count",)
SHOWN = ("lvef_pct", "lvedv_ml", "lvesv_ml", "lvm_g", "rvef_pct")
LONGEST_S = 12.0


def overlap(labels: LabelMap, reference: LabelMap) -> float:
    """Return Dice, mean over structures and frames."""
    scores = [
        dice(labels.array[..., t], reference.array[..., t], code)
        for code in CINE.labels.names
        for t in reference.frames
    ]
    return float(np.nanmean(scores))


def looks_of(row: Mapping[str, Any], options: argparse.Namespace, bundle: Any) -> list[dict]:
    """Scan one digital heart; a row for every look."""
    scanner = SCANNERS[str(row["scanner"])]
    made = simulate_subject(
        row, seed=options.seed, matrix=(options.matrix,) * 2, frames=options.frames,
        spacing_mm=(options.field_mm / options.matrix,) * 2, coils=options.coils,
        acceleration=1.0, noise=0.0,
    )  # fmt: skip
    assert made.kspace is not None
    per_second = 1000.0 / (N_PHASES * scanner.tr_ms)
    kspace = golden_angle_kspace(
        made.kspace, n_spokes=int(LONGEST_S * per_second), n_phases=N_PHASES,
        per_beat=max(int(60.0 / float(row["hr_bpm"]) * per_second), 1), seed=options.seed,
        noise=scanner.noise * scanner.gain * float(row["truth_noise_factor"]),
    )  # fmt: skip
    segment = Segment.model_validate({"method": CINE.segmentation.method, "device": "cpu"})
    measured = Biomarkers.model_validate({"method": CINE.biomarkers.method})

    def seen(scan: Scan) -> tuple[bool, Judged]:
        # The numbers' limits are applied to the rows, so that others can be tried.
        _, judged = judge(
            scan, protocol=CINE, bundle=bundle, segment=segment, biomarkers=measured,
            limits=Limits(unchecked=UNCHECKED),
        )  # fmt: skip
        return False, judged

    looks = acquire_until(
        kspace, looks=[int(s * per_second) for s in options.seconds], judge=seen,
        prior=options.prior, n_iterations=options.iterations,
    )  # fmt: skip
    height = float(row["height_cm"]) / 100
    about = {
        "unit": row["participant_id"], "sex": row["sex"], "scanner": row["scanner"],
        "bmi_kg_m2": float(row["weight_kg"]) / height**2, "truth_lvedv_ml": row["truth_lvedv_ml"],
        "truth_lvef_pct": float(made.truth["lvef_pct"]),
    }  # fmt: skip
    rows = []
    for seconds, look in zip(options.seconds, looks, strict=True):
        values = look.judged.biomarkers
        rows.append(
            {
                **about, "seconds": seconds, "n_spokes": look.n_spokes,
                "checks": " ".join(look.judged.reasons),
                "dice": overlap(look.judged.labels, made.labels),
                "expected_dice": min(values[f"expected_dice_{s}"] for s in CINE.labels.codes),
                "width": values["lvef_high_pct"] - values["lvef_low_pct"],
                **{name: values[name] for name in SHOWN},
            }
        )  # fmt: skip
    return rows


def ended(rows: pd.DataFrame, *, dice_limit: float, width_limit: float) -> pd.DataFrame:
    """Return the look at which each scan ends, with what the full length gives."""
    good = (
        (rows["checks"].fillna("") == "")
        & (rows["expected_dice"] >= dice_limit)
        & (rows["width"] <= width_limit)
    )
    ends = []
    for _, own in rows.assign(good=good).groupby(["seed", "unit"]):
        own = own.sort_values("seconds")
        full = own.iloc[-1]
        end = own[own["good"]].iloc[0] if own["good"].any() else full
        ends.append(
            {
                **end, "passed": bool(end["good"]), "full_lvef_pct": full["lvef_pct"],
                "full_dice": full["dice"],
                **{f"{name}_cost": end[name] - full[name] for name in SHOWN},
            }
        )  # fmt: skip
    return pd.DataFrame(ends)


def summary(ends: pd.DataFrame) -> dict[str, float]:
    """Return the numbers of a group."""
    cost = ends["lvef_pct_cost"].abs()
    return {
        "n": len(ends),
        "passed": int(ends["passed"].sum()),
        "mean s": ends["seconds"].mean(),
        "longest s": ends["seconds"].max(),
        "LVEF, mean |cost| (points)": cost.mean(),
        "LVEF, mean |cost| (%)": (100 * cost / ends["full_lvef_pct"]).mean(),
        "LVEF, largest |cost|": cost.max(),
        "LVEF, mean |error|": (ends["lvef_pct"] - ends["truth_lvef_pct"]).abs().mean(),
        "full: LVEF, mean |error|": (ends["full_lvef_pct"] - ends["truth_lvef_pct"]).abs().mean(),
        "Dice": ends["dice"].mean(),
        "full: Dice": ends["full_dice"].mean(),
    }


def show(rows: pd.DataFrame, *, dice_limit: float, width_limit: float) -> None:
    """Print every subject, groups, and fixed lengths."""
    ends = ended(rows, dice_limit=dice_limit, width_limit=width_limit)
    columns = ["unit", "sex", "bmi_kg_m2", "truth_lvedv_ml", "seconds", "n_spokes", "passed",
               "lvef_pct", "full_lvef_pct", "truth_lvef_pct", "dice", "full_dice"]  # fmt: skip
    print(ends[columns].round(2).to_string(index=False))
    medians = ends[["bmi_kg_m2", "truth_lvedv_ml"]].median()
    groups = {
        "all": ends.index == ends.index,
        "women": ends["sex"] == "female",
        "men": ends["sex"] == "male",
        "BMI above median": ends["bmi_kg_m2"] > medians["bmi_kg_m2"],
        "BMI below": ends["bmi_kg_m2"] <= medians["bmi_kg_m2"],
        "LVEDV above median": ends["truth_lvedv_ml"] > medians["truth_lvedv_ml"],
        "LVEDV below": ends["truth_lvedv_ml"] <= medians["truth_lvedv_ml"],
        **{name: ends["scanner"] == name for name in sorted(ends["scanner"].unique())},
    }
    print(pd.DataFrame({k: summary(ends[m]) for k, m in groups.items()}).T.round(2).to_string())
    print("fixed lengths:")
    fixed = {}
    for seconds in sorted(rows["seconds"].unique()):
        cut = rows[(rows["seconds"] == seconds) | (rows["seconds"] == rows["seconds"].max())]
        first = cut.sort_values("seconds").assign(checks="", expected_dice=1.0, width=0.0)
        fixed[f"{seconds:g} s"] = summary(ended(first, dice_limit=0.0, width_limit=1.0)) | {
            "pass": int(
                ended(
                    rows[rows["seconds"] == seconds], dice_limit=dice_limit,
                    width_limit=width_limit,
                )["passed"].sum()
            )
        }  # fmt: skip
    print(pd.DataFrame(fixed).T.drop(columns="passed").round(2).to_string())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--first", type=int, default=0, help="leave out so many of them")
    parser.add_argument("--count", type=int, help="scan so many of them; by default all")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2, 4, 6, 8, LONGEST_S])
    parser.add_argument("--matrix", type=int, default=96)
    parser.add_argument("--field-mm", type=float, default=250.0)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--coils", type=int, default=6)
    parser.add_argument("--prior", default="zero", help="of cg_nufft")
    parser.add_argument("--iterations", type=int, default=8, help="of cg_nufft")
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "cine_sax")
    parser.add_argument("--dice", type=float, default=0.85, help="least expected Dice")
    parser.add_argument("--width", type=float, default=20.0, help="widest interval of LVEF, points")
    parser.add_argument("--rows", type=Path, help="write every look here, as TSV")
    parser.add_argument("--from", dest="files", type=Path, nargs="+", help="rows of earlier runs")
    options = parser.parse_args()
    if options.files:
        rows = pd.concat([pd.read_csv(path, sep="\t") for path in options.files])
    else:
        bundle = load_bundle(options.model, "cpu")
        people = sample_population(options.n, seed=options.seed, allocation="quota")
        made: list[dict] = []
        for row in people.to_dict("records")[options.first :][: options.count]:
            made += [{"seed": options.seed, **look} for look in looks_of(row, options, bundle)]
            if options.rows:
                pd.DataFrame(made).to_csv(options.rows, sep="\t", index=False)
        rows = pd.DataFrame(made)
    show(rows, dice_limit=options.dice, width_limit=options.width)


if __name__ == "__main__":
    main()
