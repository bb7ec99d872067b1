"""NIfTI files: 4D scans and labels with a JSON sidecar; hostile and damaged files refused.

The format is nibabel's work. What is added here: bytes that depend on the content alone, sheared
headers brought to right angles, and a check of size and dimensions before memory is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from popscan.arrays.dtypes import image_dtype
from popscan.arrays.geometry import spacing_from_affine
from popscan.io.jsonfile import read_json, write_json
from popscan.io.nifti_geometry import header_times_ms, image_geometry
from popscan.io.nifti_raw import MAX_IMAGE_BYTES, read_image, read_shape
from popscan.io.rawfile import RawFile
from popscan.records import LabelMap, PopscanError, Scan, SubjectError

#: Of isal, of 0 to 3: a fifth of zlib's time at its level 1, and files as small.
_GZIP_LEVEL = 2
#: Asks for the header and the checksum of gzip; the header holds no time and no name.
_GZIP_WINDOW = 31
_SUFFIXES = (".nii.gz", ".nii")
#: How far from a whole number a label may lie, without and (at most) with a scaling header.
_WHOLE_TOLERANCE = 1e-3
_SCALED_TOLERANCE = 0.05


def stem_of(path: str | Path) -> str:
    """File name without ``.nii.gz`` or ``.nii``.

    Examples
    --------
    >>> stem_of("a/sub-0001_cine.nii.gz")
    'sub-0001_cine'
    """
    name = Path(path).name
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_nifti_name(path: str | Path) -> bool:
    """Whether a file's name ends as NIfTI does, in upper or lower case; hidden files do not count.

    Examples
    --------
    >>> is_nifti_name("A_SA.NII.GZ"), is_nifti_name("._a.nii.gz")
    (True, False)
    """
    name = Path(path).name
    return not name.startswith(".") and name.lower().endswith(_SUFFIXES)


def sidecar_path(path: str | Path) -> Path:
    """Path of the JSON sidecar: same folder, same stem; ``.JSON`` where only that is there."""
    side = Path(path).with_name(stem_of(path) + ".json")
    upper = side.with_suffix(".JSON")
    return upper if upper.is_file() and not side.exists() else side


def write_scan(path: str | Path, scan: Scan) -> None:
    """Write a scan as ``.nii.gz`` (or ``.nii``) and its sidecar; equal scans give equal bytes.

    int16 and float32 are kept; other types are converted as `popscan.arrays.dtypes` says.
    """
    path = Path(path)
    array = image_dtype(np.asarray(scan.array))
    if array.ndim != 4:
        raise ValueError(f"a scan has 4 axes (x, y, z, t), not {array.ndim}")
    times = None if scan.frame_times_ms is None else np.asarray(scan.frame_times_ms, dtype=float)
    step = float(np.median(np.diff(times))) if times is not None and times.size > 1 else 0.0
    _write_image(path, array, scan, frame_step_ms=max(step, 0.0))
    write_json(
        sidecar_path(path),
        {
            "view": scan.view,
            "spacing_mm": [float(s) for s in scan.spacing_mm],
            "frame_times_ms": None if times is None else times,
            "meta": dict(scan.meta),
        },
    )


def read_scan(path: str | Path, *, max_bytes: int = MAX_IMAGE_BYTES) -> Scan:
    """Read a NIfTI scan, 3D (one frame) or 4D, with its sidecar if there is one.

    Values are those the header says (scaling applied), as int16 or float32. The affine is the sform
    if it is coded, else the qform; if it is sheared, the nearest one at right angles is taken, the
    spacing is the norm of its columns, and ``meta["affine_shear_deg"]`` gives by how much.

    Parameters
    ----------
    path
        ``.nii.gz`` or ``.nii``.
    max_bytes
        Larger images are refused.

    Raises
    ------
    SubjectError
        ``file_missing``, ``truncated_file``, ``not_an_image``, ``bad_header``, ``wrong_dimensions``
        or ``bad_sidecar``.
    """
    path = Path(path)
    header, array = read_image(path, max_bytes=max_bytes)
    return _with_sidecar(path, header, _image_values(path, array))


def read_grid(path: str | Path) -> Scan:
    """Read all of a NIfTI scan but its voxels, which are 0 and take no memory; as `read_scan`."""
    path = Path(path)
    header, shape = read_shape(path)
    return _with_sidecar(path, header, np.broadcast_to(np.int16(0), shape))


def _with_sidecar(path: Path, header: nib.Nifti1Header, array: NDArray[Any]) -> Scan:
    affine, spacing_mm, notes = image_geometry(path, header)
    side = _read_sidecar(path)
    times, time_notes = header_times_ms(header)
    if "frame_times_ms" in side:
        times, time_notes = side["frame_times_ms"], {}
    meta = {**notes, **time_notes, **_mapping(path, side.get("meta"))}
    return Scan(
        array=array,
        affine=affine,
        spacing_mm=_side_spacing(path, side, spacing_mm),
        frame_times_ms=_times(path, times, array.shape[3]),
        view=str(side.get("view", "sax")),
        meta=meta,
    )


def scan_of(file: RawFile, *, max_bytes: int) -> Scan:
    """Read a NIfTI scan without a sidecar, wherever it lies, as `read_scan`."""
    path = Path(file.path)
    header, array = read_image(path, max_bytes=max_bytes, file=file)
    affine, spacing_mm, notes = image_geometry(path, header)
    times, time_notes = header_times_ms(header)
    return Scan(
        array=_image_values(path, array),
        affine=affine,
        spacing_mm=spacing_mm,
        frame_times_ms=_times(path, times, array.shape[3]),
        meta={**notes, **time_notes},
    )


def write_labels(
    path: str | Path, labels: LabelMap, like: Scan, *, names: Mapping[int, str] | None = None
) -> None:
    """Write labels on the grid of the scan `like`, with a sidecar that lists labelled frames."""
    path = Path(path)
    array = np.asarray(labels.array)
    if array.dtype != np.uint8 or array.ndim != 4:
        raise ValueError(f"labels are uint8 with 4 axes, not {array.dtype} with {array.ndim}")
    if array.shape[:3] != like.array.shape[:3]:
        raise ValueError(f"labels of shape {array.shape} on a scan of {like.array.shape}")
    _write_image(path, array, like, frame_step_ms=0.0)
    known = {"labels": {str(int(code)): name for code, name in names.items()}} if names else {}
    write_json(
        sidecar_path(path),
        {"frames": [int(f) for f in labels.frames], **known, "view": like.view},
    )


def read_labels(
    path: str | Path, *, max_bytes: int = MAX_IMAGE_BYTES, largest: int = 255
) -> LabelMap:
    """Read labels, 3D (one frame) or 4D; without a sidecar, frames with any label are labelled.

    Parameters
    ----------
    path, max_bytes
        As in `read_scan`.
    largest
        Largest code; beyond 255 the array may be of uint16, for codes still to be replaced.

    Raises
    ------
    SubjectError
        As `read_scan`, and ``bad_labels`` where values are not whole numbers from 0 to `largest`
        (see `whole_labels`).
    """
    path = Path(path)
    header, array = read_image(path, max_bytes=max_bytes)
    whole = whole_labels(path, array, header, largest=largest)
    side = _read_sidecar(path)
    frames = side.get("frames")
    if frames is None:
        frames = np.flatnonzero(whole.any(axis=(0, 1, 2))).tolist()
    if not isinstance(frames, list) or not all(
        type(f) is int and 0 <= f < whole.shape[3] for f in frames
    ):
        raise SubjectError("bad_sidecar", f"{sidecar_path(path)}: frames 0..{whole.shape[3] - 1}")
    return LabelMap(array=whole, frames=tuple(frames))


def whole_labels(
    path: Path, array: NDArray[Any], header: nib.Nifti1Header, *, largest: int = 255
) -> NDArray[Any]:
    """Labels as whole numbers, where what was stored leaves no doubt which they are.

    Labels saved as floats under the header of an integer image are stored scaled, and come back a
    little off. Rounded is what lies within the header's ``scl_slope`` (at most 0.05) of a whole
    number; 0.001 without scaling.

    Raises
    ------
    SubjectError
        ``bad_labels`` with the first value that is none.
    """
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    if array.dtype.kind not in "biuf":
        raise SubjectError("bad_labels", f"{path}: whole numbers expected, found {array.dtype}")
    slope = abs(float(header["scl_slope"]))
    scaled = np.isfinite(slope) and slope not in (0.0, 1.0)
    tolerance = max(_WHOLE_TOLERANCE, min(slope, _SCALED_TOLERANCE)) if scaled else _WHOLE_TOLERANCE
    with np.errstate(invalid="ignore"):
        nearest = np.rint(array)
        bad = ~((np.abs(array - nearest) <= tolerance) & (nearest >= 0) & (nearest <= largest))
    if bad.any():
        cause = f" (the header scales by {slope:g}: save labels as uint8)" if scaled else ""
        raise SubjectError(
            "bad_labels",
            f"{path}: labels must be whole numbers from 0 to {largest}, found "
            f"{float(array[bad][0]):.6g}{cause}",
        )
    return nearest.astype(np.uint8 if not nearest.size or nearest.max() <= 255 else np.uint16)


def _write_image(path: Path, array: NDArray[Any], like: Scan, *, frame_step_ms: float) -> None:
    # Rounded first, so that a scan that was read back gives the same header again.
    affine = np.asarray(like.affine, dtype=np.float32).astype(float)
    if not np.allclose(spacing_from_affine(affine), like.spacing_mm, rtol=1e-3, atol=1e-3):
        raise ValueError(f"{path}: spacing_mm {like.spacing_mm} disagrees with the affine")
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "msec")
    image.set_sform(affine, code="scanner")
    with contextlib.suppress(HeaderDataError):  # a shear fits the sform only
        image.set_qform(affine, code="scanner", strip_shears=False)
    image.header["pixdim"][4] = frame_step_ms
    data = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        data = isal_zlib.compress(data, _GZIP_LEVEL, _GZIP_WINDOW)
    path.write_bytes(data)


def _image_values(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    try:
        return image_dtype(array)
    except TypeError as error:
        raise SubjectError("not_an_image", f"{path}: {error}") from error


def _read_sidecar(path: Path) -> Mapping[str, Any]:
    side = sidecar_path(path)
    if not side.exists():
        return {}
    try:
        data = read_json(side)
    except PopscanError as error:
        raise SubjectError("bad_sidecar", str(error)) from error
    return _mapping(side, data)


def _mapping(path: Path, data: Any) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SubjectError("bad_sidecar", f"{sidecar_path(path)}: a JSON object is expected")
    return data


def _side_spacing(
    path: Path, side: Mapping[str, Any], spacing_mm: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Spacing as the sidecar says (it has all digits), which must agree with the header."""
    noted = side.get("spacing_mm")
    if noted is None:
        return spacing_mm
    try:
        values = np.array(noted, dtype=float)
        agrees = values.shape == (3,) and np.allclose(values, spacing_mm, rtol=1e-3, atol=1e-3)
    except (TypeError, ValueError):
        agrees = False
    if not agrees:
        raise SubjectError(
            "bad_sidecar",
            f"{sidecar_path(path)}: spacing_mm {noted!r} disagrees with the header's {spacing_mm}",
        )
    return (float(values[0]), float(values[1]), float(values[2]))


def _times(path: Path, times: Any, n_frames: int) -> NDArray[np.float64] | None:
    if times is None:
        return None
    try:
        values = np.array(times, dtype=float)
    except (TypeError, ValueError) as error:
        raise SubjectError("bad_sidecar", f"{sidecar_path(path)}: frame_times_ms") from error
    if values.shape != (n_frames,):
        raise SubjectError(
            "bad_sidecar",
            f"{sidecar_path(path)}: {values.size} frame times for {n_frames} frames",
        )
    return values
