"""What the columns mean that only this protocol's segmentation writes."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, text
from popscan.labelset import GIVEN, NETWORK, UNPROVEN

SEGMENTATION: Mapping[str, Column] = {
    "labels_by": text(
        f"{GIVEN}: the labels came with the images; {NETWORK}: a model segmented them; "
        f"{UNPROVEN}: a model whose bundle states no agreement with labels of acquired images"
    ),
    "n_frames_without_heart": Column("frames", "frames of any plane in which nothing was found"),
}
