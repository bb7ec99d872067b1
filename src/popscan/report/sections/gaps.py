"""Gaps between groups: a heat map of the largest, and forests of all."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popscan.protocol import Protocol
from popscan.report.blocks import Block, Cell, Column, Details, Table, Text
from popscan.report.context import StudyContext
from popscan.report.figures.forest import axis_header, axis_limits, heat, interval_cell
from popscan.report.sections.common import Options
from popscan.report.text import (
    DASH,
    decimals,
    interval,
    is_true,
    listing,
    p_value,
    places_for,
    plural,
    shorten,
    title_of,
)
from popscan.report.tidy import complete, numbers, words
from popscan.stats.named_tests import named_test

_NUMBERS = (
    "gap", "ci_low", "ci_high", "p", "p_adj", "n", "n_reference", "min_detectable_gap",
    "missing_pct", "missing_reference_pct",
)  # fmt: skip
_WORDS = (
    "attribute", "outcome", "stage", "group", "reference", "test", "better_is", "kind",
)  # fmt: skip
#: Outcomes that a reader looks for first; single checks come last.
_FIRST = ("not_analysed", "qc_fail", "qc_not_pass", "dice_mean")
#: Below a table in which a gap's sign hangs on missing values.
_OPEN = (
    "† In the worst case, those without a value turn the sign of the difference (bounds in the "
    "table fairness_gaps). "
)
#: Outcomes shown without opening anything.
_SHOWN = 10
_DRAWN = ("scale", "strong", "sign_open", "worse")
_Row = Mapping[Hashable, Any]


def gap_table(context: StudyContext) -> pd.DataFrame:
    """Return the gaps, tidy.

    Returns
    -------
    DataFrame
        Words as text, numbers as floats, yes/no outcomes in percentage points; ``scale`` is the
        pooled within-group SD in which a gap is drawn, ``strong`` says that it stands after
        correction, ``worse`` is 1 where the group fares worse than the reference, -1 where
        better, NaN where the outcome has no better side.
        In order of `outcome_order`.
    """
    table = complete(context.fairness_gaps, *_WORDS, *_NUMBERS, "significant", "sign_open").copy()
    for column in _NUMBERS:
        table[column] = numbers(table[column])
    for column in _WORDS:
        table[column] = words(table[column])
    percent = table["kind"] == "binary"
    for column in ("gap", "ci_low", "ci_high", "min_detectable_gap"):
        table[column] = table[column].where(~percent, 100 * table[column])
    spreads = _spreads(context.fairness_groups)
    keys = zip(table["attribute"], table["outcome"], strict=True)
    scale = pd.Series([spreads.get(key, np.nan) for key in keys], index=table.index, dtype=float)
    scale = scale.where(~percent, 100 * scale)
    table["scale"] = scale.where(scale > 0)
    adjusted = table["p_adj"].where(table["p_adj"].notna(), table["p"])
    decided = table["significant"].notna()
    table["strong"] = is_true(table["significant"]).where(decided, adjusted <= context.alpha)
    table["sign_open"] = is_true(table["sign_open"])
    sign = table["better_is"].map({"higher": -1.0, "lower": 1.0}).astype(float)
    table["worse"] = np.sign(table["gap"]) * sign
    order = {outcome: i for i, outcome in enumerate(outcome_order(table, context.protocol))}
    return table.assign(order=table["outcome"].map(order)).sort_values("order", kind="stable")


def outcome_order(gaps: pd.DataFrame, protocol: Protocol) -> list[str]:
    """Return the outcomes as a reader looks for them.

    Losses and quality first, then those that the protocol follows in its order, then as they come,
    single checks last.
    """
    names = list(dict.fromkeys(gaps["outcome"]))
    wanted = (*_FIRST, *(one.name for one in protocol.outcomes))
    first = [name for name in dict.fromkeys(wanted) if name in names]
    rest = [name for name in names if name not in first]
    return first + sorted(rest, key=lambda name: name.startswith("check_"))


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


def _rows(gaps: pd.DataFrame) -> Sequence[_Row]:
    """Rows of `gap_table`, one by one: a forest looks at thousands of them in small groups."""
    return gaps[[*_WORDS, *_NUMBERS, *_DRAWN]].to_dict("records")


def _by(rows: Iterable[_Row], name: str) -> dict[str, list[_Row]]:
    """Rows by a word of theirs, in order of its first appearance."""
    parts: dict[str, list[_Row]] = {}
    for row in rows:
        parts.setdefault(row[name], []).append(row)
    return parts


def _title(rows: Sequence[_Row]) -> str:
    """Name of the outcome of these rows, with the unit of their gaps."""
    title = title_of(str(rows[0]["outcome"]))
    return f"{title} (% points)" if any(row["kind"] == "binary" for row in rows) else title


def _heat_cell(part: Sequence[_Row]) -> Cell:
    """Show the largest gap of these rows; all of them have one."""
    if not part:
        return Cell(text=DASH, heat="#f4f6f8", ink="#5b6773")
    worst = max(part, key=lambda row: abs(row["gap"] / row["scale"]))
    size = abs(float(worst["gap"] / worst["scale"]))
    back, ink = heat(size, side=float(worst["worse"]))
    star = " *" if bool(worst["strong"]) else ""
    text = (
        f"{shorten(str(worst['group']), 26)} "
        f"{decimals(worst['gap'], places_for(abs(float(worst['gap']))))}{star}"
    )
    return Cell(text=text, heat=back, ink=ink, sort=size)


def heat_map(gaps: pd.DataFrame) -> list[Block]:
    """Return the largest gap of every outcome (rows) and attribute (columns) as coloured cells."""
    drawn = gaps[(gaps["gap"] / gaps["scale"]).notna()]
    if not len(drawn):
        return []
    attributes = list(dict.fromkeys(drawn["attribute"]))
    rows = []
    for of_outcome in _by(_rows(drawn), "outcome").values():
        parts = _by(of_outcome, "attribute")
        cells = [_heat_cell(parts.get(a, ())) for a in attributes]
        rows.append([Cell(text=_title(of_outcome)), *cells])

    def table(part: list[list[Cell]], caption: str) -> Table:
        return Table(
            caption=caption,
            columns=[Column(title="Outcome"), *[Column(title=title_of(a)) for a in attributes]],
            rows=part,
            sortable=False,
            dense=True,
            note="In each cell: the group that differs most from its reference, and by how much. "
            "Orange: it fares worse; blue: better; grey: different, on an outcome that has no "
            "better side. Full colour from one within-group SD. * stands after correction.",
        )

    caption = "Largest gap of each outcome (rows) by attribute (columns)."
    blocks: list[Block] = [table(rows[: 2 * _SHOWN], caption)]
    if len(rows) > 2 * _SHOWN:
        rest = rows[2 * _SHOWN :]
        summary = f"{plural(len(rest), 'more outcome')} in the heat map"
        blocks.append(Details(summary=summary, blocks=[table(rest, caption)]))
    return blocks


def _forest_row(
    row: _Row, limits: tuple[float, float], options: Options, *, power: bool
) -> list[Cell]:
    width = float(row["ci_high"] - row["ci_low"])
    places = places_for(width if math.isfinite(width) else abs(float(row["gap"])))
    ends = interval(row["ci_low"], row["ci_high"], places)
    text = f"{decimals(row['gap'], places)} ({ends})"
    low, middle, high = (float(row[c] / row["scale"]) for c in ("ci_low", "gap", "ci_high"))
    cells = [
        Cell(text=shorten(row["group"], 60)),
        Cell(text=options.count(row["n"]) + _missing(row["missing_pct"])),
        Cell(
            markup=interval_cell(
                middle, low, high, limits=limits, strong=bool(row["strong"]), alt=text
            )
        ),
        Cell(text=f"{text} †" if row["sign_open"] else text),
        Cell(text=p_value(row["p"])),
        Cell(text=p_value(row["p_adj"])),
    ]
    if power:
        cells.append(Cell(text=decimals(row["min_detectable_gap"], places)))
    return cells


def _missing(share: float) -> str:
    """Say how many of a group have no value, where any."""
    if not share > 0:
        return ""
    return f" ({share:.0f}% missing)" if share >= 1 else " (< 1% missing)"


def _against(rows: Sequence[_Row], options: Options) -> str:
    """Say which group these gaps are measured from, and its size where it is one."""
    references = list(dict.fromkeys(row["reference"] for row in rows if row["reference"]))
    if not references:
        return ""
    sizes = [n for row in rows if not math.isnan(n := row["n_reference"])]
    size = ""
    if len(references) == 1 and sizes:
        shares = [share for row in rows if not math.isnan(share := row["missing_reference_pct"])]
        size = f" (n = {options.count(sizes[0])}{_missing(max(shares, default=math.nan))})"
    return f" · against {listing(references)}{size}"


def _forest(
    attribute: str, gaps: pd.DataFrame, limits: tuple[float, float], options: Options
) -> Table | Text:
    """Return the gaps of an attribute, or that there are none."""
    power = bool(gaps["min_detectable_gap"].notna().any())
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    asides: dict[int, str] = {}
    empty: list[str] = []
    for outcome, part in _by(_rows(gaps), "outcome").items():
        known = [row for row in part if not math.isnan(row["gap"])]
        if not known:
            empty.append(title_of(outcome))
            continue
        headings[len(rows)] = _title(part) + _against(part, options)
        few = [row for row in part if math.isnan(row["gap"])]
        if few:
            asides[len(rows)] = "Too few to compare: " + ", ".join(
                f"{shorten(row['group'], 40)} ({options.count(row['n'])})" for row in few
            )
        rows += [_forest_row(row, limits, options, power=power) for row in known]
    by = title_of(attribute, unit=False).lower()
    if not rows:
        outcomes = listing(empty) if len(empty) <= _SHOWN else plural(len(empty), "outcome")
        return Text(text=f"By {by}, no two groups are large enough for {outcomes}.", tone="note")
    made = gaps["test"].where(~gaps["test"].str.startswith("none"), "")
    tests = list(dict.fromkeys(t.replace("_", " ") for t in made if t))
    columns = [
        Column(title="Group"),
        Column(title="n", numeric=True),
        Column(
            title="Gap in within-group SDs",
            markup=axis_header(limits, left="lower than reference", right="higher"),
        ),
        Column(title=f"Gap ({options.interval})", numeric=True),
        Column(title="p", numeric=True),
        Column(title="Adjusted p", numeric=True),
    ]
    if power:
        columns.append(
            Column(title="Detectable", numeric=True, hint="smallest gap that would be found with "
                   "80% power")
        )  # fmt: skip
    return Table(
        caption=f"Gaps by {by}.",
        columns=columns,
        rows=rows,
        groups=headings,
        asides=asides,
        sortable=False,
        dense=True,
        note=(_OPEN if gaps["sign_open"].any() else "")
        + (f"Tests: {listing([named_test(one) for one in tests])}. " if tests else "")
        + (f"No two groups are large enough for {listing(empty)}." if empty else ""),
    )


def forests(gaps: pd.DataFrame, options: Options) -> list[Block]:
    """Return one forest per attribute; outcomes beyond the first ten and the clear ones folded."""
    blocks: list[Block] = []
    for attribute in dict.fromkeys(gaps["attribute"]):
        part = gaps[gaps["attribute"] == attribute]
        drawn = {c: part[c] / part["scale"] for c in ("gap", "ci_low", "ci_high")}
        limits = axis_limits(*(drawn[c].tolist() for c in ("ci_low", "ci_high", "gap")))
        names = list(dict.fromkeys(part["outcome"]))
        clear = set(part.loc[part["strong"], "outcome"])
        chosen = set(sorted(names, key=lambda name: name not in clear)[:_SHOWN])
        shown = part["outcome"].isin(chosen)
        blocks.append(_forest(str(attribute), part[shown], limits, options))
        if not shown.all():
            rest = part[~shown]
            n = rest["outcome"].nunique()
            summary = f"{plural(n, 'more outcome')} by {title_of(attribute, unit=False).lower()}"
            blocks.append(
                Details(summary=summary, blocks=[_forest(str(attribute), rest, limits, options)])
            )
    return blocks
