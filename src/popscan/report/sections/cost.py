"""Section 10: what the study cost."""

from __future__ import annotations

import numpy as np

from popscan.report.blocks import Block, Card, Cards, Cell, Column, Figure, Section, Table, nothing
from popscan.report.context import StudyContext
from popscan.report.figures.cost import stage_hours, stage_seconds
from popscan.report.sections.common import Options
from popscan.report.text import DASH, number, plural, stage_title
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import counted_as, stage_order

#: Below so many subjects their median time says little of a large study's.
_FEW = 30


def hours_text(hours: float) -> str:
    """Write a duration in the unit that a person would use."""
    if not np.isfinite(hours):
        return DASH
    if hours < 1 / 60:
        return f"{number(3600 * hours, digits=2)} s"
    if hours < 1:
        return f"{number(60 * hours, digits=2)} min"
    return f"{number(hours)} h"


def _per_stage(context: StudyContext) -> dict[str, tuple[np.ndarray, float]]:
    """Return, per subject stage, the positive seconds and the largest memory in MB."""
    ledger = complete(context.ledger, "stage", "seconds", "peak_mb")
    seconds, memory, stage = (
        numbers(ledger["seconds"]),
        numbers(ledger["peak_mb"]),
        words(ledger["stage"]),
    )
    found = {}
    for name in stage_order(context):
        spent = seconds[(stage == name) & (seconds > 0)].to_numpy(dtype=float)
        peak = memory[(stage == name) & (memory > 0)]
        if spent.size:
            found[name] = (spent, float(peak.max()) if len(peak) else float("nan"))
    return found


def section(context: StudyContext, options: Options) -> Section:
    """Return hours per stage, seconds per subject and memory."""
    ident, title = "cost", "Cost"
    stages = _per_stage(context)
    study = complete(context.study_costs, "stage", "seconds", "peak_mb", "cores")
    if not stages and not len(study):
        why = "The ledger holds no timings."
        return Section(ident=ident, title=title, blocks=nothing(why))
    units = counted_as(context)
    one, many = units.removesuffix("s"), units.capitalize()
    rows = [
        [
            Cell(text=stage_title(name)),
            Cell(text=f"per {one}"),
            Cell(text=options.count(seconds.size)),
            Cell(text=hours_text(seconds.sum() / 3600), sort=float(seconds.sum())),
            Cell(text=number(np.median(seconds)), sort=float(np.median(seconds))),
            Cell(text=number(np.percentile(seconds, 95))),
            Cell(text=number(peak), sort=None if np.isnan(peak) else peak),
        ]
        for name, (seconds, peak) in stages.items()
    ]
    hours = {name: float(seconds.sum()) / 3600 for name, (seconds, _) in stages.items()}
    for name, spent, peak, cores in zip(
        words(study["stage"]), numbers(study["seconds"]), numbers(study["peak_mb"]),
        numbers(study["cores"]), strict=True,
    ):  # fmt: skip
        total = spent * (cores if np.isfinite(cores) else 1.0)
        if np.isfinite(total):
            hours[name] = total / 3600
        rows.append(
            [Cell(text=stage_title(name)), Cell(text="per study"), Cell(text="1"),
             Cell(text=hours_text(total / 3600), sort=float(total)), Cell(text=DASH),
             Cell(text=DASH), Cell(text=number(peak))]
        )  # fmt: skip
    total_hours = float(np.nansum(list(hours.values())))
    most = max((seconds.size for seconds, _ in stages.values()), default=0)
    counted = "this study" if options.share else plural(most, one)
    median_sum = sum(float(np.median(seconds)) for seconds, _ in stages.values())
    peaks = [peak for _, peak in stages.values() if np.isfinite(peak)]
    cards = [
        Card(value=hours_text(total_hours), label="of work in all", note="as the ledger timed it"),
        Card(value=f"{number(median_sum)} s", label=f"per {one}, all stages", note="medians"),
        Card(
            value=hours_text(median_sum * 1e5 / 3600),
            label=f"for 100,000 {units}, extrapolated from {counted}",
            note="from medians, one worker"
            + ("; so few show the order of magnitude alone" if most < _FEW else ""),
        ),
    ]
    if peaks:
        cards.append(Card(value=f"{number(max(peaks))} MB", label="largest memory of a stage"))
    blocks: list[Block] = [Cards(cards=cards)]
    if stages:
        blocks += [
            Figure(markup=stage_hours(hours), caption="Time by stage, summed.", half=True),
            Figure(
                markup=stage_seconds({name: seconds for name, (seconds, _) in stages.items()}),
                caption=f"Per {one}: quartiles, median, 5th to 95th percentile.",
                half=True,
            ),
        ]
    titles = (
        many,
        "Time in all",
        "Median (s)",
        "95th percentile (s)",
        "Peak memory (MB)",
    )
    blocks.append(
        Table(
            caption="Cost by stage.",
            columns=[
                Column(title="Stage"),
                Column(title="Run"),
                *[Column(title=t, numeric=True) for t in titles],
            ],
            rows=rows,
            sortable=False,
            note=f"Time is the time of work on {units}; a worker that uses several cores counts "
            f"once. {many} whose earlier results were kept cost nothing anew.",
        )
    )
    blocks += _rates(context)
    return Section(ident=ident, title=title, blocks=blocks)


def _sortable(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rates(context: StudyContext) -> list[Block]:
    """Return the table of what 1,000 subjects cost; none without rates."""
    names = ("core_hours_per_1000", "gpu_hours_per_1000", "startup_s", "peak_mb")
    rates = complete(context.cost_rates, "stage", *names)
    if not len(rates):
        return []
    columns = [numbers(rates[name]) for name in names]
    stages = [*words(rates["stage"]), "in all"]
    totals = [float(column.sum()) for column in columns[:2]] + [float("nan"), columns[3].max()]
    values = np.vstack([np.column_stack(columns), totals])
    rows = [
        [Cell(text=stage_title(stage)), *[Cell(text=number(v), sort=_sortable(v)) for v in row]]
        for stage, row in zip(stages, values, strict=True)
    ]
    titles = ("Core-hours", "GPU-hours", "Start-up of a job (s)", "Peak memory (MB)")
    return [
        Table(
            caption=f"Per 1,000 {counted_as(context)}.",
            columns=[Column(title="Stage"), *[Column(title=t, numeric=True) for t in titles]],
            rows=rows,
            sortable=False,
            note="Cores that a job was given, times its work and start-up, in shards as large as "
            "this study's. Start-up is known where a job did its whole shard in one go. Jobs of "
            "the whole study are not in it.",
        )
    ]
