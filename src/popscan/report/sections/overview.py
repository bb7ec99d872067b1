"""Section 1: the study at a glance."""

from __future__ import annotations

import numpy as np

from popscan.report.blocks import Block, Bullets, Card, Cards, Section, Text, nothing
from popscan.report.context import StudyContext
from popscan.report.names import name_of
from popscan.report.sections.biomarkers import measured
from popscan.report.sections.common import CONCEALED, Options, count_rows
from popscan.report.sections.fairness import is_caution
from popscan.report.sections.reviewed import headline_table
from popscan.report.text import listing, number
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import (
    deciding_matrix,
    final_status,
    study_units,
    subjects_of_visits,
    verdicts,
)
from popscan.scored import counted

#: Of studies whose subjects have several visits.
_VISITS = (
    "Subjects have several visits. Where tables and figures count subjects, each visit counts as "
    "one, unless they say otherwise; intervals and tests count subjects."
)


def analysed(context: StudyContext) -> int:
    """Return how many subjects are in the results (or have biomarkers, without a ledger)."""
    outcome = final_status(context)
    if len(outcome):
        return int((outcome == "ok").sum())
    columns = measured(context)
    values = context.biomarkers[columns].apply(numbers) if columns else None
    return int(values.notna().any(axis=1).sum()) if values is not None else 0


def _losses(context: StudyContext) -> dict[str, int]:
    """Return ``failed at ingest`` -> n over the stages that decide who is analysed."""
    matrix = deciding_matrix(context)
    found = {}
    for stage in matrix:
        for status in ("failed", "excluded"):
            n = int((matrix[stage] == status).sum())
            verb = {"failed": "failed at", "excluded": f"{'was' if n == 1 else 'were'} excluded by"}
            if n:
                found[
                    f"{verb[status]} {'QC' if stage == 'qc' else name_of(str(stage)).inside()}"
                ] = n
    return found


def _key_sentence(context: StudyContext, n: int, through: int, options: Options) -> str:
    losses = _losses(context)
    rest = max(n - through - sum(losses.values()), 0)
    row = count_rows([[through, *losses.values(), rest, n]], options)[0]
    texts = [cell.text for cell in row]
    share = "" if texts[0] == CONCEALED else options.percent(through, n)
    people = subjects_of_visits(context)
    of = f" of {options.plural(people, 'subject')}" if people else ""
    text = f"Of {options.plural(n, 'visit' if people else 'subject')}{of}, {_number(texts[0])}"
    if texts[0] == "1":
        text += f" ({share}) was analysed." if share else " was analysed."
    else:
        text += f" ({share}) were analysed." if share else " were analysed."
    if losses:
        parts = zip(texts[1:], losses, strict=False)
        text += " " + listing([f"{_number(number)} {what}" for number, what in parts]) + "."
    return text


def _number(text: str) -> str:
    """Write a count that is not shown so that a sentence can hold it."""
    return "an undisclosed number" if text == CONCEALED else text


def _dice(context: StudyContext, options: Options) -> Card | None:
    table = counted(complete(context.scores, "unit", "dice"))
    dice = numbers(table["dice"]).dropna()
    if not len(dice):
        return None
    people = words(table.loc[dice.index, "unit"]).nunique()
    if options.share and people < options.minimum:
        return None
    return Card(
        value=number(dice.mean()),
        label="mean Dice",
        note=f"{options.plural(people, 'unseen subject')}, with those that QC excluded",
    )


def _gap_card(context: StudyContext) -> Card | None:
    table = complete(context.fairness_gaps, "attribute", "gap", "p", "p_adj")
    p = numbers(table["p_adj"])
    p = p.where(p.notna(), numbers(table["p"]))
    tested, strong = int(p.notna().sum()), int((p <= context.alpha).sum())
    if context.compared is not None:
        tested, strong = context.compared.tested, context.compared.significant
    if not tested:
        return None
    return Card(
        value=f"{strong:,}",
        label="group gaps",
        note=f"of {tested:,} tested, adjusted p ≤ {context.alpha:g}",
        tone="warn" if strong else "good",
    )


def _cards(context: StudyContext, n: int, through: int, options: Options) -> Cards:
    people = subjects_of_visits(context)
    note = f"of {options.plural(people, 'subject')}" if people else ""
    cards = [
        Card(value=options.count(n), label="visits" if people else "subjects", note=note),
        Card(
            value=options.count(through),
            label="analysed",
            note=options.percent(through, n),
            tone="good" if through == n else "",
        ),
    ]
    final = verdicts(context)
    flagged = int(np.isin(final.to_numpy(dtype=object), ["review", "fail"]).sum())
    if len(final):
        cards.append(
            Card(
                value=options.count(flagged),
                label="flagged by QC",
                note=options.percent(flagged, len(final)),
                tone="warn" if flagged else "good",
            )
        )
    columns = measured(context)
    if columns:
        cards.append(Card(value=str(len(columns)), label="biomarkers"))
    for card in (_dice(context, options), _gap_card(context)):
        if card is not None:
            cards.append(card)
    return Cards(cards=cards)


def section(context: StudyContext, options: Options) -> Section:
    """Return the study in a sentence and a few numbers."""
    ident, title = "glance", "At a glance"
    n = len(study_units(context))
    if not n:
        why = "The study has no subjects: nothing was planned, or the cohort table is empty."
        return Section(ident=ident, title=title, blocks=nothing(why))
    through = analysed(context)
    blocks: list[Block] = [
        Text(text=_key_sentence(context, n, through, options), tone="headline"),
        _cards(context, n, through, options),
    ]
    if subjects_of_visits(context):
        blocks.append(Text(text=_VISITS, tone="note"))
    for extra in context.extras:
        warnings = extra.shared_headline if options.share else extra.headline
        blocks += [Text(text=warning, tone="warn") for warning in warnings]
    table = headline_table(context, options)
    if table is not None:
        blocks.append(table)
    if context.sentences:
        findings = [str(s) for s in context.sentences if not is_caution(str(s))]
        blocks.append(Bullets(items=findings[:3]))
    return Section(ident=ident, title=title, blocks=blocks)
