"""Source ``dicom`` of T1 maps: one folder per subject, any names; regions are NIfTI among them.

Inversion times are those of (0018,0082), or of Siemens's image comments (``TIeff 100 ms``). Private
tags are not read, nor are enhanced multi-frame files: convert those first. Phase images of
the same series or of one beside it give the signs, where their scale is known.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.geometry import dicom_affine, plane_normal, slice_distance_mm
from popscan.arrays.phase import MILLIRADIANS, RADIANS, half_turn
from popscan.io.dicom import Dicom
from popscan.io.dicom_pixels import plane_pixels
from popscan.io.folders import Folders
from popscan.io.mapping import every_frame
from popscan.io.mapping_images import MapImage, Part, read_images
from popscan.io.mapping_words import named_scheme
from popscan.io.nifti import is_nifti_name, stem_of
from popscan.io.nifti_raw import MAX_IMAGE_BYTES
from popscan.io.rawfile import RawFile, files_of, list_files
from popscan.io.references import read_reference
from popscan.io.sources import Found, Loaded, one_folder
from popscan.protocol import Protocol
from popscan.records import LabelMap, Scan, SubjectError
from popscan.relaxometry import signs_from_phase

#: Slices are as far apart as each other within this share.
_IRREGULAR = 0.05
_PLACE_MM = 0.5
#: Facts of a header that are kept.
_META = ("manufacturer", "model", "field_strength_t", "slice_thickness_mm", "flip_angle_deg")


class DicomMaps:
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
        mapping: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths
            The visit's folder.
        views, max_tilt_deg
            As every source has them; not used.
        mapping
            Config section ``source.mapping``.

        Returns
        -------
        Loaded
            As `popscan.io.mapping.BidsMaps.load`.

        Raises
        ------
        SubjectError
            ``view_missing``, ``no_times``, ``mixed_series``, ``irregular_slices``, those of
            `popscan.io.mapping_images` and of reading pixels.
        """
        folder = one_folder(paths)
        loaded = self.load_files(str(folder), files_of(folder), mapping=mapping)
        view = self.protocol.view
        labels, problem = _labels(folder, loaded.scans[view])
        return replace(
            loaded,
            labels={} if labels is None else {view: labels},
            label_problems={} if problem is None else {view: problem},
        )

    def load_files(
        self,
        folder: str,
        files: Sequence[RawFile],
        *,
        views: Sequence[str] | None = None,
        max_tilt_deg: float = 5.0,
        mapping: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit out of files that lie anywhere, without regions.

        Parameters
        ----------
        folder
            Of the visit, for messages.
        files
            At least one.
        views, max_tilt_deg, mapping
            As `load`.
        """
        options = dict(mapping or {})
        images, n_other = read_images(folder, files)
        name = str(options.get("name", "")).lower()
        fitting = [image for image in images if name in image.names.lower()]
        raw = [image for image in fitting if image.part is Part.MAGNITUDE]
        ready = [image for image in fitting if image.part is Part.MAP]
        notes = []
        if raw and options.get("use", "raw") == "raw":
            chosen = _last_series(raw)
            phases = [image for image in fitting if image.part is Part.PHASE]
            scan, note = _raw_scan(chosen, phases, options, folder=folder)
            notes += [note] if note else []
        elif ready:
            chosen = _maps(ready)
            scan = _map_scan(chosen, options, folder=folder)
        else:
            raise SubjectError(
                "no_times" if images else "view_missing",
                f"{folder}: {len(fitting)} images without an inversion time in (0018,0082) or "
                "their comment, and none is called a T1 map"
                + (f"; {len(images) - len(fitting)} are not named {name!r}" if name else ""),
            )
        view = self.protocol.view
        pool = raw if chosen[0].part is Part.MAGNITUDE else ready
        left = len(pool) - len(chosen)
        meta = {**scan.meta, "images_left_out": left + n_other}
        if others := _other_series(chosen, pool):
            meta["other_series"] = others
        if left + n_other:
            meta["images_left_out_reason"] = f"{left} of other series, {n_other} no such images"
        if n := sum(image.plane.inverted for image in chosen):
            notes.append(f"{n} images are to be shown inverted (MONOCHROME1): values as stored")
        scan = Scan(**{**vars(scan), "view": view, "meta": meta})
        return Loaded(scans={view: scan}, notes=tuple(notes))

    def regions(self, path: str | Path, scan: Scan) -> LabelMap:
        """Read regions that were drawn on a scan.

        Raises
        ------
        SubjectError
            Those of `popscan.io.references.read_reference` and `every_frame`.
        """
        return every_frame(read_reference(path, scan), scan)


def _last_series(images: Sequence[MapImage]) -> list[MapImage]:
    """Images of the series that was taken last, and of those that continue it at other places."""
    series: dict[str, list[MapImage]] = defaultdict(list)
    for image in images:
        series[image.plane.series].append(image)
    runs = sorted(series.values(), key=lambda run: (run[0].plane.series_number, run[0].plane.time))
    chosen = runs.pop()
    places = set(_by_place(chosen))
    times = sorted(image.time_ms for image in chosen)
    while runs:
        run = runs.pop()
        alike = _same_grid(chosen[0], run[0]) and set(run[0].names.split()) == set(
            chosen[0].names.split()
        )
        new = not places & set(_by_place(run))
        if alike and new and sorted(image.time_ms for image in run) == times:
            chosen, places = chosen + run, places | set(_by_place(run))
    return chosen


def _maps(images: Sequence[MapImage]) -> list[MapImage]:
    """One map per place: what is called so by itself before what only its series is; the last."""
    named = [image for image in images if image.named_map] or list(images)
    first = max(named, key=lambda i: (i.plane.series_number, i.plane.instance))
    by_place: dict[int, MapImage] = {}
    for image in sorted(named, key=lambda i: (i.plane.series_number, i.plane.instance)):
        if _same_grid(first, image):
            by_place[_place(image)] = image
    return list(by_place.values())


def _other_series(chosen: Sequence[MapImage], pool: Sequence[MapImage]) -> int:
    """How many further series lie where the chosen ones do: repeats, or after contrast agent."""
    taken, places = {image.plane.series for image in chosen}, set(_by_place(chosen))
    others = {
        image.plane.series for image in pool
        if _same_grid(chosen[0], image) and _place(image) in places
    }  # fmt: skip
    return len(others - taken)


def _place(image: MapImage) -> int:
    """Position along the normal, in half millimetres."""
    normal = plane_normal(image.plane.orientation)
    return round(float(np.dot(normal, image.plane.position)) / _PLACE_MM)


def _by_place(images: Sequence[MapImage]) -> dict[int, list[MapImage]]:
    places: dict[int, list[MapImage]] = defaultdict(list)
    for image in images:
        places[_place(image)].append(image)
    return dict(sorted(places.items()))


def _same_grid(first: MapImage, other: MapImage) -> bool:
    a, b = first.plane, other.plane
    return (a.rows, a.columns) == (b.rows, b.columns) and bool(
        np.allclose(a.orientation, b.orientation, atol=1e-3)
        and math.isclose(a.row_spacing_mm, b.row_spacing_mm, rel_tol=1e-3)
        and math.isclose(a.column_spacing_mm, b.column_spacing_mm, rel_tol=1e-3)
    )


def _stacked(
    places: Mapping[int, Sequence[MapImage]], *, folder: str
) -> tuple[NDArray[np.float32], Scan]:
    """Pixels (column, row, slice, image), and a scan that says where they lie.

    Raises
    ------
    SubjectError
        ``mixed_series``, ``irregular_slices``, ``bad_header``.
    """
    first = next(iter(places.values()))[0]
    counts = {len(images) for images in places.values()}
    grids = all(_same_grid(first, image) for images in places.values() for image in images)
    if len(counts) > 1 or not grids:
        raise SubjectError(
            "mixed_series", f"{folder}: slices of one series differ in grid or number of images"
        )
    along = [float(place) * _PLACE_MM for place in places]
    distance, irregular = slice_distance_mm(along)
    if math.isnan(distance):
        thickness = float(first.plane.meta.get("slice_thickness_mm", 0.0))
        distance = thickness if thickness > 0 else 1.0
    elif irregular > _IRREGULAR:
        raise SubjectError("irregular_slices", f"{folder}: slices at {along} mm along their normal")
    plane, n = first.plane, counts.pop()
    shape = (plane.columns, plane.rows, len(places), n)
    if math.prod(shape) * 4 > MAX_IMAGE_BYTES:
        raise SubjectError("bad_header", f"{folder}: an image of {shape} is beyond the limit")
    array = np.zeros(shape, dtype=np.float32)
    for z, images in enumerate(places.values()):
        for t, image in enumerate(images):
            array[:, :, z, t] = plane_pixels(image.plane, folder=folder, as_shown=False)
    last = list(places.values())[-1][0].plane
    affine = dicom_affine(
        orientation=plane.orientation, first_position=plane.position,
        last_position=last.position, n_slices=len(places), row_spacing_mm=plane.row_spacing_mm,
        column_spacing_mm=plane.column_spacing_mm, slice_spacing_mm=distance,
    )  # fmt: skip
    meta = {key: plane.meta[key] for key in _META if key in plane.meta}
    spacing = (plane.column_spacing_mm, plane.row_spacing_mm, distance)
    return array, Scan(
        array=array, affine=affine, spacing_mm=spacing, meta={**meta, "orientation_known": True}
    )


def _raw_scan(
    chosen: Sequence[MapImage],
    phases: Sequence[MapImage],
    options: Mapping[str, Any],
    *,
    folder: str,
) -> tuple[Scan, str]:
    """Raw images as a scan, signed where phase images are there, and what is to note."""
    places = {
        place: sorted(images, key=lambda i: (i.time_ms, i.plane.instance))
        for place, images in _by_place(chosen).items()
    }
    times = [image.time_ms for image in next(iter(places.values()))]
    array, grid = _stacked(places, folder=folder)
    if any([i.time_ms for i in images] != times for images in places.values()):
        raise SubjectError("mixed_series", f"{folder}: inversion times differ between slices")
    phase, note = _phase(places, phases, folder=folder)
    if phase is not None:
        signs = signs_from_phase(np.moveaxis(phase, 3, 0), times)
        array = np.abs(array) * np.moveaxis(signs, 0, 3).astype(np.float32)
    names = " ".join(image.names for image in chosen)
    scheme, by = named_scheme(names, str(options.get("scheme", "auto")))
    facts = {
        "kind": "raw", "times_ms": times, "signed": phase is not None, "scheme": scheme,
        "scheme_by": by,
    }  # fmt: skip
    return Scan(**{**vars(grid), "array": array, "meta": {**grid.meta, "relaxation": facts}}), note


def _phase(
    places: Mapping[int, Sequence[MapImage]], phases: Sequence[MapImage], *, folder: str
) -> tuple[NDArray[np.float64] | None, str]:
    """Phase images of the same places and times, in radians; None and why where there are none."""
    matched: dict[int, list[MapImage]] = {}
    for place, images in places.items():
        here = [p for p in phases if _place(p) == place and _same_grid(images[0], p)]
        by_time = {p.time_ms: p for p in sorted(here, key=lambda p: p.plane.series_number)}
        if any(image.time_ms not in by_time for image in images):
            return None, ""
        matched[place] = [by_time[image.time_ms] for image in images]
    array, _ = _stacked(matched, folder=folder)
    first = next(iter(matched.values()))[0]
    halves = (first.half,) if first.centred else (RADIANS, MILLIRADIANS, first.half)
    stored_as = half_turn(array, halves)
    if stored_as is not None:
        return array.astype(float) * (math.pi / stored_as), ""
    largest = float(np.abs(array).max())
    return None, f"phase images up to {largest:g}: their scale is unknown, and they are not used"


def _map_scan(chosen: Sequence[MapImage], options: Mapping[str, Any], *, folder: str) -> Scan:
    array, grid = _stacked(_by_place(chosen), folder=folder)
    facts = {
        "kind": "map", "unit": str(options.get("unit", "auto")), "unit_stated": "",
        "factor": float(options.get("factor", 1.0)),
    }  # fmt: skip
    return Scan(**{**vars(grid), "array": array, "meta": {**grid.meta, "relaxation": facts}})


def _labels(folder: Path, scan: Scan) -> tuple[LabelMap | None, SubjectError | None]:
    """Regions of the one NIfTI called ``dseg`` below the folder."""
    named = [path for path in list_files(folder) if is_nifti_name(path)]
    files = [path for path in named if "dseg" in stem_of(path).lower()]
    if not files:
        return None, None
    if len(files) > 1:
        return None, SubjectError("several_labels", f"{folder}: {len(files)} files named dseg")
    try:
        return every_frame(read_reference(files[0], scan), scan), None
    except SubjectError as error:
        return None, error
