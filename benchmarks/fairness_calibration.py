"""Do the statistics of the audit keep their promises? Simulated tables with known truth.

Run ``python benchmarks/fairness_calibration.py`` (minutes; ``--replicates 4000`` for tight limits).
Coverage of 95% intervals, false positives without any gap (single tests and families after
correction), recovery of injected gaps, removal of pure age and BMI confounds, yes/no outcomes, and
groups whose values have another shape than the reference's. Every number is printed with its own
Monte Carlo error; a line that misses its target says MISS.

The values are Dice-like: ``1 - Beta(1.5, 14)``, skewness about -1.3; with ``failures``, 2% of
subjects have a failed segmentation instead (Dice around 0.33, skewness about -3).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from popscan.fairness.adjusted import adjusted_gaps
from popscan.fairness.audit import audit

SIZES = [(20, 20), (20, 200), (20, 2000), (20, 20_000), (200, 2000), (2000, 20_000)]
BLOCK = 100  # independent studies told to the audit as outcomes of one study
#: Shape -> parameters of 1 - Beta, and share of failed segmentations.
SHAPES = {
    "dice": (1.5, 14, 0.0),
    "failures": (1.5, 14, 0.02),
    "failures 10%": (1.5, 14, 0.10),
    "wide": (1.5, 6, 0.0),
    "narrow": (4, 60, 0.0),
}
#: Shape of the group, of the reference, and sizes: a group served differently, not only worse.
DIFFERENT = [
    ("wide", "dice", 20, 20),
    ("wide", "dice", 20, 2000),
    ("narrow", "dice", 20, 2000),
    ("dice", "failures 10%", 20, 2000),
    ("failures", "dice", 20, 2000),
    ("failures 10%", "dice", 20, 2000),
    ("failures 10%", "dice", 50, 2000),
    ("failures 10%", "dice", 200, 2000),
    ("wide", "dice", 200, 2000),
]


def dice(rng: np.random.Generator, shape: tuple[int, ...], kind: str = "dice") -> np.ndarray:
    """Draw Dice-like values."""
    a, b, failures = SHAPES[kind]
    values = 1 - rng.beta(a, b, shape)
    failed = rng.random(shape) < failures
    return np.where(failed, rng.beta(1.5, 3, shape), values)


def true_mean(kind: str) -> float:
    """Mean of the distribution that `dice` draws from."""
    a, b, failures = SHAPES[kind]
    return (1 - failures) * b / (a + b) + failures * 1.5 / 4.5


def study(
    values: np.ndarray, groups: np.ndarray, *, kind: str = "continuous"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Long outcomes and attributes of (units, outcomes) values."""
    units = np.array([f"u{i:06d}" for i in range(len(values))])
    n, k = values.shape
    outcomes = pd.DataFrame(
        {
            "unit": np.tile(units, k),
            "stage": "segment",
            "outcome": np.repeat([f"o{j}" for j in range(k)], n),
            "value": values.T.ravel(),
            "better_is": "higher",
            "kind": kind,
        }
    )
    return outcomes, pd.DataFrame({"g": groups}, index=units)


def verdict(rate: float, n: int, low: float, high: float) -> str:
    """Rate in percent with Monte Carlo error, and whether it keeps its limits within two of it."""
    error = np.sqrt(max(rate * (1 - rate), 1e-9) / n)
    good = low - 2 * error <= rate <= high + 2 * error
    return f"{100 * rate:5.1f} ± {100 * error:.1f}{'' if good else ' MISS'}"


def gaps_of(
    rng: np.random.Generator,
    n: int,
    m: int,
    kinds: tuple[str, str],
    gap: float,
    replicates: int,
) -> pd.DataFrame:
    """Audit `replicates` independent studies of two groups whose true means differ by `gap`."""
    shift = gap + true_mean(kinds[1]) - true_mean(kinds[0])
    groups = np.repeat(["a", "b"], [n, m])
    found = []
    for start in range(0, replicates, BLOCK):
        size = min(BLOCK, replicates - start)
        values = np.concatenate(
            [dice(rng, (n, size), kinds[0]) + shift, dice(rng, (m, size), kinds[1])]
        )
        outcomes, people = study(values, groups)
        found.append(
            audit(
                outcomes, people, attributes_to_test=["g"], reference={"g": "b"},
                correction="none", seed=start,
            ).gaps
        )  # fmt: skip
    return pd.concat(found)


def coverage_and_false_positives(rng: np.random.Generator, replicates: int) -> None:
    print("\n1. Gaps between two groups: 95% intervals cover 93-97%, p <= 0.05 in 4-6% without gap")
    print(
        f"{'values of group / other':26s} {'group':>6s} {'other':>6s}  {'coverage %':>16s}  "
        f"{'false positive %':>18s}  {'mean gap found (true -0.03)':>28s}  {'CPU s':>6s}"
    )
    for kind in ("dice", "failures"):
        for n, m in SIZES:
            one_case(rng, (kind, kind), n, m, replicates)


def different_shapes(rng: np.random.Generator, replicates: int) -> None:
    print("\n5. As 1, groups of different shape and equal mean")
    for group, other, n, m in DIFFERENT:
        one_case(rng, (group, other), n, m, replicates)


def one_case(
    rng: np.random.Generator, kinds: tuple[str, str], n: int, m: int, replicates: int
) -> None:
    start = time.process_time()
    size = replicates if m < 20_000 else min(replicates, 300)
    null = gaps_of(rng, n, m, kinds, 0.0, size)
    moved = gaps_of(rng, n, m, kinds, -0.03, min(size, 200))
    hit = ((null["ci_low"] <= 0) & (null["ci_high"] >= 0)).mean()
    false = (null["p"] <= 0.05).mean()
    gap, error = moved["gap"].mean(), moved["gap"].std() / np.sqrt(len(moved))
    miss = "" if abs(gap + 0.03) <= 3 * error else " MISS"
    print(
        f"{' / '.join(kinds):26s} {n:6d} {m:6d}  "
        f"{verdict(hit, size, 0.93, 0.97):>16s}  {verdict(false, size, 0.04, 0.06):>18s}  "
        f"{gap:14.4f} ± {error:.4f}{miss:>7s}  {time.process_time() - start:6.1f}",
        flush=True,
    )


def families(rng: np.random.Generator, replicates: int) -> None:
    print("\n2. Families of 20 tests (4 groups of 25-400 against a reference of 1,000, 5 outcomes)")
    groups = np.repeat(list("abcde"), [25, 50, 100, 400, 1000])
    raw, holm, bh, total = 0, 0, 0, 0
    for i in range(replicates):
        values = dice(rng, (len(groups), 5))
        values = 0.5 * values + 0.5 * values[:, :1]  # outcomes of one subject go together
        outcomes, people = study(values, groups)
        p = audit(outcomes, people, attributes_to_test=["g"], reference={"g": "e"}, seed=i,
                  n_boot=100, interval="percentile").gaps  # fmt: skip
        raw += int((p["p"] <= 0.05).sum())
        total += len(p)
        holm += bool(p["significant"].any())
        order = np.sort(p["p"].to_numpy())
        bh += bool((order <= 0.05 * np.arange(1, len(p) + 1) / len(p)).any())
    rates = {
        "single tests at 0.05": (raw / total, 0.04, 0.06),
        "any false finding in a family after Holm": (holm / replicates, 0.0, 0.05),
        "any false finding in a family after BH": (bh / replicates, 0.0, 0.05),
    }
    for name, (rate, low, high) in rates.items():
        print(f"{name:42s} {verdict(rate, replicates, low, high)} %", flush=True)


def confounds(rng: np.random.Generator, replicates: int) -> None:
    print(
        "\n3. Adjustment: the group is older and heavier, which lowers Dice; true effect 0 or -0.02"
    )
    print(f"{'method':16s} {'true':>6s}  {'mean gap found':>17s}  {'coverage %':>16s}  "
          f"{'p <= 0.05 %':>16s}")  # fmt: skip
    methods = ["unadjusted", "regression", "ancova", "standardisation", "mixed", "matching"]
    n = 600
    for effect in (0.0, -0.02):
        found = []
        for _ in range(replicates):
            group = rng.random(n) < 0.3
            age = rng.normal(55, 8, n) + 4 * group
            bmi = rng.normal(26, 4, n) + 2 * group
            site = rng.integers(0, 8, n)
            value = 0.95 - 0.002 * (age - 55) - 0.003 * (bmi - 26) + 0.005 * site
            value = value + effect * group - rng.beta(1.5, 14, n)
            outcomes, people = study(value[:, None], np.where(group, "a", "b"))
            people = people.assign(age_years=age, bmi_kg_m2=bmi, site=[f"s{s}" for s in site])
            found.append(
                adjusted_gaps(
                    outcomes, people, attributes_to_test=["g"], reference={"g": "b"},
                    adjust_for=["age_years", "bmi_kg_m2"], methods=methods, block="site",
                )
            )  # fmt: skip
        table = pd.concat(found)
        for method, rows in table.groupby("method", sort=False):
            hit = ((rows["ci_low"] <= effect) & (rows["ci_high"] >= effect)).mean()
            error = rows["gap"].std() / np.sqrt(len(rows))
            false = (rows["p"] <= 0.05).mean()
            told, level = f"{100 * hit:.1f}", f"{100 * false:.1f}"
            if method != "unadjusted":
                told = verdict(hit, replicates, 0.93, 0.97)
                level = level if effect else verdict(false, replicates, 0.04, 0.06)
            print(
                f"{method:16s} {effect:6.2f}  {rows['gap'].mean():8.4f} ± {error:.4f}  "
                f"{told:>16s}  {level:>16s}",
                flush=True,
            )


def proportions(rng: np.random.Generator, replicates: int) -> None:
    print("\n4. Yes/no outcomes (5% fail QC): Newcombe's interval, Fisher or chi-squared")
    print("   (Fisher's test is conservative in small groups: fewer than 4% is its nature)")
    for n, m in SIZES[1:]:
        size = min(replicates, 300) if m >= 20_000 else replicates
        values = (rng.random((n + m, size)) < 0.05).astype(float)
        groups = np.repeat(["a", "b"], [n, m])
        table = pd.concat(
            audit(*study(values[:, i : i + BLOCK], groups, kind="binary"),
                  attributes_to_test=["g"], reference={"g": "b"}, correction="none",
                  n_boot=100).gaps
            for i in range(0, size, BLOCK)
        )  # fmt: skip
        hit = ((table["ci_low"] <= 0) & (table["ci_high"] >= 0)).mean()
        false = (table["p"] <= 0.05).mean()
        print(f"{n:6d} {m:6d}  coverage {verdict(hit, size, 0.93, 0.99)} %  "
              f"false positive {verdict(false, size, 0.0, 0.06)} %", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options = parser.parse_args()
    print(f"{options.replicates} replicates (fewer where said), seed {options.seed}")
    parts = {
        1: (coverage_and_false_positives, options.replicates),
        2: (families, max(options.replicates // 2, 50)),
        3: (confounds, max(options.replicates // 4, 50)),
        4: (proportions, options.replicates),
        5: (different_shapes, options.replicates),
    }
    for part in options.parts:
        measure, replicates = parts[part]
        measure(np.random.default_rng([options.seed, part]), replicates)


if __name__ == "__main__":
    main()
