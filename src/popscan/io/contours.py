"""Contours of the left ventricle drawn on DICOM files, as the Sunnybrook Cardiac Data have them.

Radau et al., The MIDAS Journal 2009 (hdl:10380/3070). One text file per contour, one point per line
as ``x y`` in pixels: ``IM-0001-NNNN-icontour-manual.txt`` is an endocardium, ``-ocontour-`` an
epicardium, and NNNN is the number in the name of the image file it was drawn on. Not every slice
and frame has one, so a plane without a contour was not judged; it is no plane without a heart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from popscan.io.dicom import short_axis_stack
from popscan.io.dicom_place import placed
from popscan.io.dicom_stack import Stack
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.orientation import standard_orientation
from popscan.records import LabelMap, Scan, SubjectError

_NAME = re.compile(r".*?(\d+)-(i|o)contour-(manual|auto)\.txt", re.IGNORECASE)
_ENDOCARDIUM, _EPICARDIUM = "i", "o"
#: A contour of a heart has a few hundred points; larger files are something else.
_MAX_BYTES = 1_000_000

Contours = Mapping[tuple[int, str], Path]


@dataclass(frozen=True, kw_only=True)
class Contoured:
    """A short-axis cine with contours of its left ventricle.

    Attributes
    ----------
    scan
        In the orientation that `Scan` defines.
    labels
        `Label.LV` within the endocardium, `Label.MYO` between it and the epicardium; on its
        ``frames`` at least one slice has a contour.
    endocardium, epicardium : ndarray of bool, shape (z, t)
        Planes on which each was drawn. Elsewhere `labels` say nothing of it.
    """

    scan: Scan
    labels: LabelMap
    endocardium: NDArray[np.bool_]
    epicardium: NDArray[np.bool_]


def read_polygon(path: str | Path) -> NDArray[np.float64]:
    """Read a contour.

    Returns
    -------
    ndarray, shape (point, 2)
        x (column) and y (row) in pixels, as the file has them.

    Raises
    ------
    SubjectError
        ``bad_contour``: not a text of two finite numbers per line, or fewer than three points.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SubjectError("bad_contour", f"{path}: more than {_MAX_BYTES} bytes")
        lines = path.read_text(encoding="ascii").splitlines()
        points = [[_number(word) for word in line.split()] for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise SubjectError(
            "bad_contour", f"{path}: not a contour, two numbers per line expected ({error})"
        ) from error
    if any(len(point) != 2 for point in points):
        raise SubjectError("bad_contour", f"{path}: every line needs two numbers, x and y")
    polygon = np.array(points, dtype=float).reshape(-1, 2)
    if len(polygon) < 3 or not np.isfinite(polygon).all():
        raise SubjectError(
            "bad_contour", f"{path}: {len(polygon)} points, at least three finite ones expected"
        )
    return polygon


def _number(word: str) -> float:
    if "_" in word:  # to Python 1_0 is 10
        raise ValueError(f"{word!r} is not a number")
    return float(word)


def find_contours(folder: str | Path) -> Contours:
    """List the contours in a folder and below: image number and ``i`` or ``o`` -> file.

    Where a contour was drawn by hand and by a program, the hand counts.

    Raises
    ------
    SubjectError
        ``contours_missing`` if there is no such folder or no contour in it.
    """
    folder = Path(folder)
    found: dict[tuple[int, str], Path] = {}
    for path in sorted(folder.rglob("*.txt")) if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        key = (int(match[1]), match[2].lower())
        if key not in found or match[3].lower() == "manual":
            found[key] = path
    if not found:
        raise SubjectError("contours_missing", f"{folder}: no files *-icontour-manual.txt there")
    return found


def polygon_mask(
    polygon: NDArray[np.float64], shape: tuple[int, int], *, first_pixel: float = 1.0
) -> NDArray[np.bool_]:
    """Return the pixels (x, y) whose centres lie within a polygon.

    Parameters
    ----------
    polygon
        Shape (point, 2).
    shape
        Of the image.
    first_pixel
        Coordinate of the first pixel's centre: 1 where counting starts at one.
    """
    return polygon2mask(shape, polygon - first_pixel)


def read_contoured(
    images: str | Path, contours: str | Path, *, first_pixel: float = 1.0
) -> Contoured:
    """Read a short-axis cine and the contours drawn on its files.

    Parameters
    ----------
    images
        Folder of the subject's DICOM files; the last number in a file's name is its number.
    contours
        Folder of its contours.
    first_pixel
        As in `polygon_mask`.

    Raises
    ------
    SubjectError
        ``contours_missing``, ``bad_contour``, ``contour_without_image`` (a contour's number is no
        file of the stack), ``contour_outside`` (beyond the image), and those of
        `popscan.io.dicom.Dicom.load`.
    """
    files = find_contours(contours)
    stack, scan = short_axis_stack(images)
    where = _numbers(stack)
    masks = {k: np.zeros(scan.array.shape, dtype=bool) for k in (_ENDOCARDIUM, _EPICARDIUM)}
    drawn = {k: np.zeros(scan.array.shape[2:], dtype=bool) for k in masks}
    for (number, kind), path in sorted(files.items()):
        if number not in where:
            raise SubjectError(
                "contour_without_image",
                f"{path}: image {number} is not among the {len(where)} of the short-axis stack",
            )
        z, t = where[number]
        polygon = read_polygon(path)
        plane = stack.runs[z].planes[t]
        stored = plane.turn.stored(plane.columns, plane.rows)
        size = np.array(stored) + 1
        if (polygon < 0).any() or (polygon > size).any():
            raise SubjectError("contour_outside", f"{path}: beyond the image of {size - 1} pixels")
        mask = polygon_mask(polygon, stored, first_pixel=first_pixel)
        shift, _ = stack.grid.shift(stack.runs[z].planes[0])
        turned = plane.turn.apply(mask.astype(np.float32))
        whole = placed(turned, shift, scan.array.shape[:2])
        masks[kind][:, :, z, t] = whole > 0
        drawn[kind][z, t] = True
    array = np.zeros(scan.array.shape, dtype=np.uint8)
    array[masks[_EPICARDIUM]] = Label.MYO
    array[masks[_ENDOCARDIUM]] = Label.LV
    return _turned(scan, array, drawn)


def _numbers(stack: Stack) -> dict[int, tuple[int, int]]:
    """Return number in the file name -> slice and frame."""
    found: dict[int, tuple[int, int]] = {}
    for z, run in enumerate(stack.runs):
        for t, plane in enumerate(run.planes):
            digits = re.findall(r"\d+", Path(plane.path).stem)
            if digits:
                found[int(digits[-1])] = (z, t)
    return found


def _turned(scan: Scan, array: NDArray[np.uint8], drawn: Mapping[str, NDArray]) -> Contoured:
    """Bring everything into the standard orientation; planes are turned as slices are."""
    frames = tuple(int(t) for t in np.flatnonzero(np.any(list(drawn.values()), axis=(0, 1))))
    turned, labels = standard_orientation(scan, LabelMap(array=array, frames=frames))
    assert labels is not None
    planes = {}
    for kind, flags in drawn.items():
        carrier = np.broadcast_to(flags, scan.array.shape).astype(np.uint8)
        _, moved = standard_orientation(scan, replace(labels, array=carrier))
        assert moved is not None
        planes[kind] = moved.array[0, 0].astype(bool)
    return Contoured(
        scan=turned,
        labels=labels,
        endocardium=planes[_ENDOCARDIUM],
        epicardium=planes[_EPICARDIUM],
    )
