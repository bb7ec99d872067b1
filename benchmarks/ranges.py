"""Centiles by sex and age against known distributions, beside ranges in bands of ten years.

    python benchmarks/ranges.py --replicates 15 --seed 1

Simulated people of one sex, 45 to 75 years, whose mean falls and whose SD rises with age. Printed
by number of people: root mean squared error of the 2.5th, 50th and 97.5th centile at seven ages
between 48 and 72 years, in population SD, for the curves and for the bands (`reference_ranges`),
and the share of the curves' 90% intervals that hold the true centile.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.stats import norm

from biomarkers import show
from popscan.associate.centiles import CENTILES, fit_curves
from popscan.associate.ranges import reference_ranges

AGES = np.array([48.0, 52.0, 56.0, 60.0, 64.0, 68.0, 72.0])
SHOWN = (2.5, 50.0, 97.5)


def mean_and_sd(ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the population at each age."""
    return 150 - 0.8 * (ages - 45) - 0.01 * (ages - 45) ** 2, 18 + 0.2 * (ages - 45)


def bands(values: np.ndarray, ages: np.ndarray) -> np.ndarray:
    """Nonparametric limits of the band of each age, shape (ages, 3)."""
    table = pd.DataFrame({"v_ml": values, "age_years": ages})
    found = reference_ranges(table, outcomes=["v_ml"], by=["age_band"], min_n=2, n_boot=2)
    by_band = found.set_index("age_band")[["lower", "median", "upper"]]
    names = [f"{int(a // 10) * 10:02d}-{int(a // 10) * 10 + 9:02d}" for a in AGES]
    return by_band.reindex(names).to_numpy(dtype=float)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    at = [CENTILES.index(c) for c in SHOWN]
    centre, spread = mean_and_sd(AGES)
    truth = centre[:, None] + spread[:, None] * norm.ppf(np.array(SHOWN) / 100)
    rows = {}
    for n in (60, 150, 400, 2000):
        smooth, banded, held = [], [], []
        for k in range(options.replicates):
            rng = np.random.default_rng([options.seed, n, k])
            ages = rng.uniform(45, 75, n)
            own, sd = mean_and_sd(ages)
            values = own + sd * rng.standard_normal(n)
            curves, _ = fit_curves(values, ages, seed=k)
            draws = curves.at(AGES)[:, :, at]
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            smooth.append((draws[0] - truth) / spread[:, None])
            banded.append((bands(values, ages) - truth) / spread[:, None])
            held.append((low <= truth) & (truth <= high))
        errors = {
            name: np.sqrt(np.nanmean(np.square(found), axis=(0, 1)))
            for name, found in (("curves", smooth), ("bands", banded))
        }
        rows[f"{n} people"] = {
            **{f"{c:g}%, {m}": errors[m][i] for i, c in enumerate(SHOWN) for m in errors},
            **{f"{c:g}% held": np.mean(held, axis=(0, 1))[i] for i, c in enumerate(SHOWN)},
        }
    show("RMSE in population SD; share of 90% intervals that hold the truth", pd.DataFrame(rows).T)


if __name__ == "__main__":
    main()
