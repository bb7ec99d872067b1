"""Where the long-axis planes of a digital heart lie."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_lax.simulate.atria import FOUR_CHAMBER_DEG
from popscan.protocols.cine_sax.simulate.plan import Grid
from popscan.protocols.cine_sax.simulate.subject import Anatomy

#: Angle of each view about the long axis from the four-chamber plane: patients' stand about 60
#: degrees apart (`popscan.protocols.cine_sax.orientation.LONG_AXIS_ANGLES_DEG`).
TURN_DEG: Mapping[str, float] = {"4ch": 0.0, "2ch": -58.0}


def plan_plane(
    anatomy: Anatomy,
    view: str,
    *,
    matrix: tuple[int, int],
    spacing_mm: tuple[float, float],
    thickness_mm: float,
    turn_deg: float | None = None,
    offset_sd_mm: float,
    tilt_sd_deg: float,
    breath_hold_sd_mm: float,
    fine: tuple[int, int],
    rng: np.random.Generator,
) -> Grid:
    """Place a plane through the long axis, as nearly as an operator does.

    The four-chamber plane holds the long axis and crosses the septum. Axis 0 of the image
    runs from the right ventricle (from the anterior wall) to the opposite wall, axis 1 from the
    atria to the apex.

    Parameters
    ----------
    anatomy, view
        Whose heart; ``2ch`` or ``4ch``.
    matrix, spacing_mm, thickness_mm, fine
        Pixels and thickness of the plane, and sampling points (see `Grid`).
    turn_deg
        Angle about the long axis from the four-chamber plane; None: `TURN_DEG`.
    offset_sd_mm, tilt_sd_deg
        How far planes miss the long axis: shift across it, and tilt against it and about it.
    breath_hold_sd_mm
        Displacement of the patient in the view's breath-hold.
    rng
        Source of what the operator misses.
    """
    turn = FOUR_CHAMBER_DEG + (TURN_DEG[view] if turn_deg is None else turn_deg)
    angle = anatomy.heart.rv_angle + np.deg2rad(turn + rng.normal(0, tilt_sd_deg))
    across = anatomy.axes @ np.array([-np.cos(angle), -np.sin(angle), 0.0])
    along = anatomy.axes[:, 2]
    along = along + np.tan(np.deg2rad(rng.normal(0, tilt_sd_deg))) * np.cross(across, along)
    along = along / np.linalg.norm(along)
    normal = np.cross(across, along)
    middle = anatomy.base_mm + anatomy.axes[:, 2] * 0.5 * anatomy.heart.length_mm
    middle = middle + normal * rng.normal(0, offset_sd_mm)
    # Room for the atria above and, in the four-chamber view, the right heart beside.
    middle = middle - along * 18.0 - across * (18.0 if view == "4ch" else 0.0)
    affine = np.eye(4)
    steps: NDArray[np.float64] = np.stack(
        [across * spacing_mm[0], along * spacing_mm[1], normal * thickness_mm], axis=1
    )
    affine[:3, :3] = steps
    affine[:3, 3] = middle - steps[:, :2] @ ((np.array(matrix) - 1) / 2)
    return Grid(
        affine=affine,
        shape=(*matrix, 1),
        thickness_share=1.0,
        fine=fine,
        shifts_mm=rng.normal(0, breath_hold_sd_mm, (1, 3)) * (0.4, 0.6, 1.0),
    )
