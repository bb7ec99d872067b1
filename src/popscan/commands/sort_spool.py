"""Series of a tree on disk while they are sorted, so that memory does not grow with the tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, TypedDict

import numpy as np
from numpy.typing import NDArray

from popscan.sorting.facts import THUMB, Facts, Named
from popscan.sorting.features import geometry
from popscan.sorting.naming import best

#: Series on which features and clusters are learnt.
MOST_LEARNT = 3000
#: Series that are looked at together.
_CHUNK = 2048
_SHAPE = (2, THUMB, THUMB)


class Line(TypedDict):
    """What is kept of a series; see `popscan.sorting.facts.Facts`."""

    path: str
    subject: int | None
    own: list[str | float] | None
    format: str
    n_images: int
    n_slices: int
    n_frames: int
    matrix: str
    spacing_mm: float
    slice_mm: float
    sharpness: float
    noise: float
    incomplete: str


class Spool:
    """Series on disk: pictures and features in one file, the rest as lines of another."""

    def __init__(self, pictures: IO[bytes], lines: IO[str]) -> None:
        self.pictures, self.lines, self.n = pictures, lines, 0
        self._subjects: dict[str, int] = {}
        self._width = 0

    def add(self, facts: Facts) -> None:
        """Keep one series."""
        own, where = best(facts), geometry(facts)
        self._width = len(where)
        self.pictures.write(facts.thumb.tobytes() + where.astype("<f8").tobytes())
        line: Line = {
            "path": facts.place,
            "subject": self._number(facts.subject),
            "own": None if own is None else [own.name, own.sure, own.by],
            "format": "DICOM" if facts.dicom else "NIfTI",
            "n_images": facts.n_images,
            "n_slices": facts.n_slices,
            "n_frames": facts.n_frames,
            "matrix": f"{facts.matrix[0]}x{facts.matrix[1]}",
            "spacing_mm": round(max(facts.spacing_mm), 3),
            "slice_mm": round(facts.slice_mm, 2),
            "sharpness": round(facts.sharpness, 4),
            "noise": round(facts.noise, 5),
            "incomplete": " ".join(facts.incomplete),
        }
        self.lines.write(json.dumps(line) + "\n")
        self.n += 1

    def _number(self, subject: str) -> int | None:
        return self._subjects.setdefault(subject, len(self._subjects)) if subject else None

    @property
    def _size(self) -> int:
        return int(np.prod(_SHAPE)) + 8 * self._width

    def chunks(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
        """Give pictures and geometries of some series at a time."""
        self.pictures.seek(0)
        while data := self.pictures.read(self._size * _CHUNK):
            flat = np.frombuffer(data, np.uint8).reshape(-1, self._size)
            n = int(np.prod(_SHAPE))
            where = np.ascontiguousarray(flat[:, n:]).view("<f8").reshape(len(flat), -1)
            yield flat[:, :n].reshape(-1, *_SHAPE), where

    def sample(self, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return pictures and geometries of at most `MOST_LEARNT` series."""
        chosen = np.arange(self.n)
        if self.n > MOST_LEARNT:
            rng = np.random.default_rng([seed, 0x50A7])
            chosen = np.sort(rng.choice(self.n, MOST_LEARNT, replace=False))
        kept, start = [], 0
        for thumbs, where in self.chunks():
            here = chosen[(chosen >= start) & (chosen < start + len(thumbs))] - start
            kept.append((thumbs[here], where[here]))
            start += len(thumbs)
        return np.concatenate([t for t, _ in kept]), np.concatenate([w for _, w in kept])

    def rows(self) -> Iterator[Line]:
        """Give what is kept of each series, in order."""
        self.lines.seek(0)
        for line in self.lines:
            yield json.loads(line)


def own_name(line: Line) -> Named | None:
    """Return the name that a series has on its own evidence."""
    if line["own"] is None:
        return None
    name, sure, by = line["own"]
    return Named(name=str(name), sure=float(sure), by=str(by))
