"""T1 maps from raw images or ready-made: values, signs, schemes, units, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapping_files import (
    LV,
    MYO,
    regions,
    samples,
    t1_truth_ms,
    write_image,
    write_raw,
    write_regions,
)
from popscan.ingest import prepare
from popscan.io.sources import get_source
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.t1_map.biomarkers import DICTIONARY, measure, wall_sectors
from popscan.protocols.t1_map.qc import CHECKS, MapContext
from popscan.qc import run_checks, verdict
from popscan.records import LabelMap, Scan, SubjectError
from popscan.segment.given import given_labels

PROTOCOL = get_protocol("t1_map")
LABELS = regions()
WALL_MS, BLOOD_MS = 1150.0, 1700.0
TRUTH = t1_truth_ms(LABELS, wall_ms=WALL_MS, blood_ms=BLOOD_MS)
SUB = "sub-01"


def ingested(folder, **mapping):
    """Scan, labels and values as the stage ingest has them."""
    loaded = get_source("bids", PROTOCOL).load([str(folder / SUB)], mapping=mapping)
    return prepare(PROTOCOL, loaded.scans["t1"], loaded.labels.get("t1"))


def refused(folder, **mapping) -> str:
    with pytest.raises(SubjectError) as error:
        ingested(folder, **mapping)
    return error.value.reason


def test_everything_that_the_protocol_names_loads():
    for where in PROTOCOL.places().values():
        load(where)


@pytest.mark.parametrize("phase", [True, False])
def test_raw_images_give_the_t1_of_each_region(tmp_path, phase):
    write_raw(tmp_path, SUB, samples(TRUTH), phase=phase)
    write_regions(tmp_path, SUB, LABELS)
    scan, labels, facts = ingested(tmp_path)
    assert facts["scheme"] == "shmolli"
    assert facts["scheme_by"] == "header"
    assert facts["signs_by"] == ("phase" if phase else "fit")
    found = measure(labels.array, image=scan.array, spacing_mm=scan.spacing_mm, affine=scan.affine)
    assert set(found) == set(DICTIONARY)
    assert found["wall_t1_ms"] == pytest.approx(WALL_MS, abs=2.0)
    assert found["wall_t1_low_ms"] - 1 < WALL_MS < found["wall_t1_high_ms"] + 1
    assert found["lv_blood_t1_ms"] == pytest.approx(BLOOD_MS, abs=3.0)
    assert found["wall_anterior_t1_ms"] == pytest.approx(WALL_MS, abs=5.0)
    assert verdict(run_checks(CHECKS, MapContext(scan, labels.array))) == "pass"


def test_a_map_in_seconds_is_one_in_ms_and_other_units_are_refused(tmp_path):
    path = tmp_path / SUB / "anat" / f"{SUB}_T1map.nii.gz"
    write_image(path, (TRUTH / 1000).astype(np.float32))
    scan, _, facts = ingested(tmp_path)
    assert facts["map_unit"] == "s"
    np.testing.assert_allclose(scan.array[..., 0], TRUTH, rtol=1e-5)
    write_image(path, (TRUTH * 10).astype(np.float32))
    assert refused(tmp_path) == "map_unit"
    np.testing.assert_allclose(ingested(tmp_path, factor=0.1)[0].array[..., 0], TRUTH, rtol=1e-5)
    write_image(path, TRUTH.astype(np.float32), {"Units": "s"})
    assert refused(tmp_path) == "map_unit"
    write_image(path, TRUTH.astype(np.float32), {"Units": "arbitrary"})
    assert refused(tmp_path) == "map_unit"
    write_image(path, np.concatenate([-TRUTH, 0 * TRUTH], axis=2).astype(np.float32), {})
    assert refused(tmp_path) == "empty_map"


def test_a_sequence_without_a_name_needs_the_config(tmp_path):
    write_raw(tmp_path, SUB, samples(TRUTH), name="T1 heart")
    assert refused(tmp_path) == "unknown_scheme"
    assert ingested(tmp_path, scheme="shmolli")[2]["scheme_by"] == "config"
    molli = ingested(tmp_path, scheme="molli")[0].array[..., 0]
    assert molli[LABELS == LV].mean() < 0.9 * BLOOD_MS  # all seven samples: too short
    free = ingested(tmp_path, scheme="inversion_recovery")[0].array
    assert free[LABELS == MYO, 0].mean() < molli[LABELS == MYO].mean()


def test_what_cannot_be_fitted_ends_as_its_own_reason(tmp_path):
    signed = samples(TRUTH)
    few, equal, cut, odd, ms, none = (tmp_path / n for n in ("a", "b", "c", "d", "e", "f"))
    write_raw(few, SUB, signed[:2], times_ms=[100, 1100])
    assert refused(few, scheme="molli") == "too_few_samples"
    write_raw(equal, SUB, signed, times_ms=[100, 100, 100, 100, 1100, 1100, 1100])
    assert refused(equal) == "equal_times"
    write_raw(cut, SUB, np.clip(signed, -250, 250))
    assert refused(cut) == "clipped_samples"
    write_raw(odd, SUB, signed[:6], times_ms=[100, 1100, 2100, 3100, 4100, 180])
    assert refused(odd) == "scheme_mismatch"
    write_image(odd / SUB / "anat" / f"{SUB}_inv-2_IRT1.nii.gz", np.ones((8, 8, 1), np.float32))
    assert refused(odd) == "frame_mismatch"
    write_raw(ms, SUB, signed)
    side = ms / SUB / "anat" / f"{SUB}_inv-1_IRT1.json"
    side.write_text(json.dumps({"InversionTime": 100}))
    assert refused(ms) == "bad_times"
    side.write_text(json.dumps({"InversionTime": "soon"}))
    assert refused(ms) == "no_times"
    (none / SUB).mkdir(parents=True)
    assert refused(none) == "view_missing"


def test_raw_images_come_before_a_ready_made_map_unless_the_config_says_otherwise(tmp_path):
    write_raw(tmp_path, SUB, samples(TRUTH))
    write_image(
        tmp_path / SUB / "anat" / f"{SUB}_T1map.nii.gz", np.full_like(TRUTH, 900, np.float32)
        + np.arange(TRUTH.size, dtype=np.float32).reshape(TRUTH.shape) / 1e3,
    )  # fmt: skip
    loaded = get_source("bids", PROTOCOL).load([str(tmp_path / SUB)])
    assert loaded.scans["t1"].array.shape[3] == 7
    assert "ready-made" in loaded.notes[0]
    assert ingested(tmp_path, use="map")[2]["map_from"] == "map"


def test_sectors_follow_the_septum_whichever_side_the_array_is_turned():
    affine = np.diag([-1.8, -1.8, 8.0, 1.0])  # axes towards left and back
    sectors = wall_sectors(LABELS, spacing_mm=(1.8, 1.8, 8.0), affine=affine)
    assert np.bincount(sectors[LABELS == MYO])[1:].min() > 50
    front = np.argwhere(sectors == 1)[:, 1].mean()  # y counts towards the back
    assert front < np.argwhere(sectors == 4)[:, 1].mean()
    septal, lateral = (np.argwhere(np.isin(sectors, s))[:, 0].mean() for s in ((2, 3), (5, 6)))
    assert septal < lateral
    turned = wall_sectors(
        LABELS[:, ::-1], spacing_mm=(1.8, 1.8, 8.0), affine=affine * [[1], [-1], [1], [1]]
    )
    assert (turned[:, ::-1] == sectors).mean() > 0.99


def test_qc_sees_motion_and_exchanged_labels(tmp_path):
    signed = samples(TRUTH)
    signed[2:5] = np.roll(signed[2:5], 6, axis=1)
    write_raw(tmp_path, SUB, signed)
    write_regions(tmp_path, SUB, LABELS)
    scan, labels, _ = ingested(tmp_path)
    found = {c.name: c.verdict for c in run_checks(CHECKS, MapContext(scan, labels.array))}
    assert found["wall_residual_pct"] != "pass" or found["wall_border_shift_pct"] != "pass"
    swapped = np.where(LABELS == LV, MYO, np.where(LABELS == MYO, LV, 0)).astype(np.uint8)
    scan = Scan(**{**vars(scan), "array": TRUTH[..., None].astype(np.float32), "meta": {}})
    found = {c.name: c.verdict for c in run_checks(CHECKS, MapContext(scan, swapped[..., None]))}
    assert found["blood_wall_ratio"] == "review"
    assert found["wall_residual_pct"] == "not_assessed"


@pytest.mark.parametrize("moved", range(7))
def test_one_image_that_moved_goes_to_review(tmp_path, moved):
    signed = samples(TRUTH)
    signed[moved] = np.roll(signed[moved], 4, axis=1)
    write_raw(tmp_path, SUB, signed)
    write_regions(tmp_path, SUB, LABELS)
    scan, labels, _ = ingested(tmp_path)
    found = {c.name: c for c in run_checks(CHECKS, MapContext(scan, labels.array))}
    assert found["image_shift_mm"].value == pytest.approx(7.2, abs=0.01)
    assert str(found["image_shift_mm"].verdict) == "review"


def test_labels_that_came_with_the_images_are_the_segmentation():
    scan = Scan(array=np.zeros((4, 4, 1, 3)), affine=np.eye(4), spacing_mm=(1, 1, 1), view="t1")
    one = np.zeros((4, 4, 1, 3), np.uint8)
    one[1, 1, 0, 0] = 2
    found = given_labels(scan, given=LabelMap(array=one, frames=(0,)))
    assert found.labels[1, 1, 0].tolist() == [2, 2, 2]
    with pytest.raises(SubjectError, match="label file") as error:
        given_labels(scan, given=None)
    assert error.value.reason == "no_labels"


def test_of_maps_before_and_after_contrast_none_is_taken_unasked(tmp_path):
    for name, share in (("acq-pre", 1.0), ("acq-post", 0.4)):
        path = tmp_path / SUB / "anat" / f"{SUB}_{name}_run-1_T1map.nii.gz"
        write_image(path, (share * TRUTH).astype(np.float32))
    assert refused(tmp_path) == "several_images"
    assert refused(tmp_path, name="acq-native") == "view_missing"
    found = ingested(tmp_path, name="acq-pre")[0].array[..., 0]
    np.testing.assert_allclose(found, TRUTH, rtol=1e-5)
    again = tmp_path / SUB / "anat" / f"{SUB}_acq-pre_run-2_T1map.nii.gz"
    write_image(again, (1.01 * TRUTH).astype(np.float32))
    found = ingested(tmp_path, name="acq-pre")[0].array[..., 0]
    np.testing.assert_allclose(found, 1.01 * TRUTH, rtol=1e-5)


def test_an_image_comes_before_what_was_made_of_it(tmp_path):
    folder = tmp_path / SUB / "anat"
    write_image(folder / f"{SUB}_desc-se_T1map.nii.gz", (0.05 * TRUTH).astype(np.float32))
    assert refused(tmp_path) == "map_unit"  # 17 to 85 ms
    write_image(folder / f"{SUB}_T1map.nii.gz", TRUTH.astype(np.float32))
    np.testing.assert_allclose(ingested_map(tmp_path), TRUTH, rtol=1e-5)
    (folder / f"{SUB}_T1map.nii.gz").unlink()
    write_image(folder / f"{SUB}_desc-mean_T1map.nii.gz", TRUTH.astype(np.float32))
    assert refused(tmp_path) == "several_images"


def test_of_a_stack_with_a_gap_the_resampled_one_is_taken_and_said(tmp_path):
    """dcm2niix: slices of the plain file lie too close, and only it has a sidecar."""
    folder = tmp_path / SUB / "anat"
    stack = np.repeat(TRUTH, 3, axis=2).astype(np.float32)
    write_image(folder / f"{SUB}_T1map.nii.gz", stack[:, :, :2] / 1000, {"Units": "s"})
    write_image(folder / f"{SUB}_T1map_Eq_1.nii.gz", stack / 1000)
    loaded = get_source("bids", PROTOCOL).load([str(tmp_path / SUB)]).scans["t1"]
    assert loaded.array.shape[2] == stack.shape[2]
    assert loaded.meta["resampled_slices"] is True
    assert loaded.meta["images_left_out"] == 1
    assert loaded.meta["relaxation"]["unit_stated"] == "s"
    (folder / f"{SUB}_T1map_Eq_1.nii.gz").unlink()
    loaded = get_source("bids", PROTOCOL).load([str(tmp_path / SUB)]).scans["t1"]
    assert "resampled_slices" not in loaded.meta
    assert "images_left_out" not in loaded.meta


def ingested_map(folder) -> np.ndarray:
    return ingested(folder)[0].array[..., 0]


def test_what_a_map_holds_where_there_is_no_value_is_none(tmp_path):
    path = tmp_path / SUB / "anat" / f"{SUB}_T1map.nii.gz"
    write_regions(tmp_path, SUB, LABELS)
    for nothing in (np.nan, np.inf, 4095.0):  # of which 4095 outside of the regions
        write_image(path, np.where(LABELS == 0, nothing, TRUTH).astype(np.float32))
        found = ingested_map(tmp_path)
        np.testing.assert_allclose(found[LABELS > 0], TRUTH[LABELS > 0], rtol=1e-5)
    write_image(path, (1000 / TRUTH).astype(np.float32))
    assert refused(tmp_path) == "map_unit"  # R1
    failed = np.random.default_rng(1).random(TRUTH.shape) < 0.05
    write_image(path, np.where(failed, 4095, TRUTH).astype(np.float32))
    scan, labels, _ = ingested(tmp_path)
    checks = {c.name: c for c in run_checks(CHECKS, MapContext(scan, labels.array))}
    assert checks["wall_outlier_shift_pct"].verdict == "review"
    share = failed[LABELS == MYO].mean()
    shift = 100 * share * (4095 / WALL_MS - 1)
    assert checks["wall_outlier_shift_pct"].value == pytest.approx(shift, rel=0.01)


def test_images_in_the_wrong_order_are_seen_in_the_blood(tmp_path):
    signed = samples(TRUTH)
    signed[2] = signed[5]
    write_raw(tmp_path, SUB, signed)
    write_regions(tmp_path, SUB, LABELS)
    scan, labels, _ = ingested(tmp_path)
    found = {c.name: c.verdict for c in run_checks(CHECKS, MapContext(scan, labels.array))}
    assert found["blood_residual_pct"] == "review"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda array: array, "pass"),
        (lambda array: np.roll(array, 5, 0), "review"),
        (lambda array: np.roll(array, 5, 1), "review"),
        (lambda array: np.roll(array[::-1], 7, 0), "review"),
    ],
)
def test_regions_of_another_visit_ask_for_review(tmp_path, change, expected):
    write_raw(tmp_path, SUB, samples(TRUTH), phase=True)
    write_regions(tmp_path, SUB, change(LABELS))
    scan, labels, _ = ingested(tmp_path)
    found = {c.name: str(c.verdict) for c in run_checks(CHECKS, MapContext(scan, labels.array))}
    assert found["label_misfit_pct"] == expected


@pytest.mark.parametrize(("share", "expected"), [(1.0, "pass"), (0.45, "review"), (0.5, "review")])
def test_a_map_after_contrast_or_of_half_the_values_asks_for_review(tmp_path, share, expected):
    """Also where only the wall is labelled, so that blood says nothing."""
    noise = 1 + 0.03 * np.random.default_rng(2).standard_normal(TRUTH.shape)
    path = tmp_path / SUB / "anat" / f"{SUB}_T1map.nii.gz"
    write_image(path, (share * TRUTH * noise).astype(np.float32), {"Units": "ms"})
    write_regions(tmp_path, SUB, np.where(LABELS == MYO, MYO, 0).astype(np.uint8))
    scan, labels, _ = ingested(tmp_path)
    found = {c.name: str(c.verdict) for c in run_checks(CHECKS, MapContext(scan, labels.array))}
    assert found["wall_ms"] == expected


def test_seconds_that_nothing_says_could_be_rates(tmp_path):
    """T1 of 1.15 s and a rate of 0.87 per s are of one range; where only the wall is labelled."""
    path = tmp_path / SUB / "anat" / f"{SUB}_T1map.nii.gz"
    wall = np.where(LABELS == MYO, MYO, 0).astype(np.uint8)
    write_regions(tmp_path, SUB, wall)

    def checked(values, side, **mapping):
        write_image(path, values.astype(np.float32), side)
        scan, labels, _ = ingested(tmp_path, **mapping)
        found = run_checks(CHECKS, MapContext(scan, labels.array))
        return {c.name: str(c.verdict) for c in found}["seconds_guessed"]

    rates = np.where(wall > 0, 1000 / TRUTH, 0.0)
    assert checked(rates, {}) == "review"
    assert checked(TRUTH / 1000, {}) == "review"
    assert checked(TRUTH / 1000, {}, unit="s") == "pass"
    assert checked(TRUTH / 1000, {"Units": "s"}) == "pass"
    assert checked(TRUTH, {}) == "pass"
