#!/usr/bin/env bash
# dcm2niix gives Philips images other values than RescaleSlope does: here a hundred times larger.
#
# Version    dcm2niix 1.0.20260724 (PyPI wheel), pydicom 3.0.2, nibabel 5.4.2
# Behaviour  DICOM images with stored values of 100 and RescaleSlope 2, of Philips, with the private
#            MR scale slope 0.005 (2005,100E). pydicom's apply_rescale gives 200. The NIfTI file has
#            20,000: stored / scale slope, the value before the scanner scaled it for display. With
#            `-p n` it has 200. The log names three factors and a paper, no value is marked. Without
#            the private field, or of another manufacturer, dcm2niix gives 200, too.
# Output     pydicom 200; dcm2niix 20000; dcm2niix -p n 200
#            without the private field: dcm2niix 200
# Source     DICOM PS3.3 C.11.1: output units = slope * stored + intercept. Chenevert et al., Transl
#            Oncol 2014 (PMC3998685), for the private slope; dcm2niix issues 493 and 575,
#            Philips/README.md.
# Consequence Of one cohort, visits converted by dcm2niix and visits read from DICOM differ by a
#            factor that is another one for every series; so do two vendors' maps of T1, and
#            velocities, whose unit is in RescaleSlope only. UsePhilipsFloatNotDisplayScaling in the
#            sidecar says which it is.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
cat > series.py <<'PY'
import pathlib, sys
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

root, private = pathlib.Path(sys.argv[1]), sys.argv[2] == "private"
root.mkdir()
mr_image = "1.2.840.10008.5.1.4.1.1.4"
study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
for z in range(3):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = mr_image
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d = Dataset()
    d.file_meta = meta
    d.SOPClassUID, d.SOPInstanceUID = mr_image, meta.MediaStorageSOPInstanceUID
    d.StudyInstanceUID, d.SeriesInstanceUID = study, series
    d.FrameOfReferenceUID = frame_of_reference
    d.Modality, d.Manufacturer, d.PatientID = "MR", "Philips Medical Systems", "X"
    d.PatientPosition, d.ImageType = "HFS", ["ORIGINAL", "PRIMARY", "M"]
    d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = 5, 1, z + 1
    for when in ("Study", "Series", "Acquisition", "Content"):
        setattr(d, f"{when}Date", "20200101")
        setattr(d, f"{when}Time", "100000")
    d.RepetitionTime, d.EchoTime, d.FlipAngle = 500, 10, 90
    d.MRAcquisitionType, d.ScanningSequence, d.SequenceVariant = "2D", "SE", "SS"
    d.MagneticFieldStrength = 1.5
    d.ImagePositionPatient, d.ImageOrientationPatient = [-32, -32, 8.0 * z], [1, 0, 0, 0, 1, 0]
    d.PixelSpacing, d.SliceThickness, d.SpacingBetweenSlices = [2, 2], 8, 8
    d.Rows = d.Columns = 32
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 2, 0, "US"
    if private:
        d.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        d.add_new(0x2005100D, "FL", 0.0)
        d.add_new(0x2005100E, "FL", 0.005)
    d.PixelData = np.full((32, 32), 100, "<u2").tobytes()
    d.save_as(root / f"{z}.dcm", enforce_file_format=True)
PY
env/bin/python series.py private private
env/bin/python series.py public public
mkdir out
env/bin/dcm2niix -o out -f precise private > log.txt
env/bin/dcm2niix -p n -o out -f display private >> log.txt
env/bin/dcm2niix -o out -f public public >> log.txt
env/bin/python - <<'PY'
import json
import nibabel as nib
import pydicom
from pydicom.pixels import apply_rescale

data = pydicom.dcmread("private/1.dcm")
standard = float(apply_rescale(data.pixel_array, data)[10, 10])
names = ("precise", "display", "public")
seen = {name: float(nib.load(f"out/{name}.nii").get_fdata()[10, 10, 1]) for name in names}
print(f"pydicom {standard:g}; dcm2niix {seen['precise']:g}; dcm2niix -p n {seen['display']:g}")
print(f"without the private field: dcm2niix {seen['public']:g}")
assert standard == 200
assert abs(seen["precise"] - 20000) < 1, "dcm2niix scales Philips images as the standard says now"
assert seen["display"] == 200 and seen["public"] == 200
assert json.load(open("out/precise.json"))["UsePhilipsFloatNotDisplayScaling"] == 1
PY
