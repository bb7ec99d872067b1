"""A visit whose protocols differ by more than measurement explains is to be looked at."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from popscan.columns import Column
from popscan.protocol import Beside, Limit, load
from popscan.protocols import every, get_protocol
from popscan.report.front import Part, write_front_page
from popscan.study.agreeing_visits import FLAGS, VISITS, agreement_visits, dictionary, flags

LIMITS = (
    Limit(column="size_ml", low=-10.0, high=12.0, in_pct=True),
    Limit(column="share_pct", other="part_pct", low=-3.0, high=3.0),
)
BESIDE = {"b": (Beside(of="a", limits=LIMITS),), "a": ()}
MEANINGS = {
    "a_size_ml": Column("mL", "size"), "b_size_ml": Column("mL", "size"),
    "a_part_pct": Column("%", "share"), "b_share_pct": Column("%", "share"),
}  # fmt: skip


def table(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["unit", *MEANINGS])


VALUES = table(
    ("sub-2", 100.0, 111.0, 60.0, 62.0),
    ("sub-1_ses-1", 100.0, 150.0, 60.0, 62.0),
    ("sub-1_ses-2", 100.0, np.nan, 60.0, 50.0),
    ("sub-3", 0.0, 0.0, np.nan, 60.0),
)


def test_each_visit_and_number_is_judged_and_what_is_not_there_is_not():
    found = agreement_visits(VALUES, MEANINGS, beside=BESIDE)
    assert list(found.columns) == list(VISITS)
    verdicts = {(r["unit"], r["column"]): r["verdict"] for r in found.to_dict("records")}
    assert verdicts == {
        ("sub-2", "size_ml"): "pass", ("sub-2", "part_pct"): "pass",
        ("sub-1_ses-1", "size_ml"): "review", ("sub-1_ses-1", "part_pct"): "pass",
        ("sub-1_ses-2", "part_pct"): "review",
    }  # fmt: skip
    row = found.iloc[2]
    assert (row["first"], row["second"], row["difference"]) == ("a", "b", 50.0)
    assert row["difference_pct"] == pytest.approx(40.0)
    assert found["unit"].tolist() == sorted(found["unit"], key=list(VALUES["unit"]).index)


def test_one_row_per_visit_says_so_in_subjects():
    units = [*VALUES["unit"], "sub-4"]
    found = flags(agreement_visits(VALUES, MEANINGS, beside=BESIDE), units)
    assert list(found.columns) == list(FLAGS)
    assert found["agreement"].tolist() == ["pass", "review", "review", "", ""]
    assert found["agreement_reason"][1] == (
        "size_ml 100.0 by a, 150.0 by b: +40.0% (limits -10.0 to 12.0)"
    )
    assert "-10.0 points (limits -3.0 to 3.0)" in found["agreement_reason"][2]


def test_other_units_other_protocols_and_no_visits_give_no_rows():
    odd = {**MEANINGS, "b_size_ml": Column("g", "mass")}
    found = agreement_visits(VALUES, odd, beside=BESIDE)
    assert set(found["column"]) == {"part_pct"}
    assert agreement_visits(VALUES, MEANINGS, beside={"b": BESIDE["b"]}).empty
    assert agreement_visits(VALUES.head(0), MEANINGS, beside=BESIDE).empty
    assert flags(agreement_visits(VALUES.head(0), MEANINGS, beside=BESIDE), []).empty


def page(tmp_path, visits, **more) -> str:
    path = tmp_path / "index.html"
    write_front_page(
        path, name="both", visits=visits,
        subjects=pd.DataFrame({"unit": ["sub-1"], "a_analysed": [True], "n_analysed": [1]}),
        parts=[Part(name="a", title="A", n_subjects=1, n_analysed=1)],
        ledger=pd.DataFrame([{"protocol": "a", "stage": "qc", "status": "ok", "reason": ""}]),
        **more,
    )  # fmt: skip
    return path.read_text(encoding="utf-8")


def test_the_front_page_counts_and_links_them(tmp_path):
    visits = agreement_visits(VALUES, MEANINGS, beside=BESIDE)
    link = "../a/report/subjects/sub-1_ses-1.html"
    text = page(tmp_path, visits, pages={("a", "sub-1_ses-1"): link})
    assert "Visits to be looked at" in text
    assert f'href="{link}"' in text
    assert "popscan review STUDY/b --subjects sub-1_ses-1,sub-1_ses-2" in text
    assert "sub-2" not in text
    none = page(tmp_path, visits[visits["verdict"] == "pass"])
    assert "Visits to be looked at" in none
    assert "Differences beyond" not in none
    assert "Visits to be looked at" not in page(tmp_path, None)


def test_what_protocols_declare_is_measured_by_both():
    for protocol in every():
        for one in protocol.beside:
            own, other = (
                load(which.biomarkers.dictionary) for which in (protocol, get_protocol(one.of))
            )
            for limit in one.limits:
                assert own[limit.column].unit == other[limit.second].unit
                assert limit.low < 0 < limit.high
            assert one.limits == () or one.source
            assert not set(one.columns()) & set(own)


def test_what_is_infinite_is_not_measured_and_makes_no_noise():
    odd = table(("sub-1", np.inf, np.inf, 60.0, -np.inf), ("sub-2", 100.0, 101.0, 60.0, 61.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = agreement_visits(odd, MEANINGS, beside=BESIDE)
    assert found["unit"].unique().tolist() == ["sub-2"]


def test_where_limits_come_from_is_in_table_dictionary_and_page(tmp_path):
    beside = {"b": (replace(BESIDE["b"][0], source="3 simulated bodies"),), "a": ()}
    visits = agreement_visits(VALUES, MEANINGS, beside=beside)
    assert set(visits["limits_from"]) == {"3 simulated bodies"}
    assert dictionary(visits)["low"].source == "limits from 3 simulated bodies"
    assert dictionary(visits.head(0)) == VISITS
    assert "b against a: limits from 3 simulated bodies." in page(tmp_path, visits)
    for one in get_protocol("cine_lax").beside:
        assert "40 simulated hearts" in one.source


def test_limits_of_some_hearts_are_as_wide_as_their_number_makes_them():
    """Mean ± 2.58 SD of eight is 95% of new ones, not 99%; ± 2.74 SD of forty is."""
    rng = np.random.default_rng(0)
    for n, factor, share in ((40, 2.74, 0.99), (8, 2.58, 0.955)):
        seen = rng.normal(size=(100_000, n + 1))
        reach = factor * seen[:, :n].std(axis=1, ddof=1)
        within = np.abs(seen[:, n] - seen[:, :n].mean(axis=1)) <= reach
        assert within.mean() == pytest.approx(share, abs=0.003)


def test_visits_that_a_command_leaves_out_are_counted(tmp_path):
    many = table(*((f"sub-{k:02d}", 100.0, 150.0, 60.0, 62.0) for k in range(25)))
    text = page(tmp_path, agreement_visits(many, MEANINGS, beside=BESIDE))
    assert "Images and contours of the first 20 of 25 visits: popscan review STUDY/b" in text
    few = page(tmp_path, agreement_visits(many.head(20), MEANINGS, beside=BESIDE))
    assert "Images and contours of these visits: popscan review STUDY/b" in few
