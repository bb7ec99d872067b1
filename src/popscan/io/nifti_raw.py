"""The reading of NIfTI files that others made: damaged, sheared or hostile ones refused."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from popscan.arrays.geometry import orthonormal_affine
from popscan.io.rawfile import DiskFile, RawFile
from popscan.protocols.cine_sax.cycle import is_cycle_ms
from popscan.records import SubjectError

#: What says that a compressed file is damaged; isal's stubs take its class for an object.
_DAMAGED: tuple[type[Exception], ...] = (
    EOFError,
    cast(type[Exception], isal_zlib.error),
    igzip.BadGzipFile,
)
#: Largest image that is read, in bytes of the stored type: a 512 x 512 x 20 x 50 float cine is 1.
MAX_IMAGE_BYTES = 4 * 2**30
#: deflate cannot do better than this: a header that promises more belongs to another file.
_MAX_GZIP_RATIO = 1040
#: What stands in the small text file that git-annex and git-lfs leave until content is fetched.
_POINTERS = (b"/annex/objects/", b"git-lfs.github.com")
#: Bytes after the image that are tolerated.
_MAX_PADDING = 64 * 2**20
_TIME_UNIT_MS = {"sec": 1000.0, "msec": 1.0, "usec": 1e-3}
_LENGTH_UNIT_MM = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3}
#: Steps of sform and pixdim that differ by more than this contradict each other.
_CONFLICT_PCT = 1.0
#: sform and qform that are turned further against each other do not mean the same sides.
_TURNED_DEG = 45.0


def read_image(
    path: Path, *, max_bytes: int, file: RawFile | None = None
) -> tuple[nib.Nifti1Header, NDArray[Any]]:
    """Header and values of a ``.nii`` or ``.nii.gz`` file.

    Memory is asked for only after the header was checked against the size of the file, and a
    compressed file is read to its end, so that its checksum counts.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Larger images are refused.
    file
        Where it is read from, if not from `path`, which then is a name for messages.

    Returns
    -------
    header : nibabel.Nifti1Header
        Or its NIfTI-2 subclass.
    array : ndarray, shape (x, y, z, t)
        Scaled values; a 3D image has one frame.

    Raises
    ------
    SubjectError
        ``file_missing``, ``unreadable_file``, ``truncated_file``, ``not_an_image``, ``bad_header``
        or ``wrong_dimensions``.
    """
    file = file or DiskFile(str(path))
    with _named_errors(path), file.open() as raw:
        header, stream = _opened(path, raw)
        shape = _shape(path, header)
        offset = _offset(path, header)
        expected = offset + int(np.prod(shape, dtype=object)) * header.get_data_dtype().itemsize
        packed = stream is not raw
        limit = file.size() * (_MAX_GZIP_RATIO if packed else 1)
        _check_size(path, expected, limit=limit, max_bytes=max_bytes)
        stream.seek(0)
        data = stream.read(expected)
        if packed:
            _read_padding(path, stream)
    if len(data) < expected:
        raise SubjectError(
            "truncated_file", f"{path}: {expected} bytes expected by the header, found {len(data)}"
        )
    try:
        array = np.asanyarray(nib.arrayproxy.ArrayProxy(io.BytesIO(data), header))
    except (HeaderDataError, ValueError, TypeError) as error:
        raise SubjectError("bad_header", f"{path}: damaged header ({error})") from error
    return header, array.reshape(shape)


def read_shape(path: Path) -> tuple[nib.Nifti1Header, tuple[int, int, int, int]]:
    """Header and shape (x, y, z, t) of a ``.nii`` or ``.nii.gz`` file; its voxels are not read.

    Raises
    ------
    SubjectError
        As `read_image`, where the header shows it.
    """
    with _named_errors(path), path.open("rb") as raw:
        header, _ = _opened(path, raw)
        return header, _shape(path, header)


def _opened(path: Path, raw: Any) -> tuple[nib.Nifti1Header, Any]:
    """Return the header, and the stream behind it, inflating where the file is compressed."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    stream: Any = igzip.IGzipFile(fileobj=raw) if packed else raw
    return _read_header(path, stream), stream


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn what reading raises into errors that name the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise SubjectError("file_missing", f"{path}: no such file") from error
    except _DAMAGED as error:
        raise SubjectError(
            "truncated_file", f"{path}: the compressed file is incomplete or damaged ({error})"
        ) from error
    except OSError as error:
        raise SubjectError("unreadable_file", f"{path}: {error.strerror or error}") from error


def _read_padding(path: Path, stream: Any) -> None:
    """Read on to the end, where gzip compares its checksum; a little padding is allowed."""
    for _ in range(_MAX_PADDING >> 20):
        if not stream.read(1 << 20):
            return
    raise SubjectError("bad_header", f"{path}: far more data than the header says")


def _offset(path: Path, header: nib.Nifti1Header) -> int:
    try:
        offset = int(header.get_data_offset())
    except (ValueError, OverflowError) as error:
        raise SubjectError("bad_header", f"{path}: damaged header ({error})") from error
    if offset < int(header["sizeof_hdr"]):
        raise SubjectError("bad_header", f"{path}: image data at byte {offset}, in the header")
    return offset


def _read_header(path: Path, stream: Any) -> nib.Nifti1Header:
    start = stream.read(4)
    if len(start) < 4:
        raise SubjectError("truncated_file", f"{path}: only {len(start)} bytes long")
    sizes = {struct.unpack(order + "i", start)[0] for order in "<>"}
    kinds = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    kind = next((kinds[size] for size in sizes if size in kinds), None)
    if kind is None:
        stream.seek(0)
        text = stream.read(200)
        if any(mark in text for mark in _POINTERS):
            raise SubjectError(
                "file_missing",
                f"{path}: a pointer without content; fetch it (git annex get, datalad get, git lfs "
                "pull)",
            )
        raise SubjectError("not_an_image", f"{path}: not a NIfTI file")
    stream.seek(0)
    try:
        header = kind.from_fileobj(stream, check=False)
        if header["magic"].item()[:3] not in (b"n+1", b"n+2"):
            raise SubjectError("not_an_image", f"{path}: not a single-file NIfTI")
        if header.get_data_dtype().itemsize == 0:
            code = int(header["datatype"])
            raise SubjectError("bad_header", f"{path}: values of no known type (datatype {code})")
        return header
    except WrapStructError as error:
        raise SubjectError("truncated_file", f"{path}: ends within its header") from error
    except (HeaderDataError, ImageFileError, KeyError, ValueError, TypeError) as error:
        raise SubjectError("bad_header", f"{path}: damaged header ({error})") from error


def _shape(path: Path, header: nib.Nifti1Header) -> tuple[int, int, int, int]:
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
        raise SubjectError("bad_header", f"{path}: dimensions {dim} make no sense")
    shape = dim[1 : dim[0] + 1]
    while len(shape) > 4 and shape[-1] == 1:
        shape.pop()
    if len(shape) not in (3, 4):
        raise SubjectError(
            "wrong_dimensions",
            f"{path}: an image of 3 or 4 dimensions is expected, found {len(shape)}: "
            + " x ".join(map(str, shape)),
        )
    return (shape[0], shape[1], shape[2], shape[3] if len(shape) == 4 else 1)


def _check_size(path: Path, expected: int, *, limit: int, max_bytes: int) -> None:
    if expected > max_bytes:
        raise SubjectError(
            "bad_header",
            f"{path}: the header promises {expected} bytes, more than the limit of {max_bytes}",
        )
    if expected > limit:
        raise SubjectError(
            "truncated_file",
            f"{path}: {expected} bytes expected by the header, the file is shorter",
        )


def image_geometry(
    path: Path, header: nib.Nifti1Header
) -> tuple[NDArray[np.float64], tuple[float, float, float], dict[str, Any]]:
    """Affine at right angles (voxel -> RAS), spacing in mm, and notes for meta.

    The header's unit of length counts (metre, micron; no unit is mm). A coded sform is preferred,
    as NIfTI-1 has it, unless all of its steps are 1 while pixdim has others: that is a default
    which a tool left, and no measurement. Where sform and pixdim disagree by more than 1%, the
    notes hold ``sform_spacing_mm`` and ``pixdim_spacing_mm`` (of x, y, z as stored) and
    ``spacing_conflict_pct``; the step of z does not count where there is one plane, which has no
    neighbour. Where sform and qform are turned by more than 45 degrees against each other, or are
    mirror images, ``orientation_conflict_deg``. Quality control judges both.

    Raises
    ------
    SubjectError
        ``bad_header`` where the affine is not finite or flat.
    """
    scale = _length_unit_mm(header)
    zooms = np.abs(np.asarray(header["pixdim"][1:4], dtype=float)) * scale
    affine, known = _header_affine(header, scale)
    n_steps = 2 if int(header["dim"][3]) == 1 else 3
    notes = _conflict(header, affine, zooms, n_steps=n_steps)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(steps, scale, rtol=1e-4) and _conflict(header, affine, zooms, n_steps=3):
        affine, known = _qform_affine(header, scale)
    try:
        affine, spacing_mm, shear_deg = orthonormal_affine(affine)
    except ValueError as error:
        raise SubjectError("bad_header", f"{path}: damaged affine ({error})") from error
    notes["orientation_known"] = known
    notes |= _turned(header, scale)
    if shear_deg > np.degrees(1e-4):
        notes["affine_shear_deg"] = round(shear_deg, 4)
    return affine, spacing_mm, notes


def _length_unit_mm(header: nib.Nifti1Header) -> float:
    try:
        unit = header.get_xyzt_units()[0]
    except (KeyError, HeaderDataError):
        return 1.0
    return _LENGTH_UNIT_MM.get(unit, 1.0)


def _turned(header: nib.Nifti1Header, scale: float) -> dict[str, Any]:
    """Return a note on an sform and a qform that are turned far or mirrored; else none.

    Alignment turns by less, and mirrors nothing. Mirror images count as 180 degrees.
    """
    if header["sform_code"] <= 0 or header["qform_code"] <= 0:
        return {}
    forms = [np.asarray(header.get_sform(), dtype=float), _qform_affine(header, scale)[0]]
    with np.errstate(all="ignore"):
        sform, qform = (form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in forms)
        between = sform @ qform.T
        mirrored = np.linalg.det(sform) * np.linalg.det(qform) < 0
    cosine = -1.0 if mirrored else (float(np.trace(between)) - 1.0) / 2.0
    if not cosine < math.cos(math.radians(_TURNED_DEG)):  # NaN: refused as a damaged affine.
        return {}
    return {"orientation_conflict_deg": round(math.degrees(math.acos(max(-1.0, cosine))), 1)}


def _conflict(
    header: nib.Nifti1Header,
    affine: NDArray[np.float64],
    zooms: NDArray[np.float64],
    *,
    n_steps: int,
) -> dict[str, Any]:
    """Return notes on an sform whose first steps are not those of pixdim; none where they agree."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    first, stated = steps[:n_steps], zooms[:n_steps]
    usable = np.isfinite([*first, *stated]).all() and (first > 0).all() and (stated > 0).all()
    if header["sform_code"] <= 0 or not usable:
        return {}
    percent = 100.0 * float(np.max(np.abs(first / stated - 1.0)))
    if percent <= _CONFLICT_PCT:
        return {}
    return {
        "sform_spacing_mm": [round(float(step), 4) for step in steps],
        "pixdim_spacing_mm": [round(float(step), 4) for step in zooms],
        "spacing_conflict_pct": round(percent, 1),
    }


def _header_affine(header: nib.Nifti1Header, scale: float) -> tuple[NDArray[np.float64], bool]:
    """Affine of the header in mm, and whether the header knows the orientation at all."""
    if header["sform_code"] > 0:
        affine = np.asarray(header.get_sform(), dtype=float)
        affine[:3] *= scale
        return affine, True
    return _qform_affine(header, scale)


def _qform_affine(header: nib.Nifti1Header, scale: float) -> tuple[NDArray[np.float64], bool]:
    """Affine of qform and pixdim; without a coded qform pixdim alone, at no known orientation."""
    zooms = np.abs(np.asarray(header["pixdim"][1:4], dtype=float)) * scale
    if header["qform_code"] <= 0:
        return np.diag([*zooms, 1.0]), False
    quaternion = np.array([float(header[f"quatern_{k}"]) for k in "bcd"])
    # Rounding can make b, c, d longer than a unit quaternion allows; nibabel refuses those.
    length = float(np.linalg.norm(quaternion))
    if length > 1:
        quaternion /= length
    real = np.sqrt(max(0.0, 1.0 - float(quaternion @ quaternion)))
    rotation = nib.quaternions.quat2mat([real, *quaternion])
    handed = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * zooms * [1.0, 1.0, handed]
    affine[:3, 3] = [float(header[f"qoffset_{k}"]) * scale for k in "xyz"]
    return affine, True


def header_times_ms(header: nib.Nifti1Header) -> tuple[list[float] | None, dict[str, Any]]:
    """Evenly spaced frame times where the header gives a step, and notes for meta.

    A step without a unit of time is taken in the one unit, seconds or milliseconds, in which its
    frames last as long as a heartbeat (`popscan.protocols.cine_sax.cycle`); the note is
    ``frame_time_unit_assumed``. None where there is no such unit, or no step.
    """
    dim, step = header["dim"], float(header["pixdim"][4])
    if dim[0] < 4 or dim[4] < 2 or not np.isfinite(step) or step <= 0:
        return None, {}
    n_frames = int(dim[4])
    try:
        unit = str(header.get_xyzt_units()[1])
    except (KeyError, HeaderDataError):
        unit = "unknown"
    notes: dict[str, Any] = {}
    if unit not in _TIME_UNIT_MS:
        possible = [u for u in ("sec", "msec") if is_cycle_ms(step * n_frames * _TIME_UNIT_MS[u])]
        # A step of exactly 1 is what joining frames leaves, whatever lay between them.
        if unit != "unknown" or len(possible) != 1 or step == 1.0:
            return None, {}
        unit = possible[0]
        notes["frame_time_unit_assumed"] = unit
    return (np.arange(n_frames) * step * _TIME_UNIT_MS[unit]).tolist(), notes
