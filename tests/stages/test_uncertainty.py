"""What segment hands to biomarkers, and the intervals that come of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from popscan.arrays.resampling import Window
from popscan.config import Segment
from popscan.io.jsonfile import json_text
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.biomarkers import INTERVAL_DICTIONARY, measure
from popscan.protocols.cine_sax.biomarkers.samples import interval_values
from popscan.protocols.cine_sax.labels import Label
from popscan.records import Scan, Subject
from popscan.segment.bundle import Bundle
from popscan.segment.result import Segmentation
from popscan.segment.samples import Tally
from popscan.stages.segment.uncertainty import matching, uncertainty_files
from popscan.study import dictionary
from popscan.study.files import FileNames

SUBJECT = Subject(sub="sub-1")
NAMES = FileNames(get_protocol("cine_sax"))
OWN = {"errors": [1.0, -2.0, 1.5], "spreads": [1.0, 2.0, 1.0]}
INTERVALS = [
    {"flips": False, "dropout_samples": 0, "quantities": {"lvef_pct": OWN}},
    {"flips": True, "dropout_samples": 0, "quantities": {"lvef_pct": {**OWN, "errors": [9.0]}}},
]


def test_calibration_of_the_same_way_is_taken_whole():
    assert matching(INTERVALS, flips=False, dropout_samples=0)["lvef_pct"] == OWN
    assert matching(INTERVALS, flips=True, dropout_samples=0)["lvef_pct"]["errors"] == [9.0]


def test_other_samples_mean_other_spreads():
    found = matching(INTERVALS, flips=False, dropout_samples=4)["lvef_pct"]
    assert found == {"errors": OWN["errors"], "spreads": []}
    assert matching(INTERVALS[:1], flips=True, dropout_samples=0)["lvef_pct"]["spreads"] == []
    assert matching((), flips=True, dropout_samples=0) == {}
    # A bundle that never mirrored doubtful slices: its errors without mirrorings.
    assert (
        matching(INTERVALS, flips="doubtful", dropout_samples=0)["lvef_pct"]["errors"]
        == OWN["errors"]
    )
    assert matching(INTERVALS, flips="doubtful", dropout_samples=0)["lvef_pct"]["spreads"] == []
    doubtful = {"flips": "doubtful", "dropout_samples": 0, "quantities": {"lvef_pct": OWN}}
    assert matching([*INTERVALS, doubtful], flips="doubtful", dropout_samples=0)["lvef_pct"] == OWN


@pytest.fixture
def found():
    """Ten slices, two frames: 3 x 3 pixels of LV at ED, one at ES; three samples."""
    labels = np.zeros((8, 8, 2, 2), np.uint8)
    labels[2:5, 2:5, :, 0] = Label.LV
    labels[2, 2, :, 1] = Label.LV
    labels[5, 5, :, :] = Label.MYO
    volumes = np.zeros((3, 4, 4))
    volumes[:, :2, Label.LV] = np.array([9.0, 9.0, 12.0])[:, None]
    volumes[:, 2:, Label.LV] = 1.0
    nothing = np.zeros((4, 4))
    tally = Tally(
        expected=np.zeros((4, 4, 4)),
        entropy=nothing,
        information=nothing,
        flip_risk=nothing,
        volumes=volumes,
        samples=("member0", "member1", "member2"),
        pixel_mm2=4.0,
    )
    spread = np.full(labels.shape, 0.5, np.float16)
    return Segmentation(
        labels=labels,
        near=Window((0, 0), (8, 8)),
        entropy_near=spread,
        values={},
        tally=tally,
        information_near=spread / 2,
    )


@pytest.fixture
def scan():
    return Scan(
        array=np.zeros((8, 8, 2, 2), np.float32),
        affine=np.diag([2.0, 2.0, 10.0, 1.0]),
        spacing_mm=(2.0, 2.0, 10.0),
        meta={"frame_labels": ["ED", "ES"]},
    )


def bundle(**about) -> Bundle:
    return Bundle(
        name="b",
        networks=(),
        arguments=(),
        labels={"rv": 1, "myo": 2, "lv": 3},
        spacing_mm=1.5,
        patch=16,
        normalisation={},
        input_range={},
        digest="",
        device=None,
        about=about,
    )


def test_from_samples_to_intervals(found, scan):
    section = Segment()
    files = uncertainty_files(
        NAMES, SUBJECT, found, scan, bundle=bundle(intervals=INTERVALS), section=section
    )
    ((name, content),) = files.items()
    assert name == "sub-1_acq-sax_desc-samples_volumes.json"
    samples = json.loads(json_text(content))
    assert samples["volumes_ml"]["lv"] == [[0.72, 0.08], [0.72, 0.08], [0.96, 0.08]]
    values = measure(found.labels, spacing_mm=scan.spacing_mm, frame_labels=["ED", "ES"])
    ends = interval_values(values, samples=samples, level=0.9)
    assert list(ends) == list(INTERVAL_DICTIONARY)
    assert ends["lvef_low_pct"] < values["lvef_pct"] < ends["lvef_high_pct"]
    assert math.isnan(ends["lvedv_low_ml"])  # this bundle knows nothing of it
    assert ends["interval_level_pct"] == 90
    wider = interval_values(values, samples=samples, level=0.99)
    assert wider["lvef_low_pct"] < ends["lvef_low_pct"]


def test_without_samples_or_calibration_all_is_undefined(found, scan):
    values = measure(found.labels, spacing_mm=scan.spacing_mm, frame_labels=["ED", "ES"])
    plain = uncertainty_files(NAMES, SUBJECT, found, scan, bundle=bundle(), section=Segment())
    for samples in ({}, *plain.values()):
        ends = interval_values(values, samples=samples, level=0.9)
        assert all(math.isnan(v) for v in ends.values())


def test_maps_are_written_where_asked_for(found, scan):
    section = Segment(uncertainty_maps=True)
    files = uncertainty_files(NAMES, SUBJECT, found, scan, bundle=bundle(), section=section)
    entropy = files["sub-1_acq-sax_desc-entropy_uncertainty.nii.gz"]
    information = files["sub-1_acq-sax_desc-information_uncertainty.nii.gz"]
    assert entropy.array.dtype == np.float32
    assert entropy.array.max() == 0.5
    assert information.array.max() == 0.25
    np.testing.assert_array_equal(entropy.affine, scan.affine)


def test_every_interval_is_in_the_dictionary():
    described = dictionary.of("biomarkers")
    for name in INTERVAL_DICTIONARY:
        assert described[name].meaning
    assert {"expected_dice_lv", "flip_risk_rv"} <= set(dictionary.of("segmentation"))
    assert {"flipped_pct", "reference_verdict"} <= set(dictionary.of("scores"))
