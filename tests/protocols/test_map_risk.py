"""The risk of a wrong result of drawn segmentations of a map: laws of the model and its signs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapping_files import regions, t1_truth_ms
from popscan.protocols.t1_map.qc import CHECKS, RISK, MapContext
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

SURE, UNSURE = {"sample_dice_wall": 0.95}, {"sample_dice_wall": 0.3}


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
    assert unsure.value > RISK > 0.1 > sure.value
    assert "overlap little" in unsure.note
    assert sure.note == "no sign stands out"


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
    moved = np.roll(context.labels[..., 0], 4, axis=0)
    assert signs(a_context(labels=moved))["unevenness"] > 2 * right["unevenness"]
    # However much the draws agree.
    assert error_risk(a_context(labels=moved)).value > RISK
    assert "uneven" in error_risk(a_context(labels=moved)).note


def test_draws_that_have_no_wall_in_common_are_the_worst():
    assert signs(a_context({**SURE, "sample_dice_wall": math.nan}))["apart"] == 1.0
    assert signs(a_context({**SURE, "sample_dice_wall": None}))["apart"] == 1.0
    bare = a_context(labels=np.zeros_like(a_context().labels[..., 0]))
    assert math.isnan(signs(bare)["unevenness"])
