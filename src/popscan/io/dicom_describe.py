"""What ingest would make of a DICOM session, without reading pixels: for `popscan check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from popscan.io.dicom_account import LeftOut
from popscan.io.dicom_order import GUESS, order_frames
from popscan.io.dicom_session import (
    Rules,
    Session,
    read_session,
    short_axis_cine,
    short_axis_stack_of,
)
from popscan.io.dicom_stack import Stack
from popscan.io.dicom_views import long_axis_views
from popscan.io.sources import one_folder
from popscan.records import SubjectError


@dataclass(frozen=True, kw_only=True)
class DescribedView:
    """One view as ingest would read it.

    Attributes
    ----------
    n_slices, n_frames
        Its size.
    series_numbers
        Of the series that it is made of; -1 where a file does not say.
    frame_order
        The tags that give the order of frames; `GUESS` is none.
    images_left_out, images_left_out_reason, slices_left_out
        Images of the view that are not used, why, and how many slices are missing for it.
    problems
        Sentences on what a person should look at.
    """

    n_slices: int
    n_frames: int
    series_numbers: tuple[int, ...]
    frame_order: tuple[str, ...]
    images_left_out: int = 0
    images_left_out_reason: str = ""
    slices_left_out: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Described:
    """One session as ingest would read it.

    Attributes
    ----------
    reason, message
        Why ingest would fail; empty where it would not, as far as headers say.
    n_files, n_images
        Files of the folder, and MR images among them.
    views
        Name -> view.
    """

    reason: str = ""
    message: str = ""
    n_files: int = 0
    n_images: int = 0
    views: Mapping[str, DescribedView] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Everything that a person should look at, in sentences."""
        found = [self.message] if self.reason else []
        return found + [f"{name}: {p}" for name, view in self.views.items() for p in view.problems]


def describe_session(
    paths: Sequence[str], *, views: Sequence[str] | None = None, max_tilt_deg: float = 5.0
) -> Described:
    """Say what ingest would read of one subject's folder, from headers alone; never raises.

    Parameters
    ----------
    paths
        The subject's folder, as in ``Found.paths``.
    views
        Views wanted; None for all that are found.
    max_tilt_deg
        As in `popscan.io.dicom_session.Rules`.
    """
    session: Session | None = None
    found: dict[str, DescribedView] = {}
    reason = message = ""
    try:
        session = read_session(one_folder(paths), Rules(max_tilt_deg=max_tilt_deg))
        found = _views(session, views)
        if not found:
            wanted_views = "any view" if views is None else ", ".join(views)
            raise SubjectError("view_missing", f"{session.name}: no cine of {wanted_views}")
    except SubjectError as error:
        reason, message = error.reason, str(error)
    return Described(
        reason=reason,
        message=message,
        n_files=session.found.n_files if session else 0,
        n_images=len(session.found.planes) if session else 0,
        views=found,
    )


def _views(session: Session, views: Sequence[str] | None) -> dict[str, DescribedView]:
    found: dict[str, DescribedView] = {}
    main = short_axis_cine(session)
    if main is not None and (views is None or "sax" in views):
        stack, left = short_axis_stack_of(session, main)
        found["sax"] = _describe(stack, left)
    if views is None or set(views) - {"sax"}:
        for view in long_axis_views(session, main, wanted=views):
            if view.stack is not None:
                found[view.view] = _describe(view.stack, view.left)
    return {name: found[name] for name in sorted(found)}


def _describe(stack: Stack, left: LeftOut) -> DescribedView:
    planes = [p for run in stack.runs for p in run.planes]
    orders = {order_frames(run.planes)[1] for run in stack.runs}
    return DescribedView(
        n_slices=len(stack.runs),
        n_frames=stack.n_frames,
        series_numbers=tuple(sorted({p.series_number for p in planes})),
        frame_order=tuple(sorted(orders)),
        images_left_out=left.n_images,
        images_left_out_reason=left.reason,
        slices_left_out=left.slices,
        problems=tuple(_problems(stack, left, orders)),
    )


def _problems(stack: Stack, left: LeftOut, orders: set[str]) -> list[str]:
    found = []
    if left.slices:
        found.append(
            f"{len(stack.runs)} slices are stacked, and about {left.slices} more are left out: "
            f"{left.reason}"
        )
    if GUESS in orders:
        found.append("the order of frames is a guess from the names of the files")
    if (n_frames := stack.notes.get("n_frames_of_reference", 1)) > 1:
        found.append(
            f"its slices lie in {n_frames} frames of reference: the patient may have moved"
        )
    if tilt := stack.notes.get("slice_tilt_deg"):
        found.append(f"slices are tilted against each other by up to {tilt:.1f} degrees")
    if copies := stack.notes.get("n_copied_slices"):
        found.append(f"captured or annotated copies of slices without an original: {copies}")
    if unsure := stack.notes.get("n_undecided_slices"):
        found.append(
            f"{unsure} slices lie where another series does that may be the cine; the one most "
            "like the rest of the visit was taken, else the later one"
        )
    return found
