"""Which images of a session are its views, decided from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from popscan.io.dicom_account import Account, LeftOut
from popscan.io.dicom_folder import LOST_KINDS, Folder, read_files, read_folder
from popscan.io.dicom_group import (
    Group,
    Run,
    check_series,
    frames_of_reference,
    group_planes,
    same_contrast,
    same_pixels,
    slice_runs,
)
from popscan.io.dicom_place import Grid, turned_onto
from popscan.io.dicom_stack import Stack, build_stack, choose_runs, extend_stack, least_gap_mm
from popscan.io.dicom_support import supported, undecided
from popscan.io.rawfile import RawFile
from popscan.protocols.cine_sax.orientation import is_short_axis
from popscan.records import SubjectError

#: Stacks that have this share of the most slices are rivals; what they were made from decides.
_RIVAL_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a session is read.

    Attributes
    ----------
    min_frames
        Slices with fewer images are no cine (localisers, late enhancement, maps).
    gap_tolerance
        Largest deviation of a gap between short-axis slices, as a fraction of the usual gap.
    max_tilt_deg
        Slices that continue the stack are part of it while they are tilted against it by no more.
    """

    min_frames: int = 5
    gap_tolerance: float = 0.25
    max_tilt_deg: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Cine:
    """A group of parallel planes, in one frame of reference, that hold a cine."""

    group: Group
    runs: list[Run]

    @property
    def n_slices(self) -> int:
        """Places along the normal."""
        return len({round(run.along_mm) for run in self.runs})

    @property
    def latest(self) -> tuple[Any, ...]:
        """Sorts cines by when they were taken."""
        return max(run.latest for run in self.runs)

    @property
    def support(self) -> int:
        """`Run.support` of what is most usual in it."""
        return max(run.support for run in self.runs)

    @property
    def quality(self) -> tuple[int, int]:
        """`Run.quality` of what is best in most places."""
        best: dict[int, tuple[int, int]] = {}
        for run in self.runs:
            place = round(run.along_mm)
            best[place] = min(best.get(place, run.quality), run.quality)
        return sorted(best.values())[len(best) // 2]


@dataclass(frozen=True, kw_only=True)
class Session:
    """The cines of one folder.

    Attributes
    ----------
    name
        The folder, for messages.
    found
        What lies in it.
    cines
        Groups of planes with enough frames at some position.
    runs
        All runs of planes across the typical axis, cines or not.
    rules
        How it is read.
    """

    name: str
    found: Folder
    cines: list[Cine]
    runs: list[Run] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)

    @property
    def whole(self) -> bool:
        """Whether no file was lost on the way here."""
        return not any(self.found.counts[kind] for kind in LOST_KINDS)


def read_session(
    folder: str | Path, rules: Rules, *, files: Sequence[RawFile] | None = None
) -> Session:
    """Read the headers of a folder and find its cines.

    Parameters
    ----------
    folder
        The folder.
    rules
        How it is read.
    files
        Read these; `folder` is then a name for messages.

    Raises
    ------
    SubjectError
        ``no_cine``, and those of `popscan.io.dicom_folder.read_folder` and
        `popscan.io.dicom_group`.
    """
    found = read_folder(folder) if files is None else read_files(folder, files)
    name = str(folder)
    cines: list[Cine] = []
    across: list[Run] = []
    kept: list[Group] = []
    groups = [(group, slice_runs(group, folder=name)) for group in group_planes(found.planes)]
    for group, runs in supported(groups, min_frames=rules.min_frames):
        if is_short_axis(group.normal):
            across += runs
        full = [run for run in runs if len(run.planes) >= rules.min_frames]
        if not full:
            continue
        kept.append(group)
        series = {run.planes[0].series for run in full}
        # A slice of a cine series that lost its frames stays: it has to be reported, not dropped.
        runs = [run for run in runs if run.planes[0].series in series]
        cines += [Cine(group=group, runs=part) for part in _parts(runs)]
    check_series(kept, folder=name)
    if not cines:
        raise SubjectError(
            "no_cine",
            f"{name}: {len(found.planes)} images, but no slice with {rules.min_frames} or more "
            "frames",
        )
    return Session(name=name, found=found, cines=cines, runs=across, rules=rules)


def _parts(runs: list[Run]) -> list[list[Run]]:
    """Split runs by frame of reference, where that says anything."""
    if not frames_of_reference(runs):
        return [runs]
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(run.planes[0].frame_of_reference, []).append(run)
    return list(parts.values())


def short_axis_cine(session: Session) -> Cine | None:
    """Find the group that is the short-axis stack, or most of it.

    The one with the most slices; of those that have nearly as many what was measured goes before
    what was made of it, the kind that is most usual in the visit before another, and the later
    before the earlier.
    """
    across = [cine for cine in session.cines if is_short_axis(cine.group.normal)]
    _one_study(across, folder=session.name)
    most = max((cine.n_slices for cine in across), default=0)
    rivals = [cine for cine in across if cine.n_slices >= _RIVAL_SHARE * most]
    if not rivals:
        return None
    best = min(cine.quality for cine in rivals)
    equal = [cine for cine in rivals if cine.quality == best]
    return max(equal, key=lambda c: (c.support, c.n_slices, c.latest))


def _one_study(stacks: Sequence[Cine], *, folder: str) -> None:
    """Refuse whole short-axis stacks of several studies: two visits, or two people, in one folder.

    A study that holds fewer than three slices is no sign of that: some anonymisers give each
    series its own study.
    """
    places: dict[str, set[tuple[int, int]]] = {}
    for number, stack in enumerate(stacks):
        for run in stack.runs:
            places.setdefault(run.planes[0].study, set()).add((number, round(run.along_mm)))
    most = max((len(found) for found in places.values()), default=0)
    rivals = [found for found in places.values() if len(found) >= max(3, most / 2)]
    if len(rivals) > 1:
        raise SubjectError(
            "mixed_series",
            f"{folder}: short-axis stacks of {len(rivals)} different studies "
            f"({', '.join(str(len(found)) for found in rivals)} slices); one visit per folder "
            "expected",
        )


def short_axis_stack_of(session: Session, main: Cine) -> tuple[Stack, LeftOut]:
    """Build the short-axis stack, and account for what it does not use.

    Raises
    ------
    SubjectError
        As `popscan.io.dicom_stack`.
    """
    try:
        return _stack_of(session, main)
    except SubjectError as error:
        if session.whole:
            raise
        counts = session.found.counts
        lost = ", ".join(f"{counts[kind]} {kind}" for kind in LOST_KINDS if counts[kind])
        raise SubjectError(error.reason, f"{error} (beside {lost})") from error


def _stack_of(session: Session, main: Cine) -> tuple[Stack, LeftOut]:
    rules, folder = session.rules, session.name
    chosen, short = choose_runs(main.runs, folder=folder, whole=session.whole)
    grid = Grid(chosen[0].planes[0])
    n_frames = len(chosen[0].planes)
    others = [
        replace(run, planes=tuple(turned_onto(plane, grid) for plane in run.planes))
        for cine in session.cines
        if cine is not main and is_short_axis(cine.group.normal)
        for run in cine.runs
        if len(run.planes) == n_frames and not run.is_copy and _can_continue(run, grid)
    ]
    runs = extend_stack(
        chosen,
        others,
        grid=grid,
        tolerance=rules.gap_tolerance,
        max_tilt_deg=rules.max_tilt_deg,
    )
    stack = build_stack(
        runs, grid=grid, folder=folder, gap_tolerance=rules.gap_tolerance, short=short
    )
    if repeated := len(main.runs) - len(chosen) - len(short):
        stack.notes["n_repeated_slices"] = repeated
    unsure = undecided(
        runs, session.runs, grid=grid, reach_mm=least_gap_mm(main.runs),
        min_frames=rules.min_frames,
    )  # fmt: skip
    if unsure:
        stack.notes["n_undecided_slices"] = unsure
    frames = {p.frame_of_reference for run in runs for p in run.planes} - {""}
    if frames_of_reference(runs):
        stack.notes["n_frames_of_reference"] = len(frames)
    account = Account(stack, max_tilt_deg=rules.max_tilt_deg)
    account.runs(session.runs, min_frames=rules.min_frames)
    account.colour(session.found.colour)
    account.files(session.found, min_frames=rules.min_frames)
    return stack, account.left


def _can_continue(run: Run, grid: Grid) -> bool:
    plane = turned_onto(run.planes[0], grid)
    return same_contrast(grid.plane, plane) and same_pixels(grid.plane, plane)
