"""Whether labels are by a model that was never measured on labelled images of a scanner."""

from __future__ import annotations

from popscan.labelset import GIVEN, UNPROVEN
from popscan.qc.context import ScanContext
from popscan.qc.model import Measured, Spec, not_assessed


def unproven_labels(ctx: ScanContext) -> Measured:
    """Whether a model made the labels whose bundle states no agreement with acquired images."""
    source = str(ctx.from_segmentation.get("labels_by", ""))
    if not source or source == GIVEN:
        return not_assessed("the labels came with the images")
    return Measured(float(source == UNPROVEN), f"labels by: {source}")


#: The check, for protocols whose models learn from simulated images.
UNPROVEN_LABELS = Spec(
    measure=unproven_labels, kind="segmentation", unit="", bad="high", review=0.0, fail=None,
    meaning="1 where the labels are by a model whose bundle states no agreement with labels of "
    "acquired images; a study whose own references agree with them may lift this limit",
)  # fmt: skip
