#!/usr/bin/env bash
# dcm2niix closes the gap of a lost slice, and writes a second image with a slice nobody scanned.
#
# Version    dcm2niix 1.0.20260724 (PyPI wheel), pydicom 3.0.2, nibabel 5.4.2
# Behaviour  Seven slices 8 mm apart, of which the fourth is not in the folder. dcm2niix ends with 0
#            and writes two images: NAME.nii with six slices 8 mm apart, so that all behind the gap
#            lie 8 mm off, and NAME_Eq_1.nii with seven, of which one is interpolated. One sidecar
#            is written. A line about the varying distance is in the log; header and sidecar do not
#            mention it.
# Output     exit 0; scan.nii 6 slices of 8 mm, last slice at 40 mm (it was at 48)
#            scan_Eq_1.nii 7 slices of 8 mm, values 100 108 116 124 132 140 148 (124 was never scanned)
#            sidecars: scan.json
# Source     NIfTI has one distance for all slices; dcm2niix issues 248 and 982 (the `_Eq` image).
# Consequence A heart or brain that crosses the gap loses a slice's volume, or has one made up, and
#            a pattern such as *.nii takes one visit for two. Count the DICOM positions before
#            conversion, or refuse visits whose log says "Interslice distance varies".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
cat > series.py <<'PY'
import pathlib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

root = pathlib.Path("dicom")
root.mkdir()
mr_image = "1.2.840.10008.5.1.4.1.1.4"
study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
for number, z in enumerate((0, 8, 16, 32, 40, 48), start=1):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = mr_image
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d = Dataset()
    d.file_meta = meta
    d.SOPClassUID, d.SOPInstanceUID = mr_image, meta.MediaStorageSOPInstanceUID
    d.StudyInstanceUID, d.SeriesInstanceUID = study, series
    d.FrameOfReferenceUID = frame_of_reference
    d.Modality, d.Manufacturer, d.PatientID, d.PatientPosition = "MR", "SIEMENS", "X", "HFS"
    d.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = 5, 1, number
    for when in ("Study", "Series", "Acquisition", "Content"):
        setattr(d, f"{when}Date", "20200101")
        setattr(d, f"{when}Time", "100000")
    d.RepetitionTime, d.EchoTime, d.FlipAngle = 500, 10, 90
    d.MRAcquisitionType, d.ScanningSequence, d.SequenceVariant = "2D", "SE", "SS"
    d.MagneticFieldStrength = 1.5
    d.ImagePositionPatient, d.ImageOrientationPatient = [-32, -32, z], [1, 0, 0, 0, 1, 0]
    d.PixelSpacing, d.SliceThickness, d.SpacingBetweenSlices = [2, 2], 8, 8
    d.Rows = d.Columns = 32
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.PixelData = np.full((32, 32), 100 + z, "<u2").tobytes()
    d.save_as(root / f"{number}.dcm", enforce_file_format=True)
PY
env/bin/python series.py
mkdir out
env/bin/dcm2niix -o out -f scan dicom > log.txt
grep -q "Interslice distance varies" log.txt
env/bin/python - <<'PY'
from pathlib import Path

import nibabel as nib

short, filled = nib.load("out/scan.nii"), nib.load("out/scan_Eq_1.nii")
last = float((short.affine @ [0, 0, short.shape[2] - 1, 1])[2])
steps = [float(image.header.get_zooms()[2]) for image in (short, filled)]
values = filled.get_fdata()[10, 10].round().astype(int).tolist()
print(f"exit 0; scan.nii {short.shape[2]} slices of {steps[0]:g} mm, last slice at {last:g} mm")
print(f"scan_Eq_1.nii {filled.shape[2]} slices of {steps[1]:g} mm, values", *values)
sidecars = sorted(p.name for p in Path("out").glob("*.json"))
print("sidecars:", *sidecars)
assert short.shape == (32, 32, 6) and steps == [8, 8] and last == 40
assert filled.shape == (32, 32, 7) and values == [100, 108, 116, 124, 132, 140, 148]
assert sidecars == ["scan.json"] and "Interslice" not in Path("out/scan.json").read_text()
PY
