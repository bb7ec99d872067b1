"""Quality control of a short-axis cine and its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.reference import check_reference, reference_checks
from popscan.protocols.cine_sax.qc.table import CHECKS
from popscan.qc.model import Check
from popscan.qc.runner import run_checks
from popscan.records import Scan

__all__ = ["CHECKS", "Context", "check", "check_reference", "reference_checks"]


def check(
    scan: Scan,
    labels: NDArray[Any] | None = None,
    *,
    frames: Sequence[int] | None = None,
    from_segmentation: Mapping[str, Any] | None = None,
    thresholds: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Run every check of `CHECKS` on one scan.

    Parameters
    ----------
    scan
        Short-axis scan, array (x, y, z, t).
    labels : ndarray of uint8, shape of the scan, or None
        Segmentation; without one the checks that need it are not assessed.
    frames
        Indices of the frames that ought to be labelled; all by default. Give
        `LabelMap.frames` for references of ED and ES only.
    from_segmentation
        What the segmentation says of itself: the values of its record.
    thresholds
        As in `popscan.qc.run_checks`.

    Raises
    ------
    SubjectError
        If labels and scan differ in shape.
    """
    context = Context(scan, labels, frames=frames, from_segmentation=from_segmentation)
    return run_checks(CHECKS, context, thresholds=thresholds)
