"""Limits from verdicts: known separations, the budget, honesty of held-out results, the command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.commands.qc_limits import FEWEST, badness, limit_at, tune
from popscan.qc.model import Measured, Spec


def spec(bad: str, review: float | tuple[float, float]) -> Spec:
    return Spec(
        measure=lambda _: Measured(0.0), kind="image", unit="", meaning="m", bad=bad,
        review=review, fail=None,
    )  # fmt: skip


SPECS = {
    "high": spec("high", 9.0),
    "low": spec("low", 0.1),
    "outside": spec("outside", (0.0, 10.0)),
}


def cohort(seed: int = 0, *, n_bad: int = 60, n_good: int = 240) -> tuple[pd.DataFrame, np.ndarray]:
    """A third of the bad results shows in each of two checks, a third in none."""
    rng = np.random.default_rng(seed)
    n = n_bad + n_good
    bad = np.arange(n) < n_bad
    kind = np.where(bad, np.arange(n) % 3, -1)
    values = pd.DataFrame(
        {
            "high": rng.normal(2, 1, n) + 8 * (kind == 0),
            "low": rng.normal(5, 1, n) - 8 * (kind == 1),
            "outside": rng.normal(5, 1, n),
        }
    )
    values.loc[rng.random(n) < 0.05, "outside"] = np.nan
    return values, bad


@pytest.mark.parametrize(("name", "bad"), [("high", 3.0), ("low", -3.0), ("outside", 1.5)])
def test_a_limit_is_where_its_badness_is(name: str, bad: float) -> None:
    one = SPECS[name]
    limit = limit_at(one, bad)
    for value in np.linspace(-20, 20, 81):
        assert one.exceeds(value, limit) == (badness(one, np.array([value]))[0] > bad)


def test_two_signs_are_found_within_the_budget() -> None:
    values, bad = cohort()
    found = tune(values, bad, SPECS, false_alarms=0.05)
    assert {"high", "low"} <= set(found.limits)
    together = found.together.set_index(["limits", "measure"])["share_pct"]
    assert together["proposed", "found"] >= 66
    assert together["proposed", "false alarms"] <= 5
    assert together["present", "found"] < together["proposed", "found"]
    checks = found.checks.set_index("check")
    assert checks.loc["high", "auc"] == pytest.approx(2 / 3, abs=0.06)
    assert checks.loc["high", "auc_low"] < checks.loc["high", "auc"]


def test_noise_looks_better_on_itself_than_held_out() -> None:
    n, rng = 120, np.random.default_rng(5)
    values = pd.DataFrame({f"c{i}": rng.normal(size=n) for i in range(12)})
    specs = {name: spec("high", 9.0) for name in values}
    bad = np.arange(n) < 40
    together = tune(values, bad, specs).together.set_index(["limits", "measure"])["share_pct"]
    own = together["proposed", "found"] - together["proposed", "false alarms"]
    held = "proposed, results held out"
    honest = together[held, "found"] - together[held, "false alarms"]
    assert own > 8
    assert honest < own - 5


def test_workload_adds_up() -> None:
    values, bad = cohort()
    table = tune(values, bad, SPECS).together
    for _, part in table.groupby("limits"):
        flagged = (part["share_pct"] * part["n"]).to_numpy()
        assert flagged[0] + flagged[1] == pytest.approx(flagged[2])
        assert (part["low_pct"] <= part["share_pct"] + 1e-9).all()


def test_too_few_verdicts_propose_nothing() -> None:
    values, bad = cohort(n_bad=FEWEST - 1)
    found = tune(values, bad, SPECS)
    assert found.limits == {}
    assert set(found.together["limits"]) == {"present"}
    assert found.checks["note"].str.startswith("too few").all()


def test_the_roc_rises_and_holds_every_check() -> None:
    values, bad = cohort()
    for _, part in tune(values, bad, SPECS).roc.groupby("check"):
        assert part["false_pct"].is_monotonic_increasing
        assert part["found_pct"].is_monotonic_increasing
