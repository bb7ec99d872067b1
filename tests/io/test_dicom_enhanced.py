"""Enhanced (multi-frame) files: read like single images, and nothing of them is lost unsaid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from popscan.io.dicom import Dicom
from popscan.records import Scan, SubjectError

MOVED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TriggerTime")


def sax(folder: Path) -> Scan:
    return Dicom().load([str(folder)], views=["sax"]).scans["sax"]


def item(**tags) -> Sequence:
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return Sequence([data])


@pytest.fixture
def enhanced(tmp_path, write_stack) -> Callable[..., Path]:
    """Make a folder of one enhanced file out of a short-axis stack of 5 x 6 images."""

    def make(change: Callable[[Dataset, int], None] | None = None, **tags) -> Path:
        files = write_stack(tmp_path / "single", slices=5)
        frames = sorted((pydicom.dcmread(p) for p in files), key=lambda d: int(d.pixel_array[0, 0]))
        groups = []
        for index, frame in enumerate(frames):
            group = Dataset()
            group.PlanePositionSequence = item(ImagePositionPatient=frame.ImagePositionPatient)
            group.PlaneOrientationSequence = item(
                ImageOrientationPatient=frame.ImageOrientationPatient
            )
            group.PixelMeasuresSequence = item(PixelSpacing=[1.25, 1.25])
            group.CardiacSynchronizationSequence = item(
                NominalCardiacTriggerDelayTime=float(frame.TriggerTime), RRIntervalTimeNominal=800.0
            )
            if change:
                change(group, index)
            groups.append(group)
        data = frames[0]
        data.PixelData = b"".join(frame.PixelData for frame in frames)
        for name in MOVED:
            delattr(data, name)
        data.NumberOfFrames = len(frames)
        data.PerFrameFunctionalGroupsSequence = Sequence(groups)
        for name, value in tags.items():
            setattr(data, name, value)
        (tmp_path / "enhanced").mkdir()
        data.save_as(tmp_path / "enhanced" / "all.dcm")
        return tmp_path / "enhanced"

    return make


def test_a_tied_trigger_time_loses_no_frame(tmp_path, enhanced):
    def tie(group, index):
        if index == 17:
            group.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime = 161.0

    scan = sax(enhanced(tie))
    np.testing.assert_array_equal(scan.array, sax(tmp_path / "single").array)
    assert scan.meta["n_tied_trigger_times"] == 2


def test_phase_frames_are_left_aside(enhanced):
    def half(group, index):
        kind = ["ORIGINAL", "PRIMARY", "M" if index < 24 else "P", "NONE"]
        group.MRImageFrameTypeSequence = item(FrameType=kind)

    assert sax(enhanced(half)).array.shape[2] == 4


def test_frames_without_a_position_are_said(enhanced):
    def drop(group, index):
        if index < 6:
            del group.PlanePositionSequence

    meta = sax(enhanced(drop)).meta
    assert meta["images_left_out_reason"] == "6 without a position in the patient"
    assert meta["slices_left_out"] == 1


@pytest.mark.parametrize("n_frames", [24, 31])
def test_a_file_that_miscounts_its_frames_is_refused_by_name(enhanced, n_frames):
    with pytest.raises(SubjectError) as caught:
        sax(enhanced(NumberOfFrames=n_frames))
    assert caught.value.reason == "bad_header"
    assert "another number of frames" in str(caught.value)


def test_colour_and_other_modalities_are_refused_by_name(enhanced, tmp_path):
    folder = enhanced(SamplesPerPixel=3, PhotometricInterpretation="RGB")
    with pytest.raises(SubjectError, match="30 colour images"):
        sax(folder)
    data = pydicom.dcmread(folder / "all.dcm")
    data.Modality = "CT"
    data.save_as(folder / "all.dcm")
    with pytest.raises(SubjectError, match="modality CT"):
        sax(folder)
