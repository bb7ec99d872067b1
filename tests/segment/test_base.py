"""Where the left ventricle ends: decided on drawn stacks whose base is known."""

import math

import numpy as np
import pytest

from popscan.protocols.cine_sax.base import base_course, find_base, remove_above
from popscan.protocols.cine_sax.base_evidence import EVIDENCE, log_odds
from popscan.protocols.cine_sax.beyond import beyond_stack
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.biomarkers.doubt import doubtful_amounts, shifts
from popscan.protocols.cine_sax.labels import Label

SPACING = (1.5, 1.5, 10.0)
_X, _Y = np.meshgrid(np.arange(48) - 24, np.arange(48) - 24, indexing="ij")
RADIUS, ANGLE = np.hypot(_X, _Y), np.arctan2(_Y, _X)
SIDE = RADIUS.shape


def inside(radius):
    return np.less(RADIUS, radius)


def stack(open_share, *, cavity=9.0, wall=6.0):
    """Return labels, image and expected confusion; `open_share` (z, t) of the ring is blood.

    What lies above the base is a thin ring with a gap; NaN leaves a slice empty.
    """
    share = np.asarray(open_share, float)
    labels = np.zeros((*SIDE, *share.shape), np.uint8)
    image = np.full(labels.shape, 40.0, np.float32)
    certain = np.ones((share.shape[1], share.shape[0]))
    for z, t in np.argwhere(np.isfinite(share)):
        gap = share[z, t]
        thick = wall if gap == 0 else 0.5 * wall
        ring = (inside(cavity + thick)) & (np.abs(ANGLE) >= math.pi * gap)
        labels[ring, z, t] = Label.MYO
        labels[inside(cavity), z, t] = Label.LV
        image[(inside(cavity)) | (np.abs(ANGLE) < math.pi * gap), z, t] = 200.0
        certain[t, z] = 0.97 if gap == 0 else 0.75
    expected = np.zeros((labels.shape[2] * labels.shape[3], 4, 4))
    counts = np.stack([(labels == k).sum((0, 1)) for k in range(4)], axis=-1)
    for z, t in np.ndindex(share.shape):
        for k in range(4):
            own, rest = certain[t, z], 1.0 - certain[t, z]
            expected[t * share.shape[0] + z, k] = counts[z, t, k] * rest / 3
            expected[t * share.shape[0] + z, k, k] = counts[z, t, k] * own
    return labels, image, expected


def decide(*parts):
    labels, image, expected = parts
    return find_base(labels, image, expected, spacing_mm=SPACING, pixel_mm2=2.25)


CLOSED = [0.0] * 6
#: ED reaches one slice further up than ES does; one slice above is atrium at ES.
ED_AND_ES = np.array([[0.0, *CLOSED], [0.6, *CLOSED]]).T


def test_closed_rings_stay_as_they_are():
    drawn = stack(np.zeros((7, 2)))
    found = decide(*drawn)
    assert not found.above.any()
    assert not found.kept["lv"].any()
    assert not found.removed["lv"].any()


def test_an_open_slice_at_end_systole_is_removed_and_end_diastole_keeps_it():
    labels, image, expected = stack(ED_AND_ES)
    found = decide(labels, image, expected)
    assert np.argwhere(found.above).tolist() == [[0, 1]]
    remove_above(labels, found)
    assert not labels[:, :, 0, 1].any()
    assert labels[:, :, 0, 0].any()


def test_the_order_of_the_slices_does_not_matter():
    labels, image, expected = stack(np.vstack([[math.nan, math.nan], ED_AND_ES]))
    labels[26:44, 20:30, 1:6][labels[26:44, 20:30, 1:6] == 0] = Label.RV  # tells the base
    turned = expected.reshape(2, 8, 4, 4)[:, ::-1].reshape(expected.shape)
    one = decide(labels, image, expected)
    other = decide(labels[:, :, ::-1], image[:, :, ::-1], turned)
    assert one.above.any()
    np.testing.assert_array_equal(one.above, other.above[::-1])


def test_the_base_moves_once_down_and_once_up():
    rng = np.random.default_rng(0)
    share = np.zeros((8, 12))
    share[0, 3:9] = 0.9
    share[0, [5, 10]] = 0.0, 0.9  # a frame that flickers, each way
    found = decide(*stack(share))
    assert np.flatnonzero(found.above[0]).tolist() == [3, 4, 5, 6, 7, 8]
    for _ in range(20):
        course = base_course(rng.normal(size=(9, 4)), widest=2)
        turned = np.roll(course, -2)
        top = int(turned.argmax())
        assert (np.diff(turned[: top + 1]) >= 0).all()
        assert (np.diff(turned[top:]) <= 0).all()
        assert turned[-1] >= turned[0]


def test_the_course_is_the_best_of_all_that_are_allowed():
    gain = np.random.default_rng(1).normal(size=(4, 3))
    allowed = [
        c
        for c in np.ndindex(3, 3, 3, 3)
        if c[-1] >= c[0]
        and any(all(np.diff(c[: k + 1]) >= 0) and all(np.diff(c[k:]) <= 0) for k in range(4))
    ]
    best = max(sum(gain[t, b] for t, b in enumerate(c)) for c in allowed)
    course = base_course(gain, widest=0)
    assert sum(gain[t, b] for t, b in enumerate(course)) == pytest.approx(best)


def test_too_few_slices_decide_nothing():
    found = decide(*stack(np.array([[0.6, 0.0, 0.0]] * 2).T))
    assert not found.above.any()
    assert np.isnan(found.log_odds).all()
    nothing = decide(*stack(np.full((5, 2), math.nan)))
    assert not nothing.above.any()


def test_every_sign_speaks_against_the_ventricle():
    none = {name: np.zeros((1, 1)) for name in EVIDENCE}
    for name in EVIDENCE:
        assert log_odds({**none, name: np.ones((1, 1))}) < log_odds(none)


def test_what_is_doubtful_is_counted_in_both_ways():
    share = ED_AND_ES.copy()
    share[0, 1] = 0.28
    labels, image, expected = stack(share, wall=7.0)
    found = decide(labels, image, expected)
    cavity = (labels[:, :, 0, 1] == Label.LV).sum()
    assert found.kept["lv"][1] + found.removed["lv"][1] == cavity
    assert found.n_frames_doubtful == 1


def test_a_slice_that_the_network_half_saw_is_doubtful():
    share = np.zeros((7, 2))
    share[0, 1] = math.nan
    labels, image, expected = stack(share)
    by_slice = expected.reshape(2, 7, 4, 4)
    by_slice[1, 0, Label.BACKGROUND, Label.LV] = 100.0
    found = decide(labels, image, expected)
    assert found.removed["lv"].tolist() == [0.0, 100.0]


def test_the_interval_reaches_to_with_and_without():
    doubt = {"kept": {"lv": [0.0, 10.0], "myo": [0.0, 6.0], "rv": [0.0, 0.0]},
             "removed": {"lv": [8.0, 0.0], "myo": [4.0, 0.0], "rv": [0.0, 0.0]}}  # fmt: skip
    values = {"lvedv_ml": 100.0, "lvesv_ml": 50.0, "lvsv_ml": 50.0, "lvef_pct": 50.0,
              "rvedv_ml": 90.0, "rvesv_ml": 45.0, "rvsv_ml": 45.0, "rvef_pct": 50.0,
              "lvm_g": 80.0}  # fmt: skip
    found = shifts(values, doubt, ed=0, es=1)
    assert found["lvedv_ml"] == (0.0, 8.0)
    assert found["lvesv_ml"] == (-10.0, 0.0)
    assert found["lvsv_ml"] == (0.0, 18.0)
    assert found["lvef_pct"] == pytest.approx((0.0, 100 * (1 - 40 / 108) - 50))
    assert found["lvm_g"] == pytest.approx((0.0, 4.2))
    assert found["rvef_pct"] == (0.0, 0.0)
    assert shifts(values, {}, ed=0, es=1) == {}
    assert shifts(values, doubt, ed=None, es=1) == {}
    amounts = doubtful_amounts(doubt, ed=0, es=1)
    assert (amounts["lvedv_doubtful_ml"], amounts["lvesv_doubtful_ml"]) == (8.0, 10.0)
    assert math.isnan(doubtful_amounts({}, ed=0, es=1)["lvedv_doubtful_ml"])


def test_the_interval_reaches_to_a_slice_beyond_the_stack():
    beyond = {"lv": [20.0, 10.0], "myo": [6.0, 4.0], "rv": [0.0, 0.0]}
    values = {"lvedv_ml": 100.0, "lvesv_ml": 50.0, "lvsv_ml": 50.0, "lvef_pct": 50.0,
              "rvedv_ml": 90.0, "rvesv_ml": 45.0, "rvsv_ml": 45.0, "rvef_pct": 50.0,
              "lvm_g": 80.0}  # fmt: skip
    nothing = {side: {} for side in ("kept", "removed")}
    found = shifts(values, {**nothing, "beyond": beyond}, ed=0, es=1)
    assert found["lvedv_ml"] == (0.0, 20.0)
    assert found["lvesv_ml"] == (0.0, 10.0)
    assert found["lvsv_ml"] == (0.0, 20.0)  # what is missing at ES is missing at ED, too
    assert found["lvef_pct"] == pytest.approx((0.0, 100 * (1 - 50 / 120) - 50))
    assert found["lvm_g"] == pytest.approx((0.0, 6.3))
    assert found["rvedv_ml"] == (0.0, 0.0)
    assert shifts(values, nothing, ed=0, es=1)["lvedv_ml"] == (0.0, 0.0)
    amounts = doubtful_amounts({**nothing, "beyond": beyond}, ed=0, es=1)
    assert amounts["lvedv_doubtful_ml"] == 0.0  # none of it is in the volume


@pytest.mark.parametrize("base_first", [True, False])
def test_a_stack_that_the_rv_does_not_leave_at_end_systole_ends_too_early(base_first):
    labels = np.zeros((20, 20, 6, 2), dtype=np.uint8)
    for t, size in enumerate((8, 5)):
        labels[:size, :size, :5, t] = Label.LV  # the apex is narrower
        labels[:3, :3, 5, t] = Label.LV
        labels[12:18, 12:18, t:4, t] = Label.RV  # leaves the first slice at end-systole
    order = slice(None) if base_first else slice(None, None, -1)
    names = ["ED", "ES"]
    whole = beyond_stack(labels[:, :, order], frame_labels=names)
    assert not any(curve.any() for curve in whole.values())
    cut = beyond_stack(labels[:, :, 1:][:, :, order], frame_labels=names)
    assert cut["lv"].tolist() == [64.0, 25.0]
    assert cut["rv"].tolist() == [36.0, 36.0]
    assert not beyond_stack(labels[..., :1], frame_labels=["ED"])["lv"].any()
    empty = beyond_stack(np.zeros_like(labels))
    assert {name: curve.tolist() for name, curve in empty.items()} == {
        name: [0.0, 0.0] for name in ("rv", "myo", "lv")
    }


def test_the_ejection_fraction_is_that_of_the_ventricle_alone():
    labels, image, expected = stack(ED_AND_ES)
    true = stack(np.array([[0.0, *CLOSED], [math.nan, *CLOSED]]).T)[0]
    before = measure(labels, spacing_mm=SPACING, frame_labels=["ED", "ES"])
    remove_above(labels, decide(labels, image, expected))
    after = measure(labels, spacing_mm=SPACING, frame_labels=["ED", "ES"])
    truth = measure(true, spacing_mm=SPACING, frame_labels=["ED", "ES"])
    assert before["lvef_pct"] == 0.0
    assert after["lvef_pct"] == truth["lvef_pct"] == pytest.approx(100 / 7)
