"""The heart's sentences of a study's methods paragraph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popscan.config import Biomarkers, Segment
from popscan.protocols.cine_sax.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML

_INTERVALS = {
    "auto": "by conformal prediction where they were 40 or more, else as tolerance intervals",
    "tolerance": "as tolerance intervals",
    "student": "from Student's t distribution",
    "conformal": "by conformal prediction",
}


def sentences(config: Mapping[str, Any]) -> list[str]:
    """Return what was segmented and measured, and how."""
    segment = Segment.of(config)
    biomarkers = Biomarkers.of(config)
    # What another bundle is built of is not known here.
    shipped = segment.model == "cine_sax"
    network = "a convolutional network of the U-Net type [@unet]" if shipped else "a neural network"
    flips = {
        True: ", averaged over in-plane reflections",
        False: "",
        "doubtful": ", averaged over an in-plane reflection of the slices of which it was unsure",
    }[segment.flips]
    return [
        "Short-axis cine images were segmented into right ventricular cavity, left ventricular "
        f"myocardium and left ventricular cavity by {network}{flips}.",
        "End-diastole and end-systole were the frames of largest and smallest left ventricular "
        "volume.",
        "Volumes are sums over slices of area times slice distance; papillary muscles count as the "
        "labels have them; myocardial mass assumes a density of "
        f"{MYOCARDIAL_DENSITY_G_ML:g} g/mL.",
        f"Intervals of {100 * biomarkers.interval_level:g}% were derived from errors on subjects "
        f"that the network had not seen, {_INTERVALS[biomarkers.interval_method]}.",
        "Images and segmentations that failed automatic checks were excluded, unless a person "
        "decided otherwise.",
    ]
