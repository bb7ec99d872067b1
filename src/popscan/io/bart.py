"""BART's cfl/hdr pairs.

Axes are those of BART: readout, phase encoding 1 and 2, coil, maps, echoes, ..., time (10), ...,
slice (13). https://bart-doc.readthedocs.io/en/latest/data.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.records import SubjectError
from popscan.yamlfile import shorten

#: Largest array that is read, in bytes.
MAX_CFL_BYTES = 16 * 2**30
_N_AXES = 16
_COIL, _TIME, _SLICE = 3, 10, 13


def read_cfl(path: str | Path) -> NDArray[np.complex64]:
    """Read an array of BART's cfl/hdr pair.

    Parameters
    ----------
    path
        Either file of the pair, or their common stem.

    Returns
    -------
    ndarray of complex64
        Axes in BART's order, trailing axes of length 1 dropped.

    Raises
    ------
    SubjectError
        ``bad_header``, ``truncated_file`` or ``kspace_too_large``: a file is missing, or the two do
        not fit.
    """
    stem = Path(path).with_suffix("") if Path(path).suffix in (".cfl", ".hdr") else Path(path)
    # Not with_suffix: a stem may hold dots of its own (heart.1.cfl).
    header, data = (stem.with_name(f"{stem.name}.{ending}") for ending in ("hdr", "cfl"))
    try:
        with header.open(encoding="utf-8") as file:
            lines = file.read(2**16).splitlines()
        after = next(i for i, line in enumerate(lines) if line.startswith("# Dimensions")) + 1
        shape = [int(n) for n in lines[after].split()]
        size = data.stat().st_size
    except (OSError, StopIteration, ValueError, IndexError) as error:
        raise SubjectError(
            "bad_header", f"{stem}: not a readable cfl/hdr pair ({shorten(error)})"
        ) from error
    expected = int(np.prod(shape, dtype=object)) * 8
    if not 1 <= len(shape) <= _N_AXES or min(shape) < 1 or expected < size:
        raise SubjectError(
            "bad_header", f"{data}: {size} bytes do not hold an array of {shorten(shape)}"
        )
    if expected > size:
        raise SubjectError(
            "truncated_file", f"{data}: {size} bytes do not hold an array of {shorten(shape)}"
        )
    if size > MAX_CFL_BYTES:
        raise SubjectError("kspace_too_large", f"{data}: {size} bytes")
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    values = np.fromfile(data, dtype="<c8")
    return values.reshape(shape, order="F").astype(np.complex64, copy=False)


def axes_of(shape: tuple[int, ...], *, name: str) -> str:
    """Say what the axes of an array of BART are, in the letters of ``source.kspace.axes``.

    Two directions of phase encoding without a readout are a slice of a 3D acquisition.

    Raises
    ------
    SubjectError
        ``three_d_kspace`` or ``axes_unknown``.
    """
    letters = ["1"] * len(shape)
    for place, letter in ((0, "x"), (1, "y"), (_COIL, "c"), (_TIME, "t"), (_SLICE, "z")):
        if place < len(shape):
            letters[place] = letter
    if len(shape) > 2 and shape[2] > 1:
        if shape[0] > 1:
            raise SubjectError(
                "three_d_kspace", f"{name}: two directions of phase encoding: 3D is not read"
            )
        letters[:3] = ["1", "x", "y"]
    further = [i for i, letter in enumerate(letters) if letter == "1" and shape[i] > 1]
    if further:
        raise SubjectError(
            "axes_unknown",
            f"{name}: axes {', '.join(map(str, further))} of BART hold several entries; readout, "
            "phase encoding, coils, time (10) and slices (13) expected",
        )
    return " ".join(letters)
