"""Section 9: whom does the pipeline serve less well."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

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
from popscan.report.context import Compared, StudyContext
from popscan.report.sections.adjusted import adjusted_blocks
from popscan.report.sections.common import Options, frame_table
from popscan.report.sections.crossed import crossed_blocks
from popscan.report.sections.gaps import forests, gap_table, heat_map, outcome_order
from popscan.report.sections.predictions import predictions
from popscan.report.text import (
    DASH,
    decimals,
    interval,
    is_true,
    number,
    places_for,
    plural,
    shorten,
    title_of,
)
from popscan.report.tidy import complete, numbers, words

_CAUTION = (
    "Sex, race and ethnicity are shown as the study recorded them. Race is a social category, not "
    "a biological one: a gap by race says how the data and the pipeline treat people, not what "
    "they are."
)
_READING = (
    "Each gap is group minus reference in the outcome's own unit, drawn in pooled within-group "
    "standard deviations. Filled circles stand after correction for the whole family of "
    "comparisons. An open circle does not prove equality: its interval says how large a gap is "
    "still possible."
)
_SENTENCES = 8
_GROUP_NUMBERS = ("n", "n_units", "n_missing", "mean", "median", "sd", "ci_low", "ci_high")
_SHOWN = ["group", "outcome", "few", "percent", *_GROUP_NUMBERS]


def is_caution(sentence: str) -> bool:
    """Say whether a sentence of the audit is its caution on social categories."""
    return "social categor" in sentence.lower()


def _in_words(sentences: Sequence[str]) -> list[Block]:
    findings = [s for s in sentences if not is_caution(s)]
    blocks: list[Block] = []
    if findings:
        blocks.append(Bullets(items=findings[:_SENTENCES]))
    if len(findings) > _SENTENCES:
        rest = findings[_SENTENCES:]
        summary = f"{plural(len(rest), 'more sentence')} on single gaps"
        blocks.append(Details(summary=summary, blocks=[Bullets(items=rest)]))
    caution = next((s for s in sentences if is_caution(s)), _CAUTION)
    return [*blocks, Text(text=caution, tone="key")]


def _group_tables(context: StudyContext, options: Options) -> list[Block]:
    table = complete(
        context.fairness_groups, "attribute", "group", "outcome", "too_few", *_GROUP_NUMBERS
    ).copy()
    table["few"] = is_true(table["too_few"])
    percent = words(complete(table, "kind")["kind"]) == "binary"
    for column in _GROUP_NUMBERS:
        factor = 1.0 if column.startswith("n") else 100.0
        table[column] = numbers(table[column]).where(~percent, factor * numbers(table[column]))
    for column in ("attribute", "group", "outcome"):
        table[column] = words(table[column], missing="not named")
    order = outcome_order(table, context.protocol)
    blocks: list[Block] = []
    table["percent"] = percent
    for attribute in dict.fromkeys(table["attribute"]):
        part = table[table["attribute"] == attribute]
        rows: list[list[Cell]] = []
        headings: dict[int, str] = {}
        by_outcome: dict[str, list[Mapping[Hashable, Any]]] = {}
        for row in part[_SHOWN].to_dict("records"):
            by_outcome.setdefault(row["outcome"], []).append(row)
        for outcome in [name for name in order if name in by_outcome]:
            found = by_outcome[outcome]
            is_share = any(row["percent"] for row in found)
            headings[len(rows)] = title_of(outcome) + (" (%)" if is_share else "")
            rows += [_group_row(row, options) for row in found]
        titles = ("n", "Missing", "Mean", options.interval, "Median", "SD")
        inner = Table(
            caption=f"Outcomes by {title_of(attribute, unit=False).lower()}.",
            columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
            rows=rows,
            groups=headings,
            sortable=False,
            dense=True,
        )
        people = part["group"].nunique()
        summary = (
            f"{title_of(attribute)}: {plural(people, 'group')}, {plural(len(headings), 'outcome')}"
        )
        blocks.append(Details(summary=summary, blocks=[inner]))
    return blocks


def _group_row(row: Mapping[Hashable, Any], options: Options) -> list[Cell]:
    name = shorten(str(row["group"]), 60)
    hidden = options.share and not row["n"] >= options.minimum and row["n"] != 0
    size = Cell(text="hidden" if hidden else options.count(row["n"]))
    if row["few"] or hidden:
        few = Cell(text="too few", tone="mute")
        return [Cell(text=name), size, Cell(text=DASH), few, *[Cell(text=DASH)] * 3]
    width = row["ci_high"] - row["ci_low"]
    places = places_for(float(width if width > 0 else row["sd"]))
    return [
        Cell(text=name),
        size,
        Cell(text=options.count(row["n_missing"])),
        Cell(text=decimals(row["mean"], places)),
        Cell(text=interval(row["ci_low"], row["ci_high"], places)),
        Cell(text=decimals(row["median"], places)),
        Cell(text=number(row["sd"])),
    ]


def section(context: StudyContext, options: Options) -> Section:
    """Return the audit: sentences, heat map, forests and group tables."""
    ident, title = "fairness", "Fairness"
    groups, gaps = context.fairness_groups, gap_table(context)
    if not len(groups) and not len(gaps) and not context.sentences:
        why = "No audit was made: no attribute was configured, or no subject has an outcome."
        return Section(ident=ident, title=title, blocks=nothing(why))
    blocks: list[Block] = _in_words([str(sentence) for sentence in context.sentences])
    overview = heat_map(gaps) if len(gaps) else []
    if overview:
        blocks += [Heading(text="Where the largest gaps are"), *overview]
    blocks += crossed_blocks(context, options)
    if len(gaps):
        blocks += [
            Heading(text="Gaps with their intervals"),
            Text(text=_READING, tone="note"),
            *forests(gaps, options),
        ]
    else:
        why = "no attribute has two groups large enough."
        hidden = context.compared is not None and context.compared.made
        blocks += nothing(
            "Gaps were computed, but rest on groups or events that are too few to be shared."
            if hidden
            else f"There are no gaps to test: {why}"
        )
    blocks += adjusted_blocks(context, options)
    blocks += predictions(context, options)
    if len(groups):
        blocks += [Heading(text="Every group"), *_group_tables(context, options)]
    if len(context.fairness_summary) and not options.share:
        table = frame_table(context.fairness_summary, caption="Spread over groups, by outcome.")
        n = len(context.fairness_summary)
        blocks.append(Details(summary=f"Summary measures ({n:,} rows)", blocks=[table]))
    if len(context.fairness_pairs) and not options.share:
        table = frame_table(context.fairness_pairs, caption="Every group against every other.")
        n = len(context.fairness_pairs)
        blocks.append(Details(summary=f"All pairs, Dunn's test ({n:,} rows)", blocks=[table]))
    made = context.compared or Compared(
        made=len(gaps),
        tested=int(gaps["p"].notna().sum()),
        attributes=gaps["attribute"].nunique(),
    )
    tested = f"{made.tested:,}" if made.tested else "none"
    lead = (
        f"{plural(made.made, 'comparison')} over {plural(made.attributes, 'attribute')}, "
        f"{tested} of them between groups that are large enough and on outcomes that vary."
        if made.made
        else "Nothing was compared: no attribute has two groups that are large enough."
    )
    return Section(ident=ident, title=title, lead=lead.capitalize(), blocks=blocks)
