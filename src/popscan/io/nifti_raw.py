"""The reading of NIfTI files that others made: damaged, sheared or hostile ones refused."""

from __future__ import annotations

import io
import struct
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
#: Bytes after the image that are tolerated.
_MAX_PADDING = 64 * 2**20
_TIME_UNIT_MS = {"sec": 1000.0, "msec": 1.0, "usec": 1e-3}


def read_image(path: Path, *, max_bytes: int) -> tuple[nib.Nifti1Header, NDArray[Any]]:
    """Header and values of a ``.nii`` or ``.nii.gz`` file.

    Memory is asked for only after the header was checked against the size of the file, and a
    compressed file is read to its end, so that its checksum counts.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Larger images are refused.

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
    try:
        file_size = path.stat().st_size
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: Any = igzip.IGzipFile(fileobj=raw) if packed else raw
            header = _read_header(path, stream)
            shape = _shape(path, header)
            offset = _offset(path, header)
            expected = offset + int(np.prod(shape, dtype=object)) * header.get_data_dtype().itemsize
            limit = file_size * (_MAX_GZIP_RATIO if packed else 1)
            _check_size(path, expected, limit=limit, max_bytes=max_bytes)
            stream.seek(0)
            data = stream.read(expected)
            if packed:
                _read_padding(path, stream)
    except FileNotFoundError as error:
        raise SubjectError("file_missing", f"{path}: no such file") from error
    except _DAMAGED as error:
        raise SubjectError(
            "truncated_file", f"{path}: the compressed file is incomplete or damaged ({error})"
        ) from error
    except OSError as error:
        raise SubjectError("unreadable_file", f"{path}: {error.strerror or error}") from error
    if len(data) < expected:
        raise SubjectError(
            "truncated_file", f"{path}: {expected} bytes expected by the header, found {len(data)}"
        )
    try:
        array = np.asanyarray(nib.arrayproxy.ArrayProxy(io.BytesIO(data), header))
    except (HeaderDataError, ValueError, TypeError) as error:
        raise SubjectError("bad_header", f"{path}: damaged header ({error})") from error
    return header, array.reshape(shape)


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

    Raises
    ------
    SubjectError
        ``bad_header`` where the affine is not finite or flat.
    """
    affine, known = _header_affine(header)
    try:
        affine, spacing_mm, shear_deg = orthonormal_affine(affine)
    except ValueError as error:
        raise SubjectError("bad_header", f"{path}: damaged affine ({error})") from error
    notes: dict[str, Any] = {"orientation_known": known}
    if shear_deg > np.degrees(1e-4):
        notes["affine_shear_deg"] = round(shear_deg, 4)
    return affine, spacing_mm, notes


def _header_affine(header: nib.Nifti1Header) -> tuple[NDArray[np.float64], bool]:
    """Affine of the header, and whether the header knows the orientation at all."""
    if header["sform_code"] > 0:
        return np.asarray(header.get_sform(), dtype=float), True
    zooms = np.abs(np.asarray(header["pixdim"][1:4], dtype=float))
    if header["qform_code"] > 0:
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
        affine[:3, 3] = [float(header[f"qoffset_{k}"]) for k in "xyz"]
        return affine, True
    return np.diag([*zooms, 1.0]), False


def header_times_ms(header: nib.Nifti1Header) -> list[float] | None:
    """Evenly spaced frame times where the header gives a step with a unit of time."""
    dim, step = header["dim"], float(header["pixdim"][4])
    try:
        unit = header.get_xyzt_units()[1]
    except (KeyError, HeaderDataError):
        return None
    scale = _TIME_UNIT_MS.get(unit)
    if scale is None or dim[0] < 4 or dim[4] < 2 or not np.isfinite(step) or step <= 0:
        return None
    return (np.arange(int(dim[4])) * step * scale).tolist()
