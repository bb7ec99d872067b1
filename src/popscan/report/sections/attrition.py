"""Section 3: who was lost where, and why."""

from __future__ import annotations

import pandas as pd

from popscan.report.blocks import (
    Block,
    Cell,
    Column,
    Details,
    Figure,
    Section,
    Table,
    nothing,
    reason_cell,
)
from popscan.report.context import StudyContext
from popscan.report.figures.attrition import STATUS_ORDER, flow
from popscan.report.figures.base import STATUS_COLOURS
from popscan.report.figures.distributions import stacked
from popscan.report.sections.common import Options, cell_looks, count_rows
from popscan.report.text import listing, shorten, stage_title
from popscan.report.tidy import complete, words
from popscan.report.units import (
    counted_as,
    deciding_matrix,
    final_status,
    in_words,
    stage_order,
    status_matrix,
)
from popscan.stats.disclosure import SHOWN

#: The last column: what became of a subject in the end.
_END = "analysed"
_TONES = {"failed": "bad", "excluded": "warn", "no_record": "bad"}


def _status_table(matrix: pd.DataFrame, options: Options, *, units: str) -> Table:
    statuses = [
        s for s in STATUS_ORDER if s not in ("no_record", "skipped") or (matrix == s).any(axis=None)
    ]
    odd = sorted(set(matrix.to_numpy().ravel()) - set(STATUS_ORDER))
    every = [*statuses, *odd]
    counts = [[float((matrix[stage] == s).sum()) for s in every] for stage in matrix]
    table = count_rows(
        [[*of_stage, sum(of_stage)] for of_stage in counts],
        options,
        tones=[*(_TONES.get(status, "") for status in every), ""],
    )
    rows = [
        [Cell(text=stage_title(str(stage))), *cells]
        for stage, cells in zip(matrix, table, strict=True)
    ]
    many = units.capitalize()
    return Table(
        caption=f"{many} by stage and status; every row adds up to all {units}"
        + (" (before rounding)." if options.share else "."),
        columns=[
            Column(title="Stage"),
            *[Column(title=s.replace("_", " ").capitalize(), numeric=True) for s in statuses + odd],
            Column(title="Total", numeric=True),
        ],
        rows=rows,
        sortable=False,
    )


def _reason_table(context: StudyContext, options: Options) -> Table | None:
    chain = deciding_matrix(context)
    ledger = complete(context.ledger, "unit", "stage", "status", "reason", "message")
    tidy = pd.DataFrame({c: words(ledger[c]) for c in ("unit", "stage", "status", "reason")})
    tidy["message"] = words(ledger["message"])
    tidy = tidy.drop_duplicates(["unit", "stage"], keep="last")
    tidy = tidy[tidy["status"].isin(["failed", "excluded"])]
    if not len(tidy):
        return None
    tidy["reason"] = tidy["reason"].mask(tidy["reason"] == "", "no reason given")
    order = {stage: i for i, stage in enumerate(stage_order(context))}
    found = []
    for (stage, status, reason), part in tidy.groupby(["stage", "status", "reason"], sort=True):
        found.append((order[str(stage)], -len(part), str(stage), str(status), str(reason), part))
    rows = []
    shown = _reason_cells(tidy, options)
    for _, _, stage, status, reason, part in sorted(found, key=lambda row: row[:5]):
        cells = [
            Cell(text=stage_title(stage)),
            Cell(text=status, tone=_TONES[status]),
            reason_cell(reason),
            shown[stage, status, reason],
        ]
        if not options.share:
            message = next((m for m in part["message"] if m), "")
            who = part["unit"].iloc[0]
            cells.append(
                Cell(
                    text=shorten(
                        f"{who}: {message}" if message and who not in message else message or who
                    )
                )
            )
        rows.append(cells)
    columns = [Column(title="Stage"), Column(title="Status"), Column(title="Reason")]
    units = counted_as(context)
    many = units.capitalize()
    columns.append(Column(title=many, numeric=True))
    if not options.share:
        columns.append(Column(title="First of them, in its own words"))
    aside = [s for s in stage_order(context) if s in set(tidy["stage"]) - set(chain)]
    return Table(
        caption="Failures and exclusions, by reason.",
        columns=columns,
        rows=rows,
        note=f"{many} that fail at {listing(aside)} are still analysed." if aside else "",
    )


def _reason_cells(tidy: pd.DataFrame, options: Options) -> dict[tuple[str, str, str], Cell]:
    """Return the count of every reason; those of a stage and status add up to its total."""
    found = {}
    for (stage, status), part in tidy.groupby(["stage", "status"], sort=False):
        counts = part["reason"].value_counts()
        cells = count_rows([[*counts.astype(float), float(len(part))]], options)[0]
        if len(counts) == 1:
            cells = count_rows([[float(len(part))]], options, total_column=False)[0]
        for reason, cell in zip(counts.index, cells, strict=False):
            found[str(stage), str(status), str(reason)] = cell
    return found


def _lost_table(context: StudyContext, options: Options) -> Details | None:
    ledger = complete(context.ledger, "unit", "stage", "status", "reason", "message")
    lost = ledger[words(ledger["status"]).isin(["failed", "excluded"])]
    if options.share or not len(lost):
        return None
    shown = lost.head(options.max_rows)
    rows = [
        [Cell(text=unit), Cell(text=stage_title(stage)), Cell(text=status, tone=_TONES[status]),
         reason_cell(reason), Cell(text=shorten(message))]
        for unit, stage, status, reason, message in zip(
            *(words(shown[c]) for c in ("unit", "stage", "status", "reason", "message")),
            strict=True,
        )
    ]  # fmt: skip
    left = len(lost) - len(shown)
    return Details(
        summary=f"Every failure and exclusion with its message ({len(lost):,})",
        blocks=[
            Table(
                caption="Subjects that failed or were excluded.",
                columns=[
                    Column(title=t) for t in ("Subject", "Stage", "Status", "Reason", "Message")
                ],
                rows=rows,
                note=f"{left:,} more are in the ledger table of the study." if left else "",
                dense=True,
            )
        ],
    )


def _flow(matrix: pd.DataFrame, *, units: str) -> Figure:
    many = units.capitalize()
    return Figure(
        markup=flow(matrix),
        caption=f"{many} from stage to stage. Height is the number of {units}; the "
        "colour of a "
        "ribbon is the status at which it arrives. “Analysed” says what became of everyone in the "
        "end, quality control and overrides counted.",
    )


def _shares(matrix: pd.DataFrame, options: Options, *, units: str) -> Figure:
    """Statuses as bars of rounded counts: a flow would reveal single subjects."""
    rows = {}
    for stage in matrix:
        counts = {s: float((matrix[stage] == s).sum()) for s in STATUS_ORDER}
        values = [*counts.values(), float(len(matrix))]
        looks = cell_looks([values], options)[0]
        rows[str(stage)] = {
            status: options.rounded(n)
            for (status, n), look in zip(counts.items(), looks, strict=False)
            if look == SHOWN
        }
    return Figure(
        markup=stacked(
            rows,
            colours=STATUS_COLOURS,
            name="statuses",
            alt=f"Share of {units} by status at every stage; numbers are in the table.",
        ),
        caption=f"Statuses at every stage, of rounded counts; fewer than {options.minimum} "
        f"{units} are not drawn.",
    )


def section(context: StudyContext, options: Options) -> Section:
    """Return the flow of subjects through the stages, the statuses and the reasons."""
    title = "Attrition"
    matrix = status_matrix(context)
    if not matrix.size:
        why = "The ledger is empty: no stage has recorded anything of any subject."
        return Section(ident="attrition", title=title, blocks=nothing(why))
    arrived = int((final_status(context) == "ok").sum())
    end = {_END: final_status(context)}
    chain, matrix = deciding_matrix(context).assign(**end), matrix.assign(**end)
    units = counted_as(context)
    blocks: list[Block] = [
        _shares(matrix, options, units=units) if options.share else _flow(chain, units=units)
    ]
    blocks.append(_status_table(matrix, options, units=units))
    reasons = _reason_table(context, options)
    blocks.append(reasons) if reasons is not None else blocks.extend(
        nothing("No subject failed or was excluded at any stage.")
    )
    lost = _lost_table(context, options)
    if lost is not None:
        blocks.append(lost)
    people = in_words(matrix.index, options.plural)
    lead = f"Of {people}, {options.count(arrived)} are in the results."
    return Section(ident="attrition", title=title, lead=lead, blocks=blocks)
