"""Whether scans under two names are found among coarse values, and chance is not taken for one.

    python benchmarks/copies.py [--tables 20]

Simulated biomarkers of hearts: two ventricles, wall thickness, and what is derived of them (stroke
volume, ejection fraction, ratios, values per body surface area), rounded to a step. Printed by
number of rows and step: of how many tables a planted copy was named, of how many it was said that
chance may explain it, and of how many tables without a copy one was named; then pairs of equal rows
that were expected by chance and seen, where values are so coarse that there are some.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from popscan.stats.coincidence import chance_of_equal_rows
from popscan.stats.copies import same_rows_notes


def hearts(n: int, step: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return biomarkers (mL, %, g, mm) of n subjects, rounded to a step."""
    edv, ef = rng.normal(150, 30, n).clip(60), rng.normal(60, 6, n).clip(15, 85)
    right, ref = edv * rng.normal(1.05, 0.08, n), rng.normal(57, 6, n)
    mass, bsa = rng.normal(100, 22, n).clip(40), rng.normal(1.9, 0.2, n)
    sv, rsv, wall = edv * ef / 100, right * ref / 100, rng.normal(8, 1, n)
    table = {
        "edv": edv, "esv": edv - sv, "sv": sv, "ef": ef, "mass": mass, "redv": right,
        "resv": right - rsv, "rsv": rsv, "ref": ref, "ratio": 100 * mass / edv,
        "output": sv * rng.normal(65, 10, n) / 100, "edvi": edv / bsa, "massi": mass / bsa,
        **{f"wall{k}": wall + rng.normal(0, 0.8, n) for k in range(6)},
    }  # fmt: skip
    return pd.DataFrame({name: (values / step).round() * step for name, values in table.items()})


def _named(table: pd.DataFrame) -> tuple[bool, bool]:
    """Return whether a copy was named, and whether chance was said to be possible."""
    units = [f"sub-{k:06d}" for k in range(len(table))]
    notes = same_rows_notes(table.assign(unit=units), list(table))
    return (
        any(note.startswith("Exactly") for note in notes),
        any("by chance" in note for note in notes),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--rows", type=int, nargs="+", default=[50, 300, 3000, 100_000])
    parser.add_argument("--steps", type=float, nargs="+", default=[0.1, 1, 2, 5])
    given = parser.parse_args()
    print("rows     step  copy named  undecided  named without copy  seconds")
    for n in given.rows:
        for step in given.steps:
            n_tables = given.tables if n < 10_000 else max(given.tables // 10, 1)
            found, start = np.zeros(3), time.perf_counter()
            for seed in range(n_tables):
                table = hearts(n, step, np.random.default_rng([seed, n]))
                without = _named(table)[0]
                table.iloc[7] = table.iloc[20]
                copy, unclear = _named(table)
                found += [copy, unclear and not copy, without]
            seconds = (time.perf_counter() - start) / (2 * n_tables)
            share = "".join(f"{f'{int(k)} of {n_tables}':>12}" for k in found)
            print(f"{n:<8}{step:>5g}{share}  {seconds:8.2f}", flush=True)
    print("\nrows     step  columns  expected      seen")
    for n in (3000, 30_000):
        for step in (2, 5, 10):
            for k in (4, 8, 13):
                table = hearts(n, step, np.random.default_rng(n)).iloc[:, :k]
                keys = table.groupby(list(table)).ngroup().to_numpy()
                chance = chance_of_equal_rows(table.to_numpy(), keys, np.arange(n))
                expected = 10 ** chance.log10_expected(np.ones(k, dtype=bool), apart=True)
                counts = np.bincount(keys)
                seen = int((counts * (counts - 1) // 2).sum())
                print(f"{n:<8}{step:>5g}{k:>9}{expected:>10.3g}{seen:>10}", flush=True)


if __name__ == "__main__":
    main()
