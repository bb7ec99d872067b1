"""Left and right: the plane about which a segmented brain is most like its mirror image.

The network knows no sides. Heads are turned and tilted in the scanner, so the middle of the image
is not the middle of the brain: the plane is searched in which most voxels have the label of their
mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from popscan.protocols.brain_t1.labels import GROUPS, RIGHT

#: Voxels that vote on the plane, and fewest that can.
_VOTES, _LEAST = 20_000, 200
#: Steeper planes (voxels along x per voxel along y or z) are no head in a scanner.
_STEEPEST = 0.6
_PAIRED = tuple(code for code, group in enumerate(GROUPS, start=1) if group.paired)


@dataclass(frozen=True)
class MidPlane:
    """``x = offset + along_y * y + along_z * z`` in voxels of a RAS volume.

    Attributes
    ----------
    offset, along_y, along_z
        Its coefficients.
    agreement
        Share of the voxels whose mirror image has the same label, 0 to 1.
    """

    offset: float
    along_y: float
    along_z: float
    agreement: float

    def x(self, shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """Return where the plane passes each row along x, shape (1, y, z)."""
        y, z = np.arange(shape[1])[None, :, None], np.arange(shape[2])[None, None, :]
        return np.asarray(self.offset + self.along_y * y + self.along_z * z, dtype=np.float64)


def find_mid_plane(labels: NDArray[np.uint8]) -> MidPlane | None:
    """Return the plane between the halves of a brain; None where there is none to speak of.

    Parameters
    ----------
    labels
        Codes of `GROUPS` or of `LABELS`, a RAS volume (x, y, z).
    """
    merged = np.where(labels > RIGHT, labels - RIGHT, labels)
    points = np.argwhere(merged > 0)
    if len(points) < _LEAST:
        return None
    votes = points[:: 1 + len(points) // _VOTES]
    own = merged[tuple(votes.T)]
    x, y, z = (votes[:, axis].astype(float) for axis in range(3))
    centre = points.mean(axis=0)

    def disagreement(plane: NDArray[np.float64]) -> float:
        # Around the brain's centre, so that the three coefficients do not stand in for each other.
        middle = plane[0] + plane[1] * (y - centre[1]) + plane[2] * (z - centre[2])
        there = np.rint(2 * middle - x).astype(int)
        inside = (there >= 0) & (there < merged.shape[0])
        same = np.zeros(len(votes), dtype=bool)
        same[inside] = merged[there[inside], votes[inside, 1], votes[inside, 2]] == own[inside]
        steep = max(0.0, float(np.abs(plane[1:]).max()) - _STEEPEST)
        return 1.0 - float(same.mean()) + 10 * steep

    start = np.array([centre[0], 0.0, 0.0])
    simplex = start + np.array([[0, 0, 0], [3, 0, 0], [0, 0.1, 0], [0, 0, 0.1]])
    found = optimize.minimize(
        disagreement,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-5, "maxfev": 200},
    )
    offset, along_y, along_z = (float(v) for v in found.x)
    return MidPlane(
        offset=offset - along_y * float(centre[1]) - along_z * float(centre[2]),
        along_y=along_y,
        along_z=along_z,
        agreement=1.0 - float(found.fun),
    )


def with_sides(labels: NDArray[np.uint8], plane: MidPlane | None) -> NDArray[np.uint8]:
    """Return codes of `LABELS`: paired structures right of the plane get `RIGHT` added.

    Without a plane the middle of the labelled voxels along x takes its place.
    """
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    if plane is None:
        hit = np.flatnonzero((labels > 0).any(axis=(1, 2)))
        middle = float(hit.mean()) if hit.size else (shape[0] - 1) / 2
        plane = MidPlane(middle, 0.0, 0.0, 0.0)
    right = np.arange(shape[0])[:, None, None] > plane.x(shape)
    return np.where(right & np.isin(labels, _PAIRED), labels + RIGHT, labels).astype(np.uint8)
