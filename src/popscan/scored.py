"""Which rows of the tables of scores say something of new subjects, and so enter a summary."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

#: Verdict of a reference that is not of its image, or is coded otherwise.
FAILED = "fail"


def seen_in_training(scores: pd.DataFrame) -> pd.Series:
    """Return by row whether the model was trained on the subject; unknown counts as no."""
    if "seen_in_training" not in scores:
        return pd.Series(False, index=scores.index)
    words = ("true", "1", "1.0", "yes")
    return _each(scores["seen_in_training"], lambda value: str(value).strip().lower() in words)


def failed_reference(scores: pd.DataFrame) -> pd.Series:
    """Return by row whether its reference failed the checks; without a verdict it did not."""
    if "reference_verdict" not in scores:
        return pd.Series(False, index=scores.index)
    return _each(scores["reference_verdict"], lambda value: bool(value == FAILED))


def _each(column: pd.Series, holds: Callable[[object], bool]) -> pd.Series:
    """Ask of every value of a column, once of each that recurs; of a missing one as NaN."""
    codes, values = pd.factorize(column.astype(object), use_na_sentinel=True)
    flags = np.array([*map(holds, values), holds(float("nan"))], dtype=bool)
    return pd.Series(flags[codes], index=column.index, name=column.name)


def counted(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that enter means, outcomes and agreement.

    Left out are subjects that the model was trained on, which it scores too well, and subjects
    whose reference failed its checks, which say nothing of the segmentation.

    Parameters
    ----------
    scores
        Rows with ``seen_in_training`` and ``reference_verdict``; a table without a column keeps
        all rows as far as this is concerned.
    """
    return scores[~(seen_in_training(scores) | failed_reference(scores))]
