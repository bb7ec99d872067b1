"""A NIfTI header whose two affines contradict each other: reviewed in every protocol."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from flow_files import Phantom, write_bids
from mapping_files import regions, samples, t1_truth_ms, write_raw
from popscan.ingest.checks import header_conflicts
from popscan.io import read_scan
from popscan.io.sources import get_source
from popscan.protocol import load
from popscan.protocols import every, get_protocol
from popscan.qc import run_checks
from popscan.qc.context import ScanContext
from popscan.qc.image import GEOMETRY
from popscan.records import Scan
from popscan.stages.ingest.notes import header_notes

MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0])
TURNED = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def pitched(degrees: float) -> np.ndarray:
    turn, matrix = np.radians(degrees), np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return matrix


def spoil(path: Path, change: np.ndarray) -> None:
    """Change the sform alone."""
    image = nib.load(path)
    array, affine = np.asanyarray(image.dataobj), image.affine
    spoilt = nib.Nifti1Image(array, affine, image.header)
    spoilt.set_qform(affine, 1)
    spoilt.set_sform(change @ affine, 2)
    nib.save(spoilt, path)


def verdicts(scan: Scan) -> dict[str, str]:
    return {c.name: str(c.verdict) for c in run_checks(GEOMETRY, ScanContext(scan))}


@pytest.mark.parametrize(
    ("change", "degrees"),
    [(MIRRORED, 180), (TURNED, 90), (pitched(60), 60), (np.eye(4), 0), (pitched(30), 0)],
)
def test_affines_that_mean_other_sides_are_named(tmp_path, scan, change, degrees):
    image = nib.Nifti1Image(scan.array, scan.affine)
    nib.save(image, tmp_path / "a.nii.gz")
    spoil(tmp_path / "a.nii.gz", change)
    read = read_scan(tmp_path / "a.nii.gz")
    assert read.meta.get("orientation_conflict_deg", 0) == pytest.approx(degrees, abs=0.2)
    assert verdicts(read)["orientation_conflict_deg"] == ("review" if degrees else "pass")


def test_one_affine_alone_is_no_conflict(tmp_path, scan):
    image = nib.Nifti1Image(scan.array, scan.affine)
    image.set_qform(scan.affine, 0)
    image.set_sform(MIRRORED @ scan.affine, 1)
    nib.save(image, tmp_path / "a.nii.gz")
    assert "orientation_conflict_deg" not in read_scan(tmp_path / "a.nii.gz").meta


def planes(path: Path, *, n_slices: int, pixdim: tuple[float, float, float]) -> Scan:
    """Read 72 x 72 pixels, 30 frames: sform 1.5 x 1.5 x 6 mm, no qform, and a pixdim."""
    values = np.zeros((72, 72, n_slices, 30), dtype=np.int16)
    image = nib.Nifti1Image(values, np.diag([1.5, 1.5, 6.0, 1.0]))
    image.set_qform(None, 0)
    image.header["pixdim"][1:4] = pixdim
    nib.save(image, path)
    return read_scan(path)


@pytest.mark.parametrize("z_mm", [1.0, 0.0, float("nan")])
@pytest.mark.parametrize("protocol", every(), ids=lambda protocol: protocol.name)
def test_a_lone_plane_has_no_distance_to_a_neighbour(tmp_path, protocol, z_mm):
    scan = planes(tmp_path / "a.nii.gz", n_slices=1, pixdim=(1.5, 1.5, z_mm))
    assert "spacing_conflict_pct" not in scan.meta
    assert scan.spacing_mm == pytest.approx((1.5, 1.5, 6.0))
    checks = load(protocol.quality.checks)
    judged = run_checks({n: checks[n] for n in GEOMETRY}, ScanContext(scan))
    assert {str(c.verdict) for c in judged} == {"pass"}


@pytest.mark.parametrize(
    ("n_slices", "pixdim", "percent"),
    [
        (1, (1.0, 1.5, 6.0), 50.0),
        (1, (1.0, 1.5, 0.0), 50.0),
        (1, (1.5, 1.5, 1.0), 0.0),
        (2, (1.5, 1.5, 1.0), 500.0),
    ],
)
def test_steps_between_voxels_that_exist_count(tmp_path, n_slices, pixdim, percent):
    scan = planes(tmp_path / "a.nii.gz", n_slices=n_slices, pixdim=pixdim)
    assert scan.meta.get("spacing_conflict_pct", 0.0) == pytest.approx(percent, abs=0.1)
    assert verdicts(scan)["affine_mismatch_pct"] == ("fail" if percent else "pass")


def test_a_short_axis_stack_of_one_slice_fails_by_its_count_of_slices(tmp_path):
    scan = planes(tmp_path / "a.nii.gz", n_slices=1, pixdim=(1.5, 1.5, 1.0))
    count = {"slice_count": load(get_protocol("cine_sax").quality.checks)["slice_count"]}
    (check,) = run_checks(count, ScanContext(scan))
    assert str(check.verdict) == "fail"


def test_an_sform_of_ones_is_replaced_as_before_where_there_is_one_plane(tmp_path):
    image = nib.Nifti1Image(np.zeros((9, 9, 1, 3), dtype=np.int16), np.diag([1.0, 1.0, 8.0, 1.0]))
    image.set_sform(np.eye(4), 2)
    nib.save(image, tmp_path / "a.nii.gz")
    scan = read_scan(tmp_path / "a.nii.gz")
    assert scan.spacing_mm == pytest.approx((1.0, 1.0, 8.0))
    assert "spacing_conflict_pct" not in scan.meta


@pytest.mark.parametrize("protocol", ["flow_2d", "cine_lax"])
def test_of_several_images_each_counts(tmp_path, protocol):
    if protocol == "flow_2d":
        folder = write_bids(tmp_path, "sub-01", Phantom())
    else:
        folder = tmp_path / "sub-01"
        folder.mkdir()
        for view in ("2ch", "4ch"):
            array = np.zeros((30, 30, 1, 12), dtype=np.int16)
            nib.save(
                nib.Nifti1Image(array, np.diag([2.0, 2.0, 8.0, 1.0])),
                folder / f"sub-01_acq-{view}_cine.nii.gz",
            )
    last = max(path for path in folder.glob("*.nii.gz") if "dseg" not in path.name)
    image = nib.load(last)
    image.set_qform(MIRRORED @ image.affine, 1)
    nib.save(image, last)
    loaded = get_source("bids", get_protocol(protocol)).load([str(tmp_path / "sub-01")])
    (scan,) = loaded.scans.values()
    assert scan.meta["orientation_conflict_deg"] == 180
    assert verdicts(scan)["orientation_conflict_deg"] == "review"


def test_raw_images_of_a_map_keep_what_their_headers_say(tmp_path):
    labels = regions()
    signal = samples(t1_truth_ms(labels, wall_ms=1000.0, blood_ms=1600.0))
    write_raw(tmp_path, "sub-01", signal)
    for path in tmp_path.rglob("*.nii.gz"):
        spoil(path, np.diag([1.5, 1.5, 1.0, 1.0]))
    loaded = get_source("bids", get_protocol("t1_map")).load([str(tmp_path / "sub-01")])
    (scan,) = loaded.scans.values()
    assert scan.meta["spacing_conflict_pct"] == pytest.approx(50, abs=0.2)
    assert verdicts(scan)["affine_mismatch_pct"] == "fail"


@pytest.mark.parametrize("protocol", every(), ids=lambda protocol: protocol.name)
def test_every_protocol_looks_at_the_header(protocol):
    checks = load(protocol.quality.checks)
    assert {name: checks[name] for name in GEOMETRY} == dict(GEOMETRY)


def test_the_worst_of_several_files_is_kept():
    metas = [
        {"spacing_conflict_pct": 2.0, "sform_spacing_mm": [1.0], "pixdim_spacing_mm": [2.0]},
        {"spacing_conflict_pct": 9.0, "sform_spacing_mm": [3.0], "pixdim_spacing_mm": [4.0]},
        {"orientation_conflict_deg": 90.0, "rr_ms": 800.0},
    ]
    assert header_conflicts(metas) == {
        "spacing_conflict_pct": 9.0, "sform_spacing_mm": [3.0], "pixdim_spacing_mm": [4.0],
        "orientation_conflict_deg": 90.0,
    }  # fmt: skip
    assert header_conflicts([]) == {}


@pytest.mark.parametrize(
    ("step_mm", "side", "verdict"),
    [
        (8.0, {"SliceThickness": 8, "SpacingBetweenSlices": 10}, "fail"),  # the gap was lost
        (10.0, {"SliceThickness": 8, "SpacingBetweenSlices": 10}, "pass"),
        (8.0, {"SliceThickness": 8, "SpacingBetweenSlices": 8}, "pass"),
        (8.0, {"SliceThickness": 8}, "pass"),
        (1.5, {"SliceThickness": 8, "SpacingBetweenSlices": 10}, "pass"),  # was resampled
    ],
)
def test_a_thickness_that_was_taken_for_the_distance_shows(tmp_path, step_mm, side, verdict):
    """Volumes would be 20% too small, and nothing in the image shows it."""
    folder = tmp_path / "sub-01"
    folder.mkdir()
    values = np.zeros((64, 64, 10, 20), dtype=np.int16)
    image = nib.Nifti1Image(values, np.diag([1.5, 1.5, step_mm, 1.0]))
    image.header["pixdim"][4] = 0.04
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, folder / "sub-01_sax.nii.gz")
    (folder / "sub-01_sax.json").write_text(json.dumps(side))
    loaded = get_source("bids", get_protocol("cine_sax")).load([str(folder)], views=["sax"])
    scan = loaded.scans["sax"]
    check = next(
        c for c in run_checks({"affine_mismatch_pct": GEOMETRY["affine_mismatch_pct"]},
                              ScanContext(scan)))  # fmt: skip
    assert str(check.verdict) == verdict
    notes = " ".join(header_notes(scan))
    assert ("the sidecar says 10 mm" in notes) == (verdict == "fail")
