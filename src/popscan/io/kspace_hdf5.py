"""Files that hold an array of k-space: fastMRI, CMRxRecon, BART, and any whose axes are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from popscan.config.kspace import KSpaceInput
from popscan.io.bart import axes_of, read_cfl
from popscan.io.hdf5 import DAMAGE, dataset_of, has_dataset, open_hdf5
from popscan.io.ismrmrd_header import parse_header
from popscan.io.kspace_arrays import Given, kspace_of
from popscan.io.kspace_sidecar import describe_array
from popscan.records import KSpace, SubjectError
from popscan.yamlfile import shorten

Complex = NDArray[np.complexfloating]
#: Largest array that is read, in bytes.
MAX_ARRAY_BYTES = 16 * 2**30
#: Axes of fastMRI's arrays, and of CMRxRecon's in MATLAB's order, by how many there are.
_FASTMRI = {4: "z c x y", 3: "z x y"}
_CMRXRECON = {5: "x y c z t"}
_CMRXRECON_SINGLE = {4: "x y z t"}
#: How their variables begin; others' arrays of as many axes may have another order.
_CMRXRECON_NAMES = ("kspace", "kus")


def read_cfl_kspace(path: Path, *, view: str, rules: KSpaceInput) -> KSpace:
    """Read k-space of BART; see `read_hdf5_kspace`."""
    described = describe_array(path, rules)
    values = read_cfl(path)
    points = trajectory_of(path)
    trajectory = None if points is None else read_cfl(points).real
    axes = described.rules.axes or axes_of(values.shape, name=str(path))
    given = Given(form="bart", axes=axes, trajectory=trajectory)
    return kspace_of(values, given, described, view=view, name=str(path))


def trajectory_of(path: Path) -> Path | None:
    """Find the trajectory beside a ``.cfl``: ``x_traj.cfl``, or ``traj`` in place of ``kspace``."""
    names = [f"{path.stem}_traj"]
    names += [path.stem.replace(word, "traj") for word in ("kspace", "ksp") if word in path.stem]
    there = (path.with_name(f"{name}.cfl") for name in names)
    return next((place for place in there if place.is_file()), None)


def read_hdf5_kspace(path: Path, *, view: str, rules: KSpaceInput) -> KSpace:
    """Read an array of an HDF5 or MATLAB (v7.3) file.

    Parameters
    ----------
    path
        The file; a JSON file of its name may say what it does not.
    view
        Which series it is.
    rules
        Keys of ``source.kspace``.

    Returns
    -------
    KSpace
        Without readout oversampling, coils compressed.

    Raises
    ------
    SubjectError
        ``not_kspace``, ``axes_unknown``, ``encoding_limit``, ``missing_frames``,
        ``spacing_unknown``, ``slice_distance_unknown``,
        ``non_finite_kspace``, ``empty_kspace``, ``not_centred``, ``bad_header``, ``bad_sidecar``,
        ``bad_frame_times``.
    """
    described = describe_array(path, rules)
    try:
        with open_hdf5(path) as file:
            values, given = _read(file, described.rules, str(path))
    except SubjectError:
        raise
    except DAMAGE as error:
        raise SubjectError("bad_header", f"{path}: damaged HDF5 file ({shorten(error)})") from error
    return kspace_of(values, given, described, view=view, name=str(path))


def _read(file: h5py.File, rules: KSpaceInput, name: str) -> tuple[Complex, Given]:
    """Read the array and say what it is."""
    key = rules.dataset or _only_complex(file, name)
    array = dataset_of(file, key, max_bytes=MAX_ARRAY_BYTES)
    matlab = "MATLAB_class" in array.attrs
    values = _complex(array, name)
    if matlab:
        values = values.transpose()
    if has_dataset(file, "ismrmrd_header"):
        text = dataset_of(file, "ismrmrd_header", max_bytes=2**20)[()]
        header = parse_header(text if isinstance(text, bytes) else str(text).encode(), name=name)
        axes = rules.axes or _usual(_FASTMRI, values, name)
        _require_sides(values.shape, axes, header.matrix, name)
        pixel = (header.fov_mm[0] / header.matrix[0], header.fov_mm[1] / header.matrix[1])
        return values, Given(
            form="fastmri",
            axes=axes,
            pixel_mm=pixel,
            oversampling=max(header.fov_mm[0] / header.recon_fov_mm[0], 1.0),
            meta=dict(header.meta),
        )
    usual = _CMRXRECON_SINGLE if "single" in key else _CMRXRECON
    known = matlab and key.lower().startswith(_CMRXRECON_NAMES)
    axes = rules.axes or _usual(usual if known else {}, values, name)
    return values, Given(form="matlab" if matlab else "hdf5", axes=axes)


def _require_sides(
    shape: tuple[int, ...], axes: str, matrix: tuple[int, int, int], name: str
) -> None:
    """Refuse an array whose sides are not those that its header gives pixels for."""
    sides = dict(zip(axes.split(), shape, strict=False))
    there = (sides.get("x", matrix[0]), sides.get("y", matrix[1]))
    if there != matrix[:2]:
        raise SubjectError(
            "encoding_limit",
            f"{name}: {there[0]} x {there[1]} samples (readout, phase encoding), and a header of "
            f"{matrix[0]} x {matrix[1]}: cut, padded, or without oversampling; which field of view "
            "they belong to is not known",
        )


def _only_complex(file: h5py.File, name: str) -> str:
    """Name of the complex array of a file, ``kspace`` first."""
    there = [key for key in file if _is_array_of_complex(file, key)]
    if "kspace" in there or len(there) == 1:
        return "kspace" if "kspace" in there else there[0]
    listed = ", ".join(there[:8]) or ", ".join(sorted(file)[:8]) or "nothing"
    raise SubjectError(
        "not_kspace",
        f"{name}: an HDF5 file with {listed}; ISMRMRD, popscan's own k-space or one complex array "
        "expected (source.kspace.dataset names it)",
    )


def _is_array_of_complex(file: h5py.File, key: str) -> bool:
    """Whether it is one, by its description; whether it is sane shows when it is read."""
    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        return False
    item = file[key]
    return isinstance(item, h5py.Dataset) and item.ndim >= 3 and _is_complex(item.dtype)


def _is_complex(dtype: np.dtype[Any]) -> bool:
    names = dtype.names or ()
    pair = len(names) == 2 and all(dtype[part].kind == "f" for part in names)
    return dtype.kind == "c" or (pair and names[0][:1].lower() == "r")


def _complex(array: h5py.Dataset, name: str) -> NDArray[np.complex64]:
    """Read complex numbers, also as a compound of real and imaginary parts; slab by slab."""
    if not _is_complex(array.dtype) or array.ndim < 1 or 0 in array.shape:
        raise SubjectError(
            "not_kspace", f"{name}: {array.dtype} of shape {array.shape}, complex numbers expected"
        )
    values = np.empty(array.shape, dtype=np.complex64)
    for start in range(array.shape[0]):
        slab = array[start]
        if array.dtype.names:
            real, imaginary = array.dtype.names
            values[start].real, values[start].imag = slab[real], slab[imaginary]
        else:
            values[start] = slab
    return values


def _usual(known: dict[int, str], values: Complex, name: str) -> str:
    if values.ndim not in known:
        raise SubjectError(
            "axes_unknown",
            f"{name}: an array of {values.shape}; say in source.kspace.axes what its axes are",
        )
    return known[values.ndim]
