"""Series of DICOM files of one folder, as `popscan.sorting.facts.Facts`."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from popscan.arrays.geometry import plane_normal, slice_distance_mm, slice_positions_mm
from popscan.io.dicom_contrast import above_0
from popscan.io.dicom_enhanced import frame_headers
from popscan.io.dicom_entry import read_header
from popscan.io.dicom_folder import with_series
from popscan.io.dicom_header import DAMAGE, Plane, has_place, open_dicom, read_plane
from popscan.io.dicom_kind import Kind, foreign_modality, image_type, is_colour, is_phase
from popscan.io.dicom_order import day_seconds, has_triggers, order_frames
from popscan.io.dicom_pixels import plane_pixels
from popscan.io.dicom_venc import PRIVATE_TAGS, read_venc_cm_s
from popscan.io.rawfile import RawFile
from popscan.records import SubjectError
from popscan.sorting.facts import Facts, Floats
from popscan.sorting.picture import VOLUME_MM, coarse_volume, frames_shown, picture

#: Normals within this angle are one direction; slices within this distance one slice.
_SAME_COSINE, _SAME_PLACE_MM = math.cos(math.radians(5.0)), 1.0
#: From so many slices, at most so far apart, a series is a volume.
VOLUME_SLICES, VOLUME_STEP_MM = 40, 5.0
#: Gaps between slices that deviate by more of the usual gap: a slice is missing.
_GAP_TOLERANCE = 0.5
#: Trigger times that span so much are those of a cycle.
CYCLE_SPAN_MS = (200.0, 2500.0)
_REASONS = {
    Kind.DAMAGED: "damaged_files", Kind.MISSING: "file_missing", Kind.MODALITY: "wrong_modality",
    Kind.MULTIFRAME: "unsupported_multiframe", Kind.MISCOUNTED: "bad_header",
    Kind.UNPLACED: "no_planes", Kind.NO_IMAGE: "no_planes", Kind.CAPTURE: "no_planes",
    Kind.COLOUR: "bad_pixels",
}  # fmt: skip


@dataclass(frozen=True)
class Damaged:
    """Files of which no series is made, and why."""

    reason: str
    n_files: int


@dataclass(frozen=True)
class _Image:
    plane: Plane
    phase: bool
    derived: bool
    venc: bool
    inversion_ms: float


def dicom_series(
    files: Sequence[RawFile], *, place: str, subject: str, session: str
) -> Iterator[Facts | Damaged | str]:
    """Give the series of some files.

    Parameters
    ----------
    files
        Of one folder.
    place
        Of the folder, relative to the tree.
    subject, session
        Keys of whose it is, where headers give none; the subject is empty where that is not known.

    Returns
    -------
    iterator
        Facts, what is damaged, and the endings of files that are no DICOM.
    """
    images: list[_Image] = []
    damaged: Counter[str] = Counter()
    for file in files:
        found = _images(file)
        if isinstance(found, Kind):
            if found is Kind.OTHER:
                yield os.path.splitext(file.path)[1].lower()[:8]
            else:
                damaged[_REASONS.get(found, "damaged_files")] += 1
        else:
            images += found
    numbered = with_series([image.plane for image in images]) if images else []
    groups: dict[tuple[object, ...], list[_Image]] = defaultdict(list)
    for image, plane in zip(images, numbered, strict=True):
        grid = (plane.rows, plane.columns, round(plane.row_spacing_mm, 3))
        owner = (plane.patient, plane.study, plane.series)
        groups[(*owner, image.phase, *grid)].append(replace(image, plane=plane))
    for members in groups.values():
        first = members[0].plane
        try:
            yield replace(
                _facts(members, place=place),
                subject=_key(first.patient) or subject,
                session=_session(first, session),
                guessed=not (first.study or first.patient or subject),
            )
        except SubjectError as error:
            damaged[error.reason] += len({image.plane.path for image in members})
        except MemoryError:
            damaged["out_of_memory"] += len({image.plane.path for image in members})
        except Exception:  # as the runner: a fault of ours or of a library; the others go on
            damaged["unexpected_error"] += len({image.plane.path for image in members})
    for reason, count in sorted(damaged.items()):
        yield Damaged(reason=reason, n_files=count)


def _session(plane: Plane, folder: str) -> str:
    """Return the key of a visit: by its study, else by the patient in this folder."""
    if plane.study:
        return _key(plane.patient + plane.study)
    return f"{folder}/{_key(plane.patient)}" if plane.patient else folder


def _key(text: str) -> str:
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return found[:16] if text else ""


def _images(file: RawFile) -> list[_Image] | Kind:
    """Return the images of a file, or what it is."""
    try:
        if not file.is_regular():
            return Kind.OTHER
        data = open_dicom(file, headers_only=True, further=PRIVATE_TAGS)
    except (InvalidDicomError, IsADirectoryError, FileNotFoundError):
        return read_header(file).kind
    except DAMAGE:
        return Kind.DAMAGED
    try:
        if foreign_modality(data):
            return Kind.MODALITY
        if is_colour(data):
            return Kind.COLOUR
        if int(data.get("NumberOfFrames") or 1) == 1 and has_place(data):
            return [_image(file, data, -1)]
        if data.get("PerFrameFunctionalGroupsSequence"):
            frames = list(enumerate(frame_headers(data)))
            return [_image(file, f, i) for i, f in frames if has_place(f)] or Kind.UNPLACED
    except DAMAGE:
        return Kind.DAMAGED
    return read_header(file).kind


def _image(file: RawFile, data: pydicom.Dataset, frame: int) -> _Image:
    try:
        venc = read_venc_cm_s(data)[0] > 0
    except SubjectError as error:
        venc = error.reason == "conflicting_venc"
    return _Image(
        plane=read_plane(file, data, frame=frame),
        phase=is_phase(data),
        derived="DERIVED" in image_type(data)[:1],
        venc=venc,
        inversion_ms=above_0(data, "InversionTime"),
    )


def _facts(images: Sequence[_Image], *, place: str) -> Facts:
    """Return what is known of one series, but for whose it is.

    Raises
    ------
    SubjectError
        If its pixels cannot be read, or are of no possible size.
    """
    main, n_directions = _main_direction(images)
    planes = [image.plane for image in main]
    first = planes[0]
    normal = plane_normal(first.orientation)
    slices = _slices(planes, normal)
    along = sorted(slices)
    counts = [len(slices[a]) for a in along]
    distance, irregular = slice_distance_mm(along)
    middle, _ = order_frames(slices[along[len(along) // 2]])
    spacing = (first.column_spacing_mm, first.row_spacing_mm)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    frames = np.stack(
        [plane_pixels(middle[t], folder=place) for t in frames_shown(len(middle))], axis=2
    )
    corner = np.array(middle[0].position)
    centre = corner + row * spacing[0] * (first.columns - 1) / 2
    centre = centre + column * spacing[1] * (first.rows - 1) / 2
    seen = picture(frames, spacing_mm=spacing, row=row, column=column, centre_mm=centre)
    # The middle of a stack lies between its ends.
    centre = centre + normal * ((along[0] + along[-1]) / 2 - along[len(along) // 2])
    thickness = first.meta.get("slice_thickness_mm", math.nan)
    step = distance if math.isfinite(distance) else float(thickness)
    volume = None
    if len(along) >= VOLUME_SLICES and step <= VOLUME_STEP_MM:
        volume = _volume([slices[a][0] for a in along], spacing, step, place)
    lacking = {
        "frames": max(counts) - min(counts) > 1 and len(planes) > 2 * len(along),
        "slices": len(along) > 2 and irregular > _GAP_TOLERANCE and volume is None,
        "blank": seen.blank,
    }
    return Facts(
        place=place,
        subject="",
        session="",
        dicom=True,
        n_images=len(images),
        n_slices=len(along),
        n_frames=max(counts),
        n_directions=n_directions,
        matrix=(first.columns, first.rows),
        spacing_mm=spacing,
        slice_mm=step,
        row=row,
        column=column,
        normal=normal,
        centre_mm=centre,
        along_mm=tuple(round(a, 1) for a in along),
        signed=any(image.phase for image in images) or seen.symmetric,
        derived=all(image.derived for image in images),
        inversion_ms=tuple(sorted({i.inversion_ms for i in images if i.inversion_ms > 0})),
        prepared=any(image.plane.contrast.prepared for image in images),
        venc=any(image.venc for image in images),
        span_ms=_span_ms(middle),
        echo_ms=float(first.meta.get("echo_time_ms", math.nan)),
        repetition_ms=float(first.meta.get("repetition_time_ms", math.nan)),
        change=seen.change, focus=seen.focus, closing=seen.closing, change_mm=seen.change_mm,
        median=seen.median, high=seen.high, thumb=seen.thumb,
        volume=volume, volume_mm=VOLUME_MM if volume is not None else math.nan,
        sharpness=seen.sharpness, noise=seen.noise,
        incomplete=tuple(name for name, holds in lacking.items() if holds),
    )  # fmt: skip


def _main_direction(images: Sequence[_Image]) -> tuple[list[_Image], int]:
    """Return the images of the most usual direction, and how many directions there are."""
    groups: list[tuple[Floats, list[_Image]]] = []
    for image in images:
        normal = plane_normal(image.plane.orientation)
        for known, members in groups:
            if abs(float(known @ normal)) > _SAME_COSINE:
                members.append(image)
                break
        else:
            groups.append((normal, [image]))
    return max((members for _, members in groups), key=len), len(groups)


def _span_ms(frames: Sequence[Plane]) -> float:
    triggers = np.array([plane.trigger_ms for plane in frames])
    times = np.array([day_seconds(plane.time) for plane in frames])
    if len(frames) > 1 and has_triggers(frames):
        span = float(np.nanmax(triggers) - np.nanmin(triggers))
        if CYCLE_SPAN_MS[0] <= span <= CYCLE_SPAN_MS[1]:
            return span
    span = 1000.0 * float(np.ptp(times)) if np.isfinite(times).all() else 0.0
    return span if span > 0 else math.nan


def _slices(planes: Sequence[Plane], normal: Floats) -> dict[float, list[Plane]]:
    """Return place along the normal -> images there."""
    along = slice_positions_mm([plane.position for plane in planes], normal)
    found: dict[float, list[Plane]] = {}
    last = -math.inf
    for index in np.argsort(along, kind="stable"):
        if not found or along[index] - last > _SAME_PLACE_MM / 2:
            last = float(along[index])
            found[last] = []
        found[last].append(planes[index])
    return found


def _volume(
    planes: Sequence[Plane], spacing: tuple[float, float], step: float, place: str
) -> NDArray[np.float32] | None:
    first = planes[0]
    every = max(1, int(0.75 * VOLUME_MM / max(step, 0.1)))
    array = np.stack([plane_pixels(p, folder=place) for p in planes[::every]], axis=2)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    axes = np.stack([row, column, plane_normal(first.orientation)], axis=1)
    return coarse_volume(array, spacing_mm=(*spacing, step * every), axes=axes)
