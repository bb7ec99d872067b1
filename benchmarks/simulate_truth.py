"""How exact the digital population is: volumes, published ranges, contrast, and what it costs.

Prints (1) counted against analytic volumes on a fine grid, (2) label volumes on the clinical grid
against the truth, (3) the healthy population beside the published reference, (4) processor time
per subject. Usage: ``python benchmarks/simulate_truth.py [--subjects 40]``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.reference import REFERENCE
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import anatomy_for
from popscan.protocols.cine_sax.simulate.tissue import LABEL_OF

STEP_MM = 1.0


def fine_errors(people: pd.DataFrame) -> pd.DataFrame:
    ranges = [(-115, 75), (-85, 85), (-35, 150)]
    axes = [np.arange(low, high, STEP_MM, dtype=np.float32) for low, high in ranges]
    points = np.meshgrid(*axes, indexing="ij")
    rows = []
    for row in people.to_dict("records"):
        heart = anatomy_for(row, rng=rng_for(1, row["participant_id"], "anatomy")).heart
        for phase in (0.0, heart.es_phase):
            state = heart.at(phase)
            labels = LABEL_OF[heart_tissue(state, *points)]
            for label, exact in (
                (Label.RV, state.rv_ml),
                (Label.MYO, heart.myocardium_ml),
                (Label.LV, state.lv_ml),
            ):
                counted = float((labels == label).sum()) * STEP_MM**3 / 1000
                rows.append({"structure": label.name, "error_pct": 100 * (counted / exact - 1)})
    return pd.DataFrame(rows)


def clinical_errors(people: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    rows = []
    started = time.process_time()
    for row in people.to_dict("records"):
        s = simulate_subject(row, seed=1, kspace=False, frames=12)
        ml = float(np.prod(s.scan.spacing_mm)) / 1000
        volume = {label: (s.labels.array == label).sum(axis=(0, 1, 2)) * ml for label in Label}
        t = s.truth
        ed, es = volume[Label.LV][0], volume[Label.LV].min()
        rv_ed, rv_es = volume[Label.RV][0], volume[Label.RV].min()
        rows.append(
            {
                "lvedv_pct": 100 * (ed / t["lvedv_ml"] - 1),
                "lvesv_pct": 100 * (es / t["lvesv_ml"] - 1),
                "lvm_pct": 100 * (1.05 * volume[Label.MYO][0] / t["lvm_g"] - 1),
                "rvedv_pct": 100 * (rv_ed / t["rvedv_ml"] - 1),
                "rvesv_pct": 100 * (rv_es / t["rvesv_ml"] - 1),
                "lvef_points": 100 * (1 - es / ed) - t["lvef_pct"],
                "rvef_points": 100 * (1 - rv_es / rv_ed) - t["rvef_pct"],
            }
        )
    return pd.DataFrame(rows), (time.process_time() - started) / len(people)


def reference_table() -> pd.DataFrame:
    people = sample_population(20000, seed=1)
    bmi = people.weight_kg / (people.height_cm / 100) ** 2
    healthy = people[(people.truth_condition == "healthy") & (bmi < 30)]
    rows = []
    for sex, reference in REFERENCE.items():
        group = healthy[healthy.sex == sex]
        for name in [
            "lvedv_ml",
            "lvesv_ml",
            "lvef_pct",
            "lvm_g",
            "rvedv_ml",
            "rvesv_ml",
            "rvef_pct",
        ]:
            mean, sd = getattr(reference, name)
            found = group[f"truth_{name}"]
            rows.append(
                {
                    "sex": sex,
                    "quantity": name,
                    "published": f"{mean} ± {sd}",
                    "simulated": f"{found.mean():.1f} ± {found.std():.1f}",
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=40)
    people = sample_population(parser.parse_args().subjects, seed=1)
    print(f"\nCounted at {STEP_MM:g} mm against the closed form, percent (ED and ES, 6 hearts)")
    fine = fine_errors(people.head(6)).groupby("structure").error_pct
    print(fine.agg(["mean", "min", "max"]).round(3).to_string())
    errors, seconds = clinical_errors(people)
    print(f"\nTrue labels on the clinical grid against the truth ({len(people)} subjects)")
    table = pd.DataFrame({"mean": errors.mean(), "sd": errors.std(), "mae": errors.abs().mean()})
    print(table.assign(worst=errors.abs().max()).round(2).to_string())
    print("\nHealthy, BMI < 30, beside Petersen et al. 2017 (mean ± SD)")
    print(reference_table().to_string(index=False))
    row = people.iloc[0].to_dict()
    started = time.process_time()
    simulate_subject(row, seed=1, matrix=(112, 112), frames=14, coils=8)
    raw = time.process_time() - started
    print(f"\nProcessor time per subject: images 128 x 128 x 12 frames {seconds:.1f} s; ", end="")
    print(f"k-space 112 x 112 x 14 frames x 8 coils {raw:.1f} s")


if __name__ == "__main__":
    main()
