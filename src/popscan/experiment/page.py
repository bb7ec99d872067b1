"""The page of an experiment: what was asked, what was found, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.experiment.figures import dice_figure, gap_figure
from popscan.experiment.words import interval, sentences
from popscan.names import plural
from popscan.report.blocks import (
    Block,
    Bullets,
    Card,
    Cards,
    Cell,
    Code,
    Column,
    Figure,
    Section,
    Table,
    Text,
    nothing,
)
from popscan.report.single import write_page
from popscan.report.text import number

_INTERVALS = (
    "Intervals (95%) are for other test subjects and other seeds together, unless stated "
    "otherwise; vertical strokes span the seeds. They "
    "are not corrected for the number of comparisons."
)

_ONE_SEED = (
    "Where only one training could be used, intervals are for other test subjects alone: how much "
    "another training would differ is not known, and no result is called significant."
)


def write_experiment_page(
    path: Path,
    tables: Mapping[str, pd.DataFrame],
    *,
    name: str,
    section: Mapping[str, Any],
    baseline: str,
    config: str,
    left_out: int = 0,
) -> Path:
    """Write the page of an experiment.

    Parameters
    ----------
    path
        The HTML file.
    tables
        As of `popscan.experiment.results.results`.
    name
        Of the study.
    section
        The config's experiment section.
    baseline
        The arm that does nothing; empty for none.
    config
        The section as text.
    left_out
        Visits that are neither in training nor in the test, for their subject has an earlier one.
    """
    sections = [
        _overview(tables, section, baseline),
        _gaps(tables, section, baseline),
        _dice(tables, section),
        *_structures(tables["structures"]),
        trials_section(tables),
        Section(ident="config", title="Configuration", blocks=[Code(text=config)]),
    ]
    what = (
        f"Trainings on {section['n_train']} subjects each, with "
        f"{', '.join(f'{s:g}' for s in section['shares_pct'])} % of {section['attribute']} "
        f"{section['groups'][0]}; all tested on the same {section['n_test']} subjects of each of "
        f"{', '.join(section['groups'])}."
    )
    if left_out:
        what += left_out_text(left_out)
    return write_page(path, name=name, kind="experiment", description=what, sections=sections)


def left_out_text(left_out: int) -> str:
    """Say how many visits and copies are in neither training nor test."""
    what = plural(left_out, "repeated visit or copy", "repeated visits or copies")
    return f" Left out: {what} (the first of each is taken)."


def _overview(
    tables: Mapping[str, pd.DataFrame], section: Mapping[str, Any], baseline: str
) -> Section:
    status = tables["trials"]["status"]
    ok, n = int((status == "ok").sum()), len(status)
    hours = float(tables["trials"]["seconds"].sum()) / 3600
    cards = [
        Card(value=f"{ok} of {n}", label="trials done", tone="good" if ok == n else "bad"),
        Card(value=str(len(section["seeds"])), label="seeds"),
        Card(value=str(tables["trials"]["mitigation"].nunique()), label="arms"),
        Card(value=number(hours), label="hours of training and testing"),
    ]
    texts = sentences(tables, baseline=baseline, group=section["groups"][0])
    blocks: list[Block] = [Cards(cards=cards), Bullets(items=texts), Text(text=_INTERVALS)]
    if _one_seed(tables):
        blocks.append(Text(text=_ONE_SEED, tone="warn"))
    if not baseline:
        text = "There is no control arm, so the effect of the other arms cannot be estimated."
        blocks.append(Text(text=text, tone="warn"))
    return Section(ident="found", title="What was found", blocks=blocks)


def _one_seed(tables: Mapping[str, pd.DataFrame]) -> bool:
    """Whether some gap, or some change of it, rests on a single seed."""
    rows = _rows(tables)
    counts = [rows[name] for name in ("n_seeds", "gap_change_n_seeds") if name in rows]
    return any((count == 1).any() for count in counts)


def _rows(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    summary = tables["summary"]
    return summary[summary["gap"].notna()] if "gap" in summary else summary.iloc[:0]


def _gaps(tables: Mapping[str, pd.DataFrame], section: Mapping[str, Any], baseline: str) -> Section:
    rows = _rows(tables)
    if rows.empty:
        return Section(ident="gaps", title="Gaps", blocks=nothing("No trial has ended well."))
    blocks: list[Block] = []
    reference = section["groups"][1]
    for place, (key, part) in enumerate(rows.groupby(["architecture", "group"], sort=False)):
        architecture, group = str(key[0]), str(key[1])
        alt = f"{architecture}: mean Dice of {group} minus {reference} against its share"
        drawn = gap_figure(
            part, baseline=baseline, group=group, reference=reference, name=f"gap{place}", alt=alt
        )
        caption = f"{alt}. Band: interval; stroke: the seeds. Grey: {baseline or 'no baseline'}."
        blocks.append(Figure(markup=drawn, caption=caption))
    blocks.append(_gap_table(rows))
    lead = "Below 0 the group is served worse than the reference, above 0 better."
    return Section(ident="gaps", title="Gaps", lead=lead, blocks=blocks)


def _gap_table(rows: pd.DataFrame) -> Table:
    tones = {"yes": "good", "no": "bad"}
    several = rows["architecture"].nunique() > 1 or rows["group"].nunique() > 1
    body = []
    for row in rows.to_dict("records"):
        change = pd.notna(row.get("gap_change"))
        verdict = str(row["shrinks"]) if change else ""
        name = f"{row['mitigation']}, {row['architecture']}, {row['group']}"
        body.append(
            [
                Cell(text=name if several else str(row["mitigation"])),
                Cell(text=f"{row['share_pct']:g}", sort=row["share_pct"]),
                Cell(text=f"{row['n_ok']} of {row['n_trials']}"),
                Cell(text=interval(row, "gap"), sort=row["gap"]),
                Cell(text=interval(row, "gap_change") if change else ""),
                Cell(text=verdict, tone=tones.get(verdict, "")),
                Cell(text=number(row["overall"]), sort=row["overall"]),
                Cell(text=f"{number(row['worst'])} ({row['worst_group']})", sort=row["worst"]),
                Cell(text=number(row["gap_seed_sd"], digits=2), sort=row["gap_seed_sd"]),
                Cell(text=number(row["sd_groups"], digits=2), sort=row["sd_groups"]),
                Cell(text=number(row["ser"]), sort=row["ser"]),
            ]
        )
    columns = [
        Column(title="arm"),
        Column(title="share, %", numeric=True),
        Column(title="trials"),
        Column(title="gap", numeric=True, hint="group minus reference"),
        Column(title="its change", numeric=True, hint="against the arm that does nothing"),
        Column(title="shrinks?"),
        Column(title="Dice", numeric=True, hint="mean of all test subjects"),
        Column(title="worst group", numeric=True),
        Column(title="seeds' SD", numeric=True, hint="of the gap"),
        Column(title="SD", numeric=True, hint="of the groups' means"),
        Column(title="SER", numeric=True, hint="largest group error over smallest"),
    ]
    return Table(caption="Every composition and arm.", columns=columns, rows=body, dense=True)


def _dice(tables: Mapping[str, pd.DataFrame], section: Mapping[str, Any]) -> Section:
    groups = tables["groups"]
    if groups.empty:
        return Section(ident="dice", title="Dice", blocks=nothing("No trial has ended well."))
    blocks: list[Block] = []
    for place, (architecture, part) in enumerate(groups.groupby("architecture", sort=False)):
        arms = list(dict.fromkeys(part["mitigation"]))
        alt = f"{architecture}: mean Dice of each group against the share of {section['groups'][0]}"
        drawn = dice_figure(part, arms=arms, names=section["groups"], name=f"dice{place}", alt=alt)
        caption = f"{alt}. Bands: intervals for other test subjects, given these trainings."
        blocks.append(Figure(markup=drawn, caption=caption))
    return Section(ident="dice", title="Dice of each group", blocks=blocks)


def _structures(table: pd.DataFrame) -> list[Section]:
    """Return the section of gaps by structure; none where there are none."""
    if table.empty:
        return []
    body = []
    for row in table.to_dict("records"):
        body.append(
            [
                Cell(text=f"{row['mitigation']}, {row['architecture']}"),
                Cell(text=f"{row['share_pct']:g}", sort=row["share_pct"]),
                Cell(text=str(row["structure"]).replace("_", " ")),
                Cell(text=number(row["mean"]), sort=row["mean"]),
                Cell(text=number(row["reference_mean"]), sort=row["reference_mean"]),
                Cell(text=interval(row, "gap"), sort=row["gap"]),
                Cell(text=str(row["shown"]), tone="bad" if row["shown"] == "yes" else ""),
            ]
        )
    columns = [
        Column(title="arm, network"),
        Column(title="share, %", numeric=True),
        Column(title="structure"),
        Column(title="Dice of the group", numeric=True),
        Column(title="of the reference", numeric=True),
        Column(title="gap", numeric=True, hint="group minus reference"),
        Column(title="shown?", hint="the interval for all structures together leaves out 0"),
    ]
    caption = "Gaps of single structures; intervals are for one structure alone."
    blocks: list[Block] = [Table(caption=caption, columns=columns, rows=body, dense=True)]
    return [Section(ident="structures", title="Gaps by structure", blocks=blocks)]


def trials_section(tables: Mapping[str, pd.DataFrame]) -> Section:
    """Return what was run, and what of it failed."""
    trials = tables["trials"]
    bad = trials[trials["status"] != "ok"]
    blocks: list[Block] = [_status_table(trials)]
    if len(bad):
        rows: Sequence[Sequence[Cell]] = [
            [
                Cell(text=str(row["trial"])),
                Cell(text=str(row["status"]), tone="bad"),
                Cell(text=str(row["reason"])),
                Cell(text=str(row["message"])),
            ]
            for row in bad.to_dict("records")
        ]
        titles = ("trial", "status", "reason", "message")
        columns = [Column(title=title) for title in titles]
        blocks.append(Table(caption="Trials that are not ok.", columns=columns, rows=rows))
    return Section(ident="trials", title="Trials", blocks=blocks)


def _locator_error(trials: pd.DataFrame) -> float:
    return (
        float(trials["locator_error_px"].astype(float).mean())
        if "locator_error_px" in trials
        else float("nan")
    )


def _status_table(trials: pd.DataFrame) -> Table:
    rows = []
    for key, part in trials.groupby(["architecture", "mitigation"], sort=False):
        seconds = part["seconds"]
        rows.append(
            [
                Cell(text=f"{key[1]}, {key[0]}"),
                Cell(text=f"{int((part['status'] == 'ok').sum())} of {len(part)}"),
                Cell(text=number(seconds.median()), sort=float(seconds.median())),
                Cell(text=number(part["peak_mb"].max())),
                Cell(text=number(_locator_error(part))),
            ]
        )
    columns = [
        Column(title="arm, network"),
        Column(title="trials done"),
        Column(title="median seconds", numeric=True),
        Column(title="largest memory, MB", numeric=True),
        Column(title="error of the cascade's centre, pixels", numeric=True),
    ]
    return Table(caption="What was run.", columns=columns, rows=rows)
