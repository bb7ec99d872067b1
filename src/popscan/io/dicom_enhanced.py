"""Enhanced (multi-frame) MR DICOM: one header per frame, as if each were a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydicom

from popscan.io.dicom_contrast import above_0

#: Functional group -> attribute in it -> attribute of a single-frame file that it stands for.
_GROUPS: dict[str, dict[str, str]] = {
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelMeasuresSequence": {"PixelSpacing": "PixelSpacing", "SliceThickness": "SliceThickness"},
    "PixelValueTransformationSequence": {
        "RescaleSlope": "RescaleSlope",
        "RescaleIntercept": "RescaleIntercept",
    },
    "CardiacSynchronizationSequence": {
        "ActualCardiacTriggerDelayTime": "TriggerTime",
        "NominalCardiacTriggerDelayTime": "TriggerTime",
        "RRIntervalTimeNominal": "NominalInterval",
    },
    "MRImageFrameTypeSequence": {
        "FrameType": "ImageType",
        "ComplexImageComponent": "ComplexImageComponent",
    },
    "MREchoSequence": {"EffectiveEchoTime": "EchoTime"},
    "MRTimingAndRelatedParametersSequence": {
        "RepetitionTime": "RepetitionTime",
        "FlipAngle": "FlipAngle",
    },
    "FrameContentSequence": {
        "TemporalPositionIndex": "TemporalPositionIdentifier",
        "FrameAcquisitionNumber": "AcquisitionNumber",
    },
}
_SHARED_TAGS = (
    "Rows",
    "Columns",
    "FrameOfReferenceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "StudyInstanceUID",
    "PatientID",
    "AcquisitionTime",
    "ContentTime",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "HeartRate",
    "ImageType",
    "PhotometricInterpretation",
    "SOPClassUID",
    "BurnedInAnnotation",
    "BitsStored",
    "CardiacNumberOfImages",
)


def frame_headers(data: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """Give one header per frame, with the attributes that a single-frame file would have.

    Parameters
    ----------
    data
        Header of an enhanced MR file, with its functional groups (DICOM PS3.3 C.7.6.16).
    """
    shared = (data.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    uid = str(data.get("SOPInstanceUID") or "")
    for index, own in enumerate(data.PerFrameFunctionalGroupsSequence):
        header = pydicom.Dataset()
        for tag in _SHARED_TAGS:
            _put(header, tag, data.get(tag))
        for group, names in _GROUPS.items():
            items = own.get(group) or shared.get(group)
            for name, tag in names.items() if items else ():
                _put(header, tag, items[0].get(name))
        _put_contrast(header, data, own, shared)
        header.InstanceNumber = index + 1
        if uid:
            header.SOPInstanceUID = f"{uid}.{index + 1}"
        yield header


def _put_contrast(
    header: pydicom.Dataset, data: pydicom.Dataset, own: pydicom.Dataset, shared: pydicom.Dataset
) -> None:
    """Put what `popscan.io.dicom_contrast` looks for in the words of single-frame files."""
    _put(header, "SequenceName", data.get("PulseSequenceName"))
    for item in own.get("MRModifierSequence") or shared.get("MRModifierSequence") or ():
        if str(item.get("InversionRecovery") or "").strip().upper() == "YES":
            header.ScanOptions = "IR"
    name = "MRVelocityEncodingSequence"
    if any(
        above_0(item, "VelocityEncodingMaximumValue") > 0
        for item in own.get(name) or shared.get(name) or ()
    ):
        setattr(header, name, own.get(name) or shared.get(name))


def _put(header: pydicom.Dataset, tag: str, value: Any) -> None:
    if value is not None and value != "":
        setattr(header, tag, value)
