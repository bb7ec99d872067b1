"""The reading of NIfTI files that others made: damaged, sheared or hostile ones refused."""

from __future__ import annotations

import io
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

from popscan.io.rawfile import DiskFile, RawFile
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
