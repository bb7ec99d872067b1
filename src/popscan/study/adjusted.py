"""Biomarkers adjusted for the size of a body part: of the whole study, since its slope is.

The protocol says which biomarkers, and for what (`popscan.protocol.SizeAdjustment`);
``cohort.reference_group`` whose slope. `popscan.study.study.Study.biomarkers` has the columns, so
that associations, audit and report see the same numbers; the stage associate writes them as tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from popscan.columns import UNIT, Column, text
from popscan.protocol import Protocol, SizeAdjustment
from popscan.records import PopscanError
from popscan.stats.residual import MIN_REFERENCE, Slope, residual_adjusted, size_slope

_SOURCE = "residual method, Jack et al. 1989, doi:10.1148/radiology.172.2.2748837"
#: Columns of the table of slopes.
SLOPES: Mapping[str, Column] = {
    "column": text("adjusted biomarker"),
    "of": text("biomarker that it was made of"),
    "by": text("size that it is adjusted for"),
    "slope": Column("unit per unit", "slope of the biomarker on the size, in the reference group"),
    "ci_low": Column("unit per unit", "lower limit of its 95% interval"),
    "ci_high": Column("unit per unit", "upper limit of its 95% interval"),
    "mean_size": Column("unit of the size", "mean size of the reference group"),
    "r": Column("", "correlation of both in the reference group"),
    "n": Column("subjects", "subjects of the reference group with both, one visit each"),
    "reference": text("who belongs to the reference group"),
    "note": text("why there is no slope"),
}


def adjusted_columns(protocol: Protocol) -> dict[str, Column]:
    """Return the columns of the adjusted biomarkers."""
    known = protocol.biomarkers.columns()
    return {
        made: Column(known[of].unit, f"{of} at the mean {one.by} of the reference group", _SOURCE)
        for one in protocol.adjustments
        for of, made in one.made.items()
    }


def adjusted_table(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the table of adjusted biomarkers."""
    return {**UNIT, **adjusted_columns(protocol)}


def reference_units(attributes: pd.DataFrame, group: Mapping[str, str]) -> frozenset[str]:
    """Return the subjects of the reference group.

    Parameters
    ----------
    attributes
        Of those who are analysed, one visit per subject, by unit.
    group
        Column -> its value; empty for all subjects.

    Raises
    ------
    PopscanError
        If the study has no such column.
    """
    chosen = attributes
    for name, value in group.items():
        if name not in attributes:
            raise PopscanError(
                f"cohort.reference_group.{name}: the study has no such column; there are "
                f"{', '.join(map(str, attributes.columns))}"
            )
        same = chosen[name].astype(str).str.casefold() == value.casefold()
        chosen = chosen[same]
    return frozenset(map(str, chosen.index))


def size_slopes(
    biomarkers: pd.DataFrame, adjustments: Sequence[SizeAdjustment], reference: frozenset[str]
) -> dict[str, Slope | None]:
    """Return the line of every adjusted column, None where there is none.

    Parameters
    ----------
    biomarkers
        Of those who are analysed, with ``unit``.
    adjustments
        Of the protocol.
    reference
        Units of the reference group.
    """
    if "unit" not in biomarkers:
        return {}
    rows = biomarkers[biomarkers["unit"].isin(reference)]
    return {
        made: size_slope(rows[of].astype(float), rows[one.by].astype(float))
        for one in adjustments
        for of, made in one.made.items()
        if {of, one.by} <= set(rows.columns)
    }


def with_adjusted(
    biomarkers: pd.DataFrame,
    adjustments: Sequence[SizeAdjustment],
    slopes: Mapping[str, Slope | None],
) -> pd.DataFrame:
    """Return biomarkers with the adjusted columns behind them."""
    columns = {
        made: residual_adjusted(
            biomarkers[of].astype(float), biomarkers[one.by].astype(float), slopes[made]
        )
        for one in adjustments
        for of, made in one.made.items()
        if made in slopes
    }
    return biomarkers.assign(**columns) if columns else biomarkers


def slopes_table(
    adjustments: Sequence[SizeAdjustment],
    slopes: Mapping[str, Slope | None],
    group: Mapping[str, str],
) -> pd.DataFrame:
    """Return the table of slopes, columns as in `SLOPES`."""
    who = ", ".join(f"{name} = {value}" for name, value in group.items()) or "all analysed"
    few = f"fewer than {MIN_REFERENCE} subjects of the reference group, or all of one size"
    rows = []
    for one in adjustments:
        for of, made in one.made.items():
            if made not in slopes:
                continue
            line = slopes[made]
            rows.append(
                {"column": made, "of": of, "by": one.by, "reference": who,
                 **({**vars(line), "note": ""} if line is not None else {"note": few})}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(SLOPES))
