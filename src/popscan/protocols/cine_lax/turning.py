"""Planes turned so that networks see every heart the same side up.

Scanners and readers store a plane in any of eight arrangements of rows and columns. Networks see
the one whose axes are nearest to those that a plane of the view has in an adult: axis 1 from base
to apex, axis 0 across. What is left, up to about 60 degrees, they are trained for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Directions (RAS) in an adult: from the base of the LV to its apex, and across it: from the RV
#: to the lateral wall in the four-chamber plane, from the inferior to the anterior wall in the
#: two-chamber one.
ALONG = np.array([-0.66, 0.55, -0.51])
ACROSS: Mapping[str, Floats] = {
    "4ch": np.array([-0.76, -0.50, 0.40]), "2ch": np.array([-0.25, 0.40, 0.85]),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A rearrangement of rows and columns: first exchanged, then reversed.

    Attributes
    ----------
    swap
        Whether axes 0 and 1 are exchanged.
    flip
        Whether each axis is reversed afterwards.
    """

    swap: bool
    flip: tuple[bool, bool]

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array (x, y, ...) turned."""
        turned = array.swapaxes(0, 1) if self.swap else array
        return turned[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a turned array (x, y, ...) as it was."""
        back = array[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]
        return back.swapaxes(0, 1) if self.swap else back


def turn_of(affine: Floats, view: str) -> Turn:
    """Return how a plane is turned for the networks.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Pixel to RAS mm.
    view
        A key of `ACROSS`.

    Examples
    --------
    >>> affine = np.eye(4)
    >>> affine[:3, 0], affine[:3, 1] = ALONG, -ACROSS["4ch"]
    >>> turn_of(affine, "4ch")
    Turn(swap=True, flip=(True, False))
    """
    columns = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    wanted = (ACROSS[view], ALONG)
    best, chosen = -np.inf, Turn(swap=False, flip=(False, False))
    for swap in (False, True):
        fit = [float(columns[:, 1 - k if swap else k] @ wanted[k]) for k in range(2)]
        total = abs(fit[0]) + abs(fit[1])
        if total > best:
            best, chosen = total, Turn(swap=swap, flip=(fit[0] < 0, fit[1] < 0))
    return chosen


def typical_affine(view: str, *, pixel_mm: float, thickness_mm: float) -> Floats:
    """Return an affine whose axes are those of a view in an adult, made perpendicular."""
    along = ALONG / np.linalg.norm(ALONG)
    across = ACROSS[view] - (ACROSS[view] @ along) * along
    across = across / np.linalg.norm(across)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * pixel_mm, along * pixel_mm
    affine[:3, 2] = np.cross(across, along) * thickness_mm
    return affine
