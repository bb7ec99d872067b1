"""Labels of digital hearts on any short-axis grid, without an image: quick, with known geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.subject import NUMBERS, heart_for, short_axis_frame
from popscan.protocols.cine_sax.simulate.tissue import LABEL_OF

#: Columns u, v, w of the heart in RAS.
AXES = short_axis_frame(np.array([-0.60, 0.55, -0.58]))


def digital_heart(seed: int = 0, condition: str = "healthy") -> Heart:
    """A heart of the digital population."""
    conditions = {} if condition == "healthy" else {condition: 1.0}
    row = sample_population(1, seed=seed, conditions=conditions).iloc[0]
    values = {name: float(row[name]) for name in NUMBERS}
    return heart_for(values, condition=condition, rng=np.random.default_rng(seed))


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Where a short-axis stack lies: voxel indices to heart coordinates (u, v, w)."""

    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 8.0)
    shape: tuple[int, int, int] = (104, 104, 13)
    turn_deg: float = 0.0
    flips: tuple[bool, bool, bool] = (False, False, False)

    @property
    def to_heart(self) -> np.ndarray:
        """Voxel index -> u, v, w in mm, shape (4, 4)."""
        c, s = np.cos(np.deg2rad(self.turn_deg)), np.sin(np.deg2rad(self.turn_deg))
        axes = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        axes = axes * [-1.0 if flip else 1.0 for flip in self.flips]
        matrix = np.eye(4)
        matrix[:3, :3] = axes * self.spacing_mm
        middle = np.array([-12.0, 0.0, 8.0 * 5.5])
        matrix[:3, 3] = middle - matrix[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return matrix

    @property
    def affine(self) -> np.ndarray:
        """Voxel index -> RAS mm."""
        heart_to_ras = np.eye(4)
        heart_to_ras[:3, :3] = AXES
        return heart_to_ras @ self.to_heart

    def points(self) -> np.ndarray:
        """Heart coordinates of the voxel centres, shape (3, x, y, z)."""
        index = np.indices(self.shape)
        matrix = self.to_heart
        return np.einsum("ij,jxyz->ixyz", matrix[:3, :3], index) + matrix[:3, 3, None, None, None]

    def labels(self, heart: Heart, phase: float = 0.0) -> np.ndarray:
        """Labels of a heart at a phase, shape (x, y, z)."""
        points = self.points().astype(np.float32)
        return LABEL_OF[heart_tissue(heart.at(phase), *points)]
