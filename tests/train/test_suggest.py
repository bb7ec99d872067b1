"""Suggested scans: uncertain, unlike each other, and never a copy of what is labelled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popscan.records import PopscanError
from popscan.train.suggest import suggest


def names(n):
    return [f"s{i:02d}" for i in range(n)]


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 20))
def test_a_copy_of_a_chosen_scan_comes_last(n, n_chosen, seed):
    rng = np.random.default_rng(seed)
    features, unsure = rng.normal(size=(n, 4)), rng.uniform(size=n)
    best = suggest(names(n), unsure, features, n=n_chosen)["unit"][0]
    k = names(n).index(best)
    # The copy is the most uncertain of all but its original: only that it is one puts it last.
    table = suggest(
        [*names(n), "copy"],
        np.append(unsure, unsure[k]),
        np.vstack([features, features[k]]),
        n=n_chosen,
    )
    twins = {best, "copy"}
    assert len(twins & set(table["unit"][table["chosen"]])) <= 1
    if twins & set(table["unit"][table["chosen"]]):
        assert table["unit"].iloc[-1] in twins
        assert table["similarity"].iloc[-1] == 1.0
        assert table["like"].iloc[-1] in twins


@given(st.integers(1, 12), st.integers(1, 14), st.floats(0.1, 1), st.integers(0, 20))
def test_every_scan_has_one_rank_and_coverage_never_falls(n, n_chosen, among, seed):
    rng = np.random.default_rng(seed)
    features, unsure = rng.normal(size=(n, 3)), rng.uniform(size=n)
    table = suggest(names(n), unsure, features, n=n_chosen, among=among, seed=seed)
    assert sorted(table["unit"]) == names(n)
    assert table["rank"].tolist() == list(range(1, n + 1))
    assert table["chosen"].sum() == min(n, n_chosen)
    assert table["coverage"].is_monotonic_increasing
    assert table["covers"].sum() == n
    again = suggest(names(n), unsure, features, n=n_chosen, among=among, seed=seed)
    assert table.to_csv() == again.to_csv()


def test_what_labelled_scans_represent_is_not_chosen():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(9, 2)) * 0.01, np.array([[50.0, 50.0]])
    table = suggest(
        names(10), np.linspace(1, 0.1, 10), np.vstack([near, far]), n=1, among=1.0,
        labelled=["known"], labelled_features=np.zeros((1, 2)),
    )  # fmt: skip
    assert table["unit"][0] == "s09"
    assert set(table["like"][1:]) == {"known"}
    same = suggest(
        ["a"], np.array([1.0]), np.ones((1, 2)), labelled=["k"], labelled_features=np.ones((1, 2))
    )
    assert not same["chosen"].any()


def test_of_three_clusters_one_scan_each_is_chosen_and_it_covers_its_cluster():
    rng = np.random.default_rng(1)
    sizes = (6, 4, 2)
    features = np.concatenate([rng.normal(size=(k, 2)) * 0.1 + 10 * c for c, k in enumerate(sizes)])
    cluster = dict(zip(names(12), np.repeat([0, 1, 2], sizes), strict=True))
    table = suggest(names(12), np.full(12, 0.5), features, n=3, among=1.0)
    chosen = table[table["chosen"]]
    assert {cluster[unit]: k for unit, k in zip(chosen["unit"], chosen["covers"], strict=True)} == {
        0: 6, 1: 4, 2: 2,
    }  # fmt: skip


def test_only_the_most_uncertain_share_is_chosen_from_and_no_heart_is_most_uncertain():
    rng = np.random.default_rng(2)
    unsure = np.array([np.nan, 0.9, 0.1, 0.2, 0.3, 0.05])
    table = suggest(names(6), unsure, rng.normal(size=(6, 2)), n=2, among=1 / 3)
    assert set(table["unit"][:2]) == {"s00", "s01"}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"n": 0}, "1 scan at least"), ({"among": 0.0}, "a share above 0")],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(PopscanError, match=words):
        suggest(["a"], np.ones(1), np.ones((1, 1)), **options)
    with pytest.raises(PopscanError, match="0 unlabelled scans"):
        suggest([], np.ones(0), np.ones((0, 1)))
    with pytest.raises(PopscanError, match="finite"):
        suggest(["a"], np.ones(1), np.full((1, 1), np.nan))
