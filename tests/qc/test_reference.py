"""Reference labels that are not of their image are distinguished from those that are."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.io.contours import read_contoured
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import check_reference, reference_checks
from popscan.qc import verdict
from popscan.records import LabelMap, PopscanError, SubjectError


def reference(case, frames=(0, 8)) -> LabelMap:
    array = np.zeros_like(case.labels)
    array[..., frames] = case.labels[..., frames]
    return LabelMap(array=array, frames=tuple(frames))


def by_name(checks) -> dict:
    return {c.name: c for c in checks}


def test_true_labels_pass_with_and_without_a_segmentation(case):
    for labels in (None, case.labels):
        checks = check_reference(case.scan, reference(case), labels)
        assert verdict(checks) == "pass", [c.message for c in checks if c.verdict != "pass"]
        assert [c.name for c in checks] == list(reference_checks())
    assert by_name(checks)["reference_dice_lv"].value == 1.0


def test_an_outer_contour_from_elsewhere_fails(case):
    """The wall is moved, the cavity stays: what happened to a patient's contours in truth."""
    right = reference(case, (0,))
    moved = np.roll(np.isin(right.array, (Label.LV, Label.MYO)), 7, axis=1)
    array = np.where(moved, np.uint8(Label.MYO), np.uint8(0))
    array[right.array == Label.LV] = Label.LV
    checks = by_name(check_reference(case.scan, LabelMap(array=array, frames=(0,)), case.labels))
    assert checks["reference_wall_off_centre_mm"].verdict == "fail"
    assert checks["reference_wall_off_centre_mm"].value > 9
    assert checks["reference_lv_open_pct"].verdict in ("review", "fail")
    assert checks["reference_dice_lv"].verdict == "pass"
    assert verdict(checks.values()) == "fail"


def test_labels_of_another_place_disagree(case):
    array = np.roll(reference(case).array, 15, axis=0)
    checks = by_name(check_reference(case.scan, LabelMap(array=array, frames=(0, 8)), case.labels))
    assert checks["reference_dice_lv"].verdict == "review"
    assert verdict(checks.values()) == "review"


def test_a_cavity_without_wall_is_not_assessed(case):
    array = np.where(reference(case).array == Label.LV, np.uint8(Label.LV), np.uint8(0))
    checks = by_name(check_reference(case.scan, LabelMap(array=array, frames=(0, 8))))
    assert checks.pop("reference_frames_off_pct").verdict == "pass"
    assert {str(c.verdict) for c in checks.values()} == {"not_assessed"}


def test_labels_of_other_frames_are_seen(case):
    right = reference(case)
    swapped = right.array.copy()
    swapped[..., 0], swapped[..., 8] = right.array[..., 8], right.array[..., 0]
    checks = by_name(check_reference(case.scan, LabelMap(array=swapped, frames=(0, 8))))
    assert checks["reference_frames_off_pct"].verdict == "review"
    frames = tuple(range(case.labels.shape[3]))
    late = LabelMap(array=np.roll(case.labels, 3, axis=3), frames=frames)
    checks = by_name(check_reference(case.scan, late))
    assert checks["reference_frames_off_pct"].verdict == "review"
    whole = LabelMap(array=case.labels, frames=late.frames)
    checks = by_name(check_reference(case.scan, whole))
    assert checks["reference_frames_off_pct"].verdict == "pass"


def test_only_frames_with_a_wall_are_looked_at(case):
    """Contours of end-systole of the cavity alone do not spoil those of end-diastole."""
    mixed = reference(case)
    late = mixed.array[..., 8]
    late[late != Label.LV] = 0
    checks = by_name(check_reference(case.scan, mixed, case.labels))
    assert verdict(checks.values()) == "pass"


def test_codes_of_another_program_are_named_by_the_segmentation(case):
    """A cavity without a wall, coded 1: anatomy does not tell, the segmentation does."""
    right = reference(case)
    cavity = np.where(right.array == Label.LV, np.uint8(1), np.uint8(0))
    checks = by_name(check_reference(case.scan, LabelMap(array=cavity, frames=(0, 8)), case.labels))
    assert checks["reference_coding_gain"].verdict == "fail"
    assert "source.label_codes: {1: lv}" in checks["reference_coding_gain"].message
    assert verdict(checks.values()) == "fail"


def test_a_segmentation_that_exchanges_structures_does_not_excuse_itself(case):
    swapped = np.array([0, 3, 2, 1], np.uint8)[case.labels]
    checks = by_name(check_reference(case.scan, reference(case), swapped))
    assert checks["reference_coding_gain"].verdict == "pass"
    assert verdict(checks.values()) == "review"


def test_limits_can_be_set_and_shapes_must_agree(case):
    strict = {"reference_contrast_pct": {"review": 99.0, "fail": 98.0}}
    checks = by_name(check_reference(case.scan, reference(case), thresholds=strict))
    assert checks["reference_contrast_pct"].verdict == "fail"
    with pytest.raises(PopscanError, match="there is no qc check"):
        check_reference(case.scan, reference(case), thresholds={"nonsense": {}})
    small = LabelMap(array=case.labels[:-1, ..., :1], frames=(0,))
    with pytest.raises(SubjectError):
        check_reference(case.scan, small)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "contours", "fits"),
    [
        ("SCD0000101", "SC-HF-I-1", True),
        ("SCD0000301", "SC-HF-I-4", True),
        ("SCD0000501", "SC-HF-I-6", False),
    ],
)
def test_epicardial_contours_that_do_not_match_the_image_are_flagged(
    data_dir, folder, contours, fits
):
    root = data_dir / "sunnybrook"
    found = read_contoured(root / "dicoms" / folder, root / "contours" / contours)
    checks = by_name(check_reference(found.scan, found.labels))
    if fits:
        assert verdict(checks.values()) == "pass"
    else:
        assert checks["reference_wall_off_centre_mm"].verdict == "fail"
        assert checks["reference_lv_open_pct"].verdict == "fail"
