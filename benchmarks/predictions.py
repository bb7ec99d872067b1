"""Whether intervals of audited predictions cover the truth: simulated scores with known gaps.

    python benchmarks/predictions.py [--studies 400]

Scores are logits, normal within positives and negatives of each group, so that sensitivity, false
positive rate and AUC are known in closed form; the calibration slope and errors of regressions too.
Printed: how many of 95% intervals hold the truth, and how often a gap that is none is called
significant (nominal: 5%), by size of the smaller group.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from scipy import stats

from popscan.fairness.audit import audit
from popscan.fairness.design import AuditDesign
from popscan.fairness.prediction_outcomes import Prediction, prediction_outcomes
from popscan.fairness.predictions import EVERYBODY, prediction_table

#: Group -> mean logit of positives and negatives; spread 1.
MEANS = {"male": (0.8, -0.8), "female": (0.2, -1.2)}
PREVALENCE = {"male": 0.35, "female": 0.25}
BOOT = 400


def simulate(
    n: int, rng: np.random.Generator, *, gap: bool
) -> tuple[pd.DataFrame, Prediction, Prediction]:
    """Return a study of n women and 4 n men, a classifier's scores, and predicted ages."""
    sex = np.repeat(["female", "male"], [n, 4 * n])
    units = pd.Index([f"u{i:05d}" for i in range(len(sex))])
    truth, logit = np.zeros(len(sex)), np.zeros(len(sex))
    for group in MEANS:
        here = sex == group
        like = group if gap else "male"
        truth[here] = rng.random(here.sum()) < PREVALENCE[like]
        high, low = MEANS[like]
        logit[here] = rng.normal(np.where(truth[here] == 1, high, low))
    score = 1 / (1 + np.exp(-logit))
    age = rng.normal(60, 8, len(sex))
    value = 60 + 0.7 * (age - 60) + rng.normal(0, 4, len(sex))
    people = pd.DataFrame({"sex": sex}, index=units)
    classifier = Prediction(
        name="ill", kind="classification",
        score=pd.Series(score, units), truth=pd.Series(truth, units),
    )  # fmt: skip
    regression = Prediction(
        name="age", kind="regression", unit="years",
        score=pd.Series(value, units), truth=pd.Series(age, units),
    )  # fmt: skip
    return people, classifier, regression


def truths() -> dict[str, float]:
    """Return the true value of every gap, women minus men."""
    rates = {g: (stats.norm.sf(-m[0]), stats.norm.sf(-m[1])) for g, m in MEANS.items()}
    auc = {g: stats.norm.cdf((m[0] - m[1]) / np.sqrt(2)) for g, m in MEANS.items()}
    balanced = {g: (r[0] + 1 - r[1]) / 2 for g, r in rates.items()}
    return {
        "ill_sensitivity": rates["female"][0] - rates["male"][0],
        "ill_false_positive_rate": rates["female"][1] - rates["male"][1],
        "auc": auc["female"] - auc["male"],
        "balanced_accuracy": balanced["female"] - balanced["male"],
        "age_years_abs_error": 0.0,
        "rmse": 0.0,
        "slope_on_truth": 0.0,
    }


def rows_of(n: int, seed: int, *, gap: bool) -> dict[str, tuple[float, float, float]]:
    """Return limits and p value of every gap of one simulated study."""
    people, *predictions = simulate(n, np.random.default_rng(seed), gap=gap)
    common = {"attributes_to_test": ["sex"], "reference": {"sex": "male"}}
    gaps = audit(
        prediction_outcomes(predictions, people.index), people, n_boot=BOOT, min_group=5, **common
    ).gaps.set_index("outcome")
    table = prediction_table(
        predictions, people, design=AuditDesign(n_boot=BOOT, min_group=5), **common
    )
    table = table[(table["group"] == "female") & (table["group"] != EVERYBODY)]
    found = {str(k): (r["ci_low"], r["ci_high"], r["p"]) for k, r in gaps.iterrows()}
    for _, row in table.iterrows():
        found[row["measure"]] = (row["gap_ci_low"], row["gap_ci_high"], row["p"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    options = parser.parse_args()
    truth = truths()
    began = time.perf_counter()
    for n in (30, 100, 300):
        with_gap = [rows_of(n, seed, gap=True) for seed in range(options.studies)]
        without = [rows_of(n, 10_000 + seed, gap=False) for seed in range(options.studies)]
        print(f"{n} women, {4 * n} men, {options.studies} studies")
        for name, value in truth.items():
            known = [row[name] for row in with_gap if name in row and np.isfinite(row[name][0])]
            null = [row[name][2] for row in without if name in row and np.isfinite(row[name][2])]
            covered = np.mean([low <= value <= high for low, high, _ in known])
            alarms = np.mean(np.array(null) <= 0.05)
            print(
                f"  {name:26} gap {value:+.3f}  covered {100 * covered:5.1f}%  called significant "
                f"without a gap {100 * alarms:4.1f}%  ({len(known)})"
            )
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
