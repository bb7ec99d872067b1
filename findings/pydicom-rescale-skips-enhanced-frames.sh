#!/usr/bin/env bash
# pydicom's apply_rescale returns the stored values of an enhanced image, as if they were scaled.
#
# Version    pydicom 3.0.2, highdicom 0.28.2
# Behaviour  An enhanced MR object of three frames whose slopes are 1, 2 and 4 (each frame has its
#            own Pixel Value Transformation Sequence). apply_rescale and apply_modality_lut look for
#            slope and intercept at the top of the data set only, where an enhanced object has none,
#            and give the stored values back, the same for all three. Nothing is raised or warned.
#            highdicom's get_frames finds the slopes of each frame.
# Output     pydicom 100 100 100, highdicom 100 200 400
# Source     DICOM PS3.3 C.7.6.16.2.9 (Pixel Value Transformation, per frame or shared); pydicom's
#            documentation of apply_modality_lut: without slope and intercept the array is
#            unchanged.
# Consequence Maps and velocities of enhanced series are in scanner numbers in place of ms or cm/s,
#            and slices with slopes of their own (Philips diffusion, dcm2niix issue 363) stand out
#            as bands. The same code is right for classic series, so a mixed cohort hides it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pydicom==3.0.2 highdicom==0.28.2 numpy==2.4.6
env/bin/python - <<'PY'
import warnings

import highdicom
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_rescale
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

enhanced_mr = "1.2.840.10008.5.1.4.1.1.4.1"


def item(**elements):
    """A data set of the given elements."""
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


meta = FileMetaDataset()
meta.MediaStorageSOPClassUID = enhanced_mr
meta.MediaStorageSOPInstanceUID = generate_uid()
meta.TransferSyntaxUID = ExplicitVRLittleEndian
data = item(
    SOPClassUID=enhanced_mr, SOPInstanceUID=meta.MediaStorageSOPInstanceUID, Modality="MR",
    StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
    FrameOfReferenceUID=generate_uid(), PatientID="X", NumberOfFrames=3, Rows=8, Columns=8,
    SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=12,
    HighBit=11, PixelRepresentation=0, PixelData=np.full((3, 8, 8), 100, "<u2").tobytes(),
)
data.file_meta = meta
data.SharedFunctionalGroupsSequence = [
    item(
        PixelMeasuresSequence=[item(PixelSpacing=[2, 2], SliceThickness=8)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
]
data.PerFrameFunctionalGroupsSequence = [
    item(
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 8 * i])],
        PixelValueTransformationSequence=[
            item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")
        ],
    )
    for i, slope in enumerate((1, 2, 4))
]
data.save_as("enhanced.dcm", enforce_file_format=True)
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    scaled = [scale(data.pixel_array, data) for scale in (apply_rescale, apply_modality_lut)]
made = [frames[:, 0, 0].tolist() for frames in scaled]
assert not heard, [str(w.message) for w in heard]
theirs = highdicom.imread("enhanced.dcm").get_frames()[:, 0, 0].tolist()
print("pydicom", *made[0], "highdicom", *(int(v) for v in theirs))
assert made == [[100, 100, 100]] * 2, "pydicom scales each frame now"
assert theirs == [100, 200, 400]
PY
