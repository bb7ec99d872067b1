"""Long-axis views of a session: which plane is which view, and which of several is taken."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.io.dicom_account import OTHER_PLANE, TAKEN_AGAIN, LeftOut
from popscan.io.dicom_group import Group
from popscan.io.dicom_place import Grid
from popscan.io.dicom_session import Cine, Session
from popscan.io.dicom_stack import Stack, build_stack, choose_runs
from popscan.protocols.cine_sax.orientation import axis_of, is_short_axis, name_plane
from popscan.records import SubjectError


@dataclass(frozen=True, kw_only=True)
class View:
    """A view of a session, from headers alone.

    Attributes
    ----------
    view
        Its name.
    stack
        Which images it is made of; None where they make none.
    left
        What it does not use.
    view_by
        What the name comes from.
    n_candidates
        Groups of planes that could have been this view.
    problem
        Why there is no stack.
    """

    view: str
    stack: Stack | None
    left: LeftOut
    view_by: str
    n_candidates: int = 1
    problem: SubjectError | None = None


def long_axis_views(
    session: Session,
    main: Cine | None,
    *,
    wanted: Collection[str] | None,
    centre: NDArray[np.float64] | None = None,
) -> list[View]:
    """Name the planes that are no short-axis planes.

    Of several planes of one view what was measured goes before what was made of it, then the best
    fitting one.

    Parameters
    ----------
    session
        The session.
    main
        Its short-axis stack.
    wanted
        Names of views; None for all.
    centre
        Centre of the heart, LPS mm; without it planes that miss the heart are named, too.
    """
    axis = None if main is None else axis_of(main.group.normal)
    candidates: dict[str, list[tuple[float, Cine]]] = {}
    for cine in session.cines:
        if not is_short_axis(cine.group.normal):
            named = name_plane(cine.group.normal, _middle(cine.group), axis=axis, centre=centre)
            candidates.setdefault(named.view, []).append((named.misfit, cine))
    by = "patient_axes" if axis is None else "short_axis_geometry"
    return [
        _view(session, view, found, by=by)
        for view, found in candidates.items()
        if wanted is None or view in wanted
    ]


def _view(session: Session, view: str, found: list[tuple[float, Cine]], *, by: str) -> View:
    _, best = min(found, key=lambda item: (item[1].quality[0], item[0]))
    left = LeftOut()
    for _, cine in found:
        if cine is not best:
            left.add(OTHER_PLANE, sum(len(r.planes) + len(r.earlier) for r in cine.runs))
    try:
        chosen, _ = choose_runs(best.runs, folder=session.name, whole=False)
        grid = Grid(chosen[0].planes[0])
        stack = build_stack(chosen, grid=grid, folder=session.name, gap_tolerance=float("inf"))
    except SubjectError as error:
        left.add(f"of a {view} cine that cannot be stacked", _n_images(best))
        return View(view=view, stack=None, left=left, view_by=by, problem=error)
    used = sum(len(run.planes) for run in chosen)
    left.add(TAKEN_AGAIN, _n_images(best) - used)
    return View(view=view, stack=stack, left=left, view_by=by, n_candidates=len(found))


def _n_images(cine: Cine) -> int:
    return sum(len(run.planes) + len(run.earlier) for run in cine.runs)


def _middle(group: Group) -> NDArray[np.float64]:
    """Mean corner of a group's planes: a point of the plane in its middle."""
    return np.asarray(np.mean([plane.position for plane in group.planes], axis=0))
