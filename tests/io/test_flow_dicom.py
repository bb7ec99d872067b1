"""Flow series in DICOM and in UK Biobank's zips: three vendors' encodings, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from flow_files import (
    AFFINE,
    AORTA,
    FRAMES,
    RR_MS,
    Phantom,
    write_bids,
    write_dicom_study,
    write_nifti,
)
from popscan.ingest import prepare
from popscan.io.dicom_venc import encodes_in_plane
from popscan.io.sources import get_source
from popscan.io.ukb import Ukb
from popscan.protocols import get_protocol
from popscan.protocols.flow_2d.biomarkers import measure
from popscan.protocols.flow_2d.context import FlowContext
from popscan.protocols.flow_2d.qc import CHECKS
from popscan.qc import run_checks
from popscan.records import SubjectError
from ukb_files import Image, bulk_name, write_zip

PROTOCOL = get_protocol("flow_2d")
EID = "1000012"


def load(folder, **flow):
    return get_source("dicom", PROTOCOL).load([str(folder)], flow=flow)


def refused(folder, **flow) -> str:
    with pytest.raises(SubjectError) as error:
        load(folder, **flow)
    return error.value.reason


def net_ml(loaded) -> float:
    scan, labels, _ = prepare(PROTOCOL, loaded.scans["flow"], loaded.labels["flow"])
    found = measure(
        labels.array, image=scan.array, spacing_mm=scan.spacing_mm, meta=scan.meta,
        frame_times_ms=scan.frame_times_ms,
    )  # fmt: skip
    return found["aorta_net_ml"]


def edited(folder: Path, change, *, kind: str = "P") -> None:
    """Change the headers of all images of a kind."""
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        if data.ImageType[2] == kind:
            change(data)
            data.save_as(path)


@pytest.fixture
def folder(tmp_path):
    phantom = Phantom(venc_cm_s=80.0)
    write_dicom_study(tmp_path / "sub", phantom)
    write_nifti(tmp_path / "sub" / "regions_dseg.nii.gz", phantom.made().labels[:, :, None])
    return tmp_path / "sub"


def test_a_wrapped_plane_in_dicom_has_the_analytic_flow_and_the_images_of_nifti(tmp_path, folder):
    loaded = load(folder)
    scan = loaded.scans["flow"]
    assert scan.meta["flow"] == {
        "venc_cm_s": 80.0, "venc_by": "siemens", "phase_kind": "auto", "positive": "auto",
    }  # fmt: skip
    assert scan.meta["rr_ms"] == RR_MS
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(FRAMES) * RR_MS / FRAMES, atol=0.01)
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)
    net = np.subtract(*Phantom().truth_ml(AORTA))
    assert net_ml(loaded) == pytest.approx(net, abs=0.8)
    write_bids(tmp_path / "bids", "sub-01", Phantom(venc_cm_s=80.0), half=4096.0)
    other = get_source("bids", PROTOCOL).load([str(tmp_path / "bids" / "sub-01")]).scans["flow"]
    np.testing.assert_allclose(scan.array, other.array, atol=2.1)


def test_the_magnitude_is_no_complex_difference(folder):
    scan = load(folder).scans["flow"]
    made = Phantom(venc_cm_s=80.0).made()
    np.testing.assert_allclose(scan.array[:, :, 0], 400 * made.magnitude, atol=0.51)
    for path in folder.glob("1_*.dcm"):
        path.unlink()
    assert refused(folder) == "no_magnitude"


@pytest.mark.parametrize(
    ("creator", "group", "element", "vr", "value", "by"),
    [
        ("GEMS_ACQU_01", 0x0019, 0xCC, "SS", 800, "ge"),
        ("Philips Imaging DD 001", 0x2001, 0x1A, "FL", [0.0, 0.0, 80.0], "philips"),
        ("SIEMENS MR HEADER", 0x0051, 0x14, "SH", "v80in", "siemens"),
    ],
)
def test_each_vendors_private_tag_is_read_from_a_file(
    folder, creator, group, element, vr, value, by
):
    def change(data):
        data.Manufacturer, data.SequenceName = "other", ""
        block = data.private_block(group, creator, create=True)
        block.add_new(element, vr, value)

    edited(folder, change)
    assert load(folder).scans["flow"].meta["flow"]["venc_by"] == by


def test_what_cannot_be_measured_is_refused_by_its_own_reason(tmp_path, folder):
    def named(text):
        return lambda data: setattr(data, "SequenceName", text)

    edited(folder, named("*fl2d1"))
    assert refused(folder) == "no_venc"
    assert load(folder, venc_cm_s=80.0).scans["flow"].meta["flow"]["venc_cm_s"] == 80.0
    edited(folder, named("*fl2d1_v80in"))
    assert refused(folder, venc_cm_s=150.0) == "conflicting_venc"
    edited(folder, named("*fl2d1_v80ap"))
    assert refused(folder) == "no_phase"  # velocity along the plane
    edited(folder, named("*fl2d1_v80in"))
    write_dicom_study(folder, Phantom(venc_cm_s=80.0), name="pulmonary", first=11)
    assert refused(folder) == "several_images"
    assert load(folder, name="pulmonary").scans["flow"].array.shape[2:] == (2, FRAMES)
    for path in folder.glob("11_*.dcm"):
        path.unlink()
    write_dicom_study(tmp_path / "short", Phantom(venc_cm_s=80.0))
    (tmp_path / "short" / "1_05.dcm").unlink()
    assert refused(tmp_path / "short") == "frame_mismatch"
    write_dicom_study(tmp_path / "late", Phantom(venc_cm_s=80.0))
    edited(tmp_path / "late", lambda d: setattr(d, "TriggerTime", d.TriggerTime + 15), kind="M")
    assert refused(tmp_path / "late") == "frame_mismatch"
    write_dicom_study(tmp_path / "torn", Phantom(venc_cm_s=80.0))
    torn = tmp_path / "torn" / "3_07.dcm"
    torn.write_bytes(torn.read_bytes()[:2000])
    assert refused(tmp_path / "torn") == "truncated_file"


def test_a_frame_that_is_lost_in_both_series_goes_to_review(folder):
    for number in (1, 3):
        (folder / f"{number}_05.dcm").unlink()
    loaded = load(folder)
    scan = prepare(PROTOCOL, loaded.scans["flow"], None)[0]
    found = {c.name: c for c in run_checks(CHECKS, FlowContext(scan))}
    assert found["frames_uneven_pct"].value == pytest.approx(100, abs=1)
    assert found["frames_uneven_pct"].verdict == "review"


def test_a_repetition_of_the_same_plane_is_noted_and_the_last_is_read(folder):
    write_dicom_study(folder, Phantom(venc_cm_s=80.0, seed=7), first=11)
    loaded = load(folder)
    assert loaded.notes == ("1 other series of the same plane; the last was taken",)
    made = Phantom(venc_cm_s=80.0, seed=7).made()
    np.testing.assert_allclose(loaded.scans["flow"].array[:, :, 0], 400 * made.magnitude, atol=0.51)


def test_directions_along_the_plane_are_known_from_siemens_texts():
    data = pydicom.Dataset()
    data.Manufacturer = "SIEMENS"
    for name, along in (("fl2d1_v80in", False), ("fl2d1_v80rl", True), ("fl2d1", False)):
        data.SequenceName = name
        assert encodes_in_plane(data) is along


def test_uk_biobanks_zip_gives_what_the_folder_does_and_regions_lie_beside_it(tmp_path, folder):
    images = [
        Image(name=path.name, series=path.name[0], data=path.read_bytes())
        for path in sorted(folder.glob("*.dcm"))
    ]
    path = write_zip(tmp_path / "bulk" / bulk_name(EID, 20213), images)
    regions = Path(str(path).replace(".zip", "_dseg.nii.gz"))
    write_nifti(regions, Phantom().made().labels[:, :, None])
    (visit,) = Ukb(PROTOCOL).find(tmp_path / "bulk")
    assert (visit.sub, visit.ses, len(visit.paths)) == (f"sub-{EID}", "ses-2", 2)
    loaded = Ukb(PROTOCOL).load(visit.paths, views=("flow",), flow={})
    ours, theirs = loaded.scans["flow"], load(folder).scans["flow"]
    np.testing.assert_array_equal(ours.array, theirs.array)
    assert ours.meta["flow"] == theirs.meta["flow"]
    assert net_ml(loaded) == pytest.approx(net_ml(load(folder)))


def test_imaginary_parts_are_no_phase(folder):
    """A later series of the same plane and name, signed as phase is."""
    before = net_ml(load(folder))
    for path in sorted(folder.glob("*.dcm")):
        data = pydicom.dcmread(path)
        if data.ImageType[2] == "P":
            data.ImageType = [*data.ImageType[:2], "I"]
            data.SeriesInstanceUID, data.SeriesNumber = f"{data.SeriesInstanceUID}.9", 9
            data.SOPInstanceUID = f"{data.SOPInstanceUID}.9"
            data.save_as(path.with_name(f"imaginary_{path.name}"))
    loaded = load(folder)
    assert (net_ml(loaded), loaded.notes) == (before, ())
    assert loaded.scans["flow"].meta["images_left_out"] == 2 * FRAMES


def test_times_that_come_twice_or_lack_in_a_series_are_refused(folder):
    count = iter(range(1000))
    edited(folder, lambda data: data.__delattr__("TriggerTime") if next(count) == 3 else None)
    assert refused(folder) == "mixed_series"
    edited(folder, lambda data: setattr(data, "TriggerTime", 75.0 * (data.InstanceNumber % 6)))
    assert refused(folder) == "mixed_series"


def test_times_in_seconds_are_known_by_the_length_of_the_cycle(folder):
    def change(data):
        data.TriggerTime = float(data.TriggerTime) / 1000.0
        data.NominalInterval = float(data.NominalInterval) / 1000.0

    before = net_ml(load(folder))
    for kind in "PM":
        edited(folder, change, kind=kind)
    assert net_ml(load(folder)) == pytest.approx(before, rel=1e-3)


def as_ge(folder: Path, flags: dict[str, int], *, mask: int = 8, venc: int = 800) -> None:
    """Write headers as GE does: every image is OTHER, flags say what it is, velocities in mm/s."""
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        kind = data.ImageType[2]
        data.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        data.Manufacturer, data.SequenceName = "GE MEDICAL SYSTEMS", None
        data.SeriesDescription = "aortic flow"
        data.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xCC, "SS", venc)
        block = data.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x30, "SS", flags[kind])
        block.add_new(0x32, "SS", mask)
        if kind == "P":
            signed = (data.pixel_array.astype(float) - 2048) * 800 / 2048
            data.PixelRepresentation = 1
            data.RescaleSlope, data.RescaleIntercept = 1, 0
            data.PixelData = np.rint(signed).astype("<i2").tobytes()
        data.save_as(path)


def test_ges_images_of_type_other_are_told_apart_by_their_flags(tmp_path, folder):
    truth = net_ml(load(folder))
    as_ge(folder, {"M": 8, "MAG": 0, "P": 11})
    loaded = load(folder)
    assert loaded.scans["flow"].meta["flow"]["venc_by"] == "ge"
    assert net_ml(loaded) == pytest.approx(truth, abs=0.3)
    made = Phantom(venc_cm_s=80.0).made()
    np.testing.assert_allclose(loaded.scans["flow"].array[:, :, 0], 400 * made.magnitude, atol=0.51)


@pytest.mark.parametrize(("flag", "name"), [(9, ""), (10, ""), (11, "aortic")])
def test_weighted_velocities_count_only_where_their_series_is_chosen(folder, flag, name):
    """Of another direction, or of a series that was not asked for, they refuse nothing."""
    as_ge(folder, {"M": 8, "MAG": 0, "P": 11})
    before = net_ml(load(folder))
    for path in sorted(folder.glob("*.dcm")):
        data = pydicom.dcmread(path)
        if data[0x0043, 0x1030].value == 11:
            data[0x0043, 0x1030].value, data[0x0043, 0x1032].value = flag, 10
            data.SeriesInstanceUID, data.SeriesNumber = f"{data.SeriesInstanceUID}.9", 9
            data.SOPInstanceUID = f"{data.SOPInstanceUID}.9"
            data.SeriesDescription = "weighted"
            data.save_as(path.with_name(f"weighted_{path.name}"))
    assert net_ml(load(folder, name=name)) == before
    if name:
        assert refused(folder, name="weighted") == "bad_phase"


@pytest.mark.parametrize(
    ("flags", "mask", "venc", "reason"),
    [
        ({"M": 8, "MAG": 0, "P": 9}, 10, 800, "no_phase"),
        ({"M": 8, "MAG": 0, "P": 9}, 8, 800, "no_phase"),  # right to left, along the plane
        ({"M": 2, "MAG": 0, "P": 4}, 8, 800, "no_phase"),
        ({"M": 8, "MAG": 0, "P": 11}, 10, 800, "bad_phase"),  # multiplied by the magnitude
        ({"M": 8, "MAG": 0, "P": 11}, 26, 800, "bad_phase"),
        ({"M": 0, "MAG": 0, "P": 11}, 8, 800, "no_magnitude"),
        ({"M": 8, "MAG": 0, "P": 0}, 8, 800, "no_phase"),
        ({"M": 8, "MAG": 0, "P": 11}, 8, 0, "no_phase"),  # other sequences use the flag, too
    ],
)
def test_what_ges_flags_leave_open_is_refused(folder, flags, mask, venc, reason):
    as_ge(folder, flags, mask=mask, venc=venc)
    assert refused(folder) == reason
