"""Which value is shown white is no property of what was measured."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from mapping_files import MYO, regions, samples, t1_truth_ms, write_dicom, write_dicom_series
from popscan.ingest import prepare
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.relaxometry.simulate import SHMOLLI, inversion_times_ms

PROTOCOL = get_protocol("t1_map")
LABELS = regions()
TRUTH = t1_truth_ms(LABELS, wall_ms=1150.0, blood_ms=1700.0)
DISPLAYS = ["MONOCHROME1", "MONOCHROME2"]


def read(folder, **mapping):
    return get_source("dicom", PROTOCOL).load([str(folder)], mapping=mapping)


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_map_shown_inverted_has_the_same_t1(tmp_path, display):
    write_dicom(
        tmp_path / "map.dcm", TRUTH.squeeze().T, SeriesDescription="T1 map",
        ImageType=["DERIVED", "PRIMARY", "T1 MAP"], PhotometricInterpretation=display,
    )  # fmt: skip
    found = read(tmp_path, use="map")
    scan, _, _ = prepare(PROTOCOL, found.scans["t1"], None)
    assert np.median(scan.array[..., 0][LABELS == MYO]) == pytest.approx(1150.0, abs=1.0)
    assert any("MONOCHROME1" in note for note in found.notes) is (display == "MONOCHROME1")


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_series_shown_inverted_has_the_same_t1(tmp_path, display):
    times = inversion_times_ms(SHMOLLI).tolist()
    write_dicom_series(tmp_path, np.round(samples(TRUTH)), times_ms=times, phase=True)
    for path in tmp_path.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.PhotometricInterpretation = display
        data.save_as(path)
    found = read(tmp_path)
    scan, _, facts = prepare(PROTOCOL, found.scans["t1"], None)
    assert facts["signs_by"] == "phase"
    assert scan.array[..., 0][LABELS == MYO].mean() == pytest.approx(1150.0, abs=3.0)
