"""Predictions by group: the formulas of scikit-learn and fairlearn, laws, and what is shared."""

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from popscan.fairness.audit import audit
from popscan.fairness.design import AuditDesign
from popscan.fairness.prediction_curves import calibration_table, threshold_table
from popscan.fairness.prediction_links import links_of
from popscan.fairness.prediction_measures import Side, _auc, _balanced_accuracy
from popscan.fairness.prediction_outcomes import Prediction, prediction_outcomes
from popscan.fairness.prediction_story import prediction_sentences
from popscan.fairness.predictions import ALL_GROUPS, EVERYBODY, _gap, prediction_table
from popscan.fairness.suppress import share
from popscan.stats import prediction as scoring
from popscan.stats.disclosure import is_disclosed

DESIGN = AuditDesign(n_boot=200)
N = 400


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(5)
    units = [f"sub-{i:04d}" for i in range(N)]
    sex = rng.choice(["female", "male"], N)
    site = rng.choice(["A", "B", "C"], N, p=[0.6, 0.3, 0.1])
    return pd.DataFrame({"sex": sex, "site": site}, index=units)


@pytest.fixture(scope="module")
def classifier(people):
    rng = np.random.default_rng(6)
    truth = (rng.random(N) < 0.4).astype(float)
    logit = 1.5 * truth - 0.8 + rng.normal(size=N) - 0.8 * (people["sex"] == "female")
    score = np.round(1 / (1 + np.exp(-logit)), 2)  # with ties
    return Prediction(
        name="ill", kind="classification", threshold=0.5,
        score=pd.Series(score, people.index), truth=pd.Series(truth, people.index),
    )  # fmt: skip


@pytest.fixture(scope="module")
def regression(people):
    rng = np.random.default_rng(7)
    age = rng.normal(60, 8, N)
    value = 60 + 0.6 * (age - 60) + rng.normal(0, 4, N) + 2.0 * (people["sex"] == "female")
    return Prediction(
        name="age", kind="regression", unit="years",
        score=pd.Series(value, people.index), truth=pd.Series(age, people.index),
    )  # fmt: skip


def test_measures_are_scikit_learns_with_any_weights(classifier, rng):
    score, positive = classifier.score.to_numpy(), classifier.truth.to_numpy() == 1
    weights = np.stack([np.ones(N), rng.integers(0, 4, N).astype(float)])
    for row, w in enumerate(weights):
        assert scoring.roc_auc(score, positive, weights)[row] == pytest.approx(
            metrics.roc_auc_score(positive, score, sample_weight=w)
        )
        assert scoring.balanced_accuracy(score >= 0.5, positive, weights)[row] == pytest.approx(
            metrics.balanced_accuracy_score(positive, score >= 0.5, sample_weight=w)
        )
    inside = np.clip(score, 0.01, 0.99)
    logit = np.log(inside / (1 - inside))
    fit = LogisticRegression(C=np.inf).fit(logit[:, None], positive, sample_weight=weights[1])
    slope = scoring.calibration_slope(inside, positive, weights)[1]
    assert slope == pytest.approx(fit.coef_[0, 0], rel=1e-3)


def test_expected_calibration_error_is_that_of_scikit_learns_curve(classifier):
    score, positive = classifier.score.to_numpy() - 1e-9, classifier.truth.to_numpy() == 1
    score = np.clip(score, 0, 1)
    observed, predicted = calibration_curve(positive, score, n_bins=10)
    sizes = np.bincount(scoring.bin_of(score), minlength=10)
    expected = (np.abs(observed - predicted) * sizes[sizes > 0]).sum() / N
    found = scoring.calibration_error(score, positive, np.ones((1, N)))[0]
    assert found == pytest.approx(expected)


def test_rates_of_groups_are_those_of_a_confusion_matrix(people, classifier):
    outcomes = prediction_outcomes([classifier], people.index)
    groups = audit(outcomes, people, attributes_to_test=["sex"], n_boot=50).groups
    women = people.index[people["sex"] == "female"]
    truth, predicted = classifier.truth[women] == 1, classifier.score[women] >= 0.5
    tn, fp, fn, tp = metrics.confusion_matrix(truth, predicted).ravel()
    expected = {
        "ill_sensitivity": tp / (tp + fn), "ill_false_positive_rate": fp / (fp + tn),
        "ill_predicted_positive": (tp + fp) / len(women), "ill_precision": tp / (tp + fp),
        "ill_prevalence": (tp + fn) / len(women), "ill_accuracy": (tp + tn) / len(women),
        "ill_brier": metrics.brier_score_loss(truth, classifier.score[women]),
    }  # fmt: skip
    means = groups[groups["group"] == "female"].set_index("outcome")["mean"]
    for name, value in expected.items():
        assert means[name] == pytest.approx(value), name


def test_an_outcome_that_does_not_concern_a_subject_is_not_missing(people, classifier):
    outcomes = prediction_outcomes([classifier], people.index)
    result = audit(outcomes, people, attributes_to_test=["sex"], n_boot=50)
    rows = result.groups[result.groups["outcome"] == "ill_sensitivity"]
    assert (rows["n_missing"] == 0).all()
    assert rows["n_units"].sum() == (classifier.truth == 1).sum()
    gap = result.gaps[result.gaps["outcome"] == "ill_sensitivity"].iloc[0]
    assert gap["missing_pct"] == 0
    assert not gap["sign_open"]
    lost = classifier.score.copy()
    lost[classifier.truth[classifier.truth == 1].index[:5]] = np.nan
    fewer = prediction_outcomes(
        [Prediction(name="ill", kind="classification", score=lost, truth=classifier.truth)],
        people.index,
    )
    rows = audit(fewer, people, attributes_to_test=["sex"], n_boot=50).groups
    assert rows.loc[rows["outcome"] == "ill_sensitivity", "n_missing"].sum() == 5
    assert rows.loc[rows["outcome"] == "ill_false_positive_rate", "n_missing"].sum() == 0


def test_equalised_odds_difference_is_fairlearns(people, classifier):
    """fairlearn.metrics.equalized_odds_difference, agg="worst_case", written out."""
    table = prediction_table(
        [classifier], people, attributes_to_test=["site"], design=DESIGN
    ).set_index(["group", "measure"])
    rates = []
    for _, part in people.groupby("site"):
        truth, predicted = classifier.truth[part.index] == 1, classifier.score[part.index] >= 0.5
        rates.append([predicted[truth].mean(), predicted[~truth].mean(), predicted.mean()])
    spread = np.ptp(np.array(rates), axis=0)
    row = table.loc[(ALL_GROUPS, "equalised_odds_difference")]
    assert row["value"] == pytest.approx(max(spread[:2]))
    assert row["by_chance"] > 0
    parity = table.loc[(ALL_GROUPS, "demographic_parity_difference"), "value"]
    assert parity == pytest.approx(spread[2])


def test_regressions_by_hand(people, regression):
    table = prediction_table([regression], people, attributes_to_test=["sex"], design=DESIGN)
    whole = table[table["group"] == EVERYBODY].set_index("measure")["value"]
    score, age = regression.score, regression.truth
    assert whole["rmse"] == pytest.approx(metrics.root_mean_squared_error(age, score))
    assert whole["slope_on_truth"] == pytest.approx(np.polyfit(age, score, 1)[0])
    gaps = audit(
        prediction_outcomes([regression], people.index), people, attributes_to_test=["sex"]
    ).gaps.set_index("outcome")
    sign = 1 if gaps.loc["age_years_error", "group"] == "female" else -1
    assert 1 < sign * gaps.loc["age_years_error", "gap"] < 3
    assert "age_years_abs_error" in gaps.index


def test_intervals_hold_their_estimates_and_lie_where_measures_can(people, classifier):
    few = people.iloc[:40]
    table = prediction_table(
        [classifier], few, attributes_to_test=["sex"], design=AuditDesign(n_boot=100, min_group=5)
    )
    known = table[table["value"].notna()]
    odds = known["group"] == ALL_GROUPS  # biased upward: they need not hold the estimate
    assert (known["ci_low"] <= known["value"] + 1e-12)[~odds].all()
    assert (known["value"] <= known["ci_high"] + 1e-12)[~odds].all()
    bounded = known[known["measure"] != "calibration_slope"]
    assert (bounded["ci_low"] >= -1e-12).all()
    assert (bounded["ci_high"] <= 1 + 1e-12).all()
    gaps = bounded[bounded["gap"].notna()]
    assert len(gaps)
    assert (gaps[["gap_ci_low", "gap_ci_high"]].abs() <= 1).all(axis=None)


def test_renaming_groups_and_reordering_rows_change_nothing(people, classifier):
    one = prediction_table([classifier], people, attributes_to_test=["sex"], design=DESIGN)
    other = prediction_table(
        [classifier],
        people.assign(sex=people["sex"].map({"female": "f", "male": "m"})).sample(
            frac=1, random_state=1
        ),
        attributes_to_test=["sex"], design=DESIGN,
    )  # fmt: skip
    names = {"f": "female", "m": "male"}
    pd.testing.assert_frame_equal(one, other.replace({"group": names, "reference": names}))


def test_repeated_visits_do_not_narrow_intervals(people, classifier):
    twice = pd.concat([people.assign(sub=people.index)] * 2)
    twice.index = [f"{unit}_{i // N}" for i, unit in enumerate(twice.index)]
    doubled = Prediction(
        name="ill", kind="classification",
        score=pd.Series(np.tile(classifier.score, 2), twice.index),
        truth=pd.Series(np.tile(classifier.truth, 2), twice.index),
    )  # fmt: skip
    options = {"attributes_to_test": ["sex"], "design": AuditDesign(n_boot=400)}
    once = prediction_table([classifier], people, **options)
    again = prediction_table([doubled], twice, cluster="sub", **options)
    width, wide = (t["ci_high"] - t["ci_low"] for t in (once, again))
    assert (wide / width).median() == pytest.approx(1, abs=0.1)
    sweep = threshold_table([doubled], twice, cluster="sub", **options)
    single = threshold_table([classifier], people, **options)
    spans = [t["sensitivity_ci_high"] - t["sensitivity_ci_low"] for t in (single, sweep)]
    assert (spans[1] >= spans[0] - 0.02).all()


def test_groups_without_enough_of_either_class_are_not_described(people, classifier):
    truth = classifier.truth.copy()
    truth[people.index[people["site"] == "C"]] = 0.0
    table = prediction_table(
        [Prediction(name="ill", kind="classification", score=classifier.score, truth=truth)],
        people, attributes_to_test=["site"], design=DESIGN,
    )  # fmt: skip
    rows = table[table["group"] == "C"]
    assert len(rows) == 1
    assert rows["value"].isna().all()
    assert "0 positive" in rows["note"].iloc[0]


def test_sweeps_and_bins_add_up(people, classifier):
    sweep = threshold_table([classifier], people, attributes_to_test=["sex"], design=DESIGN)
    assert sweep.loc[sweep["in_use"], "threshold"].eq(0.5).all()
    for _, part in sweep.groupby(["attribute", "group"]):
        assert part["sensitivity"].is_monotonic_decreasing
        assert part["false_positive_rate"].is_monotonic_decreasing
    bins = calibration_table([classifier], people, attributes_to_test=["sex"], design=DESIGN)
    assert bins.groupby(["attribute", "group"])["n"].sum().groupby("attribute").sum().eq(N).all()
    assert ((bins["ci_low"] <= bins["observed"]) & (bins["observed"] <= bins["ci_high"])).all()


def test_sentences_name_chance_and_claim_only_what_is_significant(people, classifier, regression):
    table = prediction_table(
        [classifier, regression], people, attributes_to_test=["sex"], design=DESIGN
    )
    said = prediction_sentences(table)
    assert any("expected by chance" in sentence for sentence in said)
    none = table.assign(p_adj=table["p"].where(table["p"].isna(), 1.0))
    assert not any("higher in" in s or "lower in" in s for s in prediction_sentences(none))


def _published(tables, people, classifier):
    """Check that the links between a classifier's outcomes hold on exact counts."""
    groups = tables.groups.set_index(["attribute", "group", "outcome"])

    def count(cell, attribute, group):
        what, outcome = cell
        row = groups.loc[(attribute, group, outcome)]
        events = round(row["n"] * row["mean"]) if row["n"] else 0
        return {"n": row["n"], "events": events, "none": row["n"] - events}[what]

    for attribute, group in {key[:2] for key in groups.index}:
        for whole, parts in links_of(["ill_sensitivity"]):
            total = sum(count(part, attribute, group) for part in parts)
            assert count(whole, attribute, group) == total, (whole, parts)


def test_links_between_outcomes_hold(people, classifier):
    outcomes = prediction_outcomes([classifier], people.index)
    result = audit(outcomes, people, attributes_to_test=["sex", "site"], n_boot=50, min_group=1)
    _published(result, people, classifier)


@pytest.mark.parametrize("seed", range(3))
def test_no_small_count_of_a_classifier_can_be_worked_out_from_what_is_shared(people, seed):
    """Attack with independent code: every count of a group from the shown rows and the links."""
    rng = np.random.default_rng(seed)
    some = people.iloc[rng.choice(N, 150, replace=False)]
    truth = pd.Series((rng.random(150) < 0.15).astype(float), some.index)
    score = pd.Series(np.clip(0.25 * truth + rng.random(150) * 0.7, 0, 1), some.index)
    prediction = Prediction(name="ill", kind="classification", score=score, truth=truth)
    result = audit(
        prediction_outcomes([prediction], some.index), some, attributes_to_test=["site"],
        n_boot=50, min_group=1,
    )  # fmt: skip
    table = prediction_table(
        [prediction], some, attributes_to_test=["site"], design=AuditDesign(n_boot=50, min_group=1)
    )
    shown = share({"groups": result.groups, "predictions": table}, min_cell=5)
    groups = shown["groups"]
    ranges = {}
    for row in groups[groups["kind"] == "binary"].to_dict("records"):
        for what, n in (("n", row["n"]), ("events", row["n"] * row["mean"] if row["n"] else 0)):
            n = 5 * round(n / 5)
            ranges[row["group"], row["outcome"], what] = (max(n - 2, 0), n + 2)
    exact = result.groups.set_index(["group", "outcome"])
    for group in some["site"].unique():
        positives = exact.loc[(group, "ill_sensitivity"), "n"]
        pairs = [("ill_prevalence", "events"), ("ill_sensitivity", "n")]
        known = [ranges[group, o, w] for o, w in pairs if (group, o, w) in ranges]
        alone = ranges.get((group, "ill_prevalence", "n"))
        negatives = ranges.get((group, "ill_false_positive_rate", "n"))
        if alone and negatives:
            known.append((alone[0] - negatives[1], alone[1] - negatives[0]))
        if known and 0 < positives < 5:
            low = max(0.0, *(r[0] for r in known))
            high = min(r[1] for r in known)
            assert not is_disclosed((low, high), minimum=5)
    hidden = set(result.groups["group"]) - set(
        groups.loc[groups["outcome"] == "ill_prevalence", "group"]
    )
    assert not hidden & set(shown["predictions"].loc[shown["predictions"]["measure"] == "auc",
                                                    "group"])  # fmt: skip
    auc = shown["predictions"]["value"].dropna()
    assert (auc == auc.round(2)).all()


def test_a_group_without_false_positives_is_not_known_exactly(rng):
    """Newcombe's interval of a gap stands, whatever a bootstrap without events says."""
    groups = pd.DataFrame(
        {"sex": ["female"] * 17 + ["male"] * 340}, index=[f"u{i}" for i in range(357)]
    )
    values = np.concatenate([np.zeros(17), (np.arange(340) < 47).astype(float)])
    outcomes = pd.DataFrame(
        {"unit": groups.index, "stage": "qc", "outcome": "qc_fail", "value": values,
         "better_is": "lower", "kind": "binary"}
    )  # fmt: skip
    gap = audit(outcomes, groups, attributes_to_test=["sex"], n_boot=100).gaps.iloc[0]
    assert gap["gap"] == pytest.approx(-47 / 340)
    assert gap["ci_high"] > 0.02


@pytest.mark.parametrize("apart", [2.5, 4.0])
def test_a_small_group_that_is_ranked_right_by_chance_is_no_finding(apart):
    """DeLong's error of an AUC of 1 is 0: by it alone 27% of these were significant."""
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        units = pd.Index([f"u{i:03d}" for i in range(200)])
        people = pd.DataFrame({"site": np.repeat(["A", "B"], [180, 20])}, index=units)
        truth = (rng.random(200) < 0.4).astype(float)
        score = special.expit(apart * (truth - 0.5) + rng.normal(size=200))
        made = Prediction(
            name="ill", kind="classification", score=pd.Series(score, units),
            truth=pd.Series(truth, units),
        )  # fmt: skip
        table = prediction_table(
            [made], people, attributes_to_test=["site"], correction="none",
            design=AuditDesign(n_boot=100, seed=1),
        )  # fmt: skip
        p.append(table[table["measure"].isin(["auc", "balanced_accuracy"])]["p"].dropna())
    found = pd.concat(p)
    assert len(found) > 90
    assert (found <= 0.05).mean() <= 0.1  # 0.05 and two standard errors
    assert (found <= 0.005).mean() <= 0.02


def test_a_perfect_ranking_of_repeated_subjects_counts_subjects():
    """DeLong's variance of an AUC of 1 is 0, so that the interval knows only how many there are."""
    truth, score = np.tile([0.0, 1.0], 5), np.tile([0.1, 0.9], 5)
    once = Side(score=score, truth=truth, clusters=None, first=0)
    times = {"score": np.repeat(score, 5), "truth": np.repeat(truth, 5), "first": 0}
    repeated = Side(**times, clusters=np.repeat(np.arange(10), 5))
    alone = Side(**times, clusters=None)
    of = [_auc(side, AuditDesign()) for side in (once, repeated, alone)]
    assert [one.value for one in of] == [1, 1, 1]
    assert of[1].low < 0.95 * of[2].low
    assert of[1].low == pytest.approx(of[0].low, abs=0.1)


def test_visits_of_few_positive_subjects_are_few_positives(rng):
    """Five visits of one positive subject: their intervals held the truth in 57% and 15%."""
    n, k = 31, 5
    truth = np.repeat(np.arange(n) < 1, k).astype(float)
    units = pd.Index([f"sub-{i:02d}_ses-{j}" for i in range(n) for j in range(k)])
    one = Prediction(
        name="ill", kind="classification", truth=pd.Series(truth, units),
        score=pd.Series(rng.random(n * k), units),
    )  # fmt: skip
    people = pd.DataFrame({"sub": np.repeat(np.arange(n), k)}, index=units)
    options = {"attributes_to_test": [], "design": DESIGN}
    table = prediction_table([one], people, cluster="sub", **options)
    assert table["measure"].tolist() == []
    assert set(prediction_table([one], people, **options)["measure"]) >= {"auc"}


def test_intervals_of_balanced_accuracy_hold_with_few_subjects_of_several_visits():
    rng = np.random.default_rng(11)
    n_positive, n_negative, k = 5, 30, 3
    truth = np.r_[np.ones(n_positive), np.zeros(n_negative)]
    held = []
    for _ in range(60):
        own = rng.normal(size=len(truth)) * np.sqrt(0.8)
        score = np.repeat(truth + own, k) + rng.normal(size=len(truth) * k) * np.sqrt(0.2)
        side = Side(
            score=score, truth=np.repeat(truth, k), first=0,
            clusters=np.repeat(np.arange(len(truth)), k),
        )  # fmt: skip
        made = Prediction(
            name="x", kind="classification", score=pd.Series(score), truth=pd.Series(side.truth)
        )
        found = _balanced_accuracy(made, side, DESIGN)
        held.append(found.low <= special.ndtr(0.5) <= found.high)
    assert np.mean(held) >= 0.9  # 0.87 of 150 by the bootstrap alone


@pytest.mark.parametrize(("n_positive", "n_negative", "apart"), [(5, 15, 1.6), (7, 23, 0.6)])
def test_gaps_of_few_positives_that_are_none_are_seldom_significant(n_positive, n_negative, apart):
    rng = np.random.default_rng(1)

    def area(times):
        truth = np.repeat([1.0, 0.0], [times * n_positive, times * n_negative])
        score = rng.normal(apart * (truth - 0.5))
        return _auc(Side(score=score, truth=truth, clusters=None, first=0), DESIGN)

    gaps = [_gap("auc", area(1), area(4), alpha=0.05) for _ in range(300)]
    assert np.mean([gap["p"] <= 0.05 for gap in gaps if "p" in gap]) <= 0.075  # 2 errors above
