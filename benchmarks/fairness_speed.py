"""The audit's bootstrap beside fairlearn's, and at biobank size.

Run ``python benchmarks/fairness_speed.py``. The comparison needs fairlearn, which popscan itself
does not: ``pip install fairlearn`` (in an environment of its own, if it would change versions).

Part 1: mean and 95% percentile interval of a Dice-like outcome in 6 groups of 40,000 subjects,
1,000 draws, by ``fairlearn.metrics.MetricFrame(n_boot=1000)`` and by popscan; fewer draws of
fairlearn can be asked for (``--peer-draws``), its time then grows in proportion, and is said so.
Part 2: 10,000 BCa draws of 100,000 subjects x 20 outcomes x 4 attributes.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import time

import numpy as np
import pandas as pd

from popscan.fairness.audit import audit


def part_one(subjects: int, peer_draws: int) -> None:
    rng = np.random.default_rng(0)
    groups = rng.choice(list("abcdef"), subjects, p=[0.6, 0.2, 0.1, 0.05, 0.03, 0.02])
    values = 1 - rng.beta(1.5, 14, subjects) - 0.01 * (groups == "f")
    units = [f"u{i:06d}" for i in range(subjects)]
    outcomes = pd.DataFrame(
        {"unit": units, "stage": "segment", "outcome": "dice", "value": values,
         "better_is": "higher"}
    )  # fmt: skip
    people = pd.DataFrame({"g": groups}, index=units)
    start, cpu = time.perf_counter(), time.process_time()
    result = audit(
        outcomes, people, attributes_to_test=["g"], n_boot=1000, interval="percentile", test="welch"
    )
    ours_s, ours_cpu_s = time.perf_counter() - start, time.process_time() - cpu
    table = result.groups.set_index("group")[["n", "mean", "ci_low", "ci_high"]]
    print(f"1. {subjects:,} subjects x 6 groups, 1,000 draws")
    print(f"popscan, audit with all tables and tests: {ours_s:.2f} s, CPU {ours_cpu_s:.2f} s")
    if importlib.util.find_spec("fairlearn") is None:
        print("fairlearn is not installed: pip install fairlearn")
        print(table.to_string())
        return
    from fairlearn.metrics import MetricFrame

    start, cpu = time.perf_counter(), time.process_time()
    frame = MetricFrame(
        metrics=lambda y_true, y_pred: float(np.mean(y_pred)),
        y_true=values,
        y_pred=values,
        sensitive_features=groups,
        n_boot=peer_draws,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    theirs = pd.concat(frame.by_group_ci, axis=1)
    theirs.columns = ["peer_low", "peer_high"]
    measured_s, measured_cpu_s = time.perf_counter() - start, time.process_time() - cpu
    theirs_s, theirs_cpu_s = (t * 1000 / peer_draws for t in (measured_s, measured_cpu_s))
    how = "" if peer_draws == 1000 else f" (in proportion: {measured_s:.1f} s for {peer_draws})"
    print(
        f"fairlearn MetricFrame, these means and intervals: {theirs_s:.1f} s, "
        f"CPU {theirs_cpu_s:.1f} s{how}"
    )
    print(
        f"ratio of wall time {theirs_s / ours_s:.0f}, of CPU time {theirs_cpu_s / ours_cpu_s:.0f}"
    )
    both = table.join(theirs)
    width = both["ci_high"] - both["ci_low"]
    both["width_ratio"] = (both["peer_high"] - both["peer_low"]) / width
    print(both.to_string(float_format=lambda x: f"{x:.5f}"))


def part_two(subjects: int, draws: int) -> None:
    rng = np.random.default_rng(1)
    units = np.array([f"u{i:06d}" for i in range(subjects)])
    people = pd.DataFrame(
        {
            "sex": rng.choice(["female", "male"], subjects),
            "race": rng.choice(["White", "Asian", "Black", "Chinese", "Mixed", "other"], subjects,
                               p=[0.94, 0.02, 0.016, 0.004, 0.008, 0.012]),
            "age_band": rng.choice(["40-49", "50-59", "60-69", "70+"], subjects),
            "scanner": rng.choice(["A", "B", "C", "D"], subjects, p=[0.4, 0.3, 0.2, 0.1]),
        },
        index=units,
    )  # fmt: skip
    values = 1 - rng.beta(1.5, 14, (subjects, 20))
    values[rng.random(values.shape) < 0.01] = np.nan
    outcomes = pd.DataFrame(
        {
            "unit": np.tile(units, 20), "stage": "segment",
            "outcome": np.repeat([f"outcome_{k:02d}" for k in range(20)], subjects),
            "value": values.T.ravel(), "better_is": "higher",
        }
    )  # fmt: skip
    start, cpu = time.perf_counter(), time.process_time()
    result = audit(outcomes, people, attributes_to_test=list(people), n_boot=draws, interval="bca")
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\n2. {subjects:,} subjects x 20 outcomes x 4 attributes, {draws:,} BCa draws")
    print(f"wall {wall_s:.1f} s, CPU {cpu_s:.1f} s, peak memory of the process {peak_gb:.2f} GB")
    print(f"{len(result.groups)} group means, {len(result.gaps)} gaps with tests")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=40_000)
    parser.add_argument("--peer-draws", type=int, default=1000)
    parser.add_argument("--large-subjects", type=int, default=100_000)
    parser.add_argument("--large-draws", type=int, default=10_000)
    options = parser.parse_args()
    part_one(options.subjects, options.peer_draws)
    part_two(options.large_subjects, options.large_draws)


if __name__ == "__main__":
    main()
