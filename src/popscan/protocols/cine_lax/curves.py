"""Areas, lengths and volumes of chambers over the cycle, from packed label maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_lax.geometry import (
    Chamber,
    Ventricle,
    measure_atrium,
    measure_ventricle,
)
from popscan.protocols.cine_lax.labels import LA, LV, RA, RV
from popscan.protocols.cine_lax.planes import PLANE_VIEWS, Plane
from popscan.protocols.cine_lax.volumes import area_length_ml, discs_ml

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class View:
    """What one plane shows at every frame; None where it is not labelled."""

    plane: Plane
    lv: tuple[Ventricle | None, ...]
    la: tuple[Chamber | None, ...]
    ra: tuple[Chamber | None, ...]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Volumes over the cycle in mL, NaN where not measured; each of shape (t,).

    Attributes
    ----------
    discs, area_length
        ``biplane``, ``2ch``, ``4ch`` -> curve.
    """

    discs: Mapping[str, Floats]
    area_length: Mapping[str, Floats]


def view_of(labels: NDArray[np.uint8], plane: Plane) -> View:
    """Measure one plane of packed labels (x, y, plane, t) at every frame."""
    own = labels[: plane.shape[0], : plane.shape[1], plane.index]
    frames = [own[..., t] for t in range(own.shape[2])]
    right = plane.view == "4ch"
    return View(
        plane=plane,
        lv=tuple(measure_ventricle(frame, plane, la=LA) for frame in frames),
        la=tuple(measure_atrium(frame, plane, code=LA, ventricle=LV) for frame in frames),
        ra=tuple(
            measure_atrium(frame, plane, code=RA, ventricle=RV) if right else None
            for frame in frames
        ),
    )


def curves_of(seen: Mapping[str, Sequence[Chamber | None]]) -> Curves:
    """Return volumes of a chamber over the cycle from the views that show it.

    Parameters
    ----------
    seen
        View -> the chamber at every frame.
    """
    pairs = {view: (view, view) for view in PLANE_VIEWS if view in seen}
    if len(pairs) == len(PLANE_VIEWS):
        pairs["biplane"] = PLANE_VIEWS
    discs, area_length = {}, {}
    for name, (first, second) in pairs.items():
        both = list(zip(seen[first], seen[second], strict=True))
        discs[name] = np.array([_discs(a, b) for a, b in both])
        area_length[name] = np.array([_area_length(a, b) for a, b in both])
    return Curves(discs=discs, area_length=area_length)


def _discs(first: Chamber | None, second: Chamber | None) -> float:
    if first is None or second is None:
        return math.nan
    return discs_ml(first.diameters_mm, first.length_mm, second.diameters_mm, second.length_mm)


def _area_length(first: Chamber | None, second: Chamber | None) -> float:
    if first is None or second is None:
        return math.nan
    return area_length_ml(first.area_mm2, first.length_mm, second.area_mm2, second.length_mm)


def end_frames(curve: Floats) -> tuple[int, int] | None:
    """Return the frames of the largest and smallest volume; None without two measured frames."""
    if np.isfinite(curve).sum() < 2:
        return None
    return int(np.nanargmax(curve)), int(np.nanargmin(curve))
