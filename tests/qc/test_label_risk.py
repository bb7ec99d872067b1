"""The risk of wrong labels: the image and the shape against them, without a network."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import Context, check
from popscan.protocols.cine_sax.qc.agreement import agreement, relative_image
from popscan.protocols.cine_sax.qc.label_risk import label_risk, label_signs, trees, words
from popscan.protocols.cine_sax.qc.phases import two_frames
from popscan.protocols.cine_sax.qc.shape import shape

CROSS = ndimage.generate_binary_structure(2, 1)
DISC = ndimage.iterate_structure(CROSS, 2)[..., None, None]


def smaller(labels: np.ndarray) -> np.ndarray:
    """The wall grows into the cavity by two voxels."""
    kept = ndimage.binary_erosion(labels == Label.LV, DISC)
    return np.where((labels == Label.LV) & ~kept, np.uint8(Label.MYO), labels)


def larger(labels: np.ndarray) -> np.ndarray:
    """The cavity grows into the wall by a voxel."""
    grown = ndimage.binary_dilation(labels == Label.LV, CROSS[..., None, None])
    return np.where(grown & (labels == Label.MYO), np.uint8(Label.LV), labels)


def of(case: Any, labels: np.ndarray) -> dict[str, float]:
    return label_signs(Context(case.scan, labels))


def test_intensities_are_relative_to_blood_and_muscle(case: Any) -> None:
    image = relative_image(case.scan.array.astype(np.float32), case.labels)
    assert np.median(image[case.labels == Label.LV]) == pytest.approx(1.0, abs=0.1)
    assert np.median(image[case.labels == Label.MYO]) == pytest.approx(0.0, abs=0.1)


def test_the_edge_lies_outside_of_labels_that_are_too_small_and_inside_of_large_ones(
    case: Any,
) -> None:
    usual, small, large = (
        of(case, labels) for labels in (case.labels, smaller(case.labels), larger(case.labels))
    )
    for phase in ("ed", "es"):
        assert abs(usual[f"lv_edge_{phase}"]) < 0.05
        assert small[f"lv_edge_{phase}"] > usual[f"lv_edge_{phase}"] + 0.05
        assert large[f"lv_edge_{phase}"] < usual[f"lv_edge_{phase}"] - 0.01
        assert small[f"lv_bright_{phase}"] > usual[f"lv_bright_{phase}"] + 0.1


def test_signs_change_neither_with_the_scale_of_intensities_nor_when_slices_are_turned_round(
    case: Any,
) -> None:
    usual = of(case, case.labels)
    brighter = replace(case.scan, array=3.0 * case.scan.array.astype(np.float32) + 50.0)
    assert label_signs(Context(brighter, case.labels)) == pytest.approx(
        usual, rel=1e-3, abs=1e-3, nan_ok=True
    )
    turned = replace(case.scan, array=case.scan.array[:, :, ::-1])
    assert label_signs(Context(turned, case.labels[:, :, ::-1])) == pytest.approx(
        usual, rel=1e-6, abs=1e-6, nan_ok=True
    )


def test_every_sign_has_words_and_a_place_in_the_trees(case: Any) -> None:
    context = two_frames(Context(case.scan, case.labels))
    found = {**agreement(context), **shape(context)}
    assert set(trees().names) == set(found)
    assert all(words(name) for name in found)
    assert sum(math.isfinite(value) for value in found.values()) > 0.8 * len(found)


def test_wrong_labels_have_a_higher_risk_and_the_reason_is_named(case: Any) -> None:
    usual = label_risk(Context(case.scan, case.labels))
    for labels in (smaller(case.labels), larger(case.labels)):
        found = label_risk(Context(case.scan, labels))
        assert found.value > usual.value
        assert found.note != "no sign stands out"


def test_nothing_to_judge_is_not_assessed_and_empty_chambers_are_no_error(case: Any) -> None:
    assert not label_risk(Context(case.scan)).assessed
    one = replace(case.scan, array=case.scan.array[..., :1], frame_times_ms=None)
    assert not label_risk(Context(one, case.labels[..., :1])).assessed
    without = np.where(case.labels == Label.RV, np.uint8(0), case.labels)
    assert 0 <= label_risk(Context(case.scan, without)).value <= 1
    nothing = {c.name: c for c in check(case.scan, np.zeros_like(case.labels))}
    assert nothing["label_risk"].verdict == "not_assessed"


def test_an_image_without_contrast_is_judged_without_it(case: Any) -> None:
    flat = replace(case.scan, array=np.ones_like(case.scan.array))
    assert 0 <= label_risk(Context(flat, case.labels)).value <= 1
