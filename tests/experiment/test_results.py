"""Tables of an experiment: known gaps are found, intervals cover, failures are counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.experiment.dictionary import dictionary
from popscan.experiment.estimates import average, difference
from popscan.experiment.page import write_experiment_page
from popscan.experiment.results import results
from popscan.experiment.words import sentences

GROUPS = ["few", "many"]


def test_a_difference_of_two_groups_by_hand():
    values = np.array([[1.0, 2.0, 5.0, 7.0], [1.2, 2.2, 5.0, 7.0]])
    members = np.array([True, True, False, False])
    found = difference(values, members)
    assert found.value == pytest.approx(1.6 - 6.0)
    assert (found.seed_low, found.seed_high) == pytest.approx((-4.5, -4.3))
    assert found.seed_sd == pytest.approx(np.std([-4.5, -4.3], ddof=1))
    assert found.low < found.value < found.high


def test_an_average_by_hand():
    found = average(np.array([[1.0, 2.0, 6.0], [1.2, 2.2, 6.2]]))
    assert found.value == pytest.approx(3.1)
    variance = np.var([1.1, 2.1, 6.1], ddof=1) / 3 + np.var([3.0, 3.2], ddof=1) / 2
    parts = (np.var([1.1, 2.1, 6.1], ddof=1) / 3) ** 2 / 2 + (0.02 / 2) ** 2
    half = stats.t.ppf(0.975, variance**2 / parts) * np.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((3.1 - half, 3.1 + half))


def test_without_anything_there_is_no_difference():
    found = difference(np.zeros((0, 4)), np.array([True, True, False, False]))
    assert np.isnan([found.value, found.low, found.high]).all()
    one = difference(np.array([[1.0, 2.0, 3.0]]), np.array([True, False, False]))
    assert one.value == -1.5
    assert np.isnan([one.low, one.high, one.seed_sd]).all()


def test_intervals_cover_gaps_that_subjects_and_seeds_blur(rng):
    """Both sources of chance, 4 seeds: intervals hold the true gap about as often as they say."""
    truth, hits, n = -0.05, 0, 400
    members = np.arange(40) < 20
    for _ in range(n):
        subject = rng.normal(0, 0.03, 40)
        seed = rng.normal(0, 0.02, (4, 1)) * members
        values = 0.8 + truth * members + subject + seed + rng.normal(0, 0.01, (4, 40))
        found = difference(values, members)
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / n <= 0.995


def records(*, cure: float = 0.04, fail: int = 0, seeds: tuple[int, ...] = (1, 2, 3)):
    """Trials with gaps of -0.1 at 10 % to -0.02 at 50 %; the arm ``cure`` takes some away."""
    rng = np.random.default_rng(4)
    ability = {f"{g}{i}": rng.normal(0, 0.02) for g in GROUPS for i in range(12)}
    rows = []
    for arm in ("none", "cure"):
        for share, gap in ((10.0, -0.1), (30.0, -0.06), (50.0, -0.02)):
            for seed in seeds:
                about = {"architecture": "unet", "mitigation": arm, "share_pct": share}
                about |= {"seed": seed, "trial": f"{arm}{share:g}s{seed}"}
                lost = gap + rng.normal(0, 0.004) + (cure if arm == "cure" else 0)
                scores = [
                    {
                        "subject": unit,
                        "group": unit.rstrip("0123456789"),
                        "structure": structure,
                        "frame": 0,
                        "dice": 0.85 + more + lost * unit.startswith("few"),
                    }
                    for unit, more in ability.items()
                    for structure in ("rv", "lv")
                ]
                bad = len(rows) < fail
                status = {"status": "failed", "reason": "not_finite", "message": "<b>no</b>"}
                rows.append(
                    about
                    | (status if bad else {"status": "ok", "reason": "", "message": ""})
                    | {"seconds": 1.0, "peak_mb": 300.0, "values": {"n_train": 20}}
                    | {"rows": [] if bad else scores}
                )
    return pd.DataFrame(rows)


def tables_of(found: pd.DataFrame):
    return results(found, groups=GROUPS, mitigations=["none", "cure"], baseline="none", n_boot=200)


def test_injected_gaps_and_cures_are_found():
    tables = tables_of(records())
    rows = tables["summary"].set_index(["mitigation", "share_pct"])
    bare = rows.loc[("none", 10.0)]
    assert bare["gap"] == pytest.approx(-0.1, abs=0.03)
    assert bare["gap_low"] < bare["gap"] < bare["gap_high"] < 0
    assert bare["worst_group"] == "few"
    assert bare["ser"] > 1
    cured = rows.loc[("cure", 10.0)]
    assert cured["gap_change"] == pytest.approx(0.04, abs=0.015)
    assert cured["gap_change_low"] > 0
    assert cured["shrinks"] == "yes"
    assert pd.isna(bare["gap_change"])
    trend = tables["trend"].set_index("mitigation").loc["none"]
    assert trend["slope"] == pytest.approx(0.08 / 4, abs=0.004)
    assert trend["slope_low"] > 0
    told = " ".join(sentences(tables, baseline="none", group="few"))
    assert "few is served better relative to many the more of it is in training" in told
    assert "cure shrinks the gap at 10 %" in told


def test_an_arm_that_does_nothing_is_not_said_to_help():
    tables = tables_of(records(cure=0.0))
    arm = tables["summary"].query("mitigation == 'cure'")
    assert set(arm["shrinks"]) == {"not shown"}


def test_a_smaller_gap_at_a_lower_level_is_told():
    """Everybody is served worse, the worst group too: its gap alone would look like a cure."""
    found = records()
    for row in found.to_dict("records"):
        for one in row["rows"] if row["mitigation"] == "cure" else ():
            one["dice"] -= 0.2
    told = sentences(tables_of(found), baseline="none", group="few")
    assert any("cure levels down" in text and "falls from" in text for text in told)
    plain = sentences(tables_of(records()), baseline="none", group="few")
    assert not any("levels down" in text for text in plain)


def test_a_fall_of_the_worst_group_that_may_be_chance_is_not_told():
    """The worst group's mean is 0.005 lower, and its subjects' changes differ by much more."""
    found = records()
    for row in found.to_dict("records"):
        for one in row["rows"] if row["mitigation"] == "cure" else ():
            even = int(one["subject"].lstrip("fewmany")) % 2
            one["dice"] -= 0.045 + (0.02 if even else -0.02)
    tables = tables_of(found)
    summary = tables["summary"].set_index(["mitigation", "share_pct"])
    assert summary.loc[("cure", 10.0), "shrinks"] == "yes"
    assert summary.loc[("cure", 10.0), "worst"] < summary.loc[("none", 10.0), "worst"]
    assert summary.loc[("cure", 10.0), "worst_change_group"] == "few"
    assert not any("levels down" in t for t in sentences(tables, baseline="none", group="few"))


def test_one_training_shows_nothing(tmp_path):
    """The intervals know nothing of other trainings, so no change and no trend is claimed."""
    tables = tables_of(records(seeds=(1,)))
    arm = tables["summary"].query("mitigation == 'cure'")
    assert (arm["gap_change_low"] > 0).any()
    assert set(arm["shrinks"]) == {"not shown"}
    told = " ".join(sentences(tables, baseline="none", group="few"))
    assert "relative to" not in told
    assert "1 seed alone" in told
    assert "Where only one training could be used" in write(tmp_path, tables)
    assert "Where only one training" not in write(tmp_path, tables_of(records()))


def test_repeated_visits_are_told(tmp_path):
    page = write(tmp_path, tables_of(records()), left_out=3)
    assert "Left out: 3 repeated visits or copies (the first" in page
    page = write(tmp_path, tables_of(records()), left_out=1)
    assert "Left out: 1 repeated visit or copy (the first" in page


def test_overshooting_is_no_shrinking():
    tables = tables_of(records(cure=0.3))
    arm = tables["summary"].query("mitigation == 'cure'")
    assert set(arm["shrinks"]) == {"no"}


def test_failed_trials_are_counted_and_told(tmp_path):
    tables = tables_of(records(fail=4))
    rows = tables["summary"].set_index(["mitigation", "share_pct"])
    assert rows.loc[("none", 10.0), ["n_ok", "n_trials"]].tolist() == [0, 3]
    assert rows.loc[("none", 30.0), ["n_ok", "n_trials"]].tolist() == [2, 3]
    # Paired with the seeds that both have.
    assert pd.notna(rows.loc[("cure", 30.0), "gap_change"])
    assert pd.isna(rows.loc[("cure", 10.0), "gap_change"])
    page = write(tmp_path, tables)
    assert "14 of 18" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "<b>no</b>" not in page


def test_nothing_but_failures_is_still_a_page(tmp_path):
    tables = tables_of(records(fail=18))
    assert "No trial has ended well" in write(tmp_path, tables)


def write(folder, tables, **options) -> str:
    section = {
        "n_train": 20,
        "n_test": 12,
        "shares_pct": [10, 50],
        "seeds": [1, 2, 3],
        "attribute": "size",
        "groups": GROUPS,
    }
    path = write_experiment_page(
        folder / "index.html",
        tables,
        name="<script>alert(1)</script>",
        section=section,
        baseline="none",
        config="a: 1",
        **options,
    )
    return path.read_text()


def test_the_page_is_self_contained_escaped_and_the_same_again(tmp_path):
    tables = tables_of(records())
    page = write(tmp_path, tables)
    assert "<script>alert(1)" not in page
    for outside in ("http://", "https://", 'src="/', "@import"):
        assert outside not in page
    assert page.count('<svg class="chart"') == 2
    assert page == write(tmp_path, tables)


def test_every_column_is_explained():
    for name, table in tables_of(records()).items():
        assert set(table.columns) <= set(dictionary()), name
