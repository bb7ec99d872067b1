"""Section 6: verdicts of quality control, check by check, and the flagged subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from popscan.protocol import Words
from popscan.report.blocks import (
    Block,
    Card,
    Cards,
    Cell,
    Column,
    Details,
    Figure,
    Gallery,
    Section,
    Table,
    Text,
    Tile,
    nothing,
)
from popscan.report.context import StudyContext
from popscan.report.figures.base import VERDICT_COLOURS
from popscan.report.figures.distributions import stacked
from popscan.report.names import is_known, name_of
from popscan.report.sections.common import CONCEALED, Options, count_rows
from popscan.report.text import (
    DASH,
    measured,
    plural,
    shorten,
    span,
    title_of,
)
from popscan.report.tidy import coded, complete, numbers, words
from popscan.report.units import in_words, verdicts

_TONES = {"pass": "good", "review": "warn", "fail": "bad", "failed": "bad"}
_ORDER = ("pass", "review", "fail")


@dataclass(frozen=True, kw_only=True)
class FlaggedPage:
    """What the index needs of a flagged subject whose page is written already."""

    unit: str
    verdict: str
    reasons: Sequence[str]
    thumbnail: str
    href: str


def _cards(final: pd.Series, options: Options) -> Cards:
    counts = [float((final == verdict).sum()) for verdict in _ORDER]
    cells = count_rows([[*counts, float(len(final))]], options)[0]
    cards = [
        Card(
            value=cell.text,
            label=verdict,
            note="" if cell.text == CONCEALED else options.percent(n, len(final)),
            tone=_TONES[verdict],
        )
        for verdict, n, cell in zip(_ORDER, counts, cells, strict=False)
    ]
    return Cards(cards=cards)


def _checks(context: StudyContext) -> pd.DataFrame:
    table = complete(
        context.qc_checks, "unit", "check", "kind", "value", "threshold", "unit_of_value", "verdict"
    )
    tidy = pd.DataFrame(
        {c: coded(table[c]) for c in ("check", "kind", "threshold", "unit_of_value")}
    )
    tidy["verdict"] = coded(table["verdict"], missing="unknown")
    tidy["value"] = numbers(table["value"])
    return tidy


def _check_table(checks: pd.DataFrame, options: Options) -> Table:
    others = not checks["verdict"].isin(_ORDER).all()
    rows = []
    for name, part in checks.groupby("check", sort=False, observed=True):
        counts = [float((part["verdict"] == v).sum()) for v in _ORDER]
        other = len(part) - sum(counts)
        totals = [[*counts, other, float(len(part))]]
        shown = count_rows(totals, options, tones=["", "warn", "bad", "", ""])[0]
        values = part["value"].dropna()
        thresholds = [t for t in part["threshold"].unique() if t]
        enough = len(values) and (not options.share or len(values) >= 50)
        low, high = values.quantile([0.05, 0.95]) if enough else (float("nan"),) * 2
        rows.append(
            [
                Cell(text=title_of(str(name), unit=False)),
                Cell(text=part["kind"].iloc[0].replace("segmentation", "labels")),
                *shown[: 4 if others else 3],
                Cell(text=measured(values.median()) if enough else DASH),
                Cell(text=span(low, high)),
                Cell(text=part["unit_of_value"].iloc[0]),
                Cell(text=shorten("; ".join(map(_threshold, thresholds[:2])), 60) or DASH),
            ]
        )
    numeric = [
        *("Pass", "Review", "Fail"), *(["Other"] if others else []),
        *("Median", "5–95%"),
    ]  # fmt: skip
    return Table(
        caption="Checks: results and limits.",
        columns=[
            Column(title="Check"),
            Column(title="Kind"),
            *[Column(title=t, numeric=True) for t in numeric],
            Column(title="Unit"),
            Column(title="Limits"),
        ],
        rows=rows,
        dense=True,
    )


def _threshold(text: str) -> str:
    value = pd.to_numeric(text, errors="coerce")
    return text if pd.isna(value) else measured(value)


def _check_figure(checks: pd.DataFrame) -> Figure | None:
    rows = {}
    for name, part in checks.groupby("check", sort=False, observed=True):
        counts = part["verdict"].value_counts()
        if part["verdict"].isin(["review", "fail"]).any():
            rows[title_of(str(name), unit=False)] = {v: float(counts.get(v, 0)) for v in _ORDER}
    if not rows:
        return None
    most = sorted(rows.items(), key=lambda row: (-row[1]["fail"], -row[1]["review"], row[0]))[:16]
    return Figure(
        markup=stacked(
            dict(most),
            colours=VERDICT_COLOURS,
            name="checks",
            alt="Share of subjects that pass, need review or fail, by check; numbers in the table.",
        ),
        caption="Checks that not every subject passed, those with the most failures first.",
    )


def _override_table(context: StudyContext, options: Options) -> Table | None:
    table = complete(
        context.qc, "unit", "verdict_auto", "verdict", "override_reason", "override_by"
    )
    final, auto = words(table["verdict"]), words(table["verdict_auto"])
    changed = table[((final != auto) & (final != "") & (auto != ""))
                    | (words(table["override_reason"]) != "")]  # fmt: skip
    if options.share or not len(changed):
        return None
    columns = ("unit", "verdict_auto", "verdict", "override_reason", "override_by")
    rows = [
        [Cell(text=unit), Cell(text=before, tone=_TONES.get(before, "")),
         Cell(text=after, tone=_TONES.get(after, "")), Cell(text=shorten(reason)), Cell(text=who)]
        for unit, before, after, reason, who in zip(
            *(words(changed[c]) for c in columns), strict=True
        )
    ]  # fmt: skip
    titles = ("Subject", "Automatic", "Final", "Reason", "By")
    return Table(
        caption="Manually overridden verdicts.",
        columns=[Column(title=t) for t in titles],
        rows=rows[: options.max_rows],
    )


def _gallery(wording: Words, pages: Sequence[FlaggedPage], options: Options) -> Gallery | None:
    shown = [page for page in pages if page.thumbnail][: options.max_thumbnails]
    if not shown:
        return None
    frame = f"{wording.pictured}, " if wording.pictured else ""
    tiles = [
        Tile(
            image=page.thumbnail,
            alt=f"Middle slice of {page.unit} with label contours",
            title=page.unit,
            note=shorten(_in_words(page.reasons), 60),
            tone=_TONES.get(page.verdict, ""),
            href=page.href,
        )
        for page in shown
    ]
    return Gallery(
        caption=f"Subjects to look at, {frame}middle slice ({len(tiles)} of {len(pages):,}). "
        f"{wording.legend} Each opens the subject's page.",
        tiles=tiles,
    )


def _inside(reason: str) -> str:
    if is_known(reason):
        return name_of(reason).inside()
    return reason if " " in reason else reason.replace("_", " ")


def _in_words(reasons: Sequence[str]) -> str:
    """Return checks by their titles, and other reasons as they are."""
    parts = [_inside(one) for one in reasons]
    text = ", ".join(parts)
    return text[:1].upper() + text[1:] if reasons and is_known(reasons[0]) else text


def _failed_checks(context: StudyContext, units: Sequence[str]) -> dict[str, list[str]]:
    """Return the checks that these units did not pass, in the order of the table."""
    table = complete(context.qc_checks, "unit", "check", "verdict")
    bad = table[coded(table["verdict"]).isin(["review", "fail"])]
    names = words(bad["unit"])
    mine = names.isin(units)
    found: dict[str, list[str]] = {}
    for unit, check in zip(names[mine], words(bad.loc[mine, "check"]), strict=True):
        found.setdefault(unit, []).extend(check.split())
    return found


def _flagged_table(
    context: StudyContext, pages: Sequence[FlaggedPage], options: Options
) -> Block | None:
    final = verdicts(context)
    href = {page.unit: page.href for page in pages}
    found = {page.unit: (page.verdict, _in_words(page.reasons)) for page in pages}
    for unit, verdict in final[final.isin(["review", "fail"])].items():
        found.setdefault(str(unit), (str(verdict), ""))
    if not found:
        return None
    ranked = sorted(found.items(), key=lambda item: (item[1][0] == "review", item[0]))
    flagged = sum(verdict in ("review", "fail") for verdict, _ in found.values())
    shown = ranked[: options.max_rows]
    checks = _failed_checks(context, [unit for unit, _ in shown if unit not in href])
    counts = [f"{flagged:,} flagged by QC"]
    if flagged < len(found):
        counts.append(f"{len(found) - flagged:,} failed at a stage and not flagged by QC")
    rows = [
        [
            Cell(text=unit, href=href.get(unit, "")),
            Cell(text=verdict, tone=_TONES.get(verdict, "")),
            Cell(text=shorten(reasons if unit in href else _in_words(checks.get(unit, ())))),
        ]
        for unit, (verdict, reasons) in shown
    ]
    left = len(ranked) - len(rows)
    table = Table(
        caption=f"Subjects to look at, failed ones first: {', '.join(counts)}.",
        columns=[Column(title=t) for t in ("Subject", "Verdict", "Why")],
        rows=rows,
        note=f"{left:,} more are in the qc table of the study." if left else "",
        dense=True,
    )
    if len(rows) <= 12:
        return table
    who = in_words([str(unit) for unit, _ in ranked], plural)
    summary = f"All {who} to look at ({', '.join(counts)})"
    return Details(summary=summary, blocks=[table])


def section(context: StudyContext, options: Options, pages: Sequence[FlaggedPage]) -> Section:
    """Return verdicts, checks and flagged subjects."""
    ident, title = "qc", "Quality control"
    final = verdicts(context)
    checks = _checks(context)
    if not len(final) and not len(checks) and not pages:
        why = "Quality control has no verdict: no subject reached it."
        return Section(ident=ident, title=title, blocks=nothing(why))
    blocks: list[Block] = [_cards(final, options)] if len(final) else []
    if len(checks):
        figure = None if options.share else _check_figure(checks)
        blocks += [figure] if figure is not None else []
        blocks.append(_check_table(checks, options))
    if options.share:
        blocks.append(
            Text(text="Subjects, thumbnails and overrides are left out of a shared report.",
                 tone="empty")
        )  # fmt: skip
    else:
        extras = (
            _gallery(context.wording, pages, options),
            _flagged_table(context, pages, options),
            _override_table(context, options),
        )
        blocks += [block for block in extras if block is not None]
        if extras[1] is None:
            blocks += nothing("No subject is flagged.")
    return Section(ident=ident, title=title, blocks=blocks)
