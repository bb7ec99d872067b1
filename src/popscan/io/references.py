"""Reference labels of other programs: on their image's grid, in the protocol's codes, or named.

Labels that cannot be used never cost the image: a reader puts down why (`Loaded.label_problems`),
and the subject goes on without a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.io.nifti import read_labels
from popscan.io.nifti_geometry import image_geometry
from popscan.io.nifti_raw import MAX_IMAGE_BYTES, read_image
from popscan.io.sources import Loaded
from popscan.protocol import LabelSet, Protocol, load
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import LabelMap, Scan, SubjectError

#: Voxels of labels and image that lie further apart than this share of a voxel are not the same.
_SAME_VOXEL = 0.25
#: Largest code of a label file; others than the protocol's need ``source.label_codes``.
MAX_CODE = 65_535


def read_reference(path: str | Path, scan: Scan, *, max_bytes: int = MAX_IMAGE_BYTES) -> LabelMap:
    """Read a label file and bring it onto the grid of its image.

    Labels stored in another order or direction of the axes are turned by their own affine.
    Where image or labels do not know their orientation, the axes are taken to be the image's.

    Parameters
    ----------
    path
        3D or 4D NIfTI.
    scan
        The image, as it was read.

    Raises
    ------
    SubjectError
        ``label_mismatch`` where the grids are not the same voxels, and those of
        `popscan.io.nifti.read_labels`.
    """
    path = Path(path)
    labels = read_labels(path, max_bytes=max_bytes, largest=MAX_CODE)
    header, _ = read_image(path, max_bytes=max_bytes)
    affine, spacing_mm, notes = image_geometry(path, header)
    if notes["orientation_known"] and scan.meta.get("orientation_known", True):
        turned = _on_grid(path, labels.array, affine, scan)
    else:
        turned = labels.array
        _check_spacing(path, spacing_mm, scan)
    if turned.shape[:3] != scan.array.shape[:3]:
        raise SubjectError(
            "label_mismatch",
            f"{path}: labels {turned.shape[:3]}, {scan.array.shape[:3]} expected",
        )
    return replace(labels, array=turned)


def _check_spacing(path: Path, spacing_mm: tuple[float, float, float], scan: Scan) -> None:
    """Refuse labels of other voxels; steps of 1 are what a program writes that knows none."""
    known = not np.allclose(spacing_mm, 1.0, atol=1e-4)
    if known and not np.allclose(spacing_mm, scan.spacing_mm, rtol=0.02):
        sizes = [" x ".join(f"{s:.4g}" for s in step) for step in (spacing_mm, scan.spacing_mm)]
        raise SubjectError(
            "label_mismatch",
            f"{path}: label voxels of {sizes[0]} mm, {sizes[1]} expected",
        )


def _on_grid(
    path: Path, array: NDArray[np.uint8], affine: NDArray[np.float64], scan: Scan
) -> NDArray[np.uint8]:
    """Transpose and flip labels so that each voxel lies where the image has it."""
    to_image = np.linalg.inv(np.asarray(scan.affine, dtype=float)) @ affine
    axes = np.abs(to_image[:3, :3]).argmax(axis=1)  # image axis -> label axis
    if sorted(axes.tolist()) != [0, 1, 2]:
        raise _elsewhere(path, "another orientation")
    order = (int(axes[0]), int(axes[1]), int(axes[2]))
    turned = array.transpose(*order, 3)
    matrix = to_image[:, [*order, 3]]
    for axis in range(3):
        if matrix[axis, axis] < 0:
            turned = np.flip(turned, axis)
            matrix[:, 3] += matrix[:, axis] * (turned.shape[axis] - 1)
            matrix[:, axis] *= -1
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in turned.shape[:3]])).reshape(3, -1)
    apart = np.abs(matrix[:3, :3] @ corners + matrix[:3, 3:] - corners).max()
    if apart > _SAME_VOXEL:
        raise _elsewhere(path, f"up to {apart:.1f} voxels away from the image's")
    return turned


def _elsewhere(path: Path, what: str) -> SubjectError:
    return SubjectError(
        "label_mismatch",
        f"{path}: by its affine the label grid is {what}; resample the labels to the image",
    )


def checked_reference(
    labels: LabelMap,
    codes: Mapping[int, str] | None = None,
    *,
    protocol: Protocol | None = None,
) -> LabelMap:
    """Recode reference labels to popscan's codes; drop frames in which nothing is labelled.

    Parameters
    ----------
    labels
        As a source read them.
    codes
        Code in the files -> name of a structure, or ``background``; codes that it does not name
        are errors. None or empty: the protocol's own codes.
    protocol
        Whose label set; the default protocol's where none is given.

    Raises
    ------
    SubjectError
        ``unknown_label`` for a code that has no meaning here, ``label_coding`` where the codes look
        exchanged, ``empty_labels`` where no frame has a label.
    """
    protocol = protocol or get_protocol(DEFAULT)
    known = protocol.labels
    array = _recoded(labels.array, codes, known) if codes else labels.array
    strange = np.setdiff1d(np.unique(array), [0, *known.names])
    if strange.size:
        raise SubjectError(
            "unknown_label",
            f"labels hold the code {', '.join(map(str, strange[:5].tolist()))}; expected "
            f"{_listed_codes(known)}, or source.label_codes{_suggestion(array, protocol)}",
        )
    frames = tuple(t for t in labels.frames if array[..., t].any())
    if not frames:
        raise SubjectError("empty_labels", "the label file has no labelled voxel")
    likely = _likely(array[..., list(frames)], protocol)
    if likely is not None:
        codes_text, why = likely
        raise SubjectError(
            "label_coding", f"{why}; set source.label_codes: {codes_text} if that is the coding"
        )
    return LabelMap(array=array.astype(np.uint8, copy=False), frames=frames)


def _recoded(
    array: NDArray[np.uint8], codes: Mapping[int, str], known: LabelSet
) -> NDArray[np.uint8]:
    values = {**known.codes, "background": 0}
    table = np.full(MAX_CODE + 1, 255, dtype=np.uint8)
    table[0] = 0
    for code, name in codes.items():
        table[int(code)] = values[name]
    missing = [int(code) for code in np.unique(array) if table[code] == 255]
    if missing:
        raise SubjectError(
            "unknown_label",
            f"labels hold the code {', '.join(map(str, missing[:5]))}, which source.label_codes "
            "does not name",
        )
    return table[array]


def _likely(array: NDArray[np.integer], protocol: Protocol) -> tuple[str, str] | None:
    """Return the coding that labels seem to have instead of the protocol's, and why."""
    if not protocol.label_coding:
        return None
    likely: tuple[str, str] | None = load(protocol.label_coding)(array)
    return likely


def _suggestion(array: NDArray[np.integer], protocol: Protocol) -> str:
    """Return which coding anatomy speaks for, as the end of a sentence; empty where for none."""
    likely = _likely(array, protocol)
    return f": {likely[0]} if that is the coding" if likely else ""


def _listed_codes(known: LabelSet) -> str:
    return ", ".join(f"{code} {name}" for code, name in known.names.items())


def usable_references(
    loaded: Loaded,
    codes: Mapping[int, str] | None = None,
    *,
    protocol: Protocol | None = None,
) -> tuple[dict[str, LabelMap], dict[str, SubjectError]]:
    """Separate the reference labels that can be used from those that cannot.

    Parameters
    ----------
    loaded
        What a source read.
    codes, protocol
        As in `checked_reference`.

    Returns
    -------
    labels, problems
        By view; a view is in one of them at most.
    """
    labels: dict[str, LabelMap] = {}
    problems = dict(loaded.label_problems)
    for view, found in loaded.labels.items():
        try:
            labels[view] = checked_reference(found, codes, protocol=protocol)
        except SubjectError as error:
            problems[view] = error
    return labels, problems
