"""Whole studies without any gap: how many report one, and how many find a planted one.

Run ``python benchmarks/null_studies.py`` (minutes). Studies are made up (no images): attributes,
confounders, sites and four outcomes (a volume, a skewed score, a rounded one with ties, yes/no)
that do not depend on the group, in the shapes that studies have. Each goes through the audit and
the adjusted gaps as the workflow calls them. "Any" is the share of studies with at least one gap
significant after correction (Holm within a role): at most 5%, or 10% where sites are a family of
their own. Raw gaps of sexes that are unlike between sites that differ are not null. "Single" is
the share of single tests with p <= 0.05 before correction; Fisher's test is below 5% by its nature.
"Planted" is the share of studies in which a gap of 0.8 SD in the volume of one group is found after
correction. A share above its limit by more than two Monte Carlo errors says MISS.

``--part groups`` has one small group among 150 subjects, with equal and unequal spread, and prints
false findings and power of each way of adjusting: single tests, and studies with any of four
outcomes significant after Holm's correction. The skewed score is what no t test of a small group
withstands.

``--part errors`` compares standard errors by subject: sandwich (CR1) and jackknife (CV3).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from scipy import stats

from popscan.fairness.adjusted import adjusted_gaps
from popscan.fairness.audit import audit
from popscan.stats.clustered import jackknife_covariance

ATTRIBUTES = ["sex", "race", "site"]
#: Name -> subjects, visits of a subject, share of women, spread between sites (SD), whether the
#: women's share differs between sites.
SHAPES = {
    "40 subjects": (40, 1, 0.5, 0.0, False),
    "200 subjects": (200, 1, 0.5, 0.0, False),
    "200, 10% women": (200, 1, 0.1, 0.0, False),
    "60 with 1 to 5 visits": (60, 5, 0.5, 0.0, False),
    "200, 5 sites differ": (200, 1, 0.5, 0.5, False),
    "200, 5 sites differ, unlike shares": (200, 1, 0.5, 0.5, True),
}


def study(
    rng: np.random.Generator, shape: str, *, gap: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Outcomes and attributes of a made-up study; women's volume is higher by `gap` SD."""
    n, most_visits, women, between, unlike = SHAPES[shape]
    site = rng.integers(0, 5, n)
    share = np.linspace(0.1, 0.9, 5)[site] if unlike else np.full(n, women)
    people = pd.DataFrame(
        {
            "sub": [f"sub-{i:04d}" for i in range(n)],
            "sex": np.where(rng.random(n) < share, "female", "male"),
            "race": rng.choice(["A", "B", "C"], n, p=[0.6, 0.3, 0.1]),
            "site": [f"s{k}" for k in site],
            "age_years": rng.normal(60, 8, n),
        }
    )
    shift = rng.normal(0, between, 5)[site] if between else np.zeros(n)
    own = rng.normal(size=n) + shift + gap * (people["sex"] == "female").to_numpy()
    of = np.repeat(np.arange(n), rng.integers(1, most_visits + 1, n) if most_visits > 1 else 1)
    visits = people.iloc[of].reset_index(drop=True)
    visits.index = pd.Index([f"unit-{i:05d}" for i in range(len(visits))])
    noise = rng.normal(0, 0.5, (len(of), 3))
    skewed = rng.normal(size=n)[of] + noise[:, 1]
    values = {
        "volume_ml": 150 + 30 * (own[of] + noise[:, 0]) + visits["age_years"].to_numpy() - 60,
        "score": 1 - np.exp(skewed - 4),
        "grade": np.round(rng.normal(size=n)[of] + noise[:, 2]),
        "failed": ((rng.random(n) < 0.1)[of]).astype(float),
    }
    outcomes = pd.concat(
        pd.DataFrame(
            {"unit": visits.index, "stage": "table", "outcome": name, "better_is": "neither",
             "kind": "binary" if name == "failed" else "continuous", "value": column}
        )
        for name, column in values.items()
    )  # fmt: skip
    return outcomes, visits


def audited(shape: str, seed: int, *, gap: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gaps and adjusted gaps of one made-up study."""
    outcomes, people = study(np.random.default_rng([seed, sum(map(ord, shape))]), shape, gap=gap)
    cluster = None if people["sub"].is_unique else "sub"
    differ = SHAPES[shape][3] > 0
    tested = ATTRIBUTES[:2] if differ else ATTRIBUTES  # sites that differ are no false finding
    common = {"attributes_to_test": tested, "family": "role", "cluster": cluster}
    gaps = audit(outcomes, people, n_boot=100, seed=seed, **common).gaps
    adjusted = adjusted_gaps(
        outcomes, people, adjust_for=["age_years", "site"], block="site",
        methods=["regression", "mixed"] if differ else ["regression"], **common,
    )  # fmt: skip
    return gaps, adjusted


def judged(share: float, n: int, limit: float) -> str:
    """Share in percent, and whether it is above its limit by more than two Monte Carlo errors."""
    error = np.sqrt(limit * (1 - limit) / max(n, 1))
    return f"{100 * share:5.1f}{' MISS' if share > limit + 2 * error else '     '}"


def whole_studies(replicates: int) -> None:
    """Print how many null studies report a gap, and how many planted ones are found."""
    print(f"{'study':36s} {'':12s} {'any %':>10s} {'single %':>10s} {'planted %':>10s}  CPU s")
    for shape in SHAPES:
        start = time.process_time()
        null = [audited(shape, seed) for seed in range(replicates)]
        moved = [audited(shape, 10_000 + seed, gap=0.8) for seed in range(replicates // 4)]
        made = ["raw", *null[0][1]["method"].unique()]
        limit = 1 - 0.95 ** null[0][0]["role"].nunique()
        for which, name in enumerate(made):
            parts = [_of(found[min(which, 1)], name) for found in null]
            any_found = np.mean([(part["p_adj"] <= 0.05).any() for part in parts])
            p = pd.concat(parts)["p"].dropna()
            planted = [
                (part["p_adj"][(part["attribute"] == "sex") & (part["outcome"] == "volume_ml")]
                 <= 0.05).any()
                for part in (_of(found[min(which, 1)], name) for found in moved)
            ]  # fmt: skip
            print(
                f"{shape if not which else '':36s} {name:12s} "
                f"{judged(float(any_found), replicates, limit):>10s} "
                f"{judged(float((p <= 0.05).mean()) if len(p) else 0.0, len(p), 0.05):>10s} "
                f"{100 * np.mean(planted):10.0f}  "
                f"{'' if which else f'{time.process_time() - start:.0f}'}",
                flush=True,
            )


def _of(table: pd.DataFrame, method: str) -> pd.DataFrame:
    return table if method == "raw" else table[table["method"] == method]


def small_groups(replicates: int) -> None:
    """Print false findings and power of adjusted gaps of one small group of 150 subjects."""
    methods = ["regression", "ancova", "standardisation", "matching"]
    print(
        f"{'group':>5s} {'spread':>6s} {'method':15s} {'any %':>10s}  single % by outcome, power %"
    )
    for size in (5, 10, 15, 22, 50):
        for spread in (0.5, 1.0, 2.0):
            null, moved = (
                [_small_group(seed, size, spread, gap, methods) for seed in range(replicates)]
                for gap in (0.0, 1.0)
            )
            for method in methods:
                parts = [table[table["method"] == method] for table in null]
                rows = pd.concat(parts)
                any_found = float(np.mean([(part["p_adj"] <= 0.05).any() for part in parts]))
                single = [
                    f"{name} {judged(float((p <= 0.05).mean()), len(p), 0.05)}"
                    for name, p in rows.dropna(subset=["p"]).groupby("outcome")["p"]
                ]
                p = pd.concat([table[table["method"] == method] for table in moved])
                p = p["p"][p["outcome"] == "volume_ml"]
                print(
                    f"{size:5d} {spread:6.1f} {method:15s} {judged(any_found, replicates, 0.05)} "
                    f"{' '.join(single)} power {100 * (p <= 0.05).mean():.0f}",
                    flush=True,
                )


def _small_group(
    seed: int, size: int, spread: float, gap: float, methods: list[str]
) -> pd.DataFrame:
    """Return adjusted gaps of one study; the group's errors are `spread` times as large."""
    rng = np.random.default_rng([seed, size, int(10 * spread), int(gap)])
    units = pd.Index([f"unit-{i:05d}" for i in range(150)])
    own = np.arange(150) < size
    people = pd.DataFrame(
        {"race": np.where(own, "B", "A"), "age_years": rng.normal(60, 8, 150) + 3 * own,
         "site": rng.choice(["s1", "s2", "s3"], 150)}, index=units,
    )  # fmt: skip
    error = rng.normal(size=(150, 3)) * np.where(own, spread, 1.0)[:, None]
    values = {
        "volume_ml": 150 + 30 * (error[:, 0] + gap * own) + people["age_years"].to_numpy() - 60,
        "score": 1 - np.exp(rng.normal(size=150) - 4),
        "grade": np.round(error[:, 2]),
        "failed": (rng.random(150) < 0.4).astype(float),
    }
    outcomes = pd.concat(
        pd.DataFrame(
            {"unit": units, "stage": "table", "outcome": name, "better_is": "neither",
             "kind": "binary" if name == "failed" else "continuous", "value": column}
        )
        for name, column in values.items()
    )  # fmt: skip
    return adjusted_gaps(
        outcomes, people, attributes_to_test=["race"], adjust_for=["age_years", "site"],
        methods=methods, min_group=5,
    )  # fmt: skip


def errors_by_subject(replicates: int) -> None:
    """Print false positives of a slope between subjects with visits, by both standard errors."""
    rng = np.random.default_rng(1)
    print(f"{'subjects':>8s} {'visits':>10s} {'term':>8s} {'CR1 %':>7s} {'CV3 %':>7s}")
    for n in (5, 10, 20, 40, 80):
        sizes = {"2 each": np.full(n, 2), "one of 30": np.r_[30, np.full(n - 1, 2)]}
        for name, visits in sizes.items():
            for term in ("number", "25%"):
                found = [_both(rng, visits, term) for _ in range(replicates)]
                old, new = 100 * (np.array(found) <= 0.05).mean(axis=0)
                print(f"{n:8d} {name:>10s} {term:>8s} {old:7.1f} {new:7.1f}", flush=True)


def _both(rng: np.random.Generator, visits: np.ndarray, term: str) -> tuple[float, float]:
    n = len(visits)
    of = np.repeat(np.arange(n), visits)
    own = rng.normal(size=n) if term == "number" else rng.permutation(n) < max(2, round(n / 4))
    x = np.column_stack([np.ones(len(of)), own[of], rng.normal(size=n)[of]]).astype(float)
    y = rng.normal(size=n)[of] + rng.normal(size=len(of))
    inverse = np.linalg.inv(x.T @ x)
    slopes = inverse @ x.T @ y
    scores = np.zeros((n, 3))
    np.add.at(scores, of, x * (y - x @ slopes)[:, None])
    sandwich = inverse @ scores.T @ scores @ inverse * n / (n - 1) * (len(y) - 1) / (len(y) - 3)
    both = [sandwich[1, 1], jackknife_covariance(x, y, of)[1, 1]]
    old, new = (float(2 * stats.t.sf(abs(slopes[1]) / np.sqrt(v), n - 1)) for v in both)
    return old, new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--part", choices=["studies", "errors", "groups"], default="studies")
    options = parser.parse_args()
    if options.part == "errors":
        errors_by_subject(options.replicates)
    elif options.part == "groups":
        small_groups(options.replicates)
    else:
        whole_studies(options.replicates)


if __name__ == "__main__":
    main()
