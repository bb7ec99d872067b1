"""The risk of a wrong result: all signs together, and what a reader sees of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.missed import DICTIONARY as MISSED
from popscan.protocols.cine_sax.qc import Context, check
from popscan.protocols.cine_sax.qc import function as function_checks
from popscan.protocols.cine_sax.qc.evidence import SIGNS, signs
from popscan.protocols.cine_sax.qc.risk import WEIGHTS, contributions, error_risk, risk
from popscan.qc import Check

SURE = {
    **{f"mean_entropy_{k}": v for k, v in (("rv", 0.15), ("myo", 0.3), ("lv", 0.1))},
    **{f"flip_risk_{k}": v for k, v in (("rv", 0.03), ("myo", 0.12), ("lv", 0.07))},
    **{f"expected_dice_{k}": v for k, v in (("rv", 0.9), ("myo", 0.89), ("lv", 0.95))},
    "ood_score": 0.7,
    **dict.fromkeys(MISSED, 12.5),
}
UNSURE = {
    **{name: 4.0 * value for name, value in SURE.items() if "dice" not in name},
    **{name: 0.3 for name in SURE if "dice" in name},
}


def at_two(case: Any) -> tuple[Any, np.ndarray]:
    """ED and ES of a cine alone, as scan and labels."""
    context = Context(case.scan, case.labels)
    frames = [context.ed, context.es]
    meta = {**case.scan.meta, "frame_labels": ["ED", "ES"]}
    scan = replace(case.scan, array=case.scan.array[..., frames], frame_times_ms=None, meta=meta)
    return scan, case.labels[..., frames]


def judged(scan: Any, labels: np.ndarray, **told: Any) -> Check:
    return next(c for c in check(scan, labels, from_segmentation=told) if c.name == "error_risk")


def test_a_sure_result_passes_and_an_unsure_one_is_reviewed_with_reasons(case: Any) -> None:
    sure, unsure = (judged(case.scan, case.labels, **told) for told in (SURE, UNSURE))
    assert sure.verdict == "pass"
    assert unsure.verdict == "review"
    assert unsure.value > sure.value + 0.2
    assert any(SIGNS[name].words in unsure.message for name in WEIGHTS)


def test_slices_of_another_phase_raise_the_risk_and_are_named(case: Any) -> None:
    scan, labels = at_two(case)
    mixed = labels.copy()
    mixed[:, :, [3, 5]] = mixed[:, :, [3, 5]][..., ::-1]
    before, after = judged(scan, labels, **SURE), judged(scan, mixed, **SURE)
    assert after.value > before.value + 0.15
    assert "slice" in after.message


def test_a_whole_cine_has_the_signs_of_its_two_frames(case: Any) -> None:
    whole = signs(Context(case.scan, case.labels, from_segmentation=SURE))
    scan, labels = at_two(case)
    assert signs(Context(scan, labels, from_segmentation=SURE)) == pytest.approx(whole, nan_ok=True)
    assert all(math.isfinite(value) for value in whole.values())


def test_one_chamber_that_the_network_expects_larger_raises_the_risk_and_is_named(
    case: Any,
) -> None:
    sure = judged(case.scan, case.labels, **SURE)
    for name in MISSED:
        doubted = judged(case.scan, case.labels, **{**SURE, name: 24.0})
        assert doubted.value > sure.value + 0.2
        assert "expects more of a chamber" in doubted.message
    unknown = judged(case.scan, case.labels, **{**SURE, **dict.fromkeys(MISSED, math.nan)})
    assert math.isfinite(unknown.value)


def test_every_sign_speaks_against_and_none_can_be_unknown() -> None:
    assert set(WEIGHTS) <= set(SIGNS)
    assert len({sign.words for sign in SIGNS.values()}) == len(SIGNS)
    usual = {name: centre for name, (centre, _, _) in WEIGHTS.items()}
    for name, (centre, spread, weight) in WEIGHTS.items():
        assert spread > 0
        assert weight > 0
        worse = contributions({**usual, name: centre + spread})
        assert risk(worse) > risk(contributions(usual))
        missing = contributions({**usual, name: math.nan})
        assert risk(missing) == risk(contributions(usual))


def test_no_risk_without_a_segmentation_that_says_how_sure_it_is(case: Any) -> None:
    assert judged(case.scan, case.labels).verdict == "not_assessed"
    assert not error_risk(Context(case.scan)).assessed
    nothing = judged(case.scan, np.zeros_like(case.labels), **dict.fromkeys(SURE, math.nan))
    assert 0 <= nothing.value <= 1


@pytest.mark.parametrize(("curve", "spike"), [((0, 12, 55, 70, 40, 20, 10, 5), 0), ((0,) * 8, 60)])
def test_a_sharp_turn_of_few_frames_is_no_spike(case: Any, curve: tuple, spike: float) -> None:
    volumes = 100.0 - np.array(curve, dtype=float)
    volumes[5] -= spike
    context = Context(case.scan, case.labels)
    context.n_frames, context.frames = len(volumes), tuple(range(len(volumes)))
    context.__dict__["curves_ml"] = {Label.LV: volumes}
    found = function_checks.curve_spike_pct(context, Label.LV).value
    assert found == pytest.approx(spike, abs=1e-9)
