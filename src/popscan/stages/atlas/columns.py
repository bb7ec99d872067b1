"""What the columns of the distances to the atlas mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import UNIT, Column
from popscan.protocol import Protocol

_REST: Mapping[str, Column] = {
    "atlas_dice_mean": Column("", "mean over the structures"),
    "atlas_rms_intensity": Column("", "root mean square difference from the atlas's intensities"),
    "atlas_min_jacobian": Column("", "smallest Jacobian of the displacement; 0 or less: it folds"),
}


def distances(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the distances to the atlas."""
    organ = protocol.words.organ
    regions = protocol.atlas.regions if protocol.atlas is not None else ()
    return {
        **UNIT,
        "atlas_distance_mm": Column(
            "mm",
            f"mean displacement that takes the atlas of all to this {organ}, within the {organ}",
        ),
        **{
            f"atlas_dice_{one.name}": Column(
                "", f"Dice of {one.words} with the atlas, after registration to it"
            )
            for one in regions
        },
        **_REST,
    }
