"""The pixels of a stack of DICOM planes, as a scan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import pixel_array

from popscan.arrays.dtypes import image_dtype
from popscan.arrays.geometry import (
    dicom_affine,
    plane_normal,
    slice_distance_mm,
    slice_positions_mm,
)
from popscan.ingest.orientation import axis_of
from popscan.io.dicom_header import DAMAGE, Plane, open_dicom
from popscan.io.dicom_stack import Stack, order_frames
from popscan.io.nifti_raw import MAX_IMAGE_BYTES
from popscan.io.sources import list_files
from popscan.records import Scan, SubjectError


def stack_to_scan(stack: Stack, *, view: str, folder: str) -> Scan:
    """Read the pixels of a stack; axes (column, row, slice, frame), values as the file scales them.

    Slices whose planes were shifted against each other are moved by whole pixels onto the first
    one's grid; ``meta["in_plane_shift_mm"]`` tells how far at most.

    Raises
    ------
    SubjectError
        ``compressed_pixels``, ``truncated_file`` or ``bad_pixels``.
    """
    first = stack.runs[0].planes[0]
    normal = axis_of(plane_normal(first.orientation))
    along = slice_positions_mm([r.planes[0].position for r in stack.runs], normal)
    distance, irregularity = slice_distance_mm(along)
    thickness = float(first.meta.get("slice_thickness_mm", math.nan))
    if math.isnan(distance):
        distance = thickness if thickness > 0 else 1.0
    shape = (first.columns, first.rows, len(stack.runs), len(stack.runs[0].planes))
    if math.prod(shape) * 4 > MAX_IMAGE_BYTES:
        raise SubjectError("bad_header", f"{folder}: an image of {shape} is beyond the limit")
    array = np.zeros(shape, dtype=np.float32)
    most_mm = 0.0
    for z, run in enumerate(stack.runs):
        shift, shift_mm = in_plane_shift(first, run.planes[0])
        most_mm = max(most_mm, shift_mm)
        for t, plane in enumerate(run.planes):
            array[:, :, z, t] = shifted(_pixels(plane, folder=folder), shift)
    meta = _stack_meta(stack)
    if irregularity > 0.01:
        meta["slice_irregularity"] = round(irregularity, 4)
    if most_mm > 0.1:
        meta["in_plane_shift_mm"] = round(most_mm, 3)
    step = normal * distance * (len(stack.runs) - 1)
    affine = dicom_affine(
        orientation=first.orientation,
        first_position=first.position,
        last_position=np.array(first.position) + step,
        n_slices=len(stack.runs),
        row_spacing_mm=first.row_spacing_mm,
        column_spacing_mm=first.column_spacing_mm,
        slice_spacing_mm=distance,
    )
    times, order = _frame_times(stack, meta)
    return Scan(
        array=_whole_numbers(array),
        affine=affine,
        spacing_mm=(first.column_spacing_mm, first.row_spacing_mm, distance),
        frame_times_ms=times,
        view=view,
        meta={**meta, "frame_order": order, "orientation_known": True},
    )


def _whole_numbers(array: NDArray[np.float32]) -> NDArray[Any]:
    limits = np.iinfo(np.int16)
    if array.size and limits.min <= array.min() and array.max() <= limits.max:
        whole = array.astype(np.int16)
        if np.array_equal(whole, array):
            return whole
    return image_dtype(array)


def in_plane_shift(first: Plane, plane: Plane) -> tuple[tuple[int, int], float]:
    """Return the pixels (x, y) by which a plane lies off the first one's grid, and the mm."""
    offset = np.array(plane.position) - np.array(first.position)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    x_mm, y_mm = float(offset @ row), float(offset @ column)
    shift = (round(x_mm / first.column_spacing_mm), round(y_mm / first.row_spacing_mm))
    return shift, math.hypot(x_mm, y_mm)


def shifted(pixels: NDArray[np.float32], shift: tuple[int, int]) -> NDArray[np.float32]:
    """Return pixels moved by whole steps along x and y; what comes in from beyond is 0."""
    if shift == (0, 0):
        return pixels
    out = np.zeros_like(pixels)
    to, come = [], []
    for size, step in zip(pixels.shape, shift, strict=True):
        step = max(-size, min(size, step))
        to.append(slice(max(step, 0), size + min(step, 0)))
        come.append(slice(max(-step, 0), size - max(step, 0)))
    out[tuple(to)] = pixels[tuple(come)]
    return out


def _pixels(plane: Plane, *, folder: str) -> NDArray[np.float32]:
    """Pixels of one file as (column, row), slope and intercept applied."""
    try:
        data = open_dicom(plane.path, headers_only=False)
        syntax = getattr(data.file_meta, "TransferSyntaxUID", None)
    except DAMAGE as error:
        shown = _shown(plane, folder=folder)
        raise SubjectError("truncated_file", f"{shown}: damaged DICOM file") from error
    try:
        pixels = pixel_array(data, index=plane.frame if plane.frame >= 0 else None)
    except (RuntimeError, NotImplementedError, ImportError) as error:
        name = getattr(syntax, "name", "an unknown one")
        raise SubjectError(
            "compressed_pixels",
            f"{_shown(plane, folder=folder)}: no decoder for transfer syntax {name}; decompress "
            "the files first (e.g. with dcmdjpeg or gdcmconv --raw)",
        ) from error
    except DAMAGE as error:
        shown = _shown(plane, folder=folder)
        raise SubjectError(
            "truncated_file", f"{shown}: incomplete pixel data ({type(error).__name__})"
        ) from error
    if pixels.shape != (plane.rows, plane.columns):
        raise SubjectError(
            "bad_pixels",
            f"{_shown(plane, folder=folder)}: pixels {pixels.shape}, grey values {plane.rows} x "
            f"{plane.columns} expected",
        )
    values = np.asarray(pixels.T, dtype=np.float32)
    return values * np.float32(plane.slope) + np.float32(plane.intercept)


def _shown(plane: Plane, *, folder: str) -> str:
    """Say which image this is, without its name: files are often named after the person."""
    if plane.instance >= 0 and plane.series_number >= 0:
        return f"{folder}, instance {plane.instance} of series {plane.series_number}"
    number = 1 + sum(path < plane.path for path in list_files(folder))
    return f"{folder}, file {number} in order of names"


def _stack_meta(stack: Stack) -> dict[str, Any]:
    """Facts of the headers: numbers as the median over images, words if they agree."""
    meta: dict[str, Any] = dict(stack.notes)
    planes = [plane for run in stack.runs for plane in run.planes]
    for key in sorted({key for plane in planes for key in plane.meta}):
        values = [plane.meta[key] for plane in planes if key in plane.meta]
        if isinstance(values[0], str):
            if len(set(values)) == 1:
                meta[key] = values[0]
        else:
            meta[key] = float(np.median(values))
    told = meta.pop("n_frames_told", None)
    if told is not None and int(told) != len(stack.runs[0].planes):
        meta["n_frames_told"] = int(told)
    if "rr_ms" not in meta and "heart_rate_bpm" in meta:
        meta["rr_ms"] = 60000.0 / meta["heart_rate_bpm"]
    return meta


def _frame_times(stack: Stack, meta: dict[str, Any]) -> tuple[NDArray[np.float64] | None, str]:
    """Median trigger time of each frame over the slices; beats differ from slice to slice."""
    orders = {order_frames(run.planes)[1] for run in stack.runs}
    order = orders.pop() if len(orders) == 1 else "mixed"
    if order != "trigger_time":
        return None, order
    times = np.array([[p.trigger_ms for p in run.planes] for run in stack.runs])
    middle = np.median(times, axis=0)
    spread = float(np.max(np.abs(times - middle)))
    if spread > 1.0:
        meta["frame_times_spread_ms"] = round(spread, 2)
    return middle, order
