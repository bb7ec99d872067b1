"""What the checks of one cine share, computed once and only when it is used."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from popscan.arrays import morphology
from popscan.protocols.cine_sax import volumes
from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.qc.context import Floats, ScanContext


class Context(ScanContext):
    """A short-axis cine, its labels, and what several checks need of them: see `ScanContext`."""

    largest_code = int(max(Label))

    @property
    def only_named_frames(self) -> bool:
        """Whether the scan is a choice of named frames (ED and ES) and no whole cycle."""
        return self.frame_names is not None and set(self.frame_names) <= {"ED", "ES"}

    @cached_property
    def heart(self) -> NDArray[np.uint8]:
        """Labels within `box`, axes (x, y, z, t)."""
        assert self.labels is not None
        return self.labels[self.box]

    @cached_property
    def counts(self) -> dict[Label, NDArray[np.int64]]:
        """Voxels of each structure, shape (z, t)."""
        return morphology.voxel_counts(self.heart, STRUCTURES)

    @cached_property
    def _components(self) -> dict[Label, morphology.Components]:
        return {}

    def components_3d(self, label: Label) -> morphology.Components:
        """Find the connected components of a structure per frame."""
        if label not in self._components:
            self._components[label] = morphology.components(self.heart == label, in_plane=False)
        return self._components[label]

    @cached_property
    def lv_contacts(self) -> tuple[NDArray[np.int64], dict[Label, NDArray[np.int64]]]:
        """In-plane boundary edges of the LV cavity, all and by what lies beyond."""
        return morphology.boundary_contacts(self.heart, Label.LV, others=Label)

    @cached_property
    def lv_size_mm(self) -> tuple[float, float]:
        """Labelled length of the LV cavity at ED and diameter of the largest cavity + wall."""
        cavity = self.counts[Label.LV][:, self.ed]
        held = np.nonzero(cavity)[0]
        pixels = float((cavity + self.counts[Label.MYO][:, self.ed]).max())
        diameter = 2.0 * float(np.sqrt(pixels * self.spacing_mm[0] * self.spacing_mm[1] / np.pi))
        length = float(held[-1] - held[0] + 1) * self.spacing_mm[2] if held.size else 0.0
        return length, diameter

    @cached_property
    def curves_ml(self) -> dict[Label, Floats]:
        """Volume curve of each structure, NaN where absent or not to be labelled."""
        voxel_ml = float(np.prod(self.spacing_mm)) / 1000.0
        known = np.isin(np.arange(self.n_frames), self.frames)
        return {
            label: np.where(known & (counts.sum(axis=0) > 0), counts.sum(axis=0) * voxel_ml, np.nan)
            for label, counts in self.counts.items()
        }

    @cached_property
    def phases(self) -> tuple[int | None, int | None]:
        """Frames of end-diastole and end-systole."""
        if self.labels is None:
            names = self.frame_names or []
            ed, es = (names.index(name) if name in names else None for name in ("ED", "ES"))
            return ed, es
        return volumes.find_phases(self.curves_ml[Label.LV], frame_labels=self.frame_names)

    @property
    def ed(self) -> int:
        """End-diastolic frame, or the first with an LV where it is unknown."""
        if self.phases[0] is not None:
            return self.phases[0]
        if self.labels is None:
            return self.frames[0] if self.frames else 0
        measured = [t for t in self.frames if np.isfinite(self.curves_ml[Label.LV][t])]
        return next(iter(measured or self.frames), 0)

    @property
    def es(self) -> int:
        """End-systolic frame, or `ed` where it is unknown."""
        return self.phases[1] if self.phases[1] is not None else self.ed

    @cached_property
    def base_first(self) -> bool:
        """Whether the base of the heart lies at the low end of the slices."""
        return base_is_first(self.heart[..., self.ed])

    def base_to_apex(self, profile: NDArray) -> NDArray:
        """Order the first axis of `profile` (slices) from base to apex."""
        return profile if self.base_first else profile[::-1]
