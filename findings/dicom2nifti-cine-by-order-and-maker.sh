#!/usr/bin/env bash
# dicom2nifti converts a cine or leaves it out by how its files are numbered and who made the scanner.
#
# Version    dicom2nifti 2.6.2, pydicom 3.0.2, nibabel 5.3.2
# Behaviour  One short-axis cine, 3 slices of 5 frames, 40 ms between frames, complete. (a) Numbered frame
#            by frame it becomes a 4D file if the manufacturer is Siemens or GE; numbered slice by slice,
#            as segmented cines often are, or from Canon, no file is made. convert_directory() returns
#            as if all had been converted: the error is only printed. (b) The time step of the 4D file
#            is the repetition time (3.5 ms here), not the 40 ms between frames that trigger times give,
#            and its unit is not recorded. (Philips's own tags were not made up here.)
# Output     Siemens and GE frame by frame: (20, 16, 3, 5), time step 0.0035; the four others: no file
# Source     NIfTI-1 (pixdim[4] is the time between volumes, xyzt_units names its unit); DICOM PS3.3
#            C.7.6.18.1 (trigger time: from the R wave to this frame).
# Consequence Subjects are missing from a study of converted cines by vendor, without an exception; those
#            that are there have rates of ejection and filling eleven times too high.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  dicom2nifti==2.6.2 pydicom==3.0.2 nibabel==5.3.2
env/bin/python - <<'PY'
import contextlib
import io
import logging
import os
import warnings

import dicom2nifti
import nibabel
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
SLICES, FRAMES = 3, 5


def write_series(folder, manufacturer, by_frame):
    os.mkdir(folder)
    study, series, reference = generate_uid(), generate_uid(), generate_uid()
    for z in range(SLICES):
        for t in range(FRAMES):
            number = 1 + (t * SLICES + z if by_frame else z * FRAMES + t)
            meta = FileMetaDataset()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.MediaStorageSOPClassUID = MRImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            image = FileDataset(f"{folder}/{number:03}.dcm", {}, file_meta=meta,
                                preamble=b"\0" * 128)
            image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
            image.StudyInstanceUID, image.SeriesInstanceUID = study, series
            image.FrameOfReferenceUID, image.Modality = reference, "MR"
            image.PatientName = image.PatientID = "made"
            image.Manufacturer, image.ImageType = manufacturer, ["ORIGINAL", "PRIMARY", "M"]
            image.SeriesDescription = image.ProtocolName = "cine"
            image.StudyDate = image.SeriesDate = "20200101"
            image.StudyTime = image.SeriesTime = image.AcquisitionTime = "100000"
            image.SeriesNumber, image.AcquisitionNumber, image.InstanceNumber = 1, 1, number
            image.Rows, image.Columns, image.PixelSpacing = 16, 20, [1.5, 1.5]
            image.SliceThickness, image.SpacingBetweenSlices = 8, 10
            image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            image.ImagePositionPatient, image.SliceLocation = [0, 0, 10 * z], 10 * z
            image.TriggerTime, image.TemporalPositionIdentifier = 40.0 * t, t + 1
            image.RepetitionTime, image.EchoTime = 3.5, 1.5
            image.CardiacNumberOfImages = image.NumberOfTemporalPositions = FRAMES
            image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
            image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
            image.PixelRepresentation = 0
            image.PixelData = np.full((16, 20), 100 * z + t, np.uint16).tobytes()
            image.save_as(image.filename, enforce_file_format=True)


made = {}
for manufacturer in ("SIEMENS", "GE MEDICAL SYSTEMS", "CANON_MEC"):
    for by_frame in (True, False):
        name = f"{manufacturer.split()[0]}_{'frames' if by_frame else 'slices'}"
        write_series(name, manufacturer, by_frame)
        os.mkdir("out_" + name)
        with contextlib.redirect_stderr(io.StringIO()):
            dicom2nifti.convert_directory(name, "out_" + name, compression=False, reorient=False)
        files = os.listdir("out_" + name)
        made[name] = nibabel.load(f"out_{name}/{files[0]}") if files else None
        print(name, made[name] and (made[name].shape, made[name].header.get_zooms()[3]))
for name, image in made.items():
    if name in ("SIEMENS_frames", "GE_frames"):
        assert image.shape == (20, 16, SLICES, FRAMES)
        assert np.isclose(image.header.get_zooms()[3], 0.0035)
        assert image.header.get_xyzt_units()[1] == "unknown"
    else:
        assert image is None
PY
