#!/usr/bin/env bash
# dcm2niix writes a cine's pulse repetition time as its frame duration.
#
# Version    dcm2niix 1.0.20260724 (PyPI wheel), pydicom 3.0.2, nibabel 5.4.2
# Behaviour  A retrospectively gated cine, 8 frames 40 ms apart (TriggerTime 0, 40, ... 280 ms), with
#            RepetitionTime 3.2 ms: the NIfTI header's fourth step is 0.0032 with unit "sec", and the
#            sidecar has neither TriggerTime nor a list of frame times. No message names it.
# Output     (32, 32, 3, 8) step 0.0032 sec, sidecar RepetitionTime 0.0032
# Source     DICOM PS3.3 C.8.3 defines RepetitionTime (0018,0080) per pulse sequence and TriggerTime
#            (0018,1060) per image; NIfTI-1 defines pixdim[4] as the step between volumes. That
#            dcm2niix keeps to (0018,0080) by intention is said in its issue 369 (about fMRI).
# Consequence A reader that believes the header gets a cardiac cycle of 26 ms: a heart rate of
#            2,340 /min and an output of tens of litres a minute. Frame times of a converted cine
#            have to be held against what a heartbeat can be.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 "numpy<3"
cat > cine.py <<'PY'
import pathlib, sys
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

root = pathlib.Path(sys.argv[1])
root.mkdir()
mr_image = "1.2.840.10008.5.1.4.1.1.4"
study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
for z in range(3):
    for t in range(8):
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
        d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = 5, 1, 8 * z + t + 1
        for when in ("Study", "Series", "Acquisition", "Content"):
            setattr(d, f"{when}Date", "20200101")
            setattr(d, f"{when}Time", "100000")
        d.RepetitionTime, d.EchoTime, d.FlipAngle = 3.2, 1.5, 50
        d.TriggerTime, d.NominalInterval, d.CardiacNumberOfImages = 40.0 * t, 320, 8
        d.MRAcquisitionType, d.ScanningSequence, d.SequenceVariant = "2D", "GR", "SS"
        d.MagneticFieldStrength = 1.5
        d.ImagePositionPatient, d.ImageOrientationPatient = [-32, -32, 8.0 * z], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness, d.SpacingBetweenSlices = [2, 2], 8, 8
        d.Rows = d.Columns = 32
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
        pixels = np.random.default_rng(8 * z + t).integers(0, 1000, (32, 32))
        d.PixelData = pixels.astype("<u2").tobytes()
        d.save_as(root / f"{z}_{t}.dcm", enforce_file_format=True)
PY
env/bin/python cine.py dicom
mkdir out
env/bin/dcm2niix -o out -f cine dicom > log.txt
env/bin/python - <<'PY'
import json
import nibabel as nib
image = nib.load("out/cine.nii")
sidecar = json.load(open("out/cine.json"))
step, unit = float(image.header.get_zooms()[3]), image.header.get_xyzt_units()[1]
print(image.shape, f"step {step:.4f} {unit}, sidecar RepetitionTime {sidecar['RepetitionTime']}")
assert image.shape == (32, 32, 3, 8)
assert unit == "sec" and abs(step - 0.0032) < 1e-6, "the header no longer has the repetition time"
assert not any("Trigger" in key or "FrameTime" in key for key in sidecar), sorted(sidecar)
assert "rigger" not in open("log.txt").read(), "the converter says something about it now"
PY
