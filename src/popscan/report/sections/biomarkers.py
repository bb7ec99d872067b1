"""Section 7: biomarkers by sex, and what they go along with."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.report.blocks import Block, Cell, Column, Figure, Heading, Section, Table, nothing
from popscan.report.context import StudyContext, complete, numbers, words
from popscan.report.figures.distributions import Violins, violins
from popscan.report.figures.forest import axis_header, axis_limits, interval_cell
from popscan.report.sections.common import Options, groups_by_sex, order_sexes, small, split
from popscan.report.text import (
    DASH,
    count,
    decimals,
    interval,
    listing,
    p_value,
    places_for,
    plural,
    title_of,
    unit_of,
)

#: Shown first where the study has them; others follow in their own order.
_FIRST = (
    "lvedv_ml", "lvesv_ml", "lvsv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct",
    "wall_thickness_mm", "co_l_min", "lvedv_ml_m2", "lvm_g_m2", "rvedv_ml_m2",
)  # fmt: skip
_MAX_PANELS = 12


def measured(context: StudyContext) -> list[str]:
    """Return the biomarker columns that hold at least one finite number, in order of display."""
    table = context.biomarkers
    known = complete(context.biomarker_dictionary, "column")
    listed = set(words(known["column"]))
    columns = [
        str(c)
        for c in table.columns
        if c not in ("unit", "participant_id", "session_id", "status")
        and (not listed or c in listed or unit_of(str(c)))
        and numbers(table[c]).notna().any()
    ]
    first = [c for c in _FIRST if c in columns]
    return first + [c for c in columns if c not in first]


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
    panels = []
    for column in columns[:_MAX_PANELS]:
        groups = _enough(split(context.biomarkers[column], sexes), options)
        if groups:
            ranges = _ranges(context, column, list(groups))
            panels.append(Violins(title=title_of(column), groups=groups, ranges=ranges))
    if not panels:
        return None
    sources = complete(context.reference_ranges, "source")
    source = listing(list(dict.fromkeys(s for s in words(sources["source"]) if s)) or [""])
    shaded = any(panel.ranges for panel in panels)
    return Figure(
        markup=violins(
            panels,
            name="biomarkers",
            alt="Distributions of biomarkers by sex; numbers are in the table below.",
            private=options.share,
        ),
        caption="Biomarkers by sex. Points: subjects (at most 90 per group, evenly over the "
        "ranks); bars: quartiles; line: median."
        + (f" Grey: reference range{f' ({source})' if source else ''}." if shaded else "")
        if not options.share
        else "Biomarkers by sex; the tails beyond the central 95% are not drawn.",
    )


def _table(context: StudyContext, columns: list[str], sexes: pd.Series, options: Options) -> Table:
    groups = order_sexes(list(sexes.unique()))
    meanings = complete(context.biomarker_dictionary, "column", "meaning")
    meaning = dict(zip(words(meanings["column"]), words(meanings["meaning"]), strict=True))
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for column in columns:
        by_group = split(context.biomarkers[column], sexes)
        ranges = _ranges(context, column, groups)
        everyone = numbers(context.biomarkers[column])
        places = places_for(float(everyone.std()))
        about = meaning.get(column, "")
        headings[len(rows)] = title_of(column) + (f" · {about}" if about else "")
        for group in groups:
            values = by_group[group]
            total = int((sexes == group).sum())
            cells = [Cell(text=group)]
            if small(values.size, options):
                cells += [Cell(text=f"< {options.minimum}")] + [Cell(text=DASH)] * 6
                rows.append(cells)
                continue
            low, high = np.percentile(values, [2.5, 97.5]) if values.size >= 20 else (np.nan,) * 2
            mean = values.mean() if values.size else np.nan
            sd = values.std(ddof=1) if values.size > 1 else np.nan
            inside = DASH
            if group in ranges and values.size:
                outside = int(((values < ranges[group][0]) | (values > ranges[group][1])).sum())
                hide = options.share and 0 < outside < options.minimum
                inside = f"< {options.minimum}" if hide else count(outside)
            missing = total - values.size
            hide = options.share and 0 < missing < options.minimum
            cells += [
                Cell(text=count(values.size)),
                Cell(text=f"< {options.minimum}" if hide else count(missing)),
                Cell(text=decimals(mean, places)),
                Cell(text=decimals(sd, places)),
                Cell(text=interval(low, high, places)),
                Cell(text=interval(*ranges.get(group, (np.nan, np.nan)), places)),
                Cell(text=inside),
            ]
            rows.append(cells)
    titles = ("n", "Missing", "Mean", "SD", "Central 95%", "Reference", "Outside it")
    return Table(
        caption="Biomarkers by sex.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
        note="The central 95% (2.5th to 97.5th percentile) is shown from 20 subjects on.",
    )


def _associations(context: StudyContext) -> list[Block]:
    table = complete(
        context.associations,
        "outcome", "term", "estimate", "ci_low", "ci_high", "p", "q", "n",
    )  # fmt: skip
    term = words(table["term"])
    table = table[~term.str.lower().isin(["intercept", "const", "(intercept)"])].copy()
    for column in ("estimate", "ci_low", "ci_high", "p", "q", "n"):
        table[column] = numbers(table[column])
    table = table[table["estimate"].notna()]
    if not len(table):
        return nothing("No model was fitted, so there are no associations to show.")
    outcomes = words(table["outcome"])
    spread = {
        outcome: float(numbers(context.biomarkers[outcome]).std())
        if outcome in context.biomarkers
        else float("nan")
        for outcome in dict.fromkeys(outcomes)
    }
    scale = outcomes.map(spread).astype(float)
    scale = scale.where(scale > 0)
    drawn = {c: table[c] / scale for c in ("estimate", "ci_low", "ci_high")}
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    widths: dict[str, tuple[float, float]] = {}
    terms = list(dict.fromkeys(words(table["term"])))
    for term_name in terms:
        index = table.index[words(table["term"]) == term_name]
        widths[term_name] = axis_limits(drawn["ci_low"][index].tolist(),
                                        drawn["ci_high"][index].tolist())  # fmt: skip
    limits = max(widths.values(), key=lambda pair: pair[1])
    for term_name in terms:
        index = table.index[words(table["term"]) == term_name]
        headings[len(rows)] = f"Per {title_of(term_name)}" if unit_of(term_name) else term_name
        for i in index:
            row = table.loc[i]
            places = places_for(float(row["ci_high"] - row["ci_low"]))
            ends = interval(row["ci_low"], row["ci_high"], places)
            text = f"{decimals(row['estimate'], places)} ({ends})"
            adjusted = row["q"] if np.isfinite(row["q"]) else row["p"]
            rows.append(
                [
                    Cell(text=title_of(str(outcomes[i]))),
                    Cell(
                        markup=interval_cell(
                            drawn["estimate"][i], drawn["ci_low"][i], drawn["ci_high"][i],
                            limits=limits, strong=bool(adjusted < 0.05), alt=text,
                        )
                    ),
                    Cell(text=text, sort=float(row["estimate"])),
                    Cell(text=p_value(row["p"]), sort=float(row["p"])),
                    Cell(text=p_value(row["q"]), sort=float(row["q"])),
                    Cell(text=count(row["n"])),
                ]
            )  # fmt: skip
    return [
        Table(
            caption="Associations: change of each biomarker per unit of each term.",
            columns=[
                Column(title="Biomarker"),
                Column(title="In SDs of the biomarker", markup=axis_header(
                    limits, left="lower", right="higher")),
                Column(title="Estimate (95% interval)", numeric=True),
                Column(title="p", numeric=True),
                Column(title="q", numeric=True, hint="p corrected for multiplicity"),
                Column(title="n", numeric=True),
            ],
            rows=rows,
            groups=headings,
            sortable=False,
            dense=True,
            note="Drawn in standard deviations of the biomarker so that rows can be compared; the "
            "numbers are in the biomarker's own unit. Filled: below 0.05 after correction. "
            "An association is not a cause.",
        )
    ]  # fmt: skip


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
    blocks.append(Heading(text="Associations"))
    blocks += _associations(context)
    lead = f"{plural(len(columns), 'biomarker')} of {plural(len(context.biomarkers), 'subject')}."
    return Section(ident=ident, title=title, lead=lead, blocks=blocks)
