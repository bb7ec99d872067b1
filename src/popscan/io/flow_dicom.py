"""Source ``dicom`` of flow: one folder per subject, any names; regions are NIfTI among them.

Phase images say the velocity encoding (`popscan.io.dicom_venc`); magnitude images are those at the
same place and times that are no complex difference, in which still tissue is dark. Enhanced
multi-frame files are not read: convert those first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from popscan.arrays.geometry import dicom_affine
from popscan.io.dicom import Dicom
from popscan.io.dicom_pixels import plane_pixels
from popscan.io.flow_images import FlowImage, Part, read_images
from popscan.io.flow_words import one_venc, packed, packed_labels, single
from popscan.io.folders import Folders
from popscan.io.nifti import is_nifti_name, stem_of
from popscan.io.nifti_raw import MAX_IMAGE_BYTES
from popscan.io.rawfile import RawFile, files_of, list_files
from popscan.io.references import read_reference
from popscan.io.sources import Found, Loaded, one_folder
from popscan.protocol import Protocol
from popscan.protocols.cine_sax.cycle import rr_in_ms, times_in_ms
from popscan.records import LabelMap, Scan, SubjectError

_PLACE_MM, _TIME_MS = 0.5, 1.0
#: Facts of a header that are kept.
_META = (
    "manufacturer", "model", "field_strength_t", "slice_thickness_mm", "flip_angle_deg", "rr_ms",
    "heart_rate_bpm",
)  # fmt: skip


class DicomFlow:
    """See the module.

    Parameters
    ----------
    protocol
        The study's.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the visits, as `popscan.io.dicom.Dicom.find`."""
        return Dicom(self.protocol).find(root, problems=problems, folders=folders)

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        max_tilt_deg: float = 5.0,
        flow: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths
            The visit's folder.
        views, max_tilt_deg
            As every source has them; not used.
        flow
            Config section ``source.flow``.

        Returns
        -------
        Loaded
            As `popscan.io.flow.BidsFlow.load`.

        Raises
        ------
        SubjectError
            ``no_phase``, ``no_magnitude``, ``several_images``, ``mixed_series``,
            ``frame_mismatch``, ``no_venc``, ``conflicting_venc``, ``bad_phase``, those of
            `popscan.io.flow_images` and of reading pixels.
        """
        folder = one_folder(paths)
        loaded = self.load_files(str(folder), files_of(folder), flow=flow)
        view = self.protocol.view
        named = [path for path in list_files(folder) if is_nifti_name(path)]
        files = [path for path in named if "dseg" in stem_of(path).lower()]
        try:
            if len(files) > 1:
                raise SubjectError("several_labels", f"{folder}: {len(files)} files named dseg")
            labels = [self.regions(path, loaded.scans[view]) for path in files]
        except SubjectError as error:
            return replace(loaded, label_problems={view: error})
        return replace(loaded, labels={view: labels[0]} if labels else {})

    def regions(self, path: str | Path, scan: Scan) -> LabelMap:
        """Read regions that were drawn on a scan.

        Raises
        ------
        SubjectError
            Those of `popscan.io.references.read_reference` and of `packed_labels`.
        """
        return packed_labels(read_reference(path, single(scan)), scan)

    def load_files(
        self,
        folder: str,
        files: Sequence[RawFile],
        *,
        views: Sequence[str] | None = None,
        max_tilt_deg: float = 5.0,
        flow: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit out of files that lie anywhere, without regions.

        Parameters
        ----------
        folder
            Of the visit, for messages.
        files
            At least one.
        views, max_tilt_deg, flow
            As `load`.
        """
        options = dict(flow or {})
        images, n_other = read_images(folder, files)
        name = str(options.get("name", "")).lower()
        phases = [image for image in images if image.part is Part.PHASE]
        named = [image for image in phases if name in image.names.lower()]
        if not named:
            along = sum(image.part is Part.IN_PLANE for image in images)
            raise SubjectError(
                "no_phase",
                f"{folder}: {len(images)} images, none a phase image of velocity through the plane"
                + (f" named {name!r}" if name else "")
                + (f"; {along} of directions along the plane" if along else ""),
            )
        chosen, others = _last_series(named, folder=folder)
        _require_one_cycle(chosen, folder=folder)
        magnitude = _beside(chosen, images, folder=folder)
        venc, by = _venc(chosen, float(options.get("venc_cm_s", 0.0)))
        facts = {
            "venc_cm_s": venc, "venc_by": by, "phase_kind": str(options.get("phase", "auto")),
            "positive": str(options.get("positive", "auto")),
        }  # fmt: skip
        scan = packed(_stacked(magnitude, folder=folder), _stacked(chosen, folder=folder), facts)
        left = len(images) - 2 * len(chosen)
        meta = {**scan.meta, "images_left_out": left + n_other}
        if left + n_other:
            meta["images_left_out_reason"] = f"{left} of other series, {n_other} no such images"
        notes = [f"{others} other series of the same plane; the last was taken"] if others else []
        view = self.protocol.view
        return Loaded(scans={view: replace(scan, view=view, meta=meta)}, notes=tuple(notes))


def _venc(chosen: Sequence[FlowImage], asked: float) -> tuple[float, str]:
    """Return the encoding that all phase images agree on."""
    if conflict := next((image.conflict for image in chosen if image.conflict), None):
        raise SubjectError(conflict.reason, str(conflict))
    if len({bool(image.venc_cm_s) for image in chosen}) > 1:
        raise SubjectError("no_venc", "some phase images of the series give no velocity encoding")
    found = {f"{image.venc_by} {image.venc_cm_s:g}": image.venc_cm_s for image in chosen}
    venc, by = one_venc({key: value for key, value in found.items() if value}, asked)
    return venc, by.rsplit(" ", 1)[0]


def _last_series(phases: Sequence[FlowImage], *, folder: str) -> tuple[list[FlowImage], int]:
    """Return the phase series that was taken last, in order of time, and how many are like it.

    Raises
    ------
    SubjectError
        ``several_images`` for series of several planes or names.
    """
    series: dict[str, list[FlowImage]] = defaultdict(list)
    for image in phases:
        series[image.plane.series].append(image)
    runs = sorted(series.values(), key=lambda run: (run[0].plane.series_number, run[0].plane.time))
    last = runs[-1]
    for run in runs[:-1]:
        if not _same_place(run[0], last[0]) or run[0].names != last[0].names:
            raise SubjectError(
                "several_images",
                f"{folder}: {len(runs)} series of phase images that are no repetitions of each "
                "other; set source.flow.name to a part of the right one's name",
            )
    if not all(_same_place(image, last[0]) for image in last):
        raise SubjectError("mixed_series", f"{folder}: phase images of a series differ in place")
    return _in_time(last), len(runs) - 1


def _require_one_cycle(chosen: Sequence[FlowImage], *, folder: str) -> None:
    """Refuse images whose times are not those of one cycle.

    Raises
    ------
    SubjectError
        ``mixed_series``.
    """
    times = [image.plane.trigger_ms for image in chosen if math.isfinite(image.plane.trigger_ms)]
    if times and len(times) < len(chosen):
        raise SubjectError(
            "mixed_series",
            f"{folder}: {len(chosen) - len(times)} of {len(chosen)} phase images of a series give "
            "no trigger time",
        )
    if 1 < len(set(times)) < len(times):
        raise SubjectError(
            "mixed_series",
            f"{folder}: {len(times)} phase images at {len(set(times))} trigger times: repetitions "
            "or directions in one series",
        )


def _in_time(images: Sequence[FlowImage]) -> list[FlowImage]:
    def key(image: FlowImage) -> tuple[float, int]:
        plane = image.plane
        return (plane.trigger_ms if math.isfinite(plane.trigger_ms) else 0.0, plane.instance)

    return sorted(images, key=key)


def _beside(
    chosen: Sequence[FlowImage], images: Sequence[FlowImage], *, folder: str
) -> list[FlowImage]:
    """Return the magnitude images at the place and times of phase images.

    Raises
    ------
    SubjectError
        ``no_magnitude``, ``frame_mismatch``.
    """
    series: dict[str, list[FlowImage]] = defaultdict(list)
    for image in images:
        if image.part is Part.MAGNITUDE and _same_place(image, chosen[0]):
            series[image.plane.series].append(image)
    if not series:
        raise SubjectError(
            "no_magnitude",
            f"{folder}: no magnitude image at the place of the {len(chosen)} phase images (complex "
            "differences do not count)",
        )
    runs = [run for run in series.values() if len(run) == len(chosen)]
    if not runs:
        counts = ", ".join(str(len(run)) for run in series.values())
        raise SubjectError(
            "frame_mismatch", f"{folder}: {len(chosen)} phase images, {counts} magnitude images"
        )
    number = chosen[0].plane.series_number
    found = _in_time(min(runs, key=lambda run: abs(run[0].plane.series_number - number)))
    apart = [
        abs(a.plane.trigger_ms - b.plane.trigger_ms) for a, b in zip(found, chosen, strict=True)
    ]
    if np.isfinite(apart).all() and max(apart) > _TIME_MS:
        raise SubjectError(
            "frame_mismatch", f"{folder}: trigger times of magnitude and phase images differ"
        )
    return found


def _same_place(first: FlowImage, other: FlowImage) -> bool:
    a, b = first.plane, other.plane
    return (a.rows, a.columns) == (b.rows, b.columns) and bool(
        np.allclose(a.orientation, b.orientation, atol=1e-3)
        and np.allclose(a.position, b.position, atol=_PLACE_MM)
        and math.isclose(a.row_spacing_mm, b.row_spacing_mm, rel_tol=1e-3)
        and math.isclose(a.column_spacing_mm, b.column_spacing_mm, rel_tol=1e-3)
    )


def _stacked(images: Sequence[FlowImage], *, folder: str) -> Scan:
    """Return images of one plane, in order of time, as (column, row, 1, t)."""
    plane = images[0].plane
    shape = (plane.columns, plane.rows, 1, len(images))
    if math.prod(shape) * 4 > MAX_IMAGE_BYTES:
        raise SubjectError("bad_header", f"{folder}: an image of {shape} is beyond the limit")
    array = np.zeros(shape, dtype=np.float32)
    for t, image in enumerate(images):
        array[:, :, 0, t] = plane_pixels(image.plane, folder=folder, as_shown=False)
    thickness = float(plane.meta.get("slice_thickness_mm", 0.0))
    distance = thickness if thickness > 0 else 1.0
    affine = dicom_affine(
        orientation=plane.orientation, first_position=plane.position,
        last_position=plane.position, n_slices=1,
        row_spacing_mm=plane.row_spacing_mm, column_spacing_mm=plane.column_spacing_mm,
        slice_spacing_mm=distance,
    )  # fmt: skip
    times = np.array([image.plane.trigger_ms for image in images])
    rising = bool(np.isfinite(times).all() and len(times) > 1 and (np.diff(times) > 0).all())
    meta: dict[str, Any] = {key: plane.meta[key] for key in _META if key in plane.meta}
    times_ms, factor = times_in_ms(times - times[0] if rising else None)
    if factor != 1.0:
        meta["frame_time_factor"] = factor
    if "rr_ms" in meta:
        meta.update(rr_in_ms(meta["rr_ms"]))
    return Scan(
        array=array, affine=affine,
        spacing_mm=(plane.column_spacing_mm, plane.row_spacing_mm, distance),
        frame_times_ms=times_ms,
        meta={**meta, "orientation_known": True},
    )  # fmt: skip
