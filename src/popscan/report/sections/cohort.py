"""Section 2: who was studied."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from popscan.names import subject_of
from popscan.report.blocks import Block, Cell, Figure, Section, Table, Text, nothing
from popscan.report.context import StudyContext
from popscan.report.figures.distributions import Attribute, cohort
from popscan.report.sections.common import (
    CONCEALED,
    Options,
    count_rows,
    groups_by_sex,
    header,
    order_sexes,
    small,
    split,
)
from popscan.report.text import decimals, places_for, plural, shorten, title_of, unit_of
from popscan.report.tidy import numbers, words
from popscan.report.units import counted_as, study_units, unit_column

_KEYS = {"unit", "participant_id", "session_id", "sub", "ses", "sex", "subject", "source", "path"}
_MAX_LEVELS = 10
#: Between the attributes of an intersection.
_TIMES = " x "
#: Classes of body mass index, which have an order.
_BMI_CLASSES = ("underweight", "normal", "overweight", "obese")
#: A number, or a band of numbers, perhaps with a unit.
_BAND = re.compile(r"(under |over |<=? ?|>=? ?|≤ ?|≥ ?|)(-?\d+(?:\.\d+)?)(?:\s*[-–+].*| \S+|)")
_MAX_FIGURES = 12


def _attributes(table: pd.DataFrame) -> dict[str, str]:
    """Return the columns to show -> ``number`` or ``levels``; identifiers and hidden truth not."""
    kinds = {}
    for column in map(str, table.columns):
        derived = column.startswith("truth_") or column.endswith("_id") or " x " in column
        if column.lower() in _KEYS or derived:
            continue
        known = _known(table[column])
        if not len(known):
            continue
        numeric = numbers(known)
        many = numeric.nunique() > 5
        if numeric.notna().mean() >= 0.8 and (many or unit_of(column) or _measured(known)):
            kinds[column] = "number"
        elif known.nunique() <= max(_MAX_LEVELS, 0.3 * len(known)):
            kinds[column] = "levels"
    return kinds


def _known(values: pd.Series) -> pd.Series:
    """Return the cells that hold something: numbers as they are, all else as text."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.dropna()
    text = words(values)
    return text[text != ""]


def _measured(known: pd.Series) -> bool:
    """Whether few distinct numbers are measurements (1.8734), not codes or settings (1.5, 3)."""
    return bool((words(known).str.partition(".")[2].str.len() > 2).any())


def _levels(values: pd.Series) -> pd.Series:
    """Return the column with its rare levels merged into ``other``, missing as ``not recorded``."""
    text = words(values, missing="not recorded").replace("missing", "not recorded")
    if (numbers(values).dropna() % 1 == 0).all():
        # One missing value turns a column of whole numbers into one of decimals.
        text = text.str.removesuffix(".0")
    common = (
        text.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    )
    if len(common) <= _MAX_LEVELS:
        return text
    return text.where(text.isin(common.index[: _MAX_LEVELS - 1]), "other")


def _level_order(values: pd.Series) -> list[str]:
    last = {"other": 1, "not recorded": 2}
    counts = values.value_counts()
    places = {level: _place(level) for level in counts.index if level not in last}
    ordered = all(place is not None for place in places.values())
    return sorted(
        counts.index,
        key=lambda level: (
            last.get(level, 0),
            places.get(level) if ordered and level in places else (-counts[level], 0.0),
            level,
        ),
    )


def _place(level: str) -> tuple[float, float] | None:
    """Place of a number or a band of numbers (``under 45``, ``45-54``, ``75+``) among others."""
    if level in _BMI_CLASSES:
        return float(_BMI_CLASSES.index(level)), 0.0
    found = _BAND.fullmatch(level)
    if found is None:
        return None
    below = found[1].strip() in ("under", "<", "≤", "<=")
    return float(found[2]), -1.0 if below else 0.0


def _number_row(
    column: str, values: pd.Series, sexes: pd.Series, groups: list[str], options: Options
) -> list[Cell]:
    places = places_for(float(numbers(values).std()))
    cells = [Cell(text=f"{title_of(column)}, mean (SD)")]
    for group in [*groups, None]:
        numeric = numbers(values if group is None else values[sexes == group])
        known = numeric.dropna()
        missing = len(numeric) - len(known)
        if not len(known) or small(len(known), options):
            cells.append(Cell(text="–"))
            continue
        text = f"{decimals(known.mean(), places)} ({decimals(known.std(), places)})"
        cells.append(Cell(text=text + (f" [{options.count(missing)} missing]" if missing else "")))
    return cells


def _level_rows(
    values: pd.Series, sexes: pd.Series, groups: list[str], options: Options
) -> list[list[Cell]]:
    merged = _levels(values)
    order = _level_order(merged)
    parts = [*(merged[sexes == group] for group in groups), merged]
    counts = [[float((part == level).sum()) for part in parts] for level in order]
    sizes = [float(len(part)) for part in parts]
    table = count_rows([*counts, sizes], options, total_column=bool(groups), total_row=True,
                       of=sizes)  # fmt: skip
    return [[Cell(text=f"  {shorten(level, 60)}"), *table[i]] for i, level in enumerate(order)]


def _table_one(context: StudyContext, sexes: pd.Series, options: Options) -> Table:
    table = context.participants
    groups = order_sexes(list(sexes.unique()))
    groups = [] if groups == ["all"] else groups
    counts = [float((sexes == group).sum()) for group in groups]
    sizes = [*counts, float(len(table))]
    what = counted_as(context).capitalize()
    rows = [[Cell(text=what), *count_rows([sizes], options, total_column=bool(groups))[0]]]
    headings: dict[int, str] = {}
    kinds = _attributes(table)
    for column in [c for c, kind in kinds.items() if kind == "number"]:
        rows.append(_number_row(column, table[column], sexes, groups, options))
    crossed = _crossed_with_sex(context) if options.share else set()
    for column in [c for c, kind in kinds.items() if kind == "levels"]:
        headings[len(rows)] = f"{title_of(column)}, n (%)"
        if column in crossed:
            whole = _level_rows(table[column], sexes, [], options)
            blank = [Cell(text=CONCEALED) for _ in groups]
            rows += [[level, *blank, *count] for level, *count in whole]
        else:
            rows += _level_rows(table[column], sexes, groups, options)
    return Table(
        caption="Table 1. The cohort" + (" by sex" if groups else ""),
        columns=header("", *[g.capitalize() for g in groups], "All"),
        rows=rows,
        groups=headings,
        sortable=False,
        note="Percentages are of the column. “Not recorded” is counted as a group of its own."
        + (f" Counts are rounded to multiples of {options.rounding}." if options.share else "")
        + (" Where groups by sex are in the audit they are not repeated." if crossed else ""),
    )


def _crossed_with_sex(context: StudyContext) -> set[str]:
    """Return attributes whose groups by sex are in the audit's tables.

    Shown here, too, the two roundings of one count would give away more than either.
    """
    if "attribute" not in context.fairness_groups:
        return set()
    names = [str(name).split(_TIMES) for name in context.fairness_groups["attribute"].unique()]
    return {part for parts in names if "sex" in parts for part in parts if part != "sex"}


def _figure(context: StudyContext, sexes: pd.Series) -> Figure | None:
    table = context.participants
    groups = order_sexes(list(sexes.unique()))
    attributes = []
    for column, kind in list(_attributes(table).items())[:_MAX_FIGURES]:
        title = title_of(column)
        if kind == "number":
            attributes.append(Attribute(title=title, values=split(table[column], sexes)))
            continue
        merged = _levels(table[column])
        levels = {
            group: {
                level: float(((merged == level) & (sexes == group)).sum())
                for level in _level_order(merged)
            }
            for group in groups
        }
        attributes.append(Attribute(title=title, levels=levels))
    if not attributes:
        return None
    titles = ", ".join(attribute.title for attribute in attributes)
    return Figure(
        markup=cohort(
            attributes, groups=groups, alt=f"Distributions of {titles}; numbers are in table 1."
        ),
        caption="How the recorded attributes are distributed (number of "
        f"{counted_as(context)}, stacked by sex).",
    )


def section(context: StudyContext, options: Options) -> Section:
    """Return the cohort by sex: table 1 and the attributes' distributions."""
    title = "Cohort"
    table = context.participants
    if not len(table):
        return Section(
            ident="cohort",
            title=title,
            blocks=nothing("There is no cohort table, so nothing is known of the subjects."),
        )
    units = unit_column(table, known=study_units(context))
    sexes = groups_by_sex(context, units)
    blocks: list[Block] = [_table_one(context, sexes, options)]
    groups = set(sexes.unique())
    if groups == {"all"}:
        blocks.append(Text(text="The cohort table has no column for sex.", tone="empty"))
    elif len(groups - {"unknown"}) == 1:
        only = next(iter(groups - {"unknown"}))
        blocks.append(Text(text=f"All subjects of known sex are {only}.", tone="empty"))
    picture = None if options.share else _figure(context, sexes)
    if picture is not None:
        blocks.append(picture)
    recorded = len(_attributes(table))
    visits = len(np.unique(units))
    people = len({subject_of(str(unit)) for unit in units})
    of = f" of {options.plural(people, 'subject')}" if people < visits else ""
    lead = (
        f"{options.plural(visits, 'visit' if of else 'subject')}{of} in the cohort table, "
        f"{plural(recorded, 'recorded attribute')}."
    )
    return Section(ident="cohort", title=title, lead=lead.capitalize(), blocks=blocks)
