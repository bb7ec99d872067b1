"""Expected Dice: the closed form, its limits, and the numbers that it is fed with."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.segment.expected import FEATURES, expected_dice, features, fit_ridge, predict
from popscan.segment.samples import Tally


def test_ridge_recovers_a_line_and_is_plain_json(rng):
    x = rng.normal(size=(400, 3)) * [1, 10, 0.1] + [5, 0, 2]
    y = 0.5 + x @ [0.02, 0.001, -0.3] + rng.normal(0, 1e-3, 400)
    y = y - y.mean() + 0.5
    model = json.loads(json.dumps(fit_ridge(x, y, strength=1e-6)))
    np.testing.assert_allclose(predict(model, x), y, atol=5e-3)
    slopes = np.array(model["coefficients"]) / model["sd"]
    np.testing.assert_allclose(slopes, [0.02, 0.001, -0.3], rtol=0.05)


def test_ridge_is_that_of_scikit_learn(rng):
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    x, y = rng.normal(size=(50, 4)), rng.random(50)
    ours = fit_ridge(x, y, strength=2.0)
    theirs = Ridge(alpha=2.0).fit(StandardScaler().fit_transform(x), y)
    np.testing.assert_allclose(ours["coefficients"], theirs.coef_, rtol=1e-6)
    assert ours["intercept"] == pytest.approx(theirs.intercept_)


def test_missing_and_far_off_features(rng):
    x = rng.random((30, 2))
    x[3, 1] = math.nan
    model = fit_ridge(x, np.r_[np.full(15, 0.2), np.full(15, 0.9)])
    assert predict(model, [[math.nan, 0.1]])[0] == 0  # not found: Dice 0
    far = predict(model, [[1e9, -1e9], [-1e9, 1e9]])
    assert ((far >= 0) & (far <= 1)).all()
    with pytest.raises(ValueError, match="fewer than two"):
        fit_ridge(x[:1], [0.5])


def tally(*, sure: float) -> Tally:
    """Two slices, two frames, 10 voxels each of RV, MYO, LV; `sure` is the right label's share."""
    n = 4
    expected = np.zeros((n, 4, 4))
    for k in range(1, 4):
        expected[:, k, k], expected[:, k, 0] = 10 * sure, 10 * (1 - sure)
    expected[:, 0, 0] = 100.0
    by_label = np.full((n, 4), 2.0)
    volumes = np.full((3, n, 4), 10.0)
    volumes[2] = 13.0
    return Tally(
        expected=expected,
        entropy=by_label,
        information=by_label / 2,
        flip_risk=by_label / 4,
        volumes=volumes,
        samples=("a", "b", "c"),
        pixel_mm2=1.0,
    )


@pytest.fixture
def labels():
    array = np.zeros((10, 9, 2, 2), np.uint8)
    for k in Label:
        if k:
            array[:, 3 * k - 3, :, :] = k
    return array


def test_features_by_hand(labels):
    table = features(tally(sure=0.9), labels, structures=STRUCTURES, spacing_mm=(1.0, 1.0, 8.0))
    assert set(table) == {"rv", "myo", "lv"}
    row = dict(zip(FEATURES, table["lv"][0], strict=True))
    assert row["implied_dice"] == pytest.approx(2 * 18 / (20 + 18))
    assert row["heart_dice"] == row["implied_dice"]
    assert row["entropy"] == pytest.approx(4 / 20)
    assert row["information"] == pytest.approx(2 / 20)
    assert row["flip_risk"] == pytest.approx(1 / 20)
    assert row["volume_spread"] == pytest.approx(np.std([20, 20, 26], ddof=1) / 22)
    assert row["kept_share"] == pytest.approx(1.0)
    assert row["slice_share"] == 1.0
    assert row["gap_share"] == 0.0
    assert row["area_jump"] == 0.0
    assert row["log_volume"] == pytest.approx(math.log(20 * 8 / 1000))


def test_absent_structure_and_uncalibrated_bundle(labels):
    labels[labels == Label.RV] = 0
    options = {"structures": STRUCTURES, "spacing_mm": (1.0, 1.0, 8.0)}
    assert np.isnan(features(tally(sure=0.9), labels, **options)["rv"]).all()
    for about in ({}, {"expected_dice": {"features": ["other"], "models": {}}}):
        values = expected_dice(tally(sure=0.9), labels, about=about, **options)
        assert len(values) == 6
        assert all(math.isnan(v) for v in values.values())
    n = len(FEATURES)
    model = {"intercept": 0.8, "mean": [0.0] * n, "sd": [1.0] * n, "coefficients": [0.0] * n}
    about = {"expected_dice": {"features": list(FEATURES), "models": {"lv": model, "rv": model}}}
    values = expected_dice(tally(sure=0.9), labels, about=about, **options)
    assert values["expected_dice_lv"] == values["expected_dice_lv_lowest"] == 0.8
    assert values["expected_dice_rv"] == 0.0
    assert math.isnan(values["expected_dice_myo"])
