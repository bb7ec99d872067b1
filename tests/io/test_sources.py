"""ACDC, BIDS-like and simulated sources."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from popscan.io import get_source, write_labels, write_scan
from popscan.io.folders import Folders
from popscan.io.simulated import write_simulated
from popscan.protocols import get_protocol
from popscan.records import KSpace, LabelMap, PopscanError, Scan, SubjectError

SOURCES = get_protocol("cine_sax").sources


def reason(kind: str, folder: Path, **options) -> tuple[str, str]:
    with pytest.raises(SubjectError) as caught:
        get_source(kind).load([str(folder)], **options)
    return caught.value.reason, str(caught.value)


def test_every_source_of_the_table_exists():
    for kind in SOURCES:
        assert callable(get_source(kind).find)
    with pytest.raises(PopscanError, match="acdc, bids, dicom, kspace, simulated, ukb"):
        get_source("minc")


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_find_tells_a_missing_root(kind, tmp_path):
    with pytest.raises(PopscanError, match="nowhere"):
        get_source(kind).find(tmp_path / "nowhere")
    assert get_source(kind).find(tmp_path) == []


# ------------------------------------------------------------------ ACDC


@pytest.fixture
def patient(tmp_path) -> Path:
    """An ACDC folder with two labelled frames."""
    folder = tmp_path / "acdc" / "patient007"
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text(
        "ED: 2\nES: 5\nGroup: DCM\nHeight: 172.0\nNbFrame: 8\nWeight: 80.0\n"
    )
    affine = np.diag([-1.5, -1.5, 10.0, 1.0])
    for frame in (2, 5):
        image = np.arange(6 * 7 * 4).reshape(6, 7, 4).astype(np.int16) + 100 * frame
        label = np.zeros((6, 7, 4), np.uint8)
        label[2:4, 2:4] = frame % 4
        stem = folder / f"patient007_frame{frame:02d}"
        nib.Nifti1Image(image, affine).to_filename(f"{stem}.nii.gz")
        nib.Nifti1Image(label, affine).to_filename(f"{stem}_gt.nii.gz")
    return folder


def test_acdc_two_frames(patient):
    found = get_source("acdc").find(patient.parent)
    assert [(f.sub, f.ses, f.paths) for f in found] == [("sub-patient007", "", (str(patient),))]
    loaded = get_source("acdc").load(found[0].paths, views=("sax",))
    scan = loaded.scans["sax"]
    assert scan.array.shape == (6, 7, 4, 2)
    assert scan.array.dtype == np.int16
    assert scan.array[0, 0, 0].tolist() == [200, 500]
    assert scan.spacing_mm == (1.5, 1.5, 10.0)
    assert scan.meta["frame_labels"] == ["ED", "ES"]
    assert scan.meta["frame_index"] == [1, 4]
    assert scan.meta["n_frames_acquired"] == 8
    assert scan.meta["orientation_known"] is False
    assert loaded.labels["sax"].frames == (0, 1)
    assert loaded.labels["sax"].array[2, 2, 0].tolist() == [2, 1]
    assert loaded.extra == {"group": "DCM", "height_cm": 172.0, "weight_kg": 80.0}
    assert get_source("acdc").load(found[0].paths, views=("4ch",)).scans == {}


def test_acdc_original_4d_file(patient):
    cine = np.arange(6 * 7 * 4 * 8).reshape(6, 7, 4, 8).astype(np.int16)
    image = nib.Nifti1Image(cine, np.diag([-1.5, -1.5, 10.0, 1.0]))
    image.to_filename(patient / "patient007_4d.nii.gz")
    loaded = get_source("acdc").load([str(patient)])
    np.testing.assert_array_equal(loaded.scans["sax"].array, cine)
    assert "frame_labels" not in loaded.scans["sax"].meta
    assert loaded.labels["sax"].frames == (1, 4)
    assert loaded.labels["sax"].array[2, 2, 0].tolist() == [0, 2, 0, 0, 1, 0, 0, 0]


def test_acdc_without_labels(patient):
    for path in patient.glob("*_gt.nii.gz"):
        path.unlink()
    assert get_source("acdc").load([str(patient)]).labels == {}


def test_acdc_without_info(patient):
    (patient / "Info.cfg").unlink()
    code, message = reason("acdc", patient)
    assert code == "info_missing"
    assert "patient007" in message


@pytest.mark.parametrize("text", ["", "ED: 2\n", "ED: x\nES: 5\n", "ED: 0\nES: 5\n"])
def test_acdc_with_a_bad_info(patient, text):
    (patient / "Info.cfg").write_text(text)
    assert reason("acdc", patient)[0] == "bad_info"


def test_acdc_with_missing_and_damaged_files(patient):
    frame = patient / "patient007_frame05.nii.gz"
    data = frame.read_bytes()
    frame.write_bytes(data[: len(data) // 2])
    assert reason("acdc", patient)[0] == "truncated_file"
    frame.unlink()
    code, message = reason("acdc", patient)
    assert code == "file_missing"
    assert "frame05" in message
    shutil.rmtree(patient)
    assert reason("acdc", patient)[0] == "file_missing"


def test_acdc_unknown_height_is_nan(patient):
    (patient / "Info.cfg").write_text("ED: 2\nES: 5\nHeight: ?\n")
    extra = get_source("acdc").load([str(patient)]).extra
    assert np.isnan(extra["height_cm"])
    assert "group" not in extra


@pytest.mark.data
def test_real_acdc(data_dir):
    found = get_source("acdc").find(data_dir / "acdc")
    assert len(found) == 70
    loaded = get_source("acdc").load(found[5].paths)
    scan, labels = loaded.scans["sax"], loaded.labels["sax"]
    assert scan.array.shape == labels.array.shape
    cavity = (labels.array == 3).sum(axis=(0, 1, 2))
    assert cavity[0] > cavity[1] > 0
    assert loaded.extra["group"] in {"DCM", "HCM", "MINF", "NOR", "RV"}


# ------------------------------------------------------------------ BIDS


@pytest.fixture
def labels(scan) -> LabelMap:
    array = np.zeros(scan.array.shape, np.uint8)
    array[2:5, 3:5, 1:3, 0] = 3
    array[2:4, 3:5, 1:3, 2] = 3
    return LabelMap(array=array, frames=(0, 2))


def test_bids_with_sessions_sidecar_and_labels(tmp_path, scan, labels):
    folder = tmp_path / "sub-01" / "ses-a" / "anat"
    folder.mkdir(parents=True)
    write_scan(folder / "sub-01_ses-a_acq-sax_cine.nii.gz", scan)
    write_scan(folder / "sub-01_ses-a_acq-4ch_cine.nii.gz", replace(scan, view="4ch"))
    write_labels(folder / "sub-01_ses-a_acq-sax_dseg.nii.gz", labels, scan)
    (tmp_path / "sub-02").mkdir()
    (tmp_path / "code").mkdir()
    found = get_source("bids").find(tmp_path)
    assert [(f.sub, f.ses) for f in found] == [("sub-01", "ses-a"), ("sub-02", "")]
    loaded = get_source("bids").load(found[0].paths)
    assert set(loaded.scans) == {"sax", "4ch"}
    assert loaded.scans["4ch"].view == "4ch"
    sax = loaded.scans["sax"]
    np.testing.assert_array_equal(sax.array, scan.array)  # it had the defined orientation
    np.testing.assert_array_equal(sax.frame_times_ms, scan.frame_times_ms)
    np.testing.assert_array_equal(loaded.labels["sax"].array, labels.array)
    assert loaded.labels["sax"].frames == (0, 2)
    assert set(get_source("bids").load(found[0].paths, views=["sax"]).scans) == {"sax"}
    assert reason("bids", tmp_path / "sub-02")[0] == "view_missing"


def test_bids_turns_scan_and_labels_alike(tmp_path, scan, labels):
    turned = np.flip(scan.array.transpose(1, 0, 2, 3), axis=(0, 2))
    moved = np.flip(labels.array.transpose(1, 0, 2, 3), axis=(0, 2))
    affine = scan.affine[:, [1, 0, 2, 3]].copy()
    for axis in (0, 2):
        affine[:, 3] += affine[:, axis] * (turned.shape[axis] - 1)
        affine[:, axis] *= -1
    other = replace(scan, array=turned, affine=affine, spacing_mm=(1.25, 1.5, 8.0))
    folder = tmp_path / "sub-01"
    folder.mkdir()
    write_scan(folder / "sub-01_sa.nii.gz", other)
    write_labels(
        folder / "sub-01_sa_gt.nii.gz",
        LabelMap(array=np.ascontiguousarray(moved), frames=(0, 2)),
        other,
    )
    loaded = get_source("bids").load([str(folder)])
    np.testing.assert_array_equal(loaded.scans["sax"].array, scan.array)
    np.testing.assert_array_equal(loaded.labels["sax"].array, labels.array)
    np.testing.assert_allclose(loaded.scans["sax"].affine, scan.affine, atol=1e-4)
    assert loaded.scans["sax"].spacing_mm == scan.spacing_mm


def test_bids_labels_below_derivatives_and_last_run(tmp_path, scan, labels):
    folder = tmp_path / "sub-01" / "cine"
    made = tmp_path / "derivatives" / "manual" / "sub-01" / "cine"
    folder.mkdir(parents=True)
    made.mkdir(parents=True)
    write_scan(folder / "sub-01_run-1_cine.nii.gz", replace(scan, array=scan.array * 0 + 5))
    write_scan(folder / "sub-01_run-2_cine.nii.gz", scan)
    write_labels(made / "sub-01_run-2_desc-expert_dseg.nii.gz", labels, scan)
    found = get_source("bids").find(tmp_path)
    assert found[0].paths == (str(tmp_path / "sub-01"), str(made.parent))
    loaded = get_source("bids").load(found[0].paths)
    np.testing.assert_array_equal(loaded.scans["sax"].array, scan.array)
    assert loaded.scans["sax"].meta["n_runs"] == 2
    assert loaded.labels["sax"].frames == (0, 2)


def test_bids_frames_as_3d_files(tmp_path, scan):
    folder = tmp_path / "sub-01"
    folder.mkdir()
    affine = np.diag([1.5, 1.5, 10, 1.0])
    for t in (10, 2, 1):
        image = np.full((4, 5, 3), t, np.int16)
        nib.Nifti1Image(image, affine).to_filename(folder / f"sub-01_frame-{t:02d}_cine.nii.gz")
    scan = get_source("bids").load([str(folder)]).scans["sax"]
    assert scan.array[0, 0, 0].tolist() == [1, 2, 10]
    assert scan.meta["orientation_known"] is False


def test_bids_end_diastole_and_systole(tmp_path):
    folder = tmp_path / "sub-01"
    folder.mkdir()
    affine = np.diag([1.5, 1.5, 10, 1.0])
    for name, value in (("ES", 2), ("ED", 1)):
        image = np.full((4, 5, 3), value, np.int16)
        image[0, 0, 0] = 9
        stem = folder / f"sub-01_sa_{name}"
        nib.Nifti1Image(image, affine).to_filename(f"{stem}.nii.gz")
        nib.Nifti1Image(image.astype(np.uint8), affine).to_filename(f"{stem}_gt.nii.gz")
    loaded = get_source("bids").load([str(folder)])
    assert loaded.scans["sax"].meta["frame_labels"] == ["ED", "ES"]
    assert loaded.scans["sax"].array[1, 1, 1].tolist() == [1, 2]
    assert loaded.labels["sax"].array[1, 1, 1].tolist() == [1, 2]
    assert loaded.labels["sax"].frames == (0, 1)


def test_bids_sidecars_are_read_by_allow_list(tmp_path, scan):
    folder = tmp_path / "sub-01"
    folder.mkdir()
    write_scan(
        folder / "sub-01_sa.nii.gz", replace(scan, meta={"PatientName": "Doe", "rr_ms": 800})
    )
    side = json.loads((folder / "sub-01_sa.json").read_text())
    side |= {"PatientBirthDate": "19640229", "Manufacturer": "ACME", "EchoTime": 0.0015}
    (folder / "sub-01_sa.json").write_text(json.dumps(side))
    meta = get_source("bids").load([str(folder)]).scans["sax"].meta
    assert "Doe" not in repr(meta)
    assert "1964" not in repr(meta)
    assert meta["manufacturer"] == "ACME"
    assert meta["echo_time_ms"] == pytest.approx(1.5)
    assert meta["rr_ms"] == 800


def test_bids_labels_of_another_shape(tmp_path, scan):
    folder = tmp_path / "sub-01"
    folder.mkdir()
    write_scan(folder / "sub-01_sa.nii.gz", scan)
    nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)).to_filename(
        folder / "sub-01_sa_gt.nii.gz"
    )
    loaded = get_source("bids").load([str(folder)])
    assert set(loaded.scans) == {"sax"}  # the image is not lost with them
    assert loaded.label_problems["sax"].reason == "label_mismatch"


def test_bids_unsafe_folders_are_told(tmp_path):
    for name in ("sub-a b", "sub-ok"):
        (tmp_path / name).mkdir()
    problems: list[str] = []
    found = get_source("bids").find(tmp_path, problems=problems)
    assert [f.sub for f in found] == ["sub-ok"]
    assert "sub-a b" in problems[0]


def test_bids_derivatives_that_cannot_be_read_are_told(tmp_path):
    for name in ("sub-01", "derivatives/good/sub-01", "derivatives/gone"):
        (tmp_path / name).mkdir(parents=True)
    folders = Folders()
    assert folders.names(tmp_path / "derivatives") == ["gone", "good"]
    (tmp_path / "derivatives" / "gone").rmdir()  # after it was listed
    problems: list[str] = []
    found = get_source("bids").find(tmp_path, problems=problems, folders=folders)
    assert [f.paths for f in found] == [
        (str(tmp_path / "sub-01"), str(tmp_path / "derivatives" / "good" / "sub-01"))
    ]
    assert len(problems) == 1
    assert "gone: not a readable folder" in problems[0]


@pytest.mark.parametrize("part", ["phase", "real", "imag"])
def test_bids_other_parts_than_the_magnitude_are_left_aside(tmp_path, scan, labels, part):
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    write_scan(folder / "sub-01_acq-sax_part-mag_cine.nii.gz", scan)
    other = replace(scan, array=scan.array * 0 + 5)
    write_scan(folder / f"sub-01_acq-sax_part-{part}_cine.nii.gz", other)
    write_labels(folder / "sub-01_acq-sax_dseg.nii.gz", labels, scan)
    loaded = get_source("bids").load([str(tmp_path / "sub-01")])
    np.testing.assert_array_equal(loaded.scans["sax"].array, scan.array)
    np.testing.assert_array_equal(loaded.labels["sax"].array, labels.array)
    assert "n_runs" not in loaded.scans["sax"].meta


# ------------------------------------------------------------------ simulated


def test_simulated_round_trip(tmp_path, scan, labels):
    kspace = KSpace(
        data=np.ones((2, 9, 7, 4, 5), np.complex64),
        mask=np.ones((7, 5), bool),
        affine=scan.affine,
        spacing_mm=scan.spacing_mm,
    )
    truth = {"lvedv_ml": 141.5, "fault": "none", "x": float("nan")}
    write_simulated(
        tmp_path / "sub-1" / "ses-1", kspace=kspace, labels=labels, reference=scan, truth=truth
    )
    write_simulated(tmp_path / "sub-2", scan=scan)
    found = get_source("simulated").find(tmp_path)
    assert [(f.sub, f.ses) for f in found] == [("sub-1", "ses-1"), ("sub-2", "")]
    first = get_source("simulated").load(found[0].paths, views=("sax",))
    np.testing.assert_array_equal(first.kspace["sax"].data, kspace.data)
    np.testing.assert_array_equal(first.references["sax"].array, scan.array)
    assert first.labels["sax"].frames == labels.frames
    assert first.scans == {}
    assert first.extra["lvedv_ml"] == 141.5
    assert first.extra["fault"] == "none"
    assert np.isnan(first.extra["x"])
    second = get_source("simulated").load(found[1].paths)
    np.testing.assert_array_equal(second.scans["sax"].array, scan.array)
    assert second.labels == {}
    assert reason("simulated", tmp_path / "sub-2", views=["2ch"])[0] == "view_missing"


def test_simulated_needs_one_of_the_two(tmp_path, scan):
    with pytest.raises(ValueError, match="either"):
        write_simulated(tmp_path / "s")
    with pytest.raises(ValueError, match="labels need"):
        write_simulated(
            tmp_path / "s",
            kspace=KSpace(
                data=np.ones((1, 2, 2, 1, 1), np.complex64),
                mask=np.ones((2, 1), bool),
                affine=np.eye(4),
                spacing_mm=(1, 1, 1),
            ),
            labels=LabelMap(array=np.zeros((2, 2, 1, 1), np.uint8), frames=()),
        )


def test_scans_are_independent_of_where_they_lie(tmp_path, scan):
    """Meta never holds a path."""
    write_simulated(tmp_path / "sub-2", scan=scan)
    loaded = get_source("simulated").load([str(tmp_path / "sub-2")])
    assert isinstance(loaded.scans["sax"], Scan)
    assert str(tmp_path) not in repr(loaded.scans["sax"].meta)
