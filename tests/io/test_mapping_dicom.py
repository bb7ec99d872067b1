"""T1 series in DICOM: times, signs, schemes, slices; the vendor's phantom; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mapping_files import (
    MYO,
    regions,
    samples,
    t1_truth_ms,
    write_dicom,
    write_dicom_series,
    write_image,
)
from popscan.ingest import prepare
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.protocols.t1_map.qc import CHECKS, MapContext
from popscan.qc import run_checks
from popscan.records import SubjectError
from popscan.relaxometry.simulate import SHMOLLI, inversion_times_ms
from shmolli_phantom import FOLDER, read_phantom

PROTOCOL = get_protocol("t1_map")
LABELS = regions()
WALL_MS = 1150.0
TRUTH = t1_truth_ms(LABELS, wall_ms=WALL_MS, blood_ms=1700.0)
SIGNED = np.round(samples(TRUTH))
TIMES = inversion_times_ms(SHMOLLI).tolist()


def loaded(folder, **mapping):
    return get_source("dicom", PROTOCOL).load([str(folder)], mapping=mapping)


def refused(folder, **mapping) -> str:
    with pytest.raises(SubjectError) as error:
        prepare(PROTOCOL, loaded(folder, **mapping).scans["t1"], None)
    return error.value.reason


@pytest.mark.parametrize("phase", [True, False])
def test_a_series_gives_the_t1_of_the_wall(tmp_path, phase):
    write_dicom_series(tmp_path, SIGNED, times_ms=TIMES, phase=phase)
    found = loaded(tmp_path)
    scan, _, facts = prepare(PROTOCOL, found.scans["t1"], None)
    assert (facts["scheme"], facts["signs_by"]) == ("shmolli", "phase" if phase else "fit")
    assert scan.array[..., 0][LABELS == MYO].mean() == pytest.approx(WALL_MS, abs=3.0)
    assert "someone" not in str(scan.meta)
    assert "192i" not in str(scan.meta)


def test_regions_beside_the_files_lie_on_the_map(tmp_path):
    write_dicom_series(tmp_path, SIGNED, times_ms=TIMES)
    write_image(tmp_path / "regions_dseg.nii.gz", LABELS)
    found = loaded(tmp_path)
    assert found.label_problems == {}
    _, labels, _ = prepare(PROTOCOL, found.scans["t1"], found.labels["t1"])
    np.testing.assert_array_equal(labels.array[..., 0], LABELS)


def test_times_come_from_the_tag_else_the_comment_and_must_agree(tmp_path):
    for number, time in enumerate(TIMES):
        write_dicom_series(
            tmp_path / "a", SIGNED[number : number + 1], times_ms=[None], series=3,
            comment=f"TIeff {time:g} ms", phase=False,
        )  # fmt: skip
        (tmp_path / "a" / "s3_1_m.dcm").rename(tmp_path / "a" / f"{number}.dcm")
    assert sorted(loaded(tmp_path / "a").scans["t1"].meta["relaxation"]["times_ms"]) == sorted(
        TIMES
    )
    write_dicom_series(tmp_path / "b", SIGNED, times_ms=TIMES, comment="TI 5 ms")
    assert refused(tmp_path / "b") == "conflicting_times"
    write_dicom_series(tmp_path / "c", SIGNED, times_ms=[None] * 7)
    assert refused(tmp_path / "c") == "no_times"


def test_three_slices_in_series_of_their_own_are_one_stack_and_a_gap_is_refused(tmp_path):
    for number, place in enumerate((0.0, 10.0, 20.0)):
        write_dicom_series(
            tmp_path, SIGNED, times_ms=TIMES, series=1 + 2 * number, place_mm=place, phase=False
        )
    scan = loaded(tmp_path).scans["t1"]
    assert scan.array.shape[2] == 3
    assert scan.spacing_mm[2] == pytest.approx(10.0)
    write_dicom_series(tmp_path, SIGNED, times_ms=TIMES, series=9, place_mm=45.0, phase=False)
    assert refused(tmp_path) == "irregular_slices"


def test_the_last_of_two_series_at_one_place_is_taken_and_the_other_counted(tmp_path):
    write_dicom_series(tmp_path, SIGNED, times_ms=TIMES, series=1, phase=False)
    write_dicom_series(tmp_path, 2 * SIGNED, times_ms=TIMES, series=5, phase=False)
    scan = loaded(tmp_path).scans["t1"]
    assert scan.array.max() == pytest.approx(2 * np.abs(SIGNED).max())
    assert scan.meta["images_left_out"] == 7
    assert scan.meta["other_series"] == 1
    checks = {
        c.name: c.verdict
        for c in run_checks(CHECKS, MapContext(scan, np.repeat(LABELS[..., None], 7, axis=3)))
    }
    assert checks["other_series"] == "review"


def test_the_config_says_which_of_two_series_is_meant(tmp_path):
    write_dicom_series(tmp_path, SIGNED, times_ms=TIMES, series=1, name="native ShMOLLI")
    write_dicom_series(tmp_path, SIGNED[::-1], times_ms=TIMES, series=5, name="post ShMOLLI")
    scan = loaded(tmp_path, name="Native").scans["t1"]
    assert "other_series" not in scan.meta
    found = prepare(PROTOCOL, scan, None)[0].array[..., 0]
    assert found[LABELS == MYO].mean() == pytest.approx(WALL_MS, abs=3.0)
    with pytest.raises(SubjectError, match="not named 'gad'"):
        loaded(tmp_path, name="gad")


def test_what_is_no_t1_series_is_refused(tmp_path):
    write_dicom_series(tmp_path / "a", SIGNED, times_ms=TIMES, name="anything")
    assert refused(tmp_path / "a") == "unknown_scheme"
    (tmp_path / "b").mkdir()
    assert refused(tmp_path / "b") == "no_files"
    (tmp_path / "b" / "notes.txt").write_text("no image")
    assert refused(tmp_path / "b") == "not_dicom"
    write_dicom_series(tmp_path / "c", SIGNED, times_ms=TIMES)
    write_dicom(tmp_path / "c" / "x.dcm", np.ones((9, 9)), PatientID="else", InversionTime=100)
    assert refused(tmp_path / "c") == "mixed_patients"
    write_dicom_series(tmp_path / "d", SIGNED, times_ms=TIMES, phase=False)
    path = tmp_path / "d" / "s1_3_m.dcm"
    path.write_bytes(path.read_bytes()[:-900])
    assert refused(tmp_path / "d") == "truncated_file"


@pytest.mark.data
def test_the_phantom_s_series_and_its_ready_made_map(data_dir):
    if not (data_dir / FOLDER).is_dir():
        pytest.skip(f"{FOLDER} is not among the data")
    phantom = read_phantom(data_dir)
    for mapping, kind in (({}, "raw"), ({"use": "map"}, "map")):
        scan, _, facts = prepare(PROTOCOL, loaded(data_dir / FOLDER, **mapping).scans["t1"], None)
        assert facts["map_from"] == kind
        for vial in phantom.vials:
            apart = scan.array[..., 0, 0].T[vial].mean() - phantom.vendor_ms[vial].mean()
            assert abs(apart) < 1.0
