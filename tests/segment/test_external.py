"""The shipped model on another vendor's scans: slice-wise Dice against contours of the LV."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.io.contours import read_contoured
from popscan.protocols.cine_sax.contours import score_contours
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.segment import load_bundle

PATIENTS = {"SCD0000101": "SC-HF-I-1", "SCD0000301": "SC-HF-I-4", "SCD0000501": "SC-HF-I-6"}
#: Its epicardial contours do not match its images; `tests/qc/test_reference.py` has QC say so.
WRONG = "SC-HF-I-6"


def test_planes_without_a_contour_are_not_scored():
    reference = np.zeros((6, 6, 2, 2), np.uint8)
    reference[1:5, 1:5, 0, 0] = Label.MYO
    reference[2:4, 2:4, 0, 0] = Label.LV
    labels = reference.copy()
    labels[2, 2, 0, 0] = Label.MYO
    labels[:, :, 1, :] = Label.LV  # nobody drew there
    planes = np.zeros((2, 2), bool)
    planes[0, 0] = True
    rows = score_contours(labels, reference, endocardium=planes, epicardium=planes)
    assert [row["contour"] for row in rows] == ["endocardium", "epicardium"]
    assert rows[0]["dice"] == pytest.approx(6 / 7)
    assert rows[1]["dice"] == 1.0


@pytest.mark.slow
@pytest.mark.data
def test_slicewise_dice_on_sunnybrook(repo_root, data_dir):
    bundle = load_bundle(repo_root / "resources" / "models" / "cine_sax", "cpu")
    root, rows = data_dir / "sunnybrook", []
    for folder, name in PATIENTS.items():
        case = read_contoured(root / "dicoms" / folder, root / "contours" / name)
        assert not bundle.was_trained_on(folder)
        frames = list(case.labels.frames)
        scan = replace(case.scan, array=case.scan.array[..., frames], frame_times_ms=None)
        found = segment(scan, bundle=bundle)
        assert found.values["input_warning"] == ""
        scored = score_contours(
            found.labels,
            case.labels.array[..., frames],
            endocardium=case.endocardium[:, frames],
            epicardium=case.epicardium[:, frames],
        )
        rows += [{**row, "patient": name} for row in scored]
    inner = [r["dice"] for r in rows if r["contour"] == "endocardium"]
    outer = [r["dice"] for r in rows if r["contour"] == "epicardium" and r["patient"] != WRONG]
    wrong = [r["dice"] for r in rows if r["contour"] == "epicardium" and r["patient"] == WRONG]
    assert len(inner) == 60
    assert len(outer) == 19
    assert np.mean(inner) > 0.93
    assert np.mean(outer) > 0.95
    assert np.mean(wrong) < 0.8
