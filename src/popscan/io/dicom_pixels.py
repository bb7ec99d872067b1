"""The pixels of a stack of DICOM planes, as a scan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import pixel_array

from popscan.arrays.dtypes import image_dtype
from popscan.arrays.geometry import dicom_affine, slice_distance_mm
from popscan.io.dicom_header import DAMAGE, Plane, open_dicom
from popscan.io.dicom_order import GUESS, natural, order_frames, own_triggers_ms
from popscan.io.dicom_place import placed
from popscan.io.dicom_stack import Stack
from popscan.io.dicom_stored import check_layout, stored_values
from popscan.io.nifti_raw import MAX_IMAGE_BYTES
from popscan.io.rawfile import list_files
from popscan.io.zipped import ZippedFile
from popscan.protocols.cine_sax.cycle import is_cycle_ms, rr_in_ms
from popscan.records import Scan, SubjectError


def stack_to_scan(stack: Stack, *, view: str, folder: str) -> Scan:
    """Read the pixels of a stack; axes (column, row, slice, frame), values as the file scales them.

    Slices whose planes were shifted against each other are moved by whole pixels onto the first
    one's grid; ``meta["in_plane_shift_mm"]`` gives how far at most.

    Raises
    ------
    SubjectError
        ``compressed_pixels``, ``truncated_file`` or ``bad_pixels``.
    """
    grid = stack.grid
    first = grid.plane
    distance, irregularity = slice_distance_mm(stack.along_mm)
    thickness = float(first.meta.get("slice_thickness_mm", math.nan))
    if math.isnan(distance):
        distance = thickness if thickness > 0 else 1.0
    shape = (first.columns, first.rows, len(stack.runs), stack.n_frames)
    if math.prod(shape) * 4 > MAX_IMAGE_BYTES:
        raise SubjectError("bad_header", f"{folder}: an image of {shape} is beyond the limit")
    array = np.zeros(shape, dtype=np.float32)
    most_mm = 0.0
    for z, run in enumerate(stack.runs):
        shift, shift_mm = grid.shift(run.planes[0])
        most_mm = max(most_mm, shift_mm if grid.same_shape(run.planes[0]) else 0.0)
        for t, plane in enumerate(run.planes):
            array[:, :, z, t] = placed(plane_pixels(plane, folder=folder), shift, shape[:2])
    meta = _stack_meta(stack)
    if irregularity > 0.01:
        meta["slice_irregularity"] = round(irregularity, 4)
    if most_mm > 0.1:
        meta["in_plane_shift_mm"] = round(most_mm, 3)
    n_before = sum(along < stack.along_mm[stack.grid_slice] for along in stack.along_mm)
    start = np.array(first.position) - grid.normal * distance * n_before
    affine = dicom_affine(
        orientation=first.orientation,
        first_position=start,
        last_position=start + grid.normal * distance * (len(stack.runs) - 1),
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


def plane_pixels(plane: Plane, *, folder: str, as_shown: bool = True) -> NDArray[np.float32]:
    """Pixels of one file as (column, row), slope and intercept applied.

    `as_shown` as in `popscan.io.dicom_stored.stored_values`.
    """
    try:
        data = open_dicom(plane.file, headers_only=False)
        syntax = getattr(data.file_meta, "TransferSyntaxUID", None)
    except DAMAGE as error:
        shown = _shown(plane, folder=folder)
        raise SubjectError("truncated_file", f"{shown}: damaged DICOM file") from error
    try:
        check_layout(data, shown=lambda: _shown(plane, folder=folder))
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
    columns, rows = plane.turn.stored(plane.columns, plane.rows)
    if pixels.shape != (rows, columns):
        raise SubjectError(
            "bad_pixels",
            f"{_shown(plane, folder=folder)}: pixels {pixels.shape}, grey values {rows} x "
            f"{columns} expected",
        )
    values = plane.turn.apply(stored_values(data, pixels, as_shown=as_shown).T)
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite ingest refuses
        return values * np.float32(plane.slope) + np.float32(plane.intercept)


def _shown(plane: Plane, *, folder: str) -> str:
    """Say which image this is, without its name: files are often named after the person."""
    if plane.instance >= 0 and plane.series_number >= 0:
        return f"{folder}, instance {plane.instance} of series {plane.series_number}"
    file = plane.file
    names = file.archive.names if isinstance(file, ZippedFile) else list_files(folder)
    own = file.name if isinstance(file, ZippedFile) else plane.path
    number = 1 + sum(natural(name) < natural(own) for name in names)
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
    noted = meta.pop("n_frames_told", None)
    if noted is not None and int(noted) != len(stack.runs[0].planes):
        meta["n_frames_told"] = int(noted)
    if "rr_ms" in meta:
        meta.update(rr_in_ms(meta["rr_ms"]))
    if not is_cycle_ms(meta.get("rr_ms", math.nan)) and "heart_rate_bpm" in meta:
        meta["rr_ms"] = 60000.0 / meta["heart_rate_bpm"]
    if inverted := sum(plane.inverted for plane in planes):
        meta["n_inverted_images"] = inverted
    return meta


def _frame_times(stack: Stack, meta: dict[str, Any]) -> tuple[NDArray[np.float64] | None, str]:
    """Median trigger time of each frame over the slices; beats differ from slice to slice."""
    orders = [order_frames(run.planes)[1] for run in stack.runs]
    order = orders[0] if len(set(orders)) == 1 else "mixed"
    timed = [run for run, by in zip(stack.runs, orders, strict=True) if by == "trigger_time"]
    if not timed or GUESS in orders:
        return None, order
    times = np.array([own_triggers_ms(run.planes) for run in timed])
    times = _in_step(_in_ms(times, meta), meta)
    known = np.isfinite(times)
    if not known.all():
        meta["n_tied_trigger_times"] = int(np.count_nonzero(~known))
    frames = np.arange(times.shape[1])
    noted = known.any(axis=0)
    if np.count_nonzero(noted) < 2:
        return None, order
    middle = np.full(len(frames), np.nan)
    middle[noted] = np.nanmedian(times[:, noted], axis=0)
    if not noted.all():
        middle = _between(middle)
    spread = float(np.nanmax(np.abs(times - middle)))
    if spread > 1.0:
        meta["frame_times_spread_ms"] = round(spread, 2)
    return middle, order


def _in_ms(times: NDArray[np.float64], meta: dict[str, Any]) -> NDArray[np.float64]:
    """Trigger times in ms where they were written in s or in microseconds, as the cycle shows."""
    cycle = meta.get("rr_ms", math.nan)
    span = float(np.nanmedian(np.nanmax(times, axis=1) - np.nanmin(times, axis=1)))
    if not 300 <= cycle <= 2000 or not span > 0:
        return times
    for unit, factor in (("s", 1000.0), ("us", 0.001)):
        if 0.5 <= span * factor / cycle <= 1.2:
            meta["trigger_time_unit"] = unit
            return times * factor
    return times


def _in_step(times: NDArray[np.float64], meta: dict[str, Any]) -> NDArray[np.float64]:
    """Let all slices begin together where they begin more than a frame apart; that is noted."""
    first = np.nanmin(times, axis=1, keepdims=True)
    steps = np.diff(times, axis=1)
    step = float(np.nanmedian(steps)) if np.isfinite(steps).any() else 0.0
    apart = float(np.ptp(first)) / step if step > 0 else 0.0
    if apart <= 1.0:
        return times
    meta["slice_start_frames"] = round(apart, 2)
    return times - first + float(np.min(first))


def _between(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill in times that no slice has to itself: on the line through their neighbours."""
    frames = np.arange(len(times))
    noted = np.flatnonzero(np.isfinite(times))
    filled = np.interp(frames, noted, times[noted])
    step = float(np.median(np.diff(times[noted]) / np.diff(noted)))
    first, last = noted[0], noted[-1]
    filled[:first] = times[first] - step * (first - frames[:first])
    filled[last + 1 :] = times[last] + step * (frames[last + 1 :] - last)
    return filled
