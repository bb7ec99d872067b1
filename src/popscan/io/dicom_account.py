"""What becomes of every image of a view: used, or left out for a reason that is reported."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from popscan.io.dicom_folder import Folder
from popscan.io.dicom_group import Run, same_contrast, same_kind, same_pixels
from popscan.io.dicom_header import Plane
from popscan.io.dicom_kind import Kind
from popscan.io.dicom_place import Grid, turned_onto
from popscan.io.dicom_stack import Stack, least_gap_mm

#: A plane that is tilted further belongs to another view (an aortic valve, a localiser).
SAME_VIEW_DEG = 15.0
#: Fewer frames at a place of their own are a localiser or a map, not a slice that was cut short.
_FEWEST_FRAMES = 2

TAKEN_AGAIN = "of slices that are there again"
COPIES = "copies (captured, annotated, or no magnitude) of slices that are there"
SAME_PIXELS = "there twice, pixel by pixel"
OTHER_CONTRAST = "of another contrast"
OTHER_PLANE = "of another plane of this view"
NO_CONTINUATION = "at places that do not continue the stack"
_WORDS = {
    Kind.DAMAGED: "in damaged files",
    Kind.MULTIFRAME: "in multi-frame files without positions",
    Kind.MISCOUNTED: "in multi-frame files that miscount their frames",
    Kind.MISSING: "behind links that lead nowhere",
}


@dataclass(kw_only=True)
class LeftOut:
    """Images of a view that are not used.

    Attributes
    ----------
    images
        Reason in words -> number of images.
    slices
        Slices that the stack lacks for it.
    """

    images: Counter[str] = field(default_factory=Counter)
    slices: int = 0

    def add(self, words: str, n_images: int) -> None:
        """Count images; none is not mentioned."""
        if n_images:
            self.images[words] += n_images

    @property
    def n_images(self) -> int:
        """All of them."""
        return sum(self.images.values())

    @property
    def reason(self) -> str:
        """Say how many were left out for which reason."""
        return "; ".join(f"{n} {words}" for words, n in self.images.most_common())


class Account:
    """Sorts what a stack does not use.

    Parameters
    ----------
    stack
        What is used.
    """

    def __init__(self, stack: Stack, *, max_tilt_deg: float) -> None:
        self.stack = stack
        self.grid: Grid = stack.grid
        self.max_tilt_deg = max_tilt_deg
        gap = least_gap_mm(stack.runs)
        self.reach_mm = gap if len(stack.runs) > 1 else 4.0
        self.left = LeftOut()
        self._lost: dict[str, list[float]] = defaultdict(list)

    def runs(self, runs: Iterable[Run], *, min_frames: int) -> None:
        """Account for runs of the short-axis view; those of the stack are passed over."""
        used = {(p.path, p.frame) for run in self.stack.runs for p in run.planes}
        series = {run.planes[0].series for run in self.stack.runs} - {""}
        for run in runs:
            if (run.planes[0].path, run.planes[0].frame) in used:
                self.left.add(TAKEN_AGAIN, len(run.earlier))
                continue
            slice_like = len(run.planes) >= min_frames or run.planes[0].series in series
            self._run(run, cine=slice_like)

    def _run(self, run: Run, *, cine: bool) -> None:
        plane, first = turned_onto(run.planes[0], self.grid), self.grid.plane
        n_images = len(run.planes) + len(run.earlier)
        covered = self._is_covered(plane)
        same_view = self.grid.tilt_deg(plane) <= SAME_VIEW_DEG
        alike = same_contrast(first, plane) and same_pixels(first, plane)
        if not cine and not (same_view and alike):
            return
        if not cine and covered:
            self.left.add(self._frames(run), n_images)
        elif run.is_copy and covered:
            self.left.add(COPIES, n_images)
        elif not same_view:
            self.left.add(f"in planes tilted by more than {SAME_VIEW_DEG:g} degrees", n_images)
        elif not same_contrast(first, plane):
            self.left.add(OTHER_CONTRAST, n_images)
        elif covered:
            again = same_kind(first, plane)
            self.left.add(TAKEN_AGAIN if again else OTHER_CONTRAST, n_images)
        else:
            words = self._why(run)
            self.left.add(words, n_images)
            if cine or len(run.planes) >= _FEWEST_FRAMES:
                self._lose(words, plane)

    def _why(self, run: Run) -> str:
        """Say why a slice at a place of its own is no slice of the stack."""
        plane, first = turned_onto(run.planes[0], self.grid), self.grid.plane
        if not same_pixels(first, plane):
            return (
                f"with pixels of {plane.column_spacing_mm:.4g} mm beside the stack's "
                f"{first.column_spacing_mm:.4g}"
            )
        if len(run.planes) != self.stack.n_frames:
            return self._frames(run)
        tilt, turn = self.grid.tilt_deg(plane), self.grid.turn_deg(plane)
        if tilt > self.max_tilt_deg:
            return f"in slices tilted by {tilt:.0f} degrees"
        if turn > self.max_tilt_deg:
            return f"in slices turned in their plane by {turn:.0f} degrees"
        return NO_CONTINUATION

    def _frames(self, run: Run) -> str:
        n_frames = len(run.planes)
        word = "frame" if n_frames == 1 else "frames"
        return f"in slices of {n_frames} {word} beside the stack's {self.stack.n_frames}"

    def colour(self, planes: Sequence[Plane]) -> None:
        """Account for colour images: copies, unless nothing else shows the slice."""
        for plane in planes:
            if self.grid.tilt_deg(plane) > SAME_VIEW_DEG:
                continue
            covered = self._is_covered(plane)
            words = COPIES if covered else "in colour"
            self.left.add(words, 1)
            if not covered:
                self._lose(words, plane)

    def files(self, found: Folder, *, min_frames: int) -> None:
        """Account for what has no place: damaged files, links to nowhere, no position."""
        self.left.add(SAME_PIXELS, found.n_copies)
        for kind, words in _WORDS.items():
            self._unplaced(words, found.counts[kind])
        planes = [p for run in self.stack.runs for p in run.planes]
        series = {p.series for p in planes}
        for name in series - {""}:
            promised = max(p.promised for p in planes if p.series == name)
            absent = promised - found.in_series[name]
            if absent > 0 and not found.counts[Kind.DAMAGED] and not found.counts[Kind.MISSING]:
                self._unplaced(f"not in the folder, of {promised} that a series promises", absent)
        words = "without a position in the patient"
        for name, n_images in found.unplaced.items():
            if name in series or n_images >= min_frames:
                self._unplaced(words, n_images)

    def _unplaced(self, words: str, n_images: int) -> None:
        self.left.add(words, n_images)
        self.left.slices += math.ceil(n_images / self.stack.n_frames)

    def _is_covered(self, plane: Plane) -> bool:
        """Whether the stack has a slice there, or slices on both sides."""
        along = float(self.grid.along_mm(plane)[0])
        ends = self.stack.along_mm
        return ends[0] - self.reach_mm < along < ends[-1] + self.reach_mm

    def _lose(self, words: str, plane: Plane) -> None:
        """Count a slice that the stack lacks, once per place."""
        along = float(self.grid.along_mm(plane)[0])
        if all(abs(along - other) >= self.reach_mm for other in self._lost[words]):
            self._lost[words].append(along)
            self.left.slices += 1
