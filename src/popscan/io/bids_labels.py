"""Which label files of a BIDS-like folder belong to an image, and to which of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.ingest.slices import slices_last
from popscan.io.bids_names import Named
from popscan.io.nifti import read_scan, stem_of
from popscan.io.references import read_reference
from popscan.records import LabelMap, Scan, SubjectError


def find_labels(
    scan: Scan,
    chosen: Sequence[Named],
    images: Sequence[Named],
    labels: Sequence[Named],
    *,
    prefer: str = "",
) -> LabelMap | None:
    """Read the reference labels of a scan.

    Parameters
    ----------
    scan
        As it was read, frame after frame as in `chosen`.
    chosen
        The files that it was read from: one, or one per frame.
    images
        All images of the view.
    labels
        All label files of the view.
    prefer
        Whose labels: a folder below ``derivatives``, or a part of the file's name.

    Returns
    -------
    LabelMap or None
        On the grid of the scan; None where no label file is there.

    Raises
    ------
    SubjectError
        ``several_labels`` where it is open which file is meant, ``labels_unused`` where there are
        label files and none belongs to the image or is of `prefer`, ``label_frames`` where it is
        open which frame they belong to, and those of `read_reference`.
    """
    if not labels:
        return None
    makers = sorted({item.maker or "beside the image" for item in labels})
    if prefer:
        labels = [item for item in labels if _is_by(item, prefer)]
    if not labels:
        raise SubjectError(
            "labels_unused",
            f"source.labels is {prefer}, but the label files here are of {', '.join(makers)}",
        )
    own = [item for item in labels if item.core == chosen[0].core]
    if not own:
        raise SubjectError(
            "labels_unused", f"{len(labels)} label files are there; none has the image's name"
        )
    if len(chosen) > 1:
        return _of_frames(scan, chosen, own)
    whole = [item for item in own if item.frame == chosen[0].frame]
    if whole:
        return _of_cine(scan, _only(whole))
    return _of_phases(scan, [i for i in images if i.core == chosen[0].core], own)


def _is_by(item: Named, prefer: str) -> bool:
    tokens = stem_of(item.path).lower().replace("-", "_").split("_")
    return prefer.lower() in (item.maker.lower(), *tokens)


def _only(same: Sequence[Named]) -> Named:
    """Return the one label file, or say that there are several."""
    if len(same) == 1:
        return same[0]
    makers = sorted({item.maker or "beside the image" for item in same})
    raise SubjectError(
        "several_labels",
        f"{len(same)} label files for one image ({', '.join(makers)}); set source.labels to a "
        "folder below derivatives or to a part of the file's name",
    )


def _of_cine(scan: Scan, item: Named) -> LabelMap:
    label = read_reference(item.path, scan)
    n_labels, n_frames = label.array.shape[3], scan.array.shape[3]
    if n_labels != n_frames:
        raise SubjectError(
            "label_mismatch",
            f"{item.path}: labels of {n_labels} frame(s) for a scan of {n_frames}; which frames "
            "they belong to is not given",
        )
    return label


def _of_frames(scan: Scan, chosen: Sequence[Named], own: Sequence[Named]) -> LabelMap:
    """Read one label file per frame file."""
    array: NDArray[Any] = np.zeros(scan.array.shape, dtype=np.uint16)
    frames: list[int] = []
    for index, image in enumerate(chosen):
        same = [item for item in own if item.frame == image.frame]
        if not same or (image.time_ms is not None and not image.frame):
            continue
        array[..., index] = _one_frame(_only(same), scan)
        frames.append(index)
    if not frames:
        raise SubjectError(
            "labels_unused", f"{len(own)} label files are there; none belongs to a frame's file"
        )
    return LabelMap(array=array, frames=tuple(frames))


def _of_phases(scan: Scan, images: Sequence[Named], own: Sequence[Named]) -> LabelMap:
    """Read labels of single frames of a cine, whose images say which frames those are."""
    array: NDArray[Any] = np.zeros(scan.array.shape, dtype=np.uint16)
    frames: list[int] = []
    for name in sorted({item.frame for item in own}):
        image = next((item for item in images if item.frame == name), None)
        index = None if image is None else _frame_like(scan, image)
        if index is None:
            raise SubjectError(
                "label_frames",
                f"labels of {name.upper() or 'one frame'} are there, but not which frame of the "
                "cine that is: an image of the same name that equals one of its frames would say",
            )
        array[..., index] = _one_frame(_only([i for i in own if i.frame == name]), scan)
        frames.append(index)
    return LabelMap(array=array, frames=tuple(sorted(frames)))


def _one_frame(item: Named, scan: Scan) -> NDArray[np.uint8]:
    label = read_reference(item.path, scan)
    if label.array.shape[3] != 1:
        raise SubjectError(
            "label_mismatch", f"{item.path}: {label.array.shape[3]} frames of labels, one expected"
        )
    return label.array[..., 0]


def _frame_like(scan: Scan, image: Named) -> int | None:
    """Return the one frame of a cine that equals an image; None where none or several do."""
    other = slices_last(read_scan(image.path))
    if other.array.shape != (*scan.array.shape[:3], 1):
        return None
    same = [
        t
        for t in range(scan.array.shape[3])
        if np.array_equal(scan.array[..., t], other.array[..., 0])
    ]
    return same[0] if len(same) == 1 else None
