"""Harmonisation between sites against known shifts and scales, beside neuroCombat and a regression.

    pip install 'popscan[harmonise]' neuroCombat
    python benchmarks/harmonisation.py --replicates 20 --seed 1

Simulated people at several sites, older at some of them, with eight biomarkers that depend on age
and sex; each site shifts (SD 0.5 of the biomarkers' own) and scales (SD 15%) every biomarker on its
own. Printed by sizes of the sites: root mean squared error against the values without site effects,
in SD, of the values as measured, of `popscan.stats.harmonise`, of neuroCombat (where it is
installed), and of a regression on site that leaves the scale; and the mean absolute error of the
effect of sex, as measured and harmonised, where sex is associated with the site, when sex is
preserved and when it is not.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io

import numpy as np
import pandas as pd

from biomarkers import show
from popscan.stats.harmonise import harmonise
from popscan.stats.harmonise_account import harmonised_name

SIZES = ((10, 10, 10), (30, 30, 30), (10,) * 8, (200, 200, 20), (1000, 700, 300))
NAMES = [f"b{k}_ml" for k in range(8)]


def people(rng: np.random.Generator, sizes: tuple[int, ...]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table as measured, and the values without effects of the sites."""
    site = np.repeat(np.arange(len(sizes)), sizes)
    n = site.size
    age = rng.normal(60, 8, n) + 2 * site / len(sizes)
    male = rng.random(n) < 0.3 + 0.4 * site / max(len(sizes) - 1, 1)
    noise = rng.normal(size=(n, len(NAMES)))
    biology = np.outer(age - 60, np.linspace(-0.05, 0.05, 8)) + np.outer(male, np.full(8, 0.8))
    shift = rng.normal(0, 0.5, (len(sizes), 8))
    scale = np.exp(rng.normal(0, 0.15, (len(sizes), 8)))
    measured = pd.DataFrame(biology + shift[site] + scale[site] * noise, columns=NAMES)
    beside = {"site": [f"s{one}" for one in site], "age_years": age,
              "sex": np.where(male, "male", "female")}  # fmt: skip
    return measured.assign(**beside), biology + noise


def popscan(table: pd.DataFrame, preserve: tuple[str, ...] = ("age_years", "sex")) -> np.ndarray:
    made = harmonise(table, columns=NAMES, site="site", preserve=preserve)
    return made.values[[harmonised_name(name) for name in NAMES]].to_numpy()


def neurocombat(table: pd.DataFrame) -> np.ndarray:
    if importlib.util.find_spec("neuroCombat") is None:
        return np.full((len(table), len(NAMES)), np.nan)
    from neuroCombat import neuroCombat

    with contextlib.redirect_stdout(io.StringIO()):
        made = neuroCombat(
            dat=table[NAMES].to_numpy().T.copy(), covars=table[["site", "age_years", "sex"]],
            batch_col="site", continuous_cols=["age_years"], categorical_cols=["sex"],
        )  # fmt: skip
    return made["data"].T


def regression(table: pd.DataFrame) -> np.ndarray:
    """Shift alone: residual of the sites beside age and sex."""
    sites = pd.get_dummies(table["site"]).to_numpy(dtype=float)
    beside = np.column_stack([table["age_years"], table["sex"] == "male"]).astype(float)
    values = table[NAMES].to_numpy()
    effects = np.linalg.lstsq(np.hstack([sites, beside]), values, rcond=None)[0]
    return values - (sites - sites.mean(axis=0)) @ effects[: sites.shape[1]]


def error(values: np.ndarray, truth: np.ndarray) -> float:
    """Root mean squared difference, without the mean of each biomarker."""
    return float(np.sqrt(np.mean(((values - values.mean(0)) - (truth - truth.mean(0))) ** 2)))


def sex_error(table: pd.DataFrame, values: np.ndarray) -> float:
    design = np.column_stack([np.ones(len(table)), table["age_years"], table["sex"] == "male"])
    found = np.linalg.lstsq(design.astype(float), values, rcond=None)[0][2]
    return float(np.abs(found - 0.8).mean())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for sizes in SIZES:
        found = []
        for k in range(options.replicates):
            table, truth = people(np.random.default_rng([options.seed, k, *sizes]), sizes)
            raw, ours = table[NAMES].to_numpy(), popscan(table)
            found.append(
                {
                    "as measured": error(raw, truth),
                    "popscan": error(ours, truth),
                    "neuroCombat": error(neurocombat(table), truth),
                    "regression": error(regression(table), truth),
                    "sex: measured": sex_error(table, raw),
                    "preserved": sex_error(table, ours),
                    "not preserved": sex_error(table, popscan(table, ("age_years",))),
                }
            )
        name = f"{len(sizes)} x {sizes[0]}" if len(set(sizes)) == 1 else ", ".join(map(str, sizes))
        rows[name] = pd.DataFrame(found).mean().round(3).to_dict()
    show("error in SD, and of the effect of sex", pd.DataFrame(rows).T)


if __name__ == "__main__":
    main()
