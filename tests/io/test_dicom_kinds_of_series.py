"""A later series of another kind in the same planes: cine is what the visit is mostly made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from popscan.io.dicom import Dicom
from popscan.records import Scan

CINE = {"SequenceName": "*tfi2d1_12", "SequenceVariant": ["SK", "SS"], "FlipAngle": 60}
LATER = {"AcquisitionTime": "120000", "ContentTime": "120000", "SeriesNumber": 9}
#: Plane of a two-chamber view of the heart that `write_stack` writes.
LONG = {"row": np.array([0.7, 0.7, 0.0]) / np.linalg.norm([0.7, 0.7, 0.0])}

OTHERS: list[dict[str, Any]] = [
    {"SequenceName": "*tfi2d1_29", "ScanOptions": ["IR", "PFP"]},  # scout of the inversion time
    {"InversionTime": 180},
    {"SequenceName": "*fl2d1_v150in", "SequenceVariant": "SP", "FlipAngle": 20},  # flow
    {"SequenceName": "*tfl2d1_66", "SequenceVariant": "SP", "FlipAngle": 12},  # perfusion
    {"SequenceName": None, "SequenceVariant": None, "FlipAngle": 12},
    {"SequenceName": None, "SequenceVariant": "SP", "FlipAngle": None},
    {"SequenceName": None, "SequenceVariant": None, "FlipAngle": None, "EchoTime": 3.1},  # tagging
]


def long_axis(write_stack: Any, folder: Path, **tags: Any) -> None:
    """One plane through the heart's axis."""
    row = LONG["row"]
    apex = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    write_stack(
        folder, slices=1, row=row, column=apex, step=np.cross(row, apex), series="1.7", seed=7,
        tags={**CINE, **tags},
    )  # fmt: skip


def read(folder: Path) -> Scan:
    return Dicom().load([str(folder)], views=["sax"]).scans["sax"]


def is_first(scan: Scan) -> bool:
    """Whether the series without a raised level was taken, in every slice."""
    levels = scan.array[0, 0, :, 0] % 1000
    assert len(set(levels.tolist())) == 1
    return bool(levels[0] == 0)


@pytest.mark.parametrize("tags", OTHERS)
@pytest.mark.parametrize("frames", [6, 9])
def test_the_kind_of_the_long_axis_cine_is_taken(tmp_path, write_stack, tags, frames):
    folder = tmp_path / "s"
    write_stack(folder, tags=CINE)
    long_axis(write_stack, folder)
    write_stack(
        folder, seed=1, series="1.9", frames=frames, level=9, tags={**CINE, **LATER, **tags}
    )
    scan = read(folder)
    assert scan.array.shape[3] == 6
    assert is_first(scan)
    # A whole stack that is not prepared may be a second cine: nothing but the long axis decides.
    assert scan.meta.get("n_undecided_slices", 0) == (0 if tags in OTHERS[:3] else 4)
    assert f"{4 * frames} of another contrast" in scan.meta["images_left_out_reason"]
    assert scan.meta["slices_left_out"] == 0


@pytest.mark.parametrize("tags", OTHERS)
def test_some_slices_of_another_kind_do_not_come_among_a_cine(tmp_path, write_stack, tags):
    folder = tmp_path / "s"
    write_stack(folder, slices=6, tags=CINE)
    write_stack(
        folder, seed=1, series="1.9", level=9, positions=[9.0, 27.0, 45.0],
        tags={**CINE, **LATER, **tags},
    )  # fmt: skip
    assert is_first(read(folder))


def test_planes_beside_the_cines_are_no_repetition_of_it(tmp_path, write_stack):
    folder = tmp_path / "s"
    write_stack(folder, slices=6, tags=CINE)
    write_stack(
        folder, seed=1, series="1.9", level=9, frames=8, positions=[12.0, 30.0, 42.0],
        tags={**CINE, **LATER, "FlipAngle": 12},
    )  # fmt: skip
    scan = read(folder)
    assert scan.array.shape[2:] == (6, 6)
    assert is_first(scan)


@pytest.mark.parametrize("tags", [OTHERS[3], OTHERS[4], OTHERS[5], OTHERS[6]])
def test_where_headers_leave_it_open_it_is_said(tmp_path, write_stack, tags):
    folder = tmp_path / "s"
    write_stack(folder, tags=CINE)
    write_stack(folder, seed=1, series="1.9", level=9, tags={**CINE, **LATER, **tags})
    assert read(folder).meta["n_undecided_slices"] == 4


@pytest.mark.parametrize("tags", OTHERS[:3])
def test_what_is_no_plain_cine_comes_second_by_itself(tmp_path, write_stack, tags):
    folder = tmp_path / "s"
    write_stack(folder, tags=CINE)
    write_stack(folder, seed=1, series="1.9", level=9, tags={**CINE, **LATER, **tags})
    scan = read(folder)
    assert is_first(scan)
    assert "n_undecided_slices" not in scan.meta


@pytest.mark.parametrize(
    "tags",
    [
        {"SequenceName": "*tfi2d1_15"},
        {"FlipAngle": 45},
        {"EchoTime": 1.6},
        {"SequenceVariant": ["SK", "SS", "OSP"]},
        {"SequenceVariant": None, "FlipAngle": None},
        {"SequenceName": None},
        {"InversionTime": 0, "ScanOptions": ["PFP", "SFP"]},
    ],
)
def test_a_cine_that_was_repeated_with_small_changes_is_taken(tmp_path, write_stack, tags):
    folder = tmp_path / "s"
    write_stack(folder, level=9, tags=CINE)
    long_axis(write_stack, folder)
    write_stack(folder, seed=1, series="1.9", tags={**CINE, **LATER, **tags})
    scan = read(folder)
    assert is_first(scan)
    assert "n_undecided_slices" not in scan.meta


def test_a_slice_of_another_kind_where_nothing_else_is_stays_in_the_stack(tmp_path, write_stack):
    folder = tmp_path / "s"
    write_stack(folder, slices=4, tags=CINE)
    write_stack(
        folder, seed=1, series="1.9", positions=[36.0], tags={**CINE, **LATER, "FlipAngle": 30}
    )
    assert read(folder).array.shape[2] == 5


def test_names_of_sequences_are_not_written(tmp_path, write_stack):
    folder = tmp_path / "s"
    write_stack(folder, tags={**CINE, "SequenceName": "*doe_jane"})
    assert "doe" not in str(read(folder).meta).lower()


#: What is left of a header that was stripped, and what a perfusion series says of itself.
SILENT = {"SequenceName": None, "SequenceVariant": None, "FlipAngle": None}


@pytest.mark.parametrize(
    ("cine", "later"),
    [
        (SILENT, {"FlipAngle": 12}),
        (SILENT, {"SequenceName": "*tfl2d1_66"}),
        (SILENT | {"EchoTime": None}, SILENT | {"EchoTime": 1.1}),
        (SILENT | {"ScanningSequence": None}, {"ScanningSequence": "GR"}),
        ({"SequenceName": None}, {"SequenceName": None, "FlipAngle": None}),
        ({}, SILENT),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_header_that_is_silent_beside_one_that_is_not_asks_for_review(
    tmp_path, write_stack, cine, later, beside
):
    folder = tmp_path / "s"
    write_stack(folder, slices=6, tags={**CINE, **cine})
    if beside:
        long_axis(write_stack, folder, **cine)
    write_stack(
        folder, seed=1, series="1.9", level=9, positions=[9.0, 27.0, 45.0],
        tags={**CINE, **LATER, **cine, **later},
    )  # fmt: skip
    assert read(folder).meta["n_undecided_slices"] == 3


def test_two_silent_headers_are_a_repetition(tmp_path, write_stack):
    folder = tmp_path / "s"
    write_stack(folder, level=9, tags=SILENT)
    write_stack(folder, seed=1, series="1.9", tags={**LATER, **SILENT})
    scan = read(folder)
    assert is_first(scan)
    assert "n_undecided_slices" not in scan.meta


@pytest.mark.parametrize(
    "tags",
    [
        {"FlipAngle": 35},
        {"SequenceName": "*fl2d1_12", "SequenceVariant": "SP", "FlipAngle": 20},
        {"EchoTime": 3.0},
        {"ScanningSequence": ["GR", "SE"]},
    ],
)
@pytest.mark.parametrize("n_slices", [6, 5])
def test_a_whole_second_cine_of_another_kind_asks_for_review(tmp_path, write_stack, tags, n_slices):
    folder = tmp_path / "s"
    write_stack(folder, slices=6, tags=CINE)
    long_axis(write_stack, folder)
    write_stack(
        folder, seed=1, series="1.9", level=9, slices=n_slices, tags={**CINE, **LATER, **tags}
    )
    scan = read(folder)
    assert is_first(scan)
    assert scan.meta["n_undecided_slices"] == n_slices


@pytest.mark.parametrize(
    ("tags", "along"),
    [
        ({"FlipAngle": 12}, [9.0, 27.0, 45.0]),  # perfusion: some of the slices
        ({"FlipAngle": 12, "ImageType": ["DERIVED", "SECONDARY", "M"]}, None),
        ({"FlipAngle": 12, "TriggerTime": 300.0}, None),  # one time of the cycle, beat by beat
        ({"FlipAngle": 12, "InversionTime": 180}, None),
    ],
)
def test_what_is_clearly_no_second_cine_asks_for_nothing(tmp_path, write_stack, tags, along):
    folder = tmp_path / "s"
    write_stack(folder, slices=6, tags=CINE)
    long_axis(write_stack, folder)
    write_stack(
        folder, seed=1, series="1.9", level=9, slices=6, positions=along,
        tags={**CINE, **LATER, **tags},
    )  # fmt: skip
    scan = read(folder)
    assert is_first(scan)
    assert "n_undecided_slices" not in scan.meta


def test_dynamics_that_count_time_from_beat_to_beat_are_no_second_cine(
    tmp_path, write_stack, edit_dicom
):
    folder = tmp_path / "s"
    write_stack(folder, slices=4, tags=CINE)
    long_axis(write_stack, folder)
    later = write_stack(
        folder, seed=1, series="1.9", level=9, tags={**CINE, **LATER, "FlipAngle": 12}
    )
    for path in later:
        edit_dicom(path, lambda data: setattr(data, "TriggerTime", data.TriggerTime * 20))
    scan = read(folder)
    assert is_first(scan)
    assert "n_undecided_slices" not in scan.meta
