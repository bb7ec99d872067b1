"""Flow through a plane, from files to numbers: analytic truth, wrapping, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import ndimage

from flow_files import AORTA, DESCENDING, FRAMES, RR_MS, Phantom, write_bids, write_nifti
from popscan.flow import correct_background
from popscan.ingest import prepare
from popscan.io.flow_words import sidecar_venc
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.protocols.flow_2d.biomarkers import DICTIONARY, measure
from popscan.protocols.flow_2d.context import FlowContext
from popscan.protocols.flow_2d.direction import against, positive_sign
from popscan.protocols.flow_2d.qc import CHECKS
from popscan.qc import run_checks, verdict
from popscan.records import SubjectError

PROTOCOL = get_protocol("flow_2d")
SUB = "sub-01"


def ingested(root, **flow):
    """Scan, labels and values as the stage ingest has them."""
    loaded = get_source("bids", PROTOCOL).load([str(root / SUB)], flow=flow)
    if problem := loaded.label_problems.get("flow"):
        raise problem
    return prepare(PROTOCOL, loaded.scans["flow"], loaded.labels.get("flow"))


def numbers(scan, labels, **person):
    return measure(
        labels.array, image=scan.array, spacing_mm=scan.spacing_mm, meta=scan.meta,
        frame_times_ms=scan.frame_times_ms, **person,
    )  # fmt: skip


def checked(scan, labels):
    return {c.name: c for c in run_checks(CHECKS, FlowContext(scan, labels.array))}


def refused(root, **flow) -> str:
    with pytest.raises(SubjectError) as error:
        ingested(root, **flow)
    return error.value.reason


@pytest.mark.parametrize(
    ("venc_cm_s", "half"),
    [(150.0, math.pi), (150.0, 4096.0), (80.0, math.pi), (80.0, 80.0), (80.0, 800.0)],
)
def test_files_of_poiseuille_flow_give_its_analytic_volumes(tmp_path, venc_cm_s, half):
    """Also where velocities wrap once, and whatever phase was stored as."""
    phantom = Phantom(venc_cm_s=venc_cm_s)
    write_bids(tmp_path, SUB, phantom, half=half)
    scan, labels, facts = ingested(tmp_path)
    assert facts["venc_cm_s"] == venc_cm_s
    assert facts["times_by"] == "frame times"
    assert facts["covered_pct"] == pytest.approx(100, abs=0.2)
    found = numbers(scan, labels, height_cm=180.0, weight_kg=80.0)
    assert set(found) == set(DICTIONARY)
    for name, code in (("aorta", AORTA), ("desc_aorta", DESCENDING)):
        forward, backward = phantom.truth_ml(code)
        assert found[f"{name}_forward_ml"] == pytest.approx(forward, rel=0.015)
        assert found[f"{name}_net_ml"] == pytest.approx(forward - backward, abs=0.8)
        exact = 100 * backward / forward
        assert found[f"{name}_regurgitant_pct"] == pytest.approx(exact, abs=1.0)
    tilt = math.cos(math.radians(10))
    assert found["aorta_peak_cm_s"] == pytest.approx(110.0 * tilt, rel=0.03)
    forward, backward = phantom.truth_ml(AORTA)
    output = (forward - backward) * 60 / RR_MS
    assert found["cardiac_output_l_min"] == pytest.approx(output, rel=0.02)
    assert found["cardiac_index_l_min_m2"] == pytest.approx(output / 2, rel=0.02)
    assert math.isnan(found["pulmonary_net_ml"])
    assert math.isnan(found["qp_qs"])
    assert (found["aorta_aliased_pct"] > 1) == (venc_cm_s < 110)


def test_a_good_plane_passes_and_a_wrapped_one_is_looked_at(tmp_path):
    write_bids(tmp_path / "a", SUB, Phantom())
    scan, labels, _ = ingested(tmp_path / "a", positive="head")
    checks = checked(scan, labels)
    assert verdict(checks.values()) == "pass", checks
    write_bids(tmp_path / "b", SUB, Phantom(venc_cm_s=80.0))
    checks = checked(*ingested(tmp_path / "b")[:2])
    assert checks["aliased_pct"].verdict == "review"
    assert checks["torn_pct"].verdict == "pass"
    for name, venc_cm_s in {"c": 700.0, "half turns taken for radians": 150.0 * np.pi}.items():
        write_bids(tmp_path / name, SUB, Phantom(venc_cm_s=venc_cm_s))
        checks = checked(*ingested(tmp_path / name)[:2])
        assert checks["peak_of_venc_pct"].verdict == "review"


def test_the_encoding_is_read_from_what_people_write_and_never_guessed(tmp_path):
    phantom = Phantom()
    for key, value in {
        "VENC": 150, "venc_cm_s": "150", "VelocityEncodingMaximumValue": [150.0],
        "SequenceName": "*fl2d1_v150in",
    }.items():  # fmt: skip
        write_bids(tmp_path, SUB, phantom, side={key: value})
        assert ingested(tmp_path)[2]["venc_cm_s"] == 150.0
    write_bids(tmp_path, SUB, phantom, side={"VelocityEncoding": None, "EchoTime": 0.003})
    assert refused(tmp_path) == "no_venc"
    assert ingested(tmp_path, venc_cm_s=150.0)[2]["venc_by"] == "source.flow.venc_cm_s"
    write_bids(tmp_path, SUB, phantom, side={"VENC": 150, "SequenceName": "fl2d1_v180in"})
    assert refused(tmp_path) == "conflicting_venc"
    write_bids(tmp_path, SUB, phantom, side={"VENC": 150})
    assert refused(tmp_path, venc_cm_s=200.0) == "conflicting_venc"
    for wrong in (1.5, 1500.0):  # m/s, mm/s
        write_bids(tmp_path, SUB, phantom, side={"VENC": wrong})
        assert refused(tmp_path) == "bad_venc"


def test_phase_of_an_unknown_kind_is_refused_unless_somebody_says_what_it_is(tmp_path):
    phantom = Phantom()
    for half in (1000.0, 3000.0, 2.0):
        write_bids(tmp_path, SUB, phantom, half=half)
        assert refused(tmp_path) == "bad_phase"
    write_bids(tmp_path, SUB, phantom, half=175.0)
    assert refused(tmp_path) == "bad_phase"
    # Masked air: nothing reaches the end of the turn.
    folder = write_bids(tmp_path, SUB, phantom)
    made = phantom.made()
    phase = np.where(made.labels > 0, made.phase_rad, 0).astype(np.float32)[:, :, None]
    path = folder / f"{SUB}_part-phase_flow.nii.gz"
    write_nifti(path, phase, {"VENC": 150}, step_s=RR_MS / 1000 / FRAMES)
    assert refused(tmp_path) == "bad_phase"
    assert ingested(tmp_path, phase="radians")[2]["phase_stored_as"] == "radians"
    side = {"VENC": 150, "Units": "rad"}
    write_nifti(path, phase, side, step_s=RR_MS / 1000 / FRAMES)
    assert ingested(tmp_path)[2]["phase_stored_as"] == "radians"
    assert refused(tmp_path, phase="cm_s") == "bad_phase"
    write_nifti(path, phase + np.float32(math.pi), side)
    assert refused(tmp_path) == "bad_phase"


def test_damaged_and_incomplete_visits_end_by_their_own_reason(tmp_path):
    phantom = Phantom(frames=12, n=48)
    folder = write_bids(tmp_path, SUB, phantom)
    made = phantom.made()
    mag, phase = (folder / f"{SUB}_part-{part}_flow.nii.gz" for part in ("mag", "phase"))
    kept = phase.read_bytes()
    phase.unlink()
    assert refused(tmp_path) == "no_phase"
    phase.write_bytes(kept[: len(kept) // 2])
    assert refused(tmp_path) == "truncated_file"
    write_nifti(phase, made.phase_rad.astype(np.float32)[:, :, None, :8])
    assert refused(tmp_path, venc_cm_s=150.0) == "frame_mismatch"
    write_nifti(phase, np.repeat(made.phase_rad.astype(np.float32)[:, :, None], 3, axis=2))
    assert refused(tmp_path, venc_cm_s=150.0) == "several_planes"
    phase.write_bytes(kept)
    good = mag.read_bytes()
    write_nifti(mag, (made.phase_rad).astype(np.float32)[:, :, None])
    assert refused(tmp_path) == "bad_magnitude"
    mag.unlink()
    assert refused(tmp_path) == "view_missing"
    mag.write_bytes(good)
    write_nifti(folder / f"{SUB}_flow_dseg.nii.gz", made.labels[:, :, None, :5])
    assert refused(tmp_path) == "label_mismatch"
    write_bids(tmp_path, SUB, phantom, name="_acq-pulmonary")
    assert refused(tmp_path) == "several_images"
    assert ingested(tmp_path, name="acq-pulmonary")[2]["venc_cm_s"] == 150.0


def test_dcm2niix_names_and_a_region_of_one_frame_are_read(tmp_path):
    folder = write_bids(tmp_path, SUB, Phantom())
    for ending in ("nii.gz", "json"):
        (folder / f"{SUB}_part-mag_flow.{ending}").rename(folder / f"{SUB}_flow.{ending}")
        (folder / f"{SUB}_part-phase_flow.{ending}").rename(folder / f"{SUB}_flow_ph.{ending}")
    made = Phantom().made()
    write_nifti(folder / f"{SUB}_flow_dseg.nii.gz", made.labels[:, :, None, 0])
    scan, labels, _ = ingested(tmp_path)
    assert labels.frames == tuple(range(FRAMES))
    assert checked(scan, labels)["regions_alike"].value == 2
    # A region that does not follow its vessel loses a part of the flow.
    net = np.subtract(*Phantom().truth_ml(AORTA))
    assert 0.8 * net < numbers(scan, labels)["aorta_net_ml"] < net


@pytest.mark.parametrize("step_s", [0.004, 0.037])
def test_without_times_volumes_are_undefined_and_velocities_are_not(tmp_path, step_s):
    """The repetition time, of the pulse or of a frame's lines, is no distance of frames."""
    side = {"VENC": 150, "RepetitionTime": step_s}
    write_bids(tmp_path, SUB, Phantom(), side=side, step_s=step_s)
    scan, labels, facts = ingested(tmp_path)
    assert facts["times_by"] == ""
    found = numbers(scan, labels)
    assert math.isnan(found["aorta_net_ml"])
    assert math.isnan(found["cardiac_output_l_min"])
    assert found["aorta_peak_cm_s"] > 100
    checks = checked(scan, labels)
    assert checks["rr_ms"].verdict == "review"
    assert checks["net_ml"].verdict == "review"
    side |= {"HeartRate": 60_000 / RR_MS}
    write_bids(tmp_path, SUB, Phantom(), side=side, step_s=step_s)
    scan, labels, facts = ingested(tmp_path)
    assert facts["times_by"] == "RR interval"
    net = np.subtract(*Phantom().truth_ml(AORTA))
    assert numbers(scan, labels)["aorta_net_ml"] == pytest.approx(net, abs=0.8)


def test_regions_that_are_lost_jump_or_touch_the_border_are_seen(tmp_path):
    write_bids(tmp_path, SUB, Phantom())
    scan, labels, _ = ingested(tmp_path)

    def verdicts(codes):
        return {n: str(c.verdict) for n, c in checked(scan, type(labels)(
            array=codes, frames=labels.frames)).items()}  # fmt: skip

    codes = labels.array.copy()
    codes[..., 7][codes[..., 7] == DESCENDING] = 0
    found = numbers(scan, type(labels)(array=codes, frames=labels.frames))
    assert math.isnan(found["desc_aorta_net_ml"])
    assert found["aorta_net_ml"] > 40
    assert verdicts(codes)["frames_without_region"] == "fail"
    codes = labels.array.copy()
    codes[..., 7] = np.roll(codes[..., 7], 6, axis=0)
    assert verdicts(codes)["region_jump_mm"] == "review"
    narrow = ndimage.binary_erosion(labels.array == AORTA, np.ones((3, 3, 1, 1)))
    codes = np.where(narrow, AORTA, np.where(labels.array == DESCENDING, DESCENDING, 0))
    assert verdicts(codes.astype(np.uint8))["flow_beside_pct"] == "review"
    codes = np.roll(labels.array, -20, axis=0)
    assert verdicts(codes)["at_border_voxels"] != "pass"
    codes = labels.array.copy()
    codes[2:5, 2:5] = AORTA
    assert verdicts(codes)["region_pieces"] == "review"
    codes = np.where(labels.array == AORTA, DESCENDING,
                     np.where(labels.array == DESCENDING, AORTA, 0)).astype(np.uint8)  # fmt: skip
    assert verdicts(codes)["against_direction"] == "pass"  # each other only: both were exchanged
    scan.meta["flow"]["positive"] = "head"
    assert verdicts(codes)["against_direction"] == "review"
    assert verdicts(labels.array)["against_direction"] == "pass"
    scan.meta["flow"]["positive"] = "feet"
    assert verdicts(labels.array)["against_direction"] == "review"
    scan.meta["flow"]["positive"] = "left"
    assert verdicts(labels.array)["against_direction"] == "not_assessed"


def test_regions_of_other_frames_are_seen(tmp_path):
    write_bids(tmp_path, SUB, Phantom())
    scan, labels, _ = ingested(tmp_path)

    def frames_off(codes):
        return checked(scan, type(labels)(array=codes, frames=labels.frames))[
            "label_frames_off_pct"]  # fmt: skip

    assert frames_off(labels.array).verdict == "pass"
    assert frames_off(np.roll(labels.array, 5, axis=3)).verdict == "review"
    assert frames_off(np.repeat(labels.array[..., :1], FRAMES, axis=3)).verdict == "not_assessed"


def test_areas_over_the_cycle_are_those_of_the_regions(tmp_path):
    write_bids(tmp_path, SUB, Phantom())
    scan, labels, _ = ingested(tmp_path)
    codes = labels.array.copy()
    grown = ndimage.binary_dilation(codes[:, :, 0, 4] == AORTA)
    codes[:, :, :, 4][grown[:, :, None].repeat(2, axis=2)] = AORTA
    found = numbers(scan, type(labels)(array=codes, frames=labels.frames))
    counts = (codes[:, :, 0] == AORTA).sum(axis=(0, 1))
    pixel = 0.18**2
    assert found["aorta_area_max_cm2"] == pytest.approx(grown.sum() * pixel)
    assert found["aorta_area_min_cm2"] == pytest.approx(counts.min() * pixel)
    assert found["aorta_area_strain_pct"] == pytest.approx(100 * (counts.max() / counts.min() - 1))
    assert math.isnan(found["pulmonary_area_max_cm2"])
    one = np.repeat(labels.array[..., :1], FRAMES, axis=3)  # drawn once: nothing is known
    found = numbers(scan, type(labels)(array=one, frames=labels.frames))
    assert math.isnan(found["aorta_area_strain_pct"])
    assert found["aorta_area_cm2"] > 4


def test_a_background_that_is_no_plane_is_seen_with_what_it_costs(tmp_path):
    folder = write_bids(tmp_path, SUB, Phantom())
    path = folder / f"{SUB}_part-phase_flow.nii.gz"
    phase = Phantom().made().phase_rad
    x, y = np.meshgrid(*[np.linspace(-1, 1, phase.shape[0])] * 2, indexing="ij")
    bent = phase + (1.2 * math.pi / 150 * (x**2 + y**2))[..., None]  # 1.2 cm/s
    bent = np.angle(np.exp(1j * bent)).astype(np.float32)[:, :, None]
    write_nifti(path, bent, {"VENC": 150}, step_s=RR_MS / 1000 / FRAMES)
    scan, labels, _ = ingested(tmp_path)
    assert checked(scan, labels)["background_curved_cm_s"].verdict == "review"
    found = numbers(scan, labels)
    net = np.subtract(*Phantom().truth_ml(AORTA))
    assert found["aorta_net_ml"] < net - 1.0
    assert found["aorta_net_ml"] + found["aorta_curved_ml"] == pytest.approx(net, abs=0.8)


def test_direction_follows_the_plane_not_the_order_of_its_axes():
    axial = np.diag([-1.0, -1.0, 5.0, 1.0])
    assert positive_sign("head", axial) == 1
    assert positive_sign("feet", axial * [[1], [-1], [1], [1]]) == -1
    assert positive_sign("left", axial) == 0
    coronal = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    assert positive_sign("head", coronal) == 0
    assert positive_sign("auto", axial) == 0
    assert against({}, 1) == []
    assert against({"pulmonary": -1.0, "aorta": -1.0}, 0) == []
    assert against({"pulmonary": -1.0}, 1) == ["pulmonary"]


def test_what_is_written_can_be_read_and_measured_again(tmp_path):
    from popscan.io import read_scan, write_scan

    write_bids(tmp_path, SUB, Phantom(frames=12, n=64), step_s=0.075)
    scan, labels, _ = ingested(tmp_path)
    write_scan(tmp_path / "again.nii.gz", scan)
    again = read_scan(tmp_path / "again.nii.gz")
    assert json.dumps(numbers(again, labels)) == json.dumps(numbers(scan, labels))


def test_regions_of_another_run_are_not_taken(tmp_path):
    for run in ("run-1", "run-2"):
        folder = write_bids(tmp_path, "sub-01", Phantom(), name=f"_{run}")
    (folder / "sub-01_run-2_flow_dseg.nii.gz").unlink()
    assert get_source("bids", PROTOCOL).load([str(tmp_path / "sub-01")]).labels == {}
    (folder / "sub-01_run-1_flow_dseg.nii.gz").rename(folder / "sub-01_flow_dseg.nii.gz")
    assert "flow" in get_source("bids", PROTOCOL).load([str(tmp_path / "sub-01")]).labels


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fl2d1_v37.5in", {"SequenceName": 37.5}),
        ("fl2d1_v150", {"SequenceName": 150.0}),
        ("fl_v1500in", {}),
        ("fl_pc_v2", {}),
    ],
)
def test_the_encoding_in_the_name_of_a_sequence(name, found):
    assert sidecar_venc({"SequenceName": name}) == found
    with pytest.raises(SubjectError, match="along the plane"):
        sidecar_venc({"SequenceName": "fl2d1_v150ap"})


def test_voxels_that_the_scanner_masked_are_no_still_tissue(rng):
    shape = (60, 60, 12)
    velocity = 1.5 + rng.normal(0, 0.5, shape)
    magnitude = np.ones(shape)
    velocity[30:], magnitude[30:] = 0.0, 0.2
    found = correct_background(velocity, magnitude)
    assert not found.still[30:].any()
    assert found.offset[:30].mean() == pytest.approx(1.5, abs=0.1)
