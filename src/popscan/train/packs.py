"""Packs: training slices of many subjects in one array file, read without pickle.

A pack holds every slice of the labelled frames at the training spacing, cut to a square around
the labels, with whom it is from and the attributes by which cohorts are described.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.resampling import Window, inplane_shape, resample_images, resample_labels
from popscan.npzfile import read_npz
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment.known import subject_of
from popscan.segment.preprocess import normalise, slices

#: Stored integer = normalised intensity times this.
INTENSITY_SCALE = 4096


@dataclass(frozen=True, kw_only=True)
class Case:
    """One labelled scan to train or validate on.

    Attributes
    ----------
    unit
        Identifier of the visit (``0001_ses-01``), or of the subject where there are no visits.
    scan, labels
        Images and the labels of some of their frames, on the same grid.
    attributes
        What is known of the subject by name (``group``, ``sex``, ...), as text.
    usable
        Which slices of which frames may be trained on, (z, t) bool; None for all. The others are
        still seen as neighbours of those.
    """

    unit: str
    scan: Scan
    labels: LabelMap
    attributes: Mapping[str, str] = field(default_factory=dict)
    usable: NDArray[np.bool_] | None = None

    @property
    def subject(self) -> str:
        """Whose visit it is; trained on or validated on with all of theirs."""
        return subject_of(self.unit)


def labelled_frames(case: Case) -> Case:
    """Return a case with its labelled frames only."""
    frames, scan = list(case.labels.frames), case.scan
    part = replace(scan, array=scan.array[..., frames], frame_times_ms=None)
    labels = LabelMap(array=case.labels.array[..., frames], frames=tuple(range(len(frames))))
    return replace(case, scan=part, labels=labels)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Labelled slices of many subjects.

    Attributes
    ----------
    images : ndarray of int16, shape (n, size, size)
        Normalised intensities times `INTENSITY_SCALE`.
    labels : ndarray of uint8, shape (n, size, size)
        Codes of the label set.
    unit, frame, slice_index : ndarray, shape (n,)
        Whose slice it is and which; the slices of one stack follow each other.
    usable : ndarray of bool, shape (n,)
        Whether it may be trained on; if not, it is only seen as a neighbour.
    spacing_mm
        In-plane spacing of both.
    attributes
        Attribute name -> text per slice.
    """

    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    unit: NDArray[np.str_]
    frame: NDArray[np.int32]
    slice_index: NDArray[np.int32]
    usable: NDArray[np.bool_]
    spacing_mm: float
    attributes: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def units(self) -> list[str]:
        """All visits in the pack, sorted."""
        return sorted(set(self.unit.tolist()))

    @property
    def subjects(self) -> list[str]:
        """Everyone in the pack, sorted."""
        return sorted({subject_of(unit) for unit in self.units})


def pack_digest(pack: Pack, *, attributes: Sequence[str] = ()) -> str:
    """Return the SHA-256 of what a training sees of a pack, and of the attributes that it uses."""
    digest = hashlib.sha256(f"{pack.spacing_mm!r} {pack.images.shape}".encode())
    for name in ("images", "labels", "frame", "slice_index", "usable"):
        digest.update(np.ascontiguousarray(getattr(pack, name)).data)
    for texts in (pack.unit, *(pack.attributes[name] for name in attributes)):
        digest.update("\n".join(texts.tolist()).encode())
    return digest.hexdigest()


def _label_centre(labels: torch.Tensor) -> tuple[float, float]:
    inside = (labels != 0).any(dim=0)
    if not bool(inside.any()):
        return (labels.shape[1] - 1) / 2, (labels.shape[2] - 1) / 2
    xs, ys = inside.any(dim=1).nonzero(), inside.any(dim=0).nonzero()
    return float(xs.min() + xs.max()) / 2, float(ys.min() + ys.max()) / 2


def _pack_case(
    case: Case, *, spacing_mm: float, size: int, around_labels: bool, n_labels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels (frames * z, size, size) of the labelled frames of one case."""
    frames = list(case.labels.frames)
    images = slices(normalise(case.scan.array)[..., frames])
    labels = slices(case.labels.array[..., frames])
    shape = inplane_shape(
        (images.shape[1], images.shape[2]),
        spacing_mm=case.scan.spacing_mm[:2],
        target_mm=spacing_mm,
    )
    images = resample_images(images, shape)
    labels = resample_labels(
        labels, shape, n_labels=n_labels or 1 + int(case.labels.array.max(initial=0))
    )
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    window = Window.around(_label_centre(labels) if around_labels else middle, (size, size))
    return window.cut(images), window.cut(labels)


def build_pack(
    cases: Iterable[Case],
    *,
    spacing_mm: float = 1.5,
    size: int = 224,
    around_labels: bool = True,
    n_labels: int = 0,
) -> Pack:
    """Return the pack of all labelled slices of `cases`, in their order.

    Parameters
    ----------
    cases
        Labelled scans; attributes missing in one of them become ``unknown`` there.
    spacing_mm
        In-plane spacing to resample to.
    size
        Side of the square around the labels, in pixels; larger than the training patch, so that
        patches can be shifted and turned without meeting its border.
    around_labels
        Whether the square is around the labels; if not, around the middle of the image.
    n_labels
        Number of labels, background included; 0 for those that each case has.

    Raises
    ------
    PopscanError
        If there is no case at all.
    """
    images, labels, rows = [], [], []
    for case in cases:
        image, label = _pack_case(
            case, spacing_mm=spacing_mm, size=size, around_labels=around_labels, n_labels=n_labels
        )
        images.append((image * INTENSITY_SCALE).round().to(torch.int16).numpy())
        labels.append(label.numpy())
        n_slices = case.scan.array.shape[2]
        rows += [(case, f, z) for f in case.labels.frames for z in range(n_slices)]
    if not rows:
        raise PopscanError("a pack needs at least one labelled scan")
    names = sorted({name for case, _, _ in rows for name in case.attributes})
    return Pack(
        images=np.concatenate(images),
        labels=np.concatenate(labels),
        unit=np.array([case.unit for case, _, _ in rows]),
        frame=np.array([f for _, f, _ in rows], dtype=np.int32),
        slice_index=np.array([z for _, _, z in rows], dtype=np.int32),
        usable=np.array([c.usable is None or bool(c.usable[z, f]) for c, f, z in rows]),
        spacing_mm=spacing_mm,
        attributes={
            name: np.array([case.attributes.get(name, "unknown") for case, _, _ in rows])
            for name in names
        },
    )


_COLUMNS = ("images", "labels", "unit", "frame", "slice_index", "usable")


def write_pack(path: Path, pack: Pack) -> None:
    """Write a pack as an uncompressed ``.npz`` of plain arrays."""
    arrays = {name: getattr(pack, name) for name in _COLUMNS}
    arrays |= {f"attribute_{name}": values for name, values in pack.attributes.items()}
    np.savez(path, allow_pickle=False, spacing_mm=np.float64(pack.spacing_mm), **arrays)


def read_pack(path: Path) -> Pack:
    """Read a pack.

    Raises
    ------
    PopscanError
        If the file is absent, is no pack, or holds pickled objects.
    """
    try:
        arrays = read_npz(path)
        columns = {name: arrays[name] for name in _COLUMNS}
        spacing_mm = float(arrays["spacing_mm"])
    except (PopscanError, ValueError, KeyError, TypeError) as error:
        raise PopscanError(f"{path}: not a readable pack of training slices ({error})") from error
    attributes = {
        name.removeprefix("attribute_"): values
        for name, values in arrays.items()
        if name.startswith("attribute_")
    }
    return Pack(**columns, spacing_mm=spacing_mm, attributes=attributes)
