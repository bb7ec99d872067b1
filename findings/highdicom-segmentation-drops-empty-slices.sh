#!/usr/bin/env bash
# A label map of six slices comes back from a DICOM segmentation with two.
#
# Version    highdicom 0.28.2, pydicom 3.0.2
# Behaviour  Six slices are segmented, the organ is in the third and fourth. highdicom leaves empty
#            frames out when it writes, and Segmentation.get_volume() gives the slices from the
#            first to the last that was written, without a message: shape (2, 16, 16), so that each
#            subject's array has a shape of its own. (Its slices also run against the order of the
#            images given, here from z = 24 down, to make the axes right-handed.)
# Output     written (6, 16, 16), volume of the images (6, 16, 16), get_volume (2, 16, 16) from
#            z = 24 down
# Source     DICOM PS3.3 C.8.20 (a segmentation need not have a frame for every source frame);
#            highdicom issue 174 (empty frames are not stored). get_volume's own documentation does
#            not name it.
# Consequence Labels laid over the scan by index lie on other slices, and a mean over slices leaves
#            the empty ones out. Put the volume back into the images' geometry (match_geometry, or
#            get_pixels_by_source_instance), or write with omit_empty_frames=False.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pydicom==3.0.2 highdicom==0.28.2 numpy==2.4.6
env/bin/python - <<'PY'
import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()


def image(number):
    """One slice of a classic MR series."""
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID, d.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
    d.StudyInstanceUID, d.SeriesInstanceUID = study, series
    d.FrameOfReferenceUID = frame_of_reference
    d.Modality, d.Manufacturer, d.PatientID, d.PatientName = "MR", "Maker", "X", "X^"
    d.PatientBirthDate = d.PatientSex = d.AccessionNumber = d.ReferringPhysicianName = ""
    d.StudyID, d.StudyDate, d.StudyTime = "1", "20200101", "100000"
    d.SeriesNumber, d.InstanceNumber, d.ImageType = 1, number, ["ORIGINAL", "PRIMARY", "M"]
    d.ImagePositionPatient = [0, 0, 8 * (number - 1)]
    d.ImageOrientationPatient, d.PixelSpacing, d.SliceThickness = [1, 0, 0, 0, 1, 0], [2, 2], 8
    d.Rows = d.Columns = 16
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.PixelData = np.zeros((16, 16), "<u2").tobytes()
    return d


images = [image(n) for n in range(1, 7)]
labels = np.zeros((6, 16, 16), np.uint8)
labels[2:4, 5:10, 5:10] = 1
segment = hd.seg.SegmentDescription(
    segment_number=1, segment_label="heart", segmented_property_category=codes.SCT.Organ,
    segmented_property_type=codes.SCT.Heart, algorithm_type="MANUAL",
)


def written(**options):
    """A segmentation of the labels."""
    return hd.seg.Segmentation(
        source_images=images, pixel_array=labels, segmentation_type="BINARY",
        segment_descriptions=[segment], series_instance_uid=generate_uid(), series_number=2,
        sop_instance_uid=generate_uid(), instance_number=1, manufacturer="Maker",
        manufacturer_model_name="Model", software_versions="1", device_serial_number="1", **options,
    )


stack = hd.get_volume_from_series(images)
volume = written().get_volume(combine_segments=True)
start = float(volume.affine[2, 3])
print(
    f"written {labels.shape}, volume of the images {stack.shape}, "
    f"get_volume {volume.shape} from z = {start:g} down"
)
assert stack.shape == (6, 16, 16)
assert volume.shape == (2, 16, 16) and start == 24, "empty slices are kept now"
full = written(omit_empty_frames=False).get_volume(combine_segments=True)
assert full.shape == (6, 16, 16) and np.array_equal(full.array, labels[::-1])
matched = volume.match_geometry(stack)
assert np.array_equal(matched.array, labels[::-1])
PY
