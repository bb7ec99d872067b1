"""What the columns mean that only this protocol's segmentation writes."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column
from popscan.protocols.brain_t1.labels import GROUPS

SEGMENTATION: Mapping[str, Column] = {
    **{
        f"mean_entropy_{group.name}": Column(
            "nats", f"mean entropy of the probabilities, {group.title}, both sides"
        )
        for group in GROUPS
    },
    **{
        f"implied_dice_{group.name}": Column(
            "",
            f"Dice that the labels would have if all probabilities were right, {group.title}, both "
            "sides",
        )
        for group in GROUPS
    },
    "implied_dice_mean": Column("", "mean of these over the groups"),
    "mid_plane_agreement": Column(
        "", "how symmetrical the labels are about the plane that divides the sides; 1: wholly"
    ),
}
