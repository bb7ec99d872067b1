"""What the checks of one scan share, computed once and only when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays import morphology
from popscan.records import Scan, SubjectError

Floats = NDArray[np.float64]


class ScanContext:
    """A scan, its labels, and what several checks need of them.

    Parameters
    ----------
    scan
        The scan.
    labels : ndarray of uint8, shape of the scan, or None
        Its segmentation; None when there is none.
    frames
        Indices of the frames that ought to be labelled; all by default.
    from_segmentation
        What the segmentation says of itself: its record's values.

    Raises
    ------
    SubjectError
        If scan and labels differ in shape or the scan is not (x, y, z, t).
    """

    #: Largest code that labels may hold.
    largest_code = 255

    def __init__(
        self,
        scan: Scan,
        labels: NDArray[np.uint8] | None = None,
        *,
        frames: Sequence[int] | None = None,
        from_segmentation: Mapping[str, Any] | None = None,
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
        self.labels = (
            None if labels is None else morphology.check_labels(labels, largest=self.largest_code)
        )
        dx, dy, dz = (float(value) for value in scan.spacing_mm)
        self.spacing_mm = (dx, dy, dz)
        self.n_frames = scan.array.shape[3]
        self.n_slices = scan.array.shape[2]
        self.frames = tuple(range(self.n_frames)) if frames is None else tuple(frames)
        self.from_segmentation: Mapping[str, Any] = from_segmentation or {}

    @cached_property
    def frame_names(self) -> list[str] | None:
        """Names of the frames as the source gives them; None unless there is one per frame."""
        names = self.scan.meta.get("frame_labels")
        if not isinstance(names, (list, tuple)) or len(names) != self.n_frames:
            return None
        return [str(name).upper() for name in names]

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
