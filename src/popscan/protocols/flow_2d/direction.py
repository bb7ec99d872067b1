"""Which way blood of positive velocity flows, and vessels that flow the other way."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from popscan.protocols.flow_2d.labels import TO_HEAD

#: Direction -> axis of RAS, and its sign.
_AXES: Mapping[str, tuple[int, float]] = {
    "right": (0, 1.0), "left": (0, -1.0), "front": (1, 1.0), "back": (1, -1.0),
    "head": (2, 1.0), "feet": (2, -1.0),
}  # fmt: skip
#: A plane whose normal is further from an axis (cosine) says nothing of flow along it.
_ALONG = 0.3


def positive_sign(towards: str, affine: ArrayLike) -> int:
    """Return 1 if positive velocity through a plane is towards the head, -1 if to the feet.

    Parameters
    ----------
    towards
        Where blood of positive velocity flows to: ``head``, ``feet``, ``front``, ``back``,
        ``left``, ``right``, or ``auto``.
    affine : array_like, shape (4, 4)
        Voxel index to RAS mm; the plane's normal is taken from it.

    Returns
    -------
    int
        0 for ``auto``, and where the normal is almost at right angles to `towards` or to the
        body's long axis, so that one says nothing of the other.
    """
    if towards not in _AXES:
        return 0
    matrix = np.asarray(affine, dtype=float)[:3, :3]
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    length = float(np.linalg.norm(normal))
    if not length > 0:
        return 0
    normal = normal / length
    axis, sign = _AXES[towards]
    if min(abs(float(normal[axis])), abs(float(normal[2]))) < _ALONG:
        return 0
    forward = normal * np.sign(normal[axis]) * sign
    return 1 if forward[2] > 0 else -1


def against(flows: Mapping[str, float], sign: int) -> list[str]:
    """Return the vessels that flow against where their blood flows to.

    Parameters
    ----------
    flows
        Vessel -> 1 where its largest flow is positive in the images, else -1.
    sign
        As of `positive_sign`; 0: the vessels are compared with the first of them.

    Examples
    --------
    >>> against({"aorta": 1.0, "desc_aorta": 1.0}, 0)
    ['desc_aorta']
    """
    if not flows:
        return []
    if not sign:
        first = next(iter(flows))
        sign = 1 if flows[first] * TO_HEAD[first] > 0 else -1
    return [name for name, flow in flows.items() if flow * TO_HEAD[name] * sign < 0]
