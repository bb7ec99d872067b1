"""Checks of the base: open rings, travel of the valve plane, what doubtful slices are worth."""

import math

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import Context
from popscan.protocols.cine_sax.qc.base import (
    base_open_pct,
    base_travel_mm,
    lvef_doubt_points,
    rv_base_cut_ratio,
)
from popscan.records import Scan

SPACING = (1.5, 1.5, 10.0)


def scan_of(n_slices, names):
    return Scan(
        array=np.random.default_rng(0).random((24, 24, n_slices, len(names))).astype(np.float32),
        affine=np.diag([*SPACING, 1.0]), spacing_mm=SPACING, view="sax", frame_times_ms=None,
        meta={"frame_labels": names},
    )  # fmt: skip


def rings(n_slices=6, *, first_es=1, names=("ED", "ES")):
    labels = np.zeros((24, 24, n_slices, len(names)), np.uint8)
    labels[4:20, 4:20] = Label.MYO
    labels[7:17, 7:17] = Label.LV
    labels[20:23, 8:16, : n_slices // 2] = Label.RV  # the RV is at the base
    labels[9:15, 9:15, -1] = Label.LV
    labels[:, :, :first_es, 1] = 0
    labels[7:9, 7:17, :, 1][labels[7:9, 7:17, :, 1] == Label.LV] = Label.MYO
    return labels


def context(labels, **told):
    return Context(scan_of(labels.shape[2], ["ED", "ES"]), labels, from_segmentation=told)


def test_open_share_of_the_most_basal_slices():
    labels = rings()
    assert base_open_pct(context(labels)).value == 0.0
    labels[4:7, :, 1, 1][labels[4:7, :, 1, 1] == Label.MYO] = 0
    labels[7:9, :, 1, 1][labels[7:9, :, 1, 1] == Label.MYO] = 0
    edges = 2 * (8 + 10)  # the cavity at ES is 8 x 10 voxels; one long side lost its wall
    assert base_open_pct(context(labels)).value == pytest.approx(100 * 10 / edges)
    middle = rings()
    middle[4:9, :, 4, 1] = 0
    assert base_open_pct(context(middle)).value == 0.0


def test_travel_is_towards_the_apex_whichever_slice_comes_first():
    labels = rings(first_es=2)
    assert base_travel_mm(context(labels)).value == 20.0
    assert base_travel_mm(context(labels[:, :, ::-1])).value == 20.0
    assert base_travel_mm(context(labels[..., ::-1])).value == -20.0


def test_doubt_is_the_larger_change_of_the_ejection_fraction():
    labels = rings(first_es=0)
    nothing = lvef_doubt_points(context(labels))
    assert not nothing.assessed
    none = {"kept": {"lv": [0.0, 0.0]}, "removed": {"lv": [0.0, 0.0]}}
    assert lvef_doubt_points(context(labels, base=none)).value == 0.0
    volume = (labels == Label.LV).sum((0, 1, 2)) * math.prod(SPACING) / 1000
    doubt = {"kept": {"lv": [0.0, 1.0]}, "removed": {"lv": [0.0, 3.0]}}
    assert lvef_doubt_points(context(labels, base=doubt)).value == pytest.approx(
        100 * 3.0 / volume[0]
    )


def test_a_slice_beyond_the_stack_is_no_doubt_of_the_slices_at_hand():
    labels = rings()
    none = {side: {"lv": [0.0, 0.0]} for side in ("kept", "removed")}
    doubt = {**none, "beyond": {"lv": [9.0, 9.0]}}
    assert lvef_doubt_points(context(labels, base=doubt)).value == pytest.approx(0.0)


def test_a_base_is_cut_where_the_rv_stays_in_the_most_basal_slice():
    labels = rings()
    assert not rv_base_cut_ratio(context(labels)).assessed  # it leaves that slice
    missing = rv_base_cut_ratio(context(np.where(labels == Label.RV, 0, labels)))
    assert math.isnan(missing.value)
    assert missing.assessed  # no RV at all: goes to review
    cut = labels[:, :, 1:]
    found = rv_base_cut_ratio(context(cut))
    length, diameter = context(cut).lv_size_mm
    assert found.value == pytest.approx(length / diameter)
    assert "100%" in found.note
