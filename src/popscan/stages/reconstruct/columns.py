"""What the columns of the table reconstructions mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popscan.columns import Column, flag, text

if TYPE_CHECKING:
    import pandas as pd

    from popscan.study.study import Study

DICTIONARY = {
    "variant": text("variant whose images later stages read"),
    "simulated_from_images": flag("whether k-space was simulated from images"),
    "model": text("model that reconstructed the images that later stages read; empty without"),
    "unlike_training": text(
        "how the k-space differs from what that model was trained on; empty if it does not"
    ),
    "unlike_training_by_variant": text(
        "JSON: of every variant by a network how the k-space differs from what its model was "
        "trained on, a list; empty without a network"
    ),
    "lines_found_pct": Column(
        "%", "acquired lines of k-space that another phase explains better than their own"
    ),
    "lines_found_worst_pct": Column("%", "the same, of the slice that has most"),
    "slices_in_doubt": Column(
        "", "slices whose shots contradict each other while which are wrong is not clear"
    ),
    "lines_left_out": Column("", "lines that were left out of the reconstruction"),
    "lines_judged_by": text("shots or lines: what was judged as one; else why nothing was"),
}


def rejections(study: Study) -> pd.DataFrame:
    """Return the table of a study that looks for such lines; what an earlier run left is none."""
    from popscan.config import Reconstruct

    table = study.table("reconstructions")
    wanted = Reconstruct.of(study.options, or_defaults=True).line_rejection is not None
    return table if wanted and "lines_found_pct" in table else table.iloc[:0]
