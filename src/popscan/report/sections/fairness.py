"""Section 9: whom does the pipeline serve less well."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Details,
    Heading,
    Section,
    Table,
    Text,
    nothing,
)
from popscan.report.context import StudyContext, complete, numbers, words
from popscan.report.figures.forest import axis_header, axis_limits, heat, interval_cell
from popscan.report.sections.common import Options, frame_table
from popscan.report.text import (
    DASH,
    count,
    decimals,
    interval,
    is_true,
    number,
    p_value,
    places_for,
    shorten,
    title_of,
)

_NUMBERS = ("gap", "ci_low", "ci_high", "p", "p_adj")
_CAUTION = (
    "Sex, race and ethnicity are shown as the study recorded them. Race is a social category, not "
    "a biological one: a gap by race says how the data and the pipeline treat people, not what "
    "they are. A gap without its interval, and a missing gap in a small group, prove nothing."
)


def _spreads(groups: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Pooled within-group SD by attribute and outcome, weighted by group size."""
    table = complete(groups, "attribute", "outcome", "n", "sd")
    n, sd = numbers(table["n"]), numbers(table["sd"])
    good = (n > 1) & (sd >= 0)
    work = pd.DataFrame(
        {
            "key": list(zip(words(table["attribute"]), words(table["outcome"]), strict=True)),
            "weight": (n - 1).where(good, 0.0),
            "square": ((n - 1) * sd**2).where(good, 0.0),
        }
    )
    sums = work.groupby("key")[["weight", "square"]].sum()
    pooled = (sums["square"] / sums["weight"].where(sums["weight"] > 0)) ** 0.5
    return dict(zip(sums.index, pooled.astype(float), strict=True))


def _gaps(context: StudyContext) -> pd.DataFrame:
    """Return the gaps with numbers as floats and `scale`, the SD that they are drawn in."""
    table = complete(
        context.fairness_gaps, "attribute", "outcome", "group", "reference", "test", *_NUMBERS
    ).copy()
    for column in _NUMBERS:
        table[column] = numbers(table[column])
    for column in ("attribute", "outcome", "group", "reference", "test"):
        table[column] = words(table[column])
    spreads = _spreads(context.fairness_groups)
    keys = zip(table["attribute"], table["outcome"], strict=True)
    scale = pd.Series([spreads.get(key, np.nan) for key in keys], index=table.index, dtype=float)
    table["scale"] = scale.where(scale > 0)
    table["strong"] = table["p_adj"].where(table["p_adj"].notna(), table["p"]) < 0.05
    return table


def _heat_table(gaps: pd.DataFrame) -> Table | None:
    drawn = gaps.assign(share=gaps["gap"] / gaps["scale"]).dropna(subset=["share"])
    if not len(drawn):
        return None
    attributes = list(dict.fromkeys(drawn["attribute"]))
    rows = []
    for outcome in dict.fromkeys(drawn["outcome"]):
        cells = [Cell(text=title_of(str(outcome)))]
        for attribute in attributes:
            part = drawn[(drawn["attribute"] == attribute) & (drawn["outcome"] == outcome)]
            if not len(part):
                cells.append(Cell(text=DASH, heat="#f4f6f8", ink="#5b6773"))
                continue
            worst = part.loc[part["share"].abs().idxmax()]
            back, ink = heat(float(worst["share"]))
            star = " *" if bool(worst["strong"]) else ""
            places = places_for(abs(float(worst["gap"])))
            text = f"{shorten(str(worst['group']), 26)}: {decimals(worst['gap'], places)}{star}"
            cells.append(Cell(text=text, heat=back, ink=ink, sort=float(worst["share"])))
        rows.append(cells)
    return Table(
        caption="Largest gap of each outcome (rows) by attribute (columns), and whose it is.",
        columns=[Column(title="Outcome"), *[Column(title=title_of(a)) for a in attributes]],
        rows=rows,
        sortable=False,
        note="Colour: gap in within-group SDs, orange higher and blue lower than the reference "
        "group, full at 1 SD. * p below 0.05 after correction.",
    )


def _forest(attribute: str, gaps: pd.DataFrame) -> Table:
    drawn = {c: gaps[c] / gaps["scale"] for c in ("gap", "ci_low", "ci_high")}
    limits = axis_limits(
        [*drawn["ci_low"].tolist(), *drawn["gap"].tolist()],
        [*drawn["ci_high"].tolist(), *drawn["gap"].tolist()],
    )
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for outcome in dict.fromkeys(gaps["outcome"]):
        part = gaps[gaps["outcome"] == outcome]
        references = listing_of(part["reference"])
        against = f" · against {references}" if references else ""
        headings[len(rows)] = title_of(str(outcome)) + against
        for i, row in part.iterrows():
            width = row["ci_high"] - row["ci_low"]
            places = places_for(float(width if np.isfinite(width) else abs(row["gap"])))
            ends = interval(row["ci_low"], row["ci_high"], places)
            text = f"{decimals(row['gap'], places)} ({ends})"
            if not np.isfinite(row["gap"]):
                text = "too few"
            cell = interval_cell(
                drawn["gap"][i], drawn["ci_low"][i], drawn["ci_high"][i],
                limits=limits, strong=bool(row["strong"]), alt=text,
            )  # fmt: skip
            rows.append(
                [
                    Cell(text=shorten(row["group"], 60)),
                    Cell(markup=cell),
                    Cell(text=text),
                    Cell(text=p_value(row["p"])),
                    Cell(text=p_value(row["p_adj"])),
                    Cell(text=row["test"].replace("_", " ")),
                ]
            )
    return Table(
        caption=f"Gaps by {title_of(attribute, unit=False).lower()}.",
        columns=[
            Column(title="Group"),
            Column(
                title="Gap in within-group SDs",
                markup=axis_header(limits, left="lower than reference", right="higher"),
            ),
            Column(title="Gap (95% interval)", numeric=True),
            Column(title="p", numeric=True),
            Column(title="Adjusted p", numeric=True),
            Column(title="Test"),
        ],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
    )


def listing_of(values: pd.Series) -> str:
    """Return the distinct non-empty words of a column, joined by commas."""
    return ", ".join(dict.fromkeys(v for v in values if v))


def _group_tables(context: StudyContext, options: Options) -> list[Block]:
    table = complete(
        context.fairness_groups,
        "attribute", "group", "stage", "outcome", "n", "n_missing", "mean", "median", "sd",
        "ci_low", "ci_high", "too_few",
    ).copy()  # fmt: skip
    table["few"] = is_true(table["too_few"])
    for column in ("n", "n_missing", "mean", "median", "sd", "ci_low", "ci_high"):
        table[column] = numbers(table[column])
    blocks: list[Block] = []
    attributes = words(table["attribute"], missing="group")
    for attribute in dict.fromkeys(attributes):
        part = table[attributes == attribute]
        rows: list[list[Cell]] = []
        headings: dict[int, str] = {}
        outcomes = words(part["outcome"])
        for outcome in dict.fromkeys(outcomes):
            headings[len(rows)] = title_of(outcome)
            for _, row in part[outcomes == outcome].iterrows():
                rows.append(_group_row(row, options))
        titles = ("n", "Missing", "Mean", "95% interval", "Median", "SD")
        inner = Table(
            caption=f"Outcomes by {title_of(attribute, unit=False).lower()}.",
            columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
            rows=rows,
            groups=headings,
            sortable=False,
            dense=True,
        )
        people = len(dict.fromkeys(words(part["group"])))
        summary = f"{title_of(attribute)}: {people} groups, {len(headings)} outcomes"
        blocks.append(Details(summary=summary, blocks=[inner]))
    return blocks


def _group_row(row: pd.Series, options: Options) -> list[Cell]:
    name = shorten(str(row["group"]), 60)
    hidden = options.share and 0 < row["n"] < options.minimum
    size = Cell(text=f"< {options.minimum}" if hidden else count(row["n"]))
    if row["few"] or hidden:
        few = Cell(text="too few", tone="mute")
        return [Cell(text=name), size, Cell(text=DASH), few, *[Cell(text=DASH)] * 3]
    width = row["ci_high"] - row["ci_low"]
    places = places_for(float(width if width > 0 else row["sd"]))
    missing = row["n_missing"]
    hide = options.share and 0 < missing < options.minimum
    return [
        Cell(text=name),
        size,
        Cell(text=f"< {options.minimum}" if hide else count(missing)),
        Cell(text=decimals(row["mean"], places)),
        Cell(text=interval(row["ci_low"], row["ci_high"], places)),
        Cell(text=decimals(row["median"], places)),
        Cell(text=number(row["sd"])),
    ]


def section(context: StudyContext, options: Options) -> Section:
    """Return the audit: sentences, heat map, forests and group tables."""
    ident, title = "fairness", "Fairness"
    groups, gaps = context.fairness_groups, _gaps(context)
    if not len(groups) and not len(gaps) and not context.sentences:
        why = "No audit was made: no attribute was configured, or no subject has an outcome."
        return Section(ident=ident, title=title, blocks=nothing(why))
    blocks: list[Block] = []
    if context.sentences:
        blocks.append(Bullets(items=[str(sentence) for sentence in context.sentences]))
    blocks.append(Text(text=_CAUTION, tone="key"))
    overview = _heat_table(gaps) if len(gaps) else None
    if overview is not None:
        blocks += [Heading(text="Where the largest gaps are"), overview]
    if len(gaps):
        blocks.append(Heading(text="Gaps with their intervals"))
        for attribute in dict.fromkeys(gaps["attribute"]):
            blocks.append(_forest(str(attribute), gaps[gaps["attribute"] == attribute]))
        blocks.append(
            Text(
                text="Each gap is group minus reference in the outcome's own unit, drawn in pooled "
                "within-group standard deviations. Filled: below 0.05 after correction for the "
                "whole family of comparisons.",
                tone="note",
            )
        )
    else:
        blocks += nothing("There are no gaps to test: no attribute has two groups large enough.")
    if len(groups):
        blocks += [Heading(text="Every group"), *_group_tables(context, options)]
    if len(context.fairness_summary):
        blocks += [
            Heading(text="Summary measures"),
            frame_table(context.fairness_summary, caption="Spread over groups, by outcome."),
        ]
    return Section(ident=ident, title=title, blocks=blocks)
