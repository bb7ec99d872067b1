"""Sentences of a study's methods paragraph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popscan.segment.proof import unproven


def regions(config: Mapping[str, Any]) -> str:
    """Return where the regions are from."""
    if config.get("segment", {}).get("method") == "probabilistic":
        if unproven(str(config["segment"].get("model") or "")):
            return (
                "Regions are the mean of segmentations drawn by a network whose bundle states no "
                "agreement with labels of acquired maps."
            )
        return "Regions are the mean of segmentations drawn by a network."
    return "Regions were given with the images."


def sentences(config: Mapping[str, Any]) -> list[str]:
    """Return what was fitted and measured, and how."""
    mapping = config.get("source", {}).get("mapping", {})
    scheme = mapping.get("scheme", "auto")
    named = "as the header names the sequence" if scheme == "auto" else f"as {scheme}"
    return [
        "T1 was fitted to inversion-recovery images voxel by voxel, with three parameters, "
        f"restored polarity and the Look-Locker correction, {named}; ready-made maps "
        "were taken as they are.",
        regions(config),
        "Values are means over a region's voxels; their "
        "intervals follow from the autocovariance of the map within the region.",
    ]
