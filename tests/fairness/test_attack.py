"""What the audit shares, attacked from outside: small groups and few events stay unknown."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.fairness.attack import Row, _release
from popscan.fairness.audit import audit
from popscan.fairness.funnel import funnel
from popscan.fairness.suppress import share
from popscan.stats.intervals import wilson

#: Largest count that an attacker thinks of.
MOST = 300


def study(groups: list[tuple[str, str, int, int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Outcomes and attributes of a study: sex, race, how many, how many of these failed."""
    rows = [
        {"sex": sex, "race": race, "value": float(i < events)}
        for sex, race, n, events in groups
        for i in range(n)
    ]
    people = pd.DataFrame(rows)
    people.index = pd.Index([f"u{i:04d}" for i in range(len(people))], name="unit")
    outcomes = pd.DataFrame(
        {"unit": people.index, "stage": "qc", "outcome": "qc_fail", "better_is": "lower",
         "value": people["value"].to_numpy(), "kind": "binary"}
    )  # fmt: skip
    return outcomes, people[["sex", "race"]]


def shared_groups(groups: list[tuple[str, str, int, int]], **options: int) -> pd.DataFrame:
    outcomes, people = study(groups)
    result = audit(
        outcomes, people, attributes_to_test=["sex", "race"], intersections=[["sex", "race"]],
        min_group=2, n_boot=100,
    )  # fmt: skip
    tables = {"groups": result.groups, "gaps": result.gaps, "summary": result.summary}
    return share(tables, **options)["groups"]


def from_wilson(row: pd.Series) -> set[tuple[int, int]]:
    """All (n, events) whose Wilson interval and proportion are those printed, to three digits."""
    found = set()
    for n in range(1, MOST):
        e = round(row["mean"] * n)
        numbers = (e / n, *wilson(e, n, alpha=0.05))
        printed = [row["mean"], row["ci_low"], row["ci_high"]]
        if [float(f"{a:.3g}") for a in numbers] == pytest.approx(printed, abs=1e-9):
            found.add((n, e))
    return found


def test_wilson_intervals_totals_and_other_groups_do_not_give_three_subjects_away():
    groups = [("f", "A", 24, 7), ("m", "A", 16, 6), ("f", "B", 30, 9), ("m", "B", 24, 7),
              ("f", "C", 2, 1), ("m", "C", 1, 0)]  # fmt: skip
    shown = shared_groups(groups)
    by_race = shown[shown["attribute"] == "race"].set_index("group")
    assert "C" not in by_race.index
    solved = {group: from_wilson(row) for group, row in by_race.iterrows()}
    # What the intervals give is the rounded counts; the exact ones are not among them.
    assert all(n % 5 == 0 and e % 5 == 0 for pairs in solved.values() for n, e in pairs)
    for what, true_total, place in (("n", 97, 0), ("events", 30, 1)):
        total = range(5 * round(true_total / 5) - 2, 5 * round(true_total / 5) + 3)
        windows = [
            range(next(iter(pairs))[place] - 2, next(iter(pairs))[place] + 3)
            for pairs in solved.values()
        ]
        left = {t - sum(others) for t in total for others in itertools.product(*windows)}
        possible = {n for n in left if n >= 0}
        assert max(possible) - min(possible) > 2, what


def what_looks_the_same(base: int) -> dict[float, list[float]]:
    """Printed count -> smallest and largest count that is printed so; -1 for a small one."""
    found: dict[float, list[float]] = {}
    for n in range(MOST):
        printed = 0 if n == 0 else -1 if n < 5 else max(base * round(n / base), base)
        found.setdefault(printed, [float(n), float(n)])[1] = float(n)
    return found


def windows_of(shown: pd.DataFrame, all_groups: dict[str, list[str]], base: int) -> dict:
    """Range of every count of the table of groups, as it stands in print; absent rows are open."""
    known = {}
    looks = what_looks_the_same(base)
    rows = {(r["attribute"], r["group"]): r for r in shown.to_dict("records")}
    for attribute, names in all_groups.items():
        for group in names:
            row = rows.get((attribute, group))
            for what in ("n", "events"):
                if row is None:
                    known[attribute, group, what] = [0.0, float(MOST)]
                    continue
                n = row["n"] if what == "n" else round(row["n"] * row["mean"])
                known[attribute, group, what] = list(looks[n])
    return known


def propagate(known: dict, equations: list[tuple]) -> None:
    """Narrow ranges until nothing changes: each whole is the sum of its parts."""
    for _ in range(50):
        before = {k: list(v) for k, v in known.items()}
        for whole, parts in equations:
            low, high = (sum(known[p][i] for p in parts) for i in (0, 1))
            known[whole] = [max(known[whole][0], low), min(known[whole][1], high)]
            for part in parts:
                others = [sum(known[p][i] for p in parts if p != part) for i in (0, 1)]
                known[part][0] = max(known[part][0], known[whole][0] - others[1])
                known[part][1] = min(known[part][1], known[whole][1] - others[0])
        if before == known:
            return


def counted(groups: list[tuple[str, str, int, int]]) -> dict[tuple[str, str, str], int]:
    """True counts: attribute, group, what -> how many."""
    true: dict[tuple[str, str, str], int] = defaultdict(int)
    for sex, race, n, events in groups:
        for attribute, group in (("sex", sex), ("race", race), ("sex x race", f"{sex} & {race}")):
            if n:
                true[attribute, group, "n"] += n
                true[attribute, group, "events"] += events
    return true


def described(true: dict[tuple[str, str, str], int]) -> pd.DataFrame:
    """Table of groups as the audit writes it, as far as counts go."""
    sizes = {(a, g): n for (a, g, what), n in true.items() if what == "n"}
    return pd.DataFrame(
        [
            {"attribute": a, "group": g, "stage": "qc", "outcome": "qc_fail", "kind": "binary",
             "n": n, "n_units": n, "mean": true[a, g, "events"] / n, "ci_low": 0.0, "ci_high": 1.0}
            for (a, g), n in sizes.items()
        ]
    )  # fmt: skip


def equations_of(names: dict[str, list[str]]) -> list[tuple]:
    """Sums that hold: groups of every attribute, and margins of the intersection."""
    found: list[tuple] = []
    for what in ("n", "events"):
        found += [
            (("all", "", what), [(a, g, what) for g in groups]) for a, groups in names.items()
        ]
        for place, attribute in enumerate(("sex", "race")):
            for margin in names[attribute]:
                parts = [g for g in names["sex x race"] if g.split(" & ")[place] == margin]
                found.append(((attribute, margin, what), [("sex x race", g, what) for g in parts]))
    return found


def attack(cells: list[tuple[int, float]], base: int) -> tuple[dict, dict, set[str]]:
    """True counts, what is known of them from outside, and attributes of which any row is shown."""
    keys = list(itertools.product("fm", "ABC"))
    true = counted([(*k, n, round(n * p)) for k, (n, p) in zip(keys, cells, strict=True)])
    shown = share({"groups": described(true)}, rounding=base)["groups"]
    names: dict[str, list[str]] = defaultdict(list)
    for attribute, group, what in true:
        if what == "n":
            names[attribute].append(group)
    known = windows_of(shown, names, base)
    for what in ("n", "events"):
        total = sum(true["sex", g, what] for g in names["sex"])
        printed = 0 if not total else -1 if total < 5 else max(base * round(total / base), base)
        known["all", "", what] = list(what_looks_the_same(base)[printed])
    propagate(known, equations_of(names))
    return true, known, set(shown["attribute"])


@pytest.mark.parametrize("base", [3, 4, 5, 10])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 40) | st.integers(0, 8), st.floats(0, 1) | st.floats(0, 0.2)),
        min_size=6,
        max_size=6,
    )
)
def test_no_small_count_of_random_studies_can_be_worked_out(base, cells):
    if not sum(n for n, _ in cells):
        return
    true, known, any_shown = attack(cells, base)
    for key, n in true.items():
        low, high = known[key]
        assert low <= n <= high
        if 0 < n < 5 and key[0] in any_shown:
            assert high - low > 2, key


def test_counts_that_totals_give_away_leave_nothing_of_their_attribute():
    # One sex alone: 12 of 13 are the study's total, and 10 without an event are printed, too.
    true = counted([("m", "A", 0, 0), ("m", "B", 13, 2)])
    table = described(true)
    empty = {**table.iloc[0].to_dict(), "group": "f", "n": 0, "n_units": 0, "mean": np.nan}
    shown = share({"groups": pd.concat([table, pd.DataFrame([empty])])}, rounding=3)["groups"]
    assert shown.empty


def test_one_small_group_beside_a_large_one_leaves_the_large_one_shown():
    shown = shared_groups([("f", "A", 60, 20), ("m", "A", 3, 1)])
    assert list(shown.loc[shown["attribute"] == "sex", "group"]) == ["f"]


@pytest.mark.parametrize("with_race", [False, True])
@pytest.mark.parametrize("n_values", [0, 1, 3])
def test_group_too_small_for_any_mean_is_hidden(n_values, with_race):
    """Its events are not known to the audit, be its attribute the first one or the only one."""
    outcomes, people = study([("f", "A", 24, 7), ("f", "B", 24, 7), ("m", "A", 3, 1)])
    men = outcomes.index[people["sex"].to_numpy() == "m"]
    outcomes.loc[men[n_values:], "value"] = np.nan
    attributes = ["sex", "race"] if with_race else ["sex"]
    result = audit(
        outcomes, people, attributes_to_test=attributes, intersections=[], min_group=4, n_boot=100
    )
    shown = share({"groups": result.groups})["groups"]
    assert set(shown["group"]) <= {"f", "A", "B"}


def test_few_missing_values_are_hidden_without_their_group():
    outcomes, people = study([("f", "A", 60, 20), ("m", "A", 50, 20)])
    outcomes.loc[[0, 1], "value"] = np.nan
    result = audit(outcomes, people, attributes_to_test=["sex"], min_group=5, n_boot=100)
    shown = share({"groups": result.groups, "gaps": result.gaps})
    row = shown["groups"].set_index("group").loc["f"]
    assert np.isnan(row["n_missing"])
    assert row["n"] == 60
    assert len(shown["gaps"]) == 1


def test_shares_lost_are_those_of_rounded_counts():
    _, people = study([("f", "A", 53, 0), ("m", "A", 47, 0)])
    status = ["failed" if i % 4 == 0 else "ok" for i in range(len(people))]
    ledger = pd.DataFrame({"unit": people.index, "stage": "qc", "status": status})
    table = funnel(ledger, people, stages=["qc"], attributes_to_test=["sex"])
    shown = share({"funnel": table})["funnel"]
    for row in shown.to_dict("records"):
        assert row["n_entered"] % 5 == 0
        assert row["n_lost"] % 5 == 0
        assert row["lost_pct"] == pytest.approx(100 * row["n_lost"] / row["n_entered"], rel=0.01)


def test_counts_that_nobody_knows_are_no_total():
    """Of an outcome that failed for all, the audit has sizes and no events."""
    rows = [
        Row(
            0,
            "qc_fail",
            "sex",
            "female",
            {"n": 3.0, "missing": 0.0, "units": 3.0, "events": np.nan, "none": 0.0},
        ),
        Row(
            1,
            "qc_fail",
            "sex",
            "male",
            {"n": 40.0, "missing": 2.0, "units": 42.0, "events": 7.0, "none": 33.0},
        ),
    ]
    release = _release(rows, {0}, min_cell=5, base=5)
    low, high = release.ranges([("events", "qc_fail", "sex", "female")])[
        "events", "qc_fail", "sex", "female"
    ]
    assert low <= 0 < 3 <= high


@pytest.mark.parametrize("site", ["A & E", "A & E & C", " & "])
@pytest.mark.parametrize("other", ["B", "A"])
def test_margins_of_groups_whose_names_hold_the_separator_are_attacked_too(site, other):
    """5 of a site and 5 of its white subjects, both printed, leave at most 2 of others there."""
    cells = [(site, "black", 2), (site, "white", 5), (other, "black", 50), (other, "white", 2),
             ("C", "black", 30), ("C", "white", 35)]  # fmt: skip
    rows = [{"sex": s, "race": r} for s, r, n in cells for _ in range(n)]
    people = pd.DataFrame(rows, index=[f"u{i:04d}" for i in range(sum(n for *_, n in cells))])
    outcomes = pd.DataFrame(
        {"unit": people.index, "stage": "s", "outcome": "size_mm", "better_is": "neither",
         "value": np.arange(len(people)) % 7, "kind": "continuous"}
    )  # fmt: skip
    result = audit(
        outcomes, people, attributes_to_test=["sex", "race"], intersections=[["sex", "race"]],
        min_group=5, n_boot=50,
    )  # fmt: skip
    shown = share({"groups": result.groups})["groups"].set_index(["attribute", "group"])["n"]
    assert not {("sex", site), ("sex x race", f"{site} & white")} <= set(shown.index)


def test_an_intersection_whose_names_can_be_read_twice_is_not_shared():
    sizes = {("a", "x & y"): 40, ("a", "x"): 43, ("b", "z"): 44, ("b", "y & z"): 39,
             ("a x b", "x & y & z"): 40, ("a x b", "x & y and z"): 39,
             ("a x b", "x & z"): 4}  # fmt: skip
    table = pd.DataFrame(
        [{"attribute": a, "group": g, "stage": "s", "outcome": "o", "kind": "continuous",
          "n": n, "n_units": n, "mean": 1.0, "ci_low": 0.0, "ci_high": 2.0}
         for (a, g), n in sizes.items()]
    )  # fmt: skip
    shown = share({"groups": table})["groups"]
    assert "a x b" not in set(shown["attribute"])
