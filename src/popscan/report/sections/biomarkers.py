"""Section 7: biomarkers by sex, and what they go along with."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.protocol import Protocol
from popscan.report.blocks import Block, Cell, Column, Figure, Heading, Section, Table, nothing
from popscan.report.context import StudyContext
from popscan.report.figures.base import balanced
from popscan.report.figures.distributions import Violins, points_in_words, violins
from popscan.report.sections.associations import associations
from popscan.report.sections.biomarker_details import details
from popscan.report.sections.common import (
    Options,
    groups_by_sex,
    order_sexes,
    small,
    split,
    split_units,
)
from popscan.report.text import (
    DASH,
    decimals,
    interval,
    listing,
    number,
    places_for,
    plural,
    title_of,
    unit_of,
)
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import counted_as, in_words

_MAX_PANELS = 12
#: Fewest values of which the tails are reported, in a report that is internal or shared.
_ENOUGH = {False: 20, True: 50}
#: Values are not drawn beyond so many quartile ranges from the quartiles.
_FENCE = 10.0
#: Ends of an interval: ``size_low_ml`` and ``size_high_ml`` of ``size_ml``.
_END = re.compile(r"(.+)_(?:low|high)(_.+|)")
#: Columns of the table that are no biomarkers.
_NOT_SHOWN = re.compile(
    r"unit|status|analysed|interval_.*|.*_(?:id|frame|verdict)|.*_doubtful_.*|n_.*"
)


def measured(context: StudyContext) -> list[str]:
    """Return the biomarker columns that hold at least one finite number, in order of display."""
    table = context.biomarkers
    known = complete(context.biomarker_dictionary, "column")
    listed = set(words(known["column"]))
    columns = [
        str(c)
        for c in table.columns
        if not _NOT_SHOWN.fullmatch(str(c))
        and (not listed or c in listed or unit_of(str(c)))
        and numbers(table[c]).notna().any()
    ]
    apart = set(interval_ends(context)) | set(_details(context))
    columns = [c for c in columns if c not in apart]
    first = [c for c in first_columns(context.protocol) if c in columns]
    return first + [c for c in columns if c not in first]


def _details(context: StudyContext) -> list[str]:
    """Return the columns that the protocol lists apart."""
    return list(context.protocol.biomarkers.detail_columns())


def first_columns(protocol: Protocol) -> list[str]:
    """Return the columns that the protocol follows, then those that a reader looks for first."""
    return list(dict.fromkeys([*(one.name for one in protocol.outcomes), *protocol.words.first]))


def interval_ends(context: StudyContext) -> list[str]:
    """Return the columns that are ends of another column's interval, and no biomarkers."""
    columns = list(map(str, context.biomarkers.columns))
    matches = {column: _END.fullmatch(column) for column in columns}
    return [c for c, match in matches.items() if match and match[1] + match[2] in columns]


def _ranges(context: StudyContext, column: str, sexes: list[str]) -> dict[str, tuple[float, float]]:
    table = complete(context.reference_ranges, "column", "sex", "low", "high")
    rows = table[words(table["column"]) == column]
    sex = words(rows["sex"], missing="all")
    low, high = numbers(rows["low"]), numbers(rows["high"])
    found = {}
    for group in sexes:
        use = (sex == group) if (sex == group).any() else (sex == "all")
        use &= low.notna() & high.notna()
        if use.any():
            found[group] = (float(low[use].iloc[0]), float(high[use].iloc[0]))
    return found


def _enough(
    groups: dict[str, NDArray[np.float64]], options: Options
) -> dict[str, NDArray[np.float64]]:
    return {g: v for g, v in groups.items() if v.size and not small(v.size, options)}


def _figure(
    context: StudyContext, columns: list[str], sexes: pd.Series, options: Options
) -> Figure | None:
    panels, left_out = [], []
    units = complete(context.biomarkers, "unit")["unit"]
    for column in columns[:_MAX_PANELS]:
        values = context.biomarkers[column]
        far = _far(numbers(values), ratio=_is_ratio(context.protocol, column))
        groups = _enough(split(values.mask(far), sexes), options)
        if groups:
            if far.any():
                which = "" if options.share else f": {_listed(numbers(values)[far])}"
                left_out.append(f"{title_of(column)} ({options.count(int(far.sum()))}{which})")
            names = {} if options.share else split_units(values.mask(far), sexes, units)
            panels.append(
                Violins(
                    title=_title(context.protocol, column),
                    groups=groups,
                    ranges=_ranges(context, column, list(groups)),
                    units=names,
                )
            )
    if not panels:
        return None
    beyond = (
        f" Too far off to be drawn, but in the table below: {listing(left_out)}."
        if left_out
        else ""
    )
    sources = complete(context.reference_ranges, "source")
    source = listing(list(dict.fromkeys(s for s in words(sources["source"]) if s)))
    shaded = any(panel.ranges for panel in panels)
    return Figure(
        markup=violins(
            panels,
            name="biomarkers",
            columns=balanced(len(panels)),
            alt="Distributions of biomarkers by sex; numbers are in the table below.",
            private=options.share,
            links=options.links,
        ),
        caption=f"Biomarkers by sex. Points: {counted_as(context)} ({points_in_words(panels)}); "
        "bars: quartiles; line: median."
        + (f" Grey: reference range{f' ({source})' if source else ''}." if shaded else "")
        + beyond
        if not options.share
        else "Biomarkers by sex; the tails beyond the central 95% are not drawn." + beyond,
    )


def _far(values: pd.Series, *, ratio: bool) -> pd.Series:
    """Say which values lie so far from all others, or from what can be, that none could be read."""
    known = values.dropna()
    low, high = (-np.inf, np.inf) if not ratio else (-100.0, 100.0)
    if len(known) >= 8:
        first, third = np.percentile(known, [25, 75])
        reach = _FENCE * (third - first)
        if reach > 0:
            low, high = max(low, first - reach), min(high, third + reach)
    return values.notna() & ~values.between(low, high)


def _listed(values: pd.Series) -> str:
    """List the first values that are not drawn."""
    shown = ", ".join(number(value) for value in values.head(3))
    return shown + (", ..." if len(values) > 3 else "")


def _row(
    group: str,
    values: NDArray[np.float64],
    missing: int,
    *,
    limits: tuple[float, float] | None,
    places: int,
    options: Options,
) -> list[Cell]:
    """One group's n, missing, mean, SD, central 95%, reference range and how many lie outside."""
    if small(values.size, options):
        return [Cell(text=group), Cell(text=options.count(values.size)), *[Cell(text=DASH)] * 6]
    enough = values.size >= _ENOUGH[options.share]
    low, high = np.percentile(values, [2.5, 97.5]) if enough else (np.nan,) * 2
    outside = DASH
    if limits is not None and values.size:
        outside = options.count(int(((values < limits[0]) | (values > limits[1])).sum()))
    return [
        Cell(text=group),
        Cell(text=options.count(values.size)),
        Cell(text=options.count(missing)),
        Cell(text=decimals(values.mean() if values.size else np.nan, places)),
        Cell(text=decimals(values.std(ddof=1) if values.size > 1 else np.nan, places)),
        Cell(text=interval(low, high, places)),
        Cell(text=interval(*(limits or (np.nan, np.nan)), places)),
        Cell(text=outside),
    ]


def _is_ratio(protocol: Protocol, column: str) -> bool:
    """Whether a column is a followed share, which cannot be beyond 100%."""
    return unit_of(column) == "%" and column in {one.name for one in protocol.outcomes}


def _title(protocol: Protocol, column: str) -> str:
    """Name of a column, with the unit that the protocol gives where the name has none."""
    unit = next((one.unit for one in protocol.outcomes if one.name == column), "")
    return f"{title_of(column)} ({unit})" if unit and not unit_of(column) else title_of(column)


def _table(context: StudyContext, columns: list[str], sexes: pd.Series, options: Options) -> Table:
    groups = order_sexes(list(sexes.unique()))
    meanings = complete(context.biomarker_dictionary, "column", "meaning")
    meaning = dict(zip(words(meanings["column"]), words(meanings["meaning"]), strict=True))
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    ranged = False
    for column in columns:
        by_group = split(context.biomarkers[column], sexes)
        ranges = _ranges(context, column, groups)
        ranged |= bool(ranges)
        places = places_for(float(numbers(context.biomarkers[column]).std()))
        about = meaning.get(column, "")
        headings[len(rows)] = _title(context.protocol, column) + (f" · {about}" if about else "")
        for group in groups:
            values = by_group[group]
            missing = int((sexes == group).sum()) - values.size
            rows.append(
                _row(
                    group, values, missing, limits=ranges.get(group), places=places, options=options
                )
            )
    titles = ["n", "Missing", "Mean", "SD", "Central 95%", "Reference", "Outside it"]
    if not ranged:
        titles, rows = titles[:-2], [row[:-2] for row in rows]
    return Table(
        caption="Biomarkers by sex.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
        note="The central 95% (2.5th to 97.5th percentile) is shown from "
        f"{_ENOUGH[options.share]} {counted_as(context)} on.",
    )


def section(context: StudyContext, options: Options) -> Section:
    """Return the biomarkers' distributions by sex, a table, and the associations."""
    ident, title = "biomarkers", "Biomarkers"
    columns = measured(context) if len(context.biomarkers) else []
    if not columns:
        why = (
            "Biomarkers were computed, but every value is undefined."
            if len(context.biomarkers)
            else "No subject reached the biomarkers, so there is nothing to show."
        )
        return Section(ident=ident, title=title, blocks=nothing(why))
    units = complete(context.biomarkers, "unit")["unit"]
    sexes = groups_by_sex(context, units)
    figure = _figure(context, columns, sexes, options)
    blocks: list[Block] = [figure] if figure is not None else []
    blocks.append(_table(context, columns, sexes, options))
    blocks += details(context, options)
    blocks.append(Heading(text="Associations"))
    blocks += associations(context, options)
    people = in_words(units, options.plural)
    ends = [c for c in interval_ends(context) if numbers(context.biomarkers[c]).notna().any()]
    lead = f"{plural(len(columns), 'biomarker')} of {people}"
    lead += f"; {plural(len(ends), 'column')} of the table are ends of intervals." if ends else "."
    return Section(ident=ident, title=title, lead=lead, blocks=blocks)
