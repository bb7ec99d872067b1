"""The short-axis stack held against the valve's plane: digital hearts, whose volumes are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from popscan.protocol import Visit
from popscan.protocols.cine_lax.beside import DICTIONARY, measure
from popscan.protocols.cine_lax.simulate.scan import heart_of, simulate_subject
from popscan.protocols.cine_lax.valve_plane import ended_at_valve
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject as short_axis
from popscan.records import SubjectError

GRID = {"matrix": (112, 112), "spacing_mm": (2.2, 2.2), "frames": 8}
LATE = 3


@pytest.fixture(scope="module")
def visit() -> tuple[Visit, Visit, dict[str, float]]:
    row = sample_population(3, seed=1).to_dict("records")[2]
    exact = {"breath_hold_sd_mm": 0.0}
    planes = simulate_subject(row, seed=1, **GRID, **exact)
    stack = short_axis(row, seed=1, kspace=False, **GRID, **exact)
    heart = heart_of(row, seed=1)[0].heart
    values = {"ed_frame": 0.0, "es_frame": float(LATE)}
    own, other = (
        Visit(labels=made.labels, affine=made.scan.affine, meta=made.scan.meta, values=values)
        for made in (planes, stack)
    )
    truth = {"ed": heart.at(0.0).lv_ml, "es": heart.at(LATE / GRID["frames"]).lv_ml}
    return own, other, truth


def with_labels(other: Visit, change) -> Visit:
    codes = other.labels.array.copy()
    for t in range(codes.shape[3]):
        held = np.flatnonzero((codes[..., t] == Label.LV).any(axis=(0, 1)))
        change(codes, held, t)
    return replace(other, labels=replace(other.labels, array=codes))


def one_more(codes, held, t):
    """A reader counts the slice above the base, too."""
    codes[:, :, held[0] - 1, t] = codes[:, :, held[0] + 1, t]
    codes[:, :, held[0], t] = codes[:, :, held[0] + 1, t]


def test_volumes_that_end_at_the_valve_are_those_of_the_heart(visit):
    own, other, truth = visit
    found = measure(own, other)
    assert set(found) == set(DICTIONARY)
    for key, true_ml in truth.items():
        assert found[f"lv{key}v_to_valve_ml"] == pytest.approx(true_ml, abs=0.05 * truth["ed"])
        assert found[f"valve_misfit_{key}_mm"] < 3.0
    true_pct = 100 * (1 - truth["es"] / truth["ed"])
    assert found["lvef_to_valve_pct"] == pytest.approx(true_pct, abs=3.0)


def test_a_slice_too_many_lies_beyond_the_valve_and_its_volume_is_said(visit):
    own, other, truth = visit
    more = with_labels(other, one_more)
    before, after = measure(own, other), measure(own, more)
    voxel_ml = abs(np.linalg.det(other.affine[:3, :3])) / 1000
    for key, t in (("ed", 0), ("es", LATE)):
        counted = [np.count_nonzero(v.labels.array[..., t] == Label.LV) for v in (other, more)]
        added = voxel_ml * (counted[1] - counted[0])
        assert added > 8.0
        gained = after[f"lv{key}v_to_valve_ml"] - before[f"lv{key}v_to_valve_ml"]
        # What the reader added is beyond the valve, but for what the basal slice was short of.
        assert after[f"sax_beyond_base_{key}_ml"] > 0.5 * added
        assert abs(gained) < 0.06 * truth["ed"]


def test_what_ends_taken_and_added_is_the_labels_volume(visit):
    own, other, _ = visit
    found = measure(own, other)
    voxel_ml = abs(np.linalg.det(other.affine[:3, :3])) / 1000
    labels_ml = voxel_ml * np.count_nonzero(other.labels.array[..., 0] == Label.LV)
    expected = labels_ml - found["sax_beyond_base_ed_ml"] + found["sax_short_of_base_ed_ml"]
    assert found["lvedv_to_valve_ml"] == pytest.approx(expected)


def test_what_cannot_be_known_is_nan(visit):
    own, other, _ = visit
    unknown = replace(own, values={"ed_frame": math.nan})
    assert all(math.isnan(v) for v in measure(unknown, other).values())
    codes = own.labels.array.copy()
    codes[:, :, 0] = 0  # one view alone shows the valve
    single = replace(own, labels=replace(own.labels, array=codes))
    assert all(math.isnan(v) for v in measure(single, other).values())

    def short(codes, held, t):
        codes[:, :, held[:4], t] = 0

    found = measure(own, with_labels(other, short))
    assert math.isnan(found["lvedv_to_valve_ml"])
    assert math.isnan(found["sax_beyond_base_ed_ml"])


def test_nothing_labelled_has_no_end():
    ended = ended_at_valve(np.zeros((3, 3, 3), bool), np.eye(4), None)
    assert math.isnan(ended.beyond_ml)
    assert math.isnan(ended.short_ml)


def test_a_stack_far_beyond_the_valve_is_a_reason(visit):
    own, other, _ = visit
    affine = other.affine.copy()
    affine[:3, 3] -= 4 * affine[:3, 2]
    with pytest.raises(SubjectError, match="slice distances beyond") as refused:
        measure(own, replace(other, affine=affine))
    assert refused.value.reason == "stack_beyond_valve"


@pytest.mark.parametrize("frame", [-1.0, 8.0, 1.5])
def test_a_frame_that_is_not_there_is_a_reason(visit, frame):
    """-1 was the last frame; 8 ended the join of the whole study."""
    own, other, _ = visit
    for one, two in ((own, other), (other, own)):
        wrong = replace(one, values={**one.values, "es_frame": frame})
        pair = (wrong, two) if one is own else (two, wrong)
        with pytest.raises(SubjectError, match="of labels with 8 frames") as refused:
            measure(*pair)
        assert refused.value.reason == "no_such_frame"
