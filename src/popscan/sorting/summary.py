"""What a tree holds: a row for each cluster and name, from series that come one after the other."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from popscan.columns import Column, text

#: A value this many standard deviations (by the MAD) off that of its row is poor.
_OUTLIER, _MAD = 3.5, 1.4826
#: Fewest series of a row that say what is usual.
_LEAST_USUAL = 8

CLUSTERS: Mapping[str, Column] = {
    "cluster": Column("", "number of the cluster, 0 is the largest; -1 for series unlike all"),
    "name": text("likely name; unknown where the evidence is thin or contradictory"),
    "title": text("the name in words"),
    "n_series": Column("", "series"),
    "n_subjects": Column(
        "", "subjects, by patient identifier or BIDS name; n/a where a series has none"
    ),
    "sure": Column("", "mean certainty of the name, 0 to 1 (docs/sorting.md)"),
    "by": text("what most often speaks for the name"),
    "format": text("DICOM, NIfTI, or both"),
    "matrix": text("most usual matrix, columns x rows"),
    "spacing_mm": Column("mm", "median of the larger pixel spacing"),
    "n_slices": Column("", "most usual number of slices"),
    "slice_mm": Column("mm", "median slice distance, or thickness of single slices"),
    "n_frames": Column("", "most usual number of frames"),
    "sharpness": Column("1/mm", "median sharpness: steepest edges, in shares of the range"),
    "noise": Column("", "median noise, in shares of the range"),
    "n_incomplete": Column("", "series that lack frames or slices, or are blank"),
    "n_poor": Column("", "series much noisier or blurrier than their row"),
    "example": text("path of the first series, relative to the folder"),
}
SERIES: Mapping[str, Column] = {
    "path": text("file or folder, relative to the folder that was read"),
    "cluster": CLUSTERS["cluster"],
    "name": CLUSTERS["name"],
    "sure": Column("", "certainty of the name, 0 to 1"),
    "by": text("what speaks for the name, or against one"),
    "n_images": Column("", "images"),
    "n_slices": Column("", "slices"),
    "n_frames": Column("", "frames"),
    "matrix": text("columns x rows"),
    "spacing_mm": Column("mm", "larger pixel spacing"),
    "slice_mm": Column("mm", "slice distance or thickness"),
    "sharpness": Column("1/mm", "steepest edges, in shares of the range per mm"),
    "noise": Column("", "noise, in shares of the range"),
    "incomplete": text("frames, slices or blank; empty for nothing"),
    "poor": text("noise or blur, beside its row; empty for neither"),
}
BROKEN: Mapping[str, Column] = {
    "path": text("file or folder, relative to the folder that was read"),
    "reason": text("reason code (docs/reasons.md)"),
    "n_files": Column("", "files"),
}


@dataclass(kw_only=True)
class Row:
    """One cluster and name.

    Attributes
    ----------
    cluster, name
        Which.
    n
        Series.
    subjects
        A bit for each subject of the tree.
    n_unowned
        Series of which it is not known whose they are.
    sure
        Sum of certainties.
    by, formats, matrices, slices, frames
        Counts of values.
    spacing_mm, slice_mm, sharpness, noise
        Values of every series.
    n_incomplete, n_poor, example
        As in `CLUSTERS`.
    """

    cluster: int
    name: str
    n: int = 0
    subjects: bytearray = field(default_factory=bytearray)
    n_unowned: int = 0
    sure: float = 0.0
    by: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    matrices: Counter[str] = field(default_factory=Counter)
    slices: Counter[int] = field(default_factory=Counter)
    frames: Counter[int] = field(default_factory=Counter)
    spacing_mm: array[float] = field(default_factory=lambda: array("f"))
    slice_mm: array[float] = field(default_factory=lambda: array("f"))
    sharpness: array[float] = field(default_factory=lambda: array("f"))
    noise: array[float] = field(default_factory=lambda: array("f"))
    n_incomplete: int = 0
    n_poor: int = 0
    example: str = ""

    def count_subject(self, number: int | None) -> None:
        """Note a subject by its number; None where it is not known whose a series is."""
        if number is None:
            self.n_unowned += 1
            return
        place, bit = divmod(number, 8)
        if place >= len(self.subjects):
            self.subjects.extend(bytes(place + 1 - len(self.subjects)))
        self.subjects[place] |= 1 << bit

    @property
    def n_subjects(self) -> int | None:
        """Different subjects; None where it is not known whose some series are."""
        if self.n_unowned:
            return None
        return sum(byte.bit_count() for byte in self.subjects)

    def usual(self) -> tuple[float, float]:
        """Return the least sharpness and the most noise that are usual; NaN for a few series."""
        if self.n < _LEAST_USUAL:
            return math.nan, math.nan
        return _edge(self.sharpness, -1), _edge(self.noise, 1)

    def as_dict(self, title: str) -> dict[str, object]:
        """Return the row of `CLUSTERS`."""
        return {
            "cluster": self.cluster,
            "name": self.name,
            "title": title,
            "n_series": self.n,
            "n_subjects": self.n_subjects,
            "sure": round(self.sure / self.n, 2),
            "by": _most(self.by),
            "format": " and ".join(sorted(self.formats)),
            "matrix": _most(self.matrices),
            "spacing_mm": _median(self.spacing_mm, 2),
            "n_slices": _most(self.slices),
            "slice_mm": _median(self.slice_mm, 1),
            "n_frames": _most(self.frames),
            "sharpness": _median(self.sharpness, 3),
            "noise": _median(self.noise, 4),
            "n_incomplete": self.n_incomplete,
            "n_poor": self.n_poor,
            "example": self.example,
        }


def merged(rows: Sequence[Row]) -> Row:
    """Return rows of one name as one; its cluster is that of the first.

    Parameters
    ----------
    rows
        At least one.
    """
    made = Row(cluster=rows[0].cluster, name=rows[0].name, example=rows[0].example)
    for row in rows:
        made.n += row.n
        made.n_unowned += row.n_unowned
        made.sure += row.sure
        size = max(len(made.subjects), len(row.subjects))
        both = (bits.ljust(size, b"\0") for bits in (made.subjects, row.subjects))
        made.subjects = bytearray(a | b for a, b in zip(*both, strict=True))
        for name in ("by", "formats", "matrices", "slices", "frames"):
            getattr(made, name).update(getattr(row, name))
        for name in ("spacing_mm", "slice_mm", "sharpness", "noise"):
            getattr(made, name).extend(getattr(row, name))
        made.n_incomplete += row.n_incomplete
        made.n_poor += row.n_poor
    return made


def _most(counts: Counter[str] | Counter[int]) -> str | int:
    items: list[tuple[str | int, int]] = list(counts.items())
    return min(items, key=lambda item: (-item[1], item[0]))[0]


def _median(values: array[float], digits: int) -> float:
    known = np.asarray(values)
    known = known[np.isfinite(known)]
    return round(float(np.median(known)), digits) if known.size else math.nan


def _edge(values: array[float], side: int) -> float:
    """Return the value beyond which a series is no usual one; at least a quarter off the median."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return math.nan
    middle = float(np.median(known))
    spread = _MAD * float(np.median(np.abs(known - middle)))
    return middle + side * max(_OUTLIER * spread, 0.25 * middle)
