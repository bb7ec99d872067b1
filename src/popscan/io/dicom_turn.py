"""Swaps and flips of the rows and columns of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Turn(NamedTuple):
    """How an image (x, y) is turned: first the axes are swapped, then reversed."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn pixels (x, y)."""
        pixels = pixels.T if self.swap else pixels
        return pixels[:: -1 if self.flip_x else 1, :: -1 if self.flip_y else 1]

    def stored(self, columns: int, rows: int) -> tuple[int, int]:
        """Columns and rows as they are stored, of an image that has these when it is turned."""
        return (rows, columns) if self.swap else (columns, rows)


AS_STORED = Turn()
TURNS = [Turn(s, x, y) for s in (False, True) for x in (False, True) for y in (False, True)]
