"""Fairness along the pipeline: who is lost, what QC does, agreement, where a gap arises."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Details,
    Figure,
    Heading,
    Section,
    Table,
    Text,
    nothing,
)
from popscan.report.context import StudyContext, attribute_by_unit, complete, numbers, words
from popscan.report.figures.fairness import (
    AgreementPanel,
    FunnelPanel,
    WaterfallPanel,
    WaterfallStep,
    agreements,
    funnels,
    waterfalls,
)
from popscan.report.sections.common import Options
from popscan.report.text import (
    DASH,
    decimals,
    interval,
    is_true,
    p_value,
    places_for,
    plural,
    title_of,
    unit_of,
)

#: Rows of the tables that sum up what other rows tell.
_ALL, _TOTAL = "all stages", "total change"
#: Biomarkers drawn without opening anything.
_PANELS = 6
_PREFERRED = ("lvef_pct", "lvedv_ml", "lvm_g", "rvedv_ml", "rvef_pct", "lvesv_ml")


def section(context: StudyContext, options: Options) -> Section:
    """Return funnel, exclusion at equal quality, agreement and bias ledger by group."""
    parts = (_funnel, _exclusion, _agreement, _ledger)
    blocks = [block for part in parts for block in part(context, options)]
    return Section(
        ident="fairness-pipeline",
        title="Fairness along the pipeline",
        lead="Where groups part: who is lost, how well they are measured, and which step adds to "
        "the gap."
        if blocks
        else "",
        blocks=blocks
        or nothing("No group was followed along the pipeline: no audit, or nobody was recorded."),
    )


def _said(context: StudyContext, part: str) -> list[Block]:
    """Sentences of one part of the audit."""
    items = list(context.words.get(part, ()))
    if len(items) <= 6:
        return [Bullets(items=items)] if items else []
    summary = f"{plural(len(items) - 6, 'more sentence')}"
    rest = Details(summary=summary, blocks=[Bullets(items=items[6:])])
    return [Bullets(items=items[:6]), rest]


def _tidy(table: pd.DataFrame, texts: tuple[str, ...], values: tuple[str, ...]) -> pd.DataFrame:
    found = complete(table, *texts, *values).copy()
    for column in texts:
        found[column] = words(found[column])
    for column in values:
        found[column] = numbers(found[column])
    return found


def _funnel(context: StudyContext, options: Options) -> list[Block]:
    if not len(context.fairness_funnel):
        return []
    values = (
        "n_units", "n_entered", "n_lost", "position", "lost_pct", "ci_low_pct", "ci_high_pct",
        "kept_pct", "gap_pct", "gap_ci_low_pct", "gap_ci_high_pct", "p", "p_adj",
    )  # fmt: skip
    texts = ("attribute", "group", "reference", "stage", "test", "too_few")
    table = _tidy(context.fairness_funnel, texts, values)
    blocks: list[Block] = [Heading(text="Who is lost on the way"), *_said(context, "funnel")]
    drawn = [
        panel
        for attribute in dict.fromkeys(table["attribute"])
        if " x " not in attribute
        and (panel := _funnel_panel(table[table["attribute"] == attribute], options)).kept_pct
    ]
    if drawn:
        blocks.append(
            Figure(
                markup=funnels(drawn[:4]),
                caption="Share of each group that is left after each stage. Groups that are too "
                "small are in the table.",
            )
        )
    details = [_funnel_table(table[table["attribute"] == a], options) for a in
               dict.fromkeys(table["attribute"])]  # fmt: skip
    blocks.append(Details(summary="Losses by group and stage, with tests", blocks=details))
    return blocks


def _funnel_panel(part: pd.DataFrame, options: Options) -> FunnelPanel:
    stages = part[part["stage"] != _ALL].sort_values("position", kind="stable")
    total = part[part["stage"] == _ALL].set_index("group")
    small = is_true(total["too_few"])
    kept = {}
    for group in dict.fromkeys(part["group"]):
        shares = stages.loc[stages["group"] == group, "kept_pct"].tolist()
        if group in small.index and not small[group] and np.isfinite(shares).all():
            kept[group] = shares
    return FunnelPanel(
        title=title_of(str(part["attribute"].iloc[0])),
        stages=list(dict.fromkeys(stages["stage"])),
        kept_pct=kept,
        sizes={group: f"of {options.count(total['n_units'][group])}" for group in kept},
    )


def _funnel_table(part: pd.DataFrame, options: Options) -> Table:
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    lossy = part[(part["n_lost"] > 0) | part["n_lost"].isna() | (part["stage"] == _ALL)]
    for stage in dict.fromkeys(lossy.sort_values("position", kind="stable")["stage"]):
        of = part[part["stage"] == stage]
        headings[len(rows)] = f"{title_of(stage)} · against {of['reference'].iloc[0]}"
        for _, row in of.iterrows():
            few = is_true(pd.Series([row["too_few"]])).iloc[0]
            shares = (
                [Cell(text=DASH), Cell(text="too few", tone="mute"), Cell(text=DASH)]
                if few
                else [
                    Cell(text=decimals(row["lost_pct"], 1)),
                    Cell(text=interval(row["ci_low_pct"], row["ci_high_pct"], 1)),
                    Cell(text=_gap(row["gap_pct"], row["gap_ci_low_pct"], row["gap_ci_high_pct"])),
                ]
            )
            counts = [Cell(text=options.count(row[c])) for c in ("n_entered", "n_lost")]
            tested = [Cell(text=p_value(row[c])) for c in ("p", "p_adj")]
            rows.append([Cell(text=row["group"]), *counts, *shares, *tested])
    titles = ("Entered", "Lost", "Lost %", "95% interval", "Against reference, points", "p",
              "Adjusted p")  # fmt: skip
    return Table(
        caption=f"Losses by {title_of(str(part['attribute'].iloc[0]), unit=False).lower()}.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
        note="Stages at which nobody was lost are left out.",
    )


def _gap(gap: float, low: float, high: float, places: int = 1) -> str:
    """Write a difference with its interval; a dash where there is none."""
    if not np.isfinite(gap):
        return DASH
    return f"{decimals(gap, places)} ({interval(low, high, places)})"


def _exclusion(context: StudyContext, options: Options) -> list[Block]:
    said = _said(context, "exclusion")
    if not len(context.fairness_exclusion) or not said:
        return []
    texts = ("attribute", "group", "reference", "method", "note")
    values = ("n", "n_reference", "gap_raw", "gap", "ci_low", "ci_high", "p_adj")
    table = _tidy(context.fairness_exclusion, texts, values)
    known = table[table["gap"].notna()]
    blocks: list[Block] = [
        Heading(text="Does QC exclude one group more, at equal true quality?"),
        *said,
    ]
    if len(known):
        rows = [
            [
                Cell(text=title_of(row["attribute"])),
                Cell(text=f"{row['group']} against {row['reference']}"),
                Cell(text=row["method"]),
                Cell(text=options.count(row["n"])),
                Cell(text=decimals(100 * row["gap_raw"], 1)),
                Cell(text=_gap(*(100 * row[c] for c in ("gap", "ci_low", "ci_high")))),
                Cell(text=p_value(row["p_adj"])),
            ]
            for _, row in known.iterrows()
        ]
        titles = ("n", "Excluded, points", "At equal quality (95% interval)", "Adjusted p")
        columns = [Column(title=t) for t in ("Attribute", "Groups", "Way")]
        columns += [Column(title=t, numeric=True) for t in titles]
        blocks.append(
            Details(
                summary="QC's exclusions at equal quality",
                blocks=[
                    Table(caption="Difference of shares excluded.", columns=columns, rows=rows)
                ],
            )
        )
    return blocks


def _agreement(context: StudyContext, options: Options) -> list[Block]:
    if not len(context.fairness_agreement):
        return []
    texts = ("attribute", "biomarker", "group", "reference", "too_few")
    values = (
        "n", "bias", "bias_ci_low", "bias_ci_high", "loa_low", "loa_high", "slope", "p_slope",
        "bias_gap", "bias_gap_ci_low", "bias_gap_ci_high", "p_bias_gap_adj",
    )  # fmt: skip
    table = _tidy(context.fairness_agreement, texts, values)
    known = table[table["bias"].notna()]
    blocks: list[Block] = [
        Heading(text="Agreement with the reference, by group"),
        *_said(context, "agreement"),
    ]
    for i, attribute in enumerate(dict.fromkeys(known["attribute"])):
        if " x " in attribute:
            continue
        part = known[known["attribute"] == attribute]
        items = [_agreement_panel(context, part[part["biomarker"] == name], options)
                 for name in _biomarkers(part)[:_PANELS]]  # fmt: skip
        figure = Figure(
            markup=agreements(items, name=f"agreement{i}"),
            caption=f"Difference from the reference by {title_of(attribute, unit=False).lower()}: "
            "lines are each group's bias, "
            + ("bars" if options.share else "dashed lines")
            + " its limits of agreement (bias ± 1.96 SD; Bland and Altman 1986).",
        )
        blocks.append(
            figure if i == 0 else Details(summary=f"By {title_of(attribute)}", blocks=[figure])
        )
    tables = [_agreement_table(known[known["attribute"] == a], options)
              for a in dict.fromkeys(known["attribute"])]  # fmt: skip
    if tables:
        blocks.append(Details(summary="Bias and limits of agreement by group", blocks=tables))
    return blocks


def _biomarkers(part: pd.DataFrame) -> list[str]:
    """Names in the order in which a cardiologist reads them."""
    names = list(dict.fromkeys(part["biomarker"]))
    return sorted(names, key=lambda n: _PREFERRED.index(n) if n in _PREFERRED else len(_PREFERRED))


def _agreement_panel(context: StudyContext, part: pd.DataFrame, options: Options) -> AgreementPanel:
    biomarker = str(part["biomarker"].iloc[0])
    limits = {
        str(row["group"]): (row["bias"], row["loa_low"], row["loa_high"])
        for _, row in part.iterrows()
    }
    points = {}
    pairs = complete(context.agreement_points, "unit", "biomarker", "measured", "reference")
    pairs = pairs[pairs["biomarker"] == biomarker]
    attribute = attribute_by_unit(context, str(part["attribute"].iloc[0]), missing="missing")
    if len(pairs) and not options.share:
        groups = words(pairs["unit"]).map(attribute).fillna("missing").replace("unknown", "missing")
        values = np.column_stack([numbers(pairs["measured"]), numbers(pairs["reference"])])
        known = np.isfinite(values).all(axis=1)
        for group in limits:
            chosen = values[known & (groups == group).to_numpy()]
            points[group] = np.column_stack([chosen.mean(axis=1), chosen[:, 0] - chosen[:, 1]])
    return AgreementPanel(
        title=title_of(biomarker, unit=False), unit=unit_of(biomarker), limits=limits, points=points
    )


def _agreement_table(part: pd.DataFrame, options: Options) -> Table:
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for name in _biomarkers(part):
        of = part[part["biomarker"] == name]
        headings[len(rows)] = f"{title_of(name)} · against {of['reference'].iloc[0]}"
        places = places_for(float((of["loa_high"] - of["loa_low"]).max()) / 4)
        for _, row in of.iterrows():
            gap = _gap(row["bias_gap"], row["bias_gap_ci_low"], row["bias_gap_ci_high"], places)
            rows.append(
                [
                    Cell(text=row["group"]),
                    Cell(text=options.count(row["n"])),
                    Cell(text=_gap(row["bias"], row["bias_ci_low"], row["bias_ci_high"], places)),
                    Cell(text=interval(row["loa_low"], row["loa_high"], places)),
                    Cell(text=f"{decimals(row['slope'], 2)} (p {p_value(row['p_slope'])})"),
                    Cell(text=gap),
                    Cell(text=p_value(row["p_bias_gap_adj"])),
                ]
            )
    titles = ("n", "Bias (95% interval)", "Limits of agreement", "Proportional bias",
              "Bias against reference group", "Adjusted p")  # fmt: skip
    return Table(
        caption=f"Agreement by {title_of(str(part['attribute'].iloc[0]), unit=False).lower()}.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
    )


def _ledger(context: StudyContext, options: Options) -> list[Block]:
    texts = ("attribute", "group", "reference", "biomarker", "step", "note")
    values = ("position", "n", "n_reference", "gap", "gap_ci_low", "gap_ci_high", "contribution",
              "ci_low", "ci_high", "from_values", "from_exclusions", "p", "p_adj")  # fmt: skip
    table = _tidy(context.fairness_ledger, texts, values)
    known = table[table["gap"].notna()]
    if not len(known):
        return []
    blocks: list[Block] = [
        Heading(text="Where the gap of a biomarker arises"),
        Text(
            text="The gap between two groups after each step of the pipeline, by swapping in what "
            "that step makes of the same people: its change is what the step adds or takes away. "
            "The first gap is the groups' true difference, nothing that the pipeline has done.",
            tone="note",
        ),
        *_said(context, "ledger"),
    ]
    details: list[Block] = []
    for i, attribute in enumerate(dict.fromkeys(known["attribute"])):
        part = known[known["attribute"] == attribute]
        title = title_of(attribute, unit=False).lower()
        for j, (group, of) in enumerate(part.groupby("group", sort=False)):
            items = [_waterfall(of[of["biomarker"] == name]) for name in _biomarkers(of)[:_PANELS]]
            figure = Figure(
                markup=waterfalls(items, name=f"ledger{i}-{j}"),
                caption=f"By {title}: {group} minus {of['reference'].iloc[0]} "
                f"(n = {options.count(of['n'].min())} and "
                f"{options.count(of['n_reference'].min())} in the end). Lines are 95% intervals of "
                "a step; pale steps are not clear after correction.",
            )
            if i == 0 and j == 0:
                blocks.append(figure)
            else:
                details.append(Details(summary=f"By {title}: {group}", blocks=[figure]))
        details.append(
            Details(summary=f"The ledger by {title} in numbers", blocks=[_ledger_table(part)])
        )
    return [*blocks, *details]


def _waterfall(of: pd.DataFrame) -> WaterfallPanel:
    biomarker = str(of["biomarker"].iloc[0])
    chain = of[of["step"] != _TOTAL].sort_values("position", kind="stable")
    steps = [
        WaterfallStep(
            name=row["step"],
            gap=float(row["gap"]),
            contribution=float(row["contribution"]),
            low=float(row["ci_low"]),
            high=float(row["ci_high"]),
            clear=bool(row["p_adj"] < 0.05),
        )
        for _, row in chain.iterrows()
    ]
    return WaterfallPanel(
        title=title_of(biomarker, unit=False), unit=unit_of(biomarker), steps=steps
    )


def _ledger_table(part: pd.DataFrame) -> Table:
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for (biomarker, group), of in part.groupby(["biomarker", "group"], sort=False):
        headings[len(rows)] = f"{title_of(str(biomarker))}: {group} minus {of['reference'].iloc[0]}"
        places = places_for(float((of["ci_high"] - of["ci_low"]).max()) / 2)
        for _, row in of.sort_values("position", kind="stable").iterrows():
            is_total = row["step"] == _TOTAL
            rows.append(
                [
                    Cell(text=row["step"]),
                    Cell(text=DASH if is_total else
                         _gap(row["gap"], row["gap_ci_low"], row["gap_ci_high"], places)),
                    Cell(text=DASH if row["position"] == 0 else
                         _gap(row["contribution"], row["ci_low"], row["ci_high"], places)),
                    Cell(text=decimals(row["from_values"], places)),
                    Cell(text=decimals(row["from_exclusions"], places)),
                    Cell(text=p_value(row["p_adj"])),
                ]
            )  # fmt: skip
    titles = ("Gap after it (95% interval)", "Added (95% interval)", "… by values",
              "… by who is lost", "Adjusted p")  # fmt: skip
    return Table(
        caption="The bias ledger.",
        columns=[Column(title="Step"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
    )
