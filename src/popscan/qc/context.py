"""What the checks of one scan share, computed once and only when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays import morphology, volumes
from popscan.records import Label, Scan, SubjectError

Floats = NDArray[np.float64]


class Context:
    """A scan, its labels, and what several checks need of them.

    Parameters
    ----------
    scan
        The scan.
    labels : ndarray of uint8, shape of the scan, or None
        Its segmentation; None when there is none.
    frames
        Indices of the frames that ought to be labelled; all by default.
    told
        What the segmentation says of itself: its record's values.

    Raises
    ------
    SubjectError
        If scan and labels differ in shape or the scan is not (x, y, z, t).
    """

    def __init__(
        self,
        scan: Scan,
        labels: NDArray[np.uint8] | None = None,
        *,
        frames: Sequence[int] | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        if scan.array.ndim != 4 or 0 in scan.array.shape:
            raise SubjectError(
                "bad_shape", f"the scan needs axes (x, y, z, t), found shape {scan.array.shape}"
            )
        if labels is not None and labels.shape != scan.array.shape:
            raise SubjectError(
                "shape_mismatch",
                f"labels have shape {labels.shape}, the scan has {scan.array.shape}",
            )
        self.scan = scan
        self.labels = None if labels is None else morphology.check_labels(labels)
        dx, dy, dz = (float(value) for value in scan.spacing_mm)
        self.spacing_mm = (dx, dy, dz)
        self.n_frames = scan.array.shape[3]
        self.n_slices = scan.array.shape[2]
        self.frames = tuple(range(self.n_frames)) if frames is None else tuple(frames)
        self.told: Mapping[str, Any] = told or {}

    @cached_property
    def frame_names(self) -> list[str] | None:
        """Names of the frames as the source gives them; None unless there is one per frame."""
        names = self.scan.meta.get("frame_labels")
        if not isinstance(names, (list, tuple)) or len(names) != self.n_frames:
            return None
        return [str(name).upper() for name in names]

    @property
    def only_named_frames(self) -> bool:
        """Whether the scan is a choice of named frames (ED and ES) and no whole cycle."""
        return self.frame_names is not None and set(self.frame_names) <= {"ED", "ES"}

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """Intensities as float32, with NaN and infinities set to 0."""
        array = self.scan.array.astype(np.float32, copy=False)
        return array if np.isfinite(array).all() else np.nan_to_num(array, posinf=0.0, neginf=0.0)

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """In-plane box around everything labelled, one voxel wider."""
        assert self.labels is not None
        return morphology.bounding_box(self.labels > 0)

    @cached_property
    def heart(self) -> NDArray[np.uint8]:
        """Labels within `box`, axes (x, y, z, t)."""
        assert self.labels is not None
        return self.labels[self.box]

    @cached_property
    def counts(self) -> dict[Label, NDArray[np.int64]]:
        """Voxels of each structure, shape (z, t)."""
        return morphology.voxel_counts(self.heart)

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
        return morphology.boundary_contacts(self.heart, Label.LV)

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
        """End-diastolic frame, or the first labelled one where it is unknown."""
        if self.phases[0] is not None:
            return self.phases[0]
        return self.frames[0] if self.frames else 0

    @property
    def es(self) -> int:
        """End-systolic frame, or `ed` where it is unknown."""
        return self.phases[1] if self.phases[1] is not None else self.ed

    @cached_property
    def base_first(self) -> bool:
        """Whether the base of the heart lies at the low end of the slices."""
        return morphology.base_is_first(self.heart[..., self.ed])

    def base_to_apex(self, profile: NDArray) -> NDArray:
        """Order the first axis of `profile` (slices) from base to apex."""
        return profile if self.base_first else profile[::-1]

    @cached_property
    def tissue_level(self) -> Floats:
        """Typical tissue intensity of each plane (z, t): mean of its voxels above its mean.

        NaN for constant planes.
        """
        image = self.image[::2, ::2].astype(np.float64)
        tissue = image > image.mean(axis=(0, 1))
        hits = tissue.sum(axis=(0, 1))
        total = np.where(tissue, image, 0.0).sum(axis=(0, 1))
        return np.divide(total, hits, out=np.full(total.shape, np.nan), where=hits > 0)

    @cached_property
    def blank_planes(self) -> NDArray[np.bool_]:
        """Planes (z, t) with no content: hardly any spread beside the scan's other planes."""
        spread = self.image[::2, ::2].std(axis=(0, 1))
        return spread <= 0.02 * np.median(spread)

    @cached_property
    def mean_image(self) -> NDArray[np.float32]:
        """Mean over the frames, axes (x, y, z)."""
        return self.image.mean(axis=3)
