"""What the columns of the distances to the atlas mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import UNIT, Column, text
from popscan.protocol import Protocol

_REST: Mapping[str, Column] = {
    "atlas_dice_mean": Column("", "mean over the structures"),
    "atlas_rms_intensity": Column("", "root mean square difference from the atlas's intensities"),
    "atlas_min_jacobian": Column("", "smallest Jacobian of the displacement; 0 or less: it folds"),
}
#: Columns that compare a subject with its own and the other groups.
NUMBERS: Mapping[str, Column] = {
    "atlas_own_distance_mm": Column(
        "mm",
        "root mean square distance from the mean anatomy of the subject's own groups without it; "
        "the mean over attributes; 0: no further than chance, empty: fewer than 4 others",
    ),
    "atlas_others_distance_mm": Column(
        "mm",
        "the same from the other groups of these attributes; the mean over groups",
    ),
    "atlas_z_group": text("group whose other subjects the z-scores compare with"),
    "atlas_z_n": Column("subjects", "how many others of that group there are"),
    "atlas_z_beyond_pct": Column(
        "%",
        "voxels whose local volume has a z-score beyond 3 in that group; 0.3 by chance on average",
    ),
}

#: Columns of the table of effects on local volume.
EFFECTS: Mapping[str, Column] = {
    "term": text("what explains the logarithm of local volume; a level against its reference"),
    "adjusted_for": text("other columns of the regression"),
    "n": Column("subjects", "rows in the regression, one per subject"),
    "df": Column("", "degrees of freedom of the t tests (Bell and McCaffrey)"),
    "voxels": Column("voxels", "tested"),
    "significant_pct": Column("%", "voxels with q below 0.05"),
    "mean_effect_pct": Column(
        "% per unit",
        "change of local volume per unit of the term, 100 times that of its logarithm; mean over "
        "the voxels",
    ),
    "largest_t": Column("", "the t value that is furthest from 0"),
    "smallest_q": Column("", "the smallest p after Benjamini and Hochberg over the voxels"),
    "files": text("names of its maps below atlas/; empty where there is no map"),
    "note": text("why there is no map, or with what caution to read it"),
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
        **NUMBERS,
    }
