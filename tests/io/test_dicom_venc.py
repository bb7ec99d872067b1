"""Velocity encodings where GE, Philips, Siemens and the standard write them."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from popscan.io.dicom_venc import read_venc_cm_s
from popscan.records import SubjectError


def private(creator: str, group: int, element: int, vr: str, value: object) -> Dataset:
    data = Dataset()
    data.private_block(group, creator, create=True).add_new(element, vr, value)
    return data


def standard(*values: float) -> Dataset:
    data, items = Dataset(), []
    for value in values:
        item = Dataset()
        item.VelocityEncodingMaximumValue = value
        items.append(item)
    data.MRVelocityEncodingSequence = items
    return data


def siemens_sequence(name: str) -> Dataset:
    data = Dataset()
    data.Manufacturer, data.SequenceName = "SIEMENS", name
    return data


@pytest.mark.parametrize(
    ("data", "venc", "by"),
    [
        (private("GEMS_ACQU_01", 0x0019, 0xCC, "SS", 1500), 150.0, "ge"),
        (private("Philips Imaging DD 001", 0x2001, 0x1A, "FL", [0.0, 0.0, 200.0]), 200.0,
         "philips"),
        (private("SIEMENS MR HEADER", 0x0051, 0x14, "SH", "v180in"), 180.0, "siemens"),
        (siemens_sequence("*fl2d1r3_v120in"), 120.0, "siemens"),
        (standard(150.0), 150.0, "standard"),
    ],
)  # fmt: skip
def test_each_vendor_s_place_is_read_in_its_unit(data, venc, by):
    assert read_venc_cm_s(data) == (pytest.approx(venc), by)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Dataset(), "no_venc"),
        (private("GEMS_ACQU_01", 0x0019, 0xCC, "SS", 0), "no_venc"),
        (private("SOMEBODY ELSE", 0x0019, 0xCC, "SS", 1500), "no_venc"),
        (private("SIEMENS MR HEADER", 0x0051, 0x14, "SH", "FLOWCOMP"), "no_venc"),
        (siemens_sequence("*fl2d1"), "no_venc"),
        (standard(150.0, 80.0), "conflicting_venc"),
        (private("Philips Imaging DD 001", 0x2001, 0x1A, "FL", [150.0, 100.0, 200.0]),
         "conflicting_venc"),
    ],
)  # fmt: skip
def test_what_says_none_or_several_is_refused(data, reason):
    with pytest.raises(SubjectError) as error:
        read_venc_cm_s(data)
    assert error.value.reason == reason
