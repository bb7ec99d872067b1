"""Limits from verdicts: known separations, the budget, honesty of held-out results, the command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.commands.qc_badness import badness, limit_at
from popscan.commands.qc_limits import FEWEST, tune
from popscan.qc.model import Measured, Spec
from popscan.records import PopscanError


def spec(bad: str, review: float | tuple[float, float], *, fail: float | None = None) -> Spec:
    return Spec(
        measure=lambda _: Measured(0.0), kind="image", unit="", meaning="m", bad=bad,
        review=review, fail=fail,
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


def test_visits_of_one_subject_are_held_out_together() -> None:
    """Noise that all three visits of a subject share would be found again in those left in."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(80), 3)
    values = pd.DataFrame({f"c{i}": rng.normal(size=80)[of] for i in range(12)})
    specs = {name: spec("high", 9.0) for name in values}
    found = tune(values, of < 27, specs, subjects=[f"sub-{k}" for k in of])
    together = found.together.set_index(["limits", "measure"])["share_pct"]
    held = "proposed, results held out"
    assert together[held, "found"] - together[held, "false alarms"] < 10


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


def test_limits_have_the_digits_that_they_need() -> None:
    rng = np.random.default_rng(0)
    bad = np.arange(200) % 5 == 0
    values = pd.DataFrame({"high": 10_000 + rng.normal(0, 0.3, 200) + 1.5 * bad})
    found = tune(values, bad, {"high": spec("high", 10_001.0)})
    row = found.checks.iloc[0]
    beyond = values["high"].to_numpy() > found.limits["high"]
    assert 100 * beyond[bad].mean() == pytest.approx(row["found_pct"])
    assert 100 * beyond[~bad].mean() == pytest.approx(row["false_pct"])
    assert f"{found.limits['high']:.12g}" in row["review_proposed"]


def test_what_is_flagged_anyhow_counts_in_every_workload() -> None:
    values, bad = cohort()
    always = np.zeros(len(bad), bool)
    always[np.flatnonzero(~bad)[:2]] = True
    specs = {**SPECS, "high": spec("high", 9.0, fail=9.0)}
    values.loc[np.flatnonzero(~bad)[-1], "high"] = np.inf  # a failure of today, and of tomorrow
    together = tune(values, bad, specs, always=always, false_alarms=0.0).together
    share = together.set_index(["limits", "measure"])["share_pct"]
    for limits in together["limits"].unique():
        assert share[limits, "false alarms"] >= 100 * 3 / (~bad).sum() - 1e-9
    assert share["proposed, other checks as they are", "found"] >= share["proposed", "found"]


def test_a_side_that_is_open_is_no_side() -> None:
    values = pd.DataFrame({"outside": np.r_[np.full(20, -3.0), np.full(20, 4.0)]})
    values += np.linspace(0, 0.1, 40)[:, None]
    bad = np.arange(40) < 20
    open_above = {"outside": spec("outside", (-9.0, np.inf))}
    low, high = tune(values, bad, open_above).limits["outside"]
    assert -3.0 < low < 4.0
    assert high == np.inf


@pytest.mark.parametrize("share", [-0.1, 10.0, float("nan")])
def test_a_share_of_false_alarms_is_a_share(share: float) -> None:
    values, bad = cohort()
    with pytest.raises(PopscanError, match="0 to 1"):
        tune(values, bad, SPECS, false_alarms=share)


def test_a_study_without_these_checks_is_an_error() -> None:
    with pytest.raises(PopscanError, match="none of the protocol's checks"):
        tune(pd.DataFrame({"other": [1.0]}), np.array([True]), SPECS)


def test_visits_of_one_subject_do_not_narrow_the_intervals() -> None:
    values, bad = cohort(n_bad=30, n_good=90)
    repeated, often = pd.concat([values] * 6, ignore_index=True), np.tile(bad, 6)
    of = [f"sub-{k}" for k in np.tile(np.arange(len(bad)), 6)]
    once, visits = tune(values, bad, SPECS), tune(repeated, often, SPECS, subjects=of)
    width = [t.together["high_pct"] - t.together["low_pct"] for t in (once, visits)]
    present = once.together["limits"] == "present"
    np.testing.assert_allclose(width[1][present], width[0][present], rtol=0.05)
    spans = [t.checks["auc_high"] - t.checks["auc_low"] for t in (once, visits)]
    np.testing.assert_allclose(spans[1], spans[0], rtol=0.1)


def test_bad_visits_of_few_subjects_propose_nothing() -> None:
    values, bad = cohort(n_bad=30, n_good=90)
    of = np.where(bad, np.arange(len(bad)) // 10, 1000 + np.arange(len(bad)))
    found = tune(values, bad, SPECS, subjects=[f"sub-{k}" for k in of])
    assert not found.limits
    assert found.checks["note"].str.startswith("too few").all()
