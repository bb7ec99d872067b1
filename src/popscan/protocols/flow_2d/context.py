"""What the checks of a plane of flow look at: its vessels, and their flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.flow_2d.analysis import VELOCITY, Plane, Vessel, analyse
from popscan.protocols.flow_2d.labels import LABELS
from popscan.qc.context import ScanContext
from popscan.qc.model import Measured, not_assessed

#: Note of what could not be measured.
NO_VESSEL = "no vessel has a region in every frame"


class FlowContext(ScanContext):
    """A plane, its vessels, and their flow."""

    @cached_property
    def coded(self) -> NDArray[np.uint8]:
        """Vessels (x, y, t)."""
        if self.labels is None:
            shape = self.scan.array.shape
            return np.zeros((*shape[:2], shape[3]), dtype=np.uint8)
        return self.labels[:, :, VELOCITY]

    @cached_property
    def plane(self) -> Plane:
        """Flow of the vessels."""
        return analyse(
            self.image,
            np.repeat(self.coded[:, :, np.newaxis], 2, axis=2),
            spacing_mm=self.spacing_mm,
            meta=self.scan.meta,
            frame_times_ms=self.scan.frame_times_ms,
        )

    @cached_property
    def drawn(self) -> dict[str, NDArray[np.bool_]]:
        """Region (x, y, t) of every vessel that has one in any frame."""
        regions = {name: self.coded == code for code, name in LABELS.names.items()}
        return {name: region for name, region in regions.items() if region.any()}

    def worst(
        self, measure: Callable[[Vessel], float], note: str, *, low: bool = False
    ) -> Measured:
        """Return the largest (or smallest) number over the vessels, and of which it is."""
        found = {name: measure(vessel) for name, vessel in self.plane.vessels.items()}
        if not found:
            return not_assessed(NO_VESSEL)
        unknown = [name for name, value in found.items() if math.isnan(value)]
        name = unknown[0] if unknown else (min if low else max)(found, key=lambda key: found[key])
        return Measured(found[name], f"{LABELS.words[name]}: {note}")
