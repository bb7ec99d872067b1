"""What the columns mean that segmentation says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, flag, text
from popscan.protocol import Protocol

#: Key with a place for the structure's name -> what it means, with one for its words.
_OF_STRUCTURE: Mapping[str, Column] = {
    "mean_entropy_{}": Column(
        "nats",
        "mean entropy of the calibrated probabilities, {}",
    ),
    "mean_information_{}": Column(
        "nats",
        "mean mutual information of members, flips and dropout, {}; empty for one sample",
        "Houlsby et al. 2011, arXiv:1112.5745",
    ),
    "flip_risk_{}": Column(
        "0 to 1",
        "mean doubt of which structure a voxel is, given that it is one, {}",
        "Achara et al.",
    ),
    "volume_spread_{}_pct": Column(
        "%",
        "spread of the samples' volumes over all frames, of their mean, {}",
    ),
    "expected_dice_{}": Column(
        "",
        "Dice to expect without a reference, {}, mean over frames; empty where the model "
        "bundle was not calibrated",
        "popscan.segment.expected",
    ),
    "expected_dice_{}_lowest": Column(
        "",
        "the same, lowest frame, {}",
        "popscan.segment.expected",
    ),
}

_REST: Mapping[str, Column] = {
    "n_components_removed": Column("", "islands that the clean-up took away, over all frames"),
    "n_slices_mended": Column("", "slices that broke a law of anatomy and were mended, all frames"),
    "seen_in_training": flag("whether the model was trained on this scan"),
    "seen_by": text(
        "images: the scan is one of the training; name: so is the subject's name, and the model "
        "bundle has no digests of all its images; name, other images: the name only, not counted",
    ),
    "ood_score": Column(
        "",
        "distance from the training scans in the network's features and the tissues' intensities, "
        "in units of the farthest training subject; above 1 the scan is unlike all of them; empty "
        "where the model bundle has no detector",
        "popscan.segment.ood",
    ),
    "ood_slices": Column(
        "slices", "slice positions that are unlike the training slices", "popscan.segment.ood"
    ),
    "input_warning": text(
        "spacing and contrast far outside of what the model was trained for, images unlike those",
    ),
}


def segmentation(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of what the segmentation, and the protocol's method, say."""
    per_structure = {
        key.format(name): column._replace(meaning=column.meaning.format(words))
        for name, words in protocol.labels.words.items()
        for key, column in _OF_STRUCTURE.items()
    }
    return {**per_structure, **_REST, **protocol.segmentation.added()}
