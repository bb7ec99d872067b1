"""The brain's sentences of a study's methods paragraph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentences(config: Mapping[str, Any]) -> list[str]:
    """Return what was segmented and measured, and how."""
    return [
        "T1-weighted images were corrected for the bias field by N4 [@n4].",
        "Structures were segmented slice by slice in three planes by convolutional networks whose "
        "probabilities were averaged, after FastSurferCNN [@fastsurfer].",
        "Volumes are numbers of voxels times voxel size; those relative to head size were divided "
        "by the intracranial volume.",
        "Images and segmentations that failed automatic checks were excluded, unless a person "
        "decided otherwise.",
    ]
