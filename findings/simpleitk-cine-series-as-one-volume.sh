#!/usr/bin/env bash
# SimpleITK reads a cine of 4 slices and 3 phases as 12 slices, 2.18 mm apart.
#
# Version    SimpleITK 2.5.7, pydicom 3.0.2
# Behaviour  One DICOM series, 4 slices 8 mm apart, 3 phases each (TriggerTime 0, 40, 80 ms). The names
#            that GetGDCMSeriesFileNames returns, read with ReadImage, give a 3D image: phases lie among
#            the slices, and the spacing is the whole extent divided by eleven. Nothing is raised; a
#            line about non-uniform sampling goes to stderr.
# Output     size (8, 8, 12), spacing 2.1818 mm, first voxels [0, 1, 2, 100, 101, 102, ...]
# Source     SimpleITK's DicomSeriesReader example reads a series with these two calls; DICOM PS3.3
#            C.8.3.1 puts all phases of a multi-phase series into one series.
# Consequence The extent along z is nearly right (26 mm for 32) and the number of slices is three times
#            too high, so a segmented volume comes out near the truth and mixes the phases: an ejection
#            fraction cannot be computed, and a "volume" passes. Phases have to be split by trigger
#            time (or temporal position) before reading.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 "numpy<3"
env/bin/python - 2> stderr.txt <<'PY'
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

root = Path("series")
root.mkdir()
study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
for z in range(4):
    for phase in range(3):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d = Dataset()
        d.file_meta = meta
        d.SOPClassUID, d.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        d.StudyInstanceUID, d.SeriesInstanceUID = study, series
        d.FrameOfReferenceUID, d.Modality, d.PatientID = frame_of_reference, "MR", "X"
        d.InstanceNumber, d.TriggerTime = 3 * z + phase + 1, 40.0 * phase
        d.ImagePositionPatient, d.ImageOrientationPatient = [0, 0, 8.0 * z], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness, d.Rows, d.Columns = [2, 2], 6, 8, 8
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
        d.PixelData = np.full((8, 8), 100 * z + phase, "<u2").tobytes()
        d.save_as(root / f"{z}_{phase}.dcm", enforce_file_format=True)

assert len(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(root))) == 1
image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(root)))
first = [int(v) for v in sitk.GetArrayFromImage(image)[:, 0, 0]]
print(f"size {image.GetSize()}, spacing {image.GetSpacing()[2]:.4f} mm, first voxels {first[:6]}")
assert image.GetSize() == (8, 8, 12) and abs(image.GetSpacing()[2] - 24 / 11) < 1e-6
assert first == [100 * z + phase for z in range(4) for phase in range(3)]
PY
