"""What T2 maps have of their own; the rest is that of T1 maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from popscan.columns import Column
from popscan.protocols.t1_map.biomarkers import details, dictionary, measured
from popscan.protocols.t1_map.methods import regions
from popscan.protocols.t1_map.qc import checks
from popscan.protocols.t1_map.report import section
from popscan.qc.model import Spec
from popscan.report.context import Extra, StudyContext

DICTIONARY: Mapping[str, Column] = dictionary("t2")
DETAILS: Mapping[str, Column] = details("t2")
#: From healthy tissue at 3 T to oedema at 1.5 T.
CHECKS: Mapping[str, Spec] = checks((30.0, 90.0), (15.0, 135.0))


def measure(
    labels: ArrayLike,
    *,
    image: ArrayLike,
    spacing_mm: Sequence[float],
    affine: ArrayLike,
    interval_level: float = 0.9,
) -> dict[str, float]:
    """Measure a T2 map in its regions; as `popscan.protocols.t1_map.biomarkers.measure`."""
    return measured("t2", labels, image, spacing_mm=spacing_mm, affine=affine, level=interval_level)


def values(context: StudyContext) -> Extra | None:
    """Return T2 by region and sector; None where nothing was measured."""
    return section("t2", context)


def sentences(config: Mapping[str, Any]) -> list[str]:
    """Return what was fitted and measured, and how."""
    return [
        "T2 was fitted to images with T2 preparation voxel by voxel, as a mono-exponential decay "
        "by least squares on the signal; ready-made maps were taken as they are.",
        regions(config),
        "Values are means over a region's voxels; their "
        "intervals follow from the autocovariance of the map within the region.",
    ]
