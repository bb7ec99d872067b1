"""What the columns mean that the methods of segmentation add to the table."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, text
from popscan.labelset import GIVEN, NETWORK, UNPROVEN
from popscan.protocols.t1_map.labels import LABELS

#: What the methods say of a subject.
SEGMENTATION: Mapping[str, Column] = {
    "labels_by": text(
        f"{GIVEN}: the labels came with the images; {NETWORK}: a model drew them; {UNPROVEN}: a "
        "model whose bundle states no agreement with labels of acquired maps",
    ),
    **{
        f"sample_dice_{name}": Column(
            "", f"mean Dice of all pairs of drawn segmentations, {words}; empty for given labels",
            "popscan.segment.draws",
        )
        for name, words in LABELS.words.items()
    },
    **{
        f"sampled_sd_{name}_pct": Column(
            "%", f"spread over drawn segmentations of the map's mean, {words}, of its value; empty "
            "for given labels", "own definition",
        )
        for name, words in LABELS.words.items()
    },
}  # fmt: skip
