"""The risk of a wrong result of drawn segmentations of a map: laws of the model and its signs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapping_files import regions, t1_truth_ms
from popscan.protocols.t1_map.labels import LV, MYO
from popscan.protocols.t1_map.qc import CHECKS, MapContext
from popscan.protocols.t1_map.qc_risk import (
    FARTHEST,
    SIGNS,
    WEIGHTS,
    contributions,
    error_risk,
    risk,
    signs,
)
from popscan.qc import run_checks
from popscan.records import Scan

SURE = {
    **{f"sample_dice_{name}": 0.97 for name in ("rv_blood", "wall", "lv_blood")},
    **{f"mean_entropy_{name}": 0.02 for name in ("rv_blood", "wall", "lv_blood")},
    "sampled_sd_wall_pct": 0.2,
    "ood_score": 0.3,
}
UNSURE = {
    **{f"sample_dice_{name}": 0.3 for name in ("rv_blood", "wall", "lv_blood")},
    **{f"mean_entropy_{name}": 0.7 for name in ("rv_blood", "wall", "lv_blood")},
    "sampled_sd_wall_pct": 15.0,
    "ood_score": 3.0,
}


def a_context(values=SURE, *, labels=None, blood_ms=1700.0) -> MapContext:
    """A map of rings with its own regions, and what the segmentation said."""
    own = np.pad(regions(), ((20, 20), (20, 20), (0, 0)))
    time = t1_truth_ms(own, wall_ms=1100.0, blood_ms=blood_ms)
    noise = 15 * np.random.default_rng(0).standard_normal(time.shape)
    scan = Scan(
        array=(time + noise)[..., None].astype(np.float32), affine=np.diag([1.8, 1.8, 8, 1]),
        spacing_mm=(1.8, 1.8, 8.0), view="t1",
    )  # fmt: skip
    return MapContext(
        scan, (own if labels is None else labels)[..., None], from_segmentation=values
    )


def test_weights_can_only_speak_against_a_result_and_name_signs():
    assert set(WEIGHTS) <= set(SIGNS)
    assert WEIGHTS
    assert all(spread > 0 and weight >= 0 for _, spread, weight in WEIGHTS.values())


def test_what_does_not_apply_adds_nothing_and_no_sign_decides_alone():
    assert set(contributions(dict.fromkeys(SIGNS, math.nan)).values()) == {0.0}
    most = contributions(dict.fromkeys(SIGNS, 1e9))
    assert most == pytest.approx({k: FARTHEST * w for k, (_, _, w) in WEIGHTS.items()})
    assert 0 < risk(contributions(dict.fromkeys(SIGNS, -1e9))) < risk(most) < 1


def test_draws_that_differ_raise_the_risk():
    sure, unsure = (error_risk(a_context(values)) for values in (SURE, UNSURE))
    assert unsure.value > 0.9 > sure.value
    assert "overlap little" in unsure.note or "unsure" in unsure.note


def test_given_labels_have_no_risk_and_no_wall_is_a_wrong_result():
    assert not error_risk(a_context({"labels_by": "given"})).assessed
    nothing = np.zeros_like(np.pad(regions(), ((20, 20), (20, 20), (0, 0))))
    empty = dict.fromkeys(SURE, math.nan)
    assert error_risk(a_context(empty, labels=nothing)).value == 1.0
    (check,) = run_checks({"error_risk": CHECKS["error_risk"]}, a_context(empty, labels=nothing))
    assert check.verdict == "review"


def test_signs_see_what_is_wrong_with_regions():
    context = a_context()
    right = signs(context)
    assert all(math.isfinite(v) for v in right.values())
    own = context.labels[..., 0]
    turned = own.copy()
    turned[:, : own.shape[1] // 2][own[:, : own.shape[1] // 2] == MYO] = 0
    assert signs(a_context(labels=turned))["open_ring"] > right["open_ring"] + 0.2
    moved = np.roll(own, 4, axis=0)
    wrong = signs(a_context(labels=moved))
    for name in ("unexplained", "unevenness"):
        assert wrong[name] > right[name]
    assert signs(a_context(blood_ms=1150.0))["nearness"] > right["nearness"]
    no_blood = signs(a_context(labels=np.where(own == LV, 0, own).astype(np.uint8)))
    assert math.isnan(no_blood["nearness"])
    assert math.isnan(no_blood["open_ring"])


def test_a_sign_that_could_not_be_had_is_missing_and_no_draws_in_common_is_the_worst():
    found = signs(replace_values(sampled_sd_wall_pct=math.nan, sample_dice_wall=math.nan))
    assert math.isnan(found["log_spread"])
    assert found["apart_wall"] == 1.0


def replace_values(**values: float) -> MapContext:
    return a_context({**SURE, **values})
