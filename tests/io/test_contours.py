"""Contours on DICOM files: where they land, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from popscan.io.contours import find_contours, polygon_mask, read_contoured, read_polygon
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError

SQUARE = np.array([[3.0, 2.0], [6.0, 2.0], [6.0, 5.0], [3.0, 5.0]])


def write(folder: Path, number: int, kind: str = "i", points=SQUARE, by: str = "manual") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"IM-0001-{number:04d}-{kind}contour-{by}.txt"
    path.write_text("".join(f"{x:.2f} {y:.2f}\n" for x, y in points))
    return path


@pytest.fixture
def exam(tmp_path, write_stack):
    """DICOM files named by number, and which (slice, frame) each is."""
    files = write_stack(tmp_path / "dicom")
    for number, path in enumerate(sorted(files)):
        path.rename(path.with_name(f"{number}.dcm"))
    return tmp_path / "dicom", tmp_path / "contours"


def test_polygon_counts_pixels_from_one_as_asked():
    mask = polygon_mask(SQUARE + 0.25, (8, 7))
    assert np.argwhere(mask).min(axis=0).tolist() == [3, 2]
    assert mask.sum() == 9
    zero = polygon_mask(SQUARE + 0.25, (8, 7), first_pixel=0.0)
    np.testing.assert_array_equal(zero[1:, 1:], mask[:-1, :-1])


def test_contours_land_on_their_own_slice_and_frame(exam):
    from popscan.io import get_source

    images, contours = exam
    plain = get_source("dicom").load((str(images),)).scans["sax"]
    for number in (0, 7):
        write(contours, number)
        write(contours, number, "o", [[1.5, 0.5], [8.5, 0.5], [8.5, 7.5], [1.5, 7.5]])
    found = read_contoured(images, contours)
    np.testing.assert_array_equal(found.scan.array, plain.array)
    assert found.labels.array.shape == plain.array.shape
    assert found.endocardium.sum() == found.epicardium.sum() == 2
    np.testing.assert_array_equal(found.endocardium, found.epicardium)
    drawn = (found.labels.array > 0).any(axis=(0, 1))
    np.testing.assert_array_equal(drawn, found.endocardium)
    assert set(found.labels.frames) == set(np.flatnonzero(drawn.any(axis=0)))
    cavity = found.labels.array == Label.LV
    wall = found.labels.array == Label.MYO
    assert cavity.any()
    assert wall.any()
    # The wall is all around the cavity.
    z, t = np.argwhere(drawn)[0]
    (x0, y0), (x1, y1) = (
        np.argwhere(cavity[:, :, z, t]).min(0),
        np.argwhere(cavity[:, :, z, t]).max(0),
    )
    assert wall[x0 - 1, y0 : y1 + 1, z, t].all()
    assert wall[x1 + 1, y0 : y1 + 1, z, t].all()


def test_the_hand_counts_before_the_program(tmp_path):
    write(tmp_path / "c", 3, by="auto")
    manual = write(tmp_path / "c", 3, by="manual")
    write(tmp_path / "c", 4, by="auto")
    (tmp_path / "c" / "notes.txt").write_text("nothing")
    found = find_contours(tmp_path / "c")
    assert found[3, "i"] == manual
    assert set(found) == {(3, "i"), (4, "i")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 2\n3 4\n",
        "1 2\n3 4\nfive 6\n",
        "1 2 3\n" * 4,
        "1 2\n3 nan\n5 6\n",
        "1 2\n3 inf\n5 6\n",
        "1\n2\n3\n",
        "\x00\x01\x02",
        "1,2\n3,4\n5,6\n",
    ],
)
def test_broken_contours_are_refused(tmp_path, text):
    path = tmp_path / "IM-0001-0001-icontour-manual.txt"
    path.write_text(text)
    with pytest.raises(SubjectError) as caught:
        read_polygon(path)
    assert caught.value.reason == "bad_contour"
    assert path.name in str(caught.value)


def test_binary_and_huge_and_absent_files_are_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xff\xfe" * 10)
    huge = tmp_path / "huge.txt"
    huge.write_text("1 2\n" * 300_000)
    for bad in (path, huge, tmp_path / "gone.txt"):
        with pytest.raises(SubjectError) as caught:
            read_polygon(bad)
        assert caught.value.reason == "bad_contour"


def test_missing_folder_unknown_image_and_points_beyond(exam, tmp_path):
    images, contours = exam
    for folder in (tmp_path / "nowhere", images):
        with pytest.raises(SubjectError) as caught:
            read_contoured(images, folder)
        assert caught.value.reason == "contours_missing"
    write(contours, 0)
    stray = write(contours, 4711)
    with pytest.raises(SubjectError) as caught:
        read_contoured(images, contours)
    assert caught.value.reason == "contour_without_image"
    assert "4711" in str(caught.value)
    stray.unlink()
    write(contours, 1, points=SQUARE + 1000)
    with pytest.raises(SubjectError) as caught:
        read_contoured(images, contours)
    assert caught.value.reason == "contour_outside"
