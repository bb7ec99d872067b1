"""One NIfTI file of an unknown tree, as `popscan.sorting.facts.Facts`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.geometry import is_axis_aligned
from popscan.ingest.checks import number_of
from popscan.io.flow_words import sidecar_venc
from popscan.io.jsonfile import read_json
from popscan.io.nifti import sidecar_path
from popscan.io.nifti_geometry import image_geometry
from popscan.io.nifti_raw import MAX_IMAGE_BYTES, read_image
from popscan.io.rawfile import RawFile
from popscan.io.tree_dicom import VOLUME_SLICES, VOLUME_STEP_MM
from popscan.records import PopscanError, SubjectError
from popscan.sorting.facts import Facts
from popscan.sorting.picture import VOLUME_MM, coarse_volume, frames_shown, picture

_LPS = np.array([-1.0, -1.0, 1.0])


def nifti_series(
    path: str, *, place: str, subject: str, session: str, file: RawFile | None = None
) -> Facts | None:
    """Read one file and the numbers of its sidecar; None for labels (few whole values from 0 on).

    Parameters
    ----------
    path
        The file, or the archive that holds it.
    place
        Of the file, relative to the tree.
    subject, session
        Keys of whose it is; the subject is empty where that is not known.
    file
        Where it is read from, if not from `path`.

    Raises
    ------
    SubjectError
        As `popscan.io.nifti.read_scan`; ``bad_spacing``.
    """
    header, array = read_image(Path(path), max_bytes=MAX_IMAGE_BYTES, file=file)
    affine, spacing, notes = image_geometry(Path(path), header)
    side = _sidecar(path) if file is None else {}
    if _is_labels(array):
        return None
    nx, ny, nz, nt = array.shape
    known = bool(notes.get("orientation_known", True))
    # Converters that lose the orientation leave unit axes; a brain may lie so, an oblique view not.
    known = known and not (is_axis_aligned(affine) and nz < VOLUME_SLICES)
    axes = affine[:3, :3] * _LPS[:, None] / np.array(spacing)
    if not known:
        axes = np.full((3, 3), np.nan)
    middle = affine @ np.array([(nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2, 1.0])
    centre = middle[:3] * _LPS if known else np.full(3, np.nan)
    shown = array[:, :, nz // 2, frames_shown(nt)]
    off = axes[:, 2] * spacing[2] * (nz // 2 - (nz - 1) / 2)
    seen = picture(
        shown, spacing_mm=spacing[:2], row=axes[:, 0], column=axes[:, 1], centre_mm=centre + off
    )
    volume = None
    if nz >= VOLUME_SLICES and spacing[2] <= VOLUME_STEP_MM:
        true = axes if known else np.diag(_LPS)
        volume = coarse_volume(np.nan_to_num(array[..., 0]), spacing_mm=spacing, axes=true)
    inversion = _inversion_ms(side)
    return Facts(
        place=place,
        subject=subject,
        session=session,
        guessed=not subject,
        dicom=False,
        n_images=nz * nt,
        n_slices=nz,
        n_frames=nt,
        matrix=(nx, ny),
        spacing_mm=(spacing[0], spacing[1]),
        slice_mm=spacing[2],
        row=axes[:, 0],
        column=axes[:, 1],
        normal=axes[:, 2] if known else np.full(3, np.nan),
        centre_mm=centre,
        along_mm=(round(float(centre @ axes[:, 2]), 1),) if known else (),
        signed=seen.symmetric or bool({"P", "PHASE", "VELOCITY"} & _kinds(side)),
        derived="DERIVED" in _kinds(side),
        inversion_ms=inversion,
        prepared=bool(inversion),
        venc=_has_venc(side),
        echo_ms=_ms(side, "EchoTime"),
        repetition_ms=_ms(side, "RepetitionTime"),
        change=seen.change, focus=seen.focus, closing=seen.closing, change_mm=seen.change_mm,
        median=seen.median, high=seen.high, thumb=seen.thumb,
        volume=volume, volume_mm=VOLUME_MM if volume is not None else math.nan,
        sharpness=seen.sharpness, noise=seen.noise,
        incomplete=("blank",) if seen.blank else (),
    )  # fmt: skip


def _sidecar(path: str) -> Mapping[str, Any]:
    side = sidecar_path(path)
    if not side.is_file():
        return {}
    try:
        found = read_json(side)
    except (PopscanError, OSError, ValueError):
        return {}  # the image may be right all the same
    return found if isinstance(found, dict) else {}


def _is_labels(array: NDArray[Any]) -> bool:
    """Whether values are few whole numbers, most of them 0, in regions."""
    part = np.asarray(array[..., array.shape[3] // 2])
    part = part[:: max(1, part.shape[0] // 64)]
    values = np.unique(part)
    if not 1 < len(values) <= 300 or values[0] != 0 or values[-1] > 1000:
        return False
    if not np.array_equal(values, np.round(values)):
        return False
    return bool(np.mean(part == 0) > 0.3 and np.mean(part[:, 1:] == part[:, :-1]) > 0.9)


def _ms(side: Mapping[str, Any], key: str) -> float:
    number = number_of(side.get(key))
    return math.nan if number is None or number <= 0 else 1000.0 * number


def _inversion_ms(side: Mapping[str, Any]) -> tuple[float, ...]:
    given = side.get("InversionTime")
    values = given if isinstance(given, list) else [given]
    numbers = [number_of(value) for value in values]
    return tuple(sorted({1000.0 * n for n in numbers if n is not None and n > 0}))


def _kinds(side: Mapping[str, Any]) -> set[str]:
    kinds = side.get("ImageType")
    return {str(word).upper() for word in kinds} if isinstance(kinds, list) else set()


def _has_venc(side: Mapping[str, Any]) -> bool:
    try:
        return bool(sidecar_venc(side))
    except SubjectError:
        return True
