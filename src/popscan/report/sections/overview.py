"""Section 1: the study at a glance."""

from __future__ import annotations

import numpy as np

from popscan.report.blocks import Block, Bullets, Card, Cards, Section, Text, nothing
from popscan.report.context import (
    StudyContext,
    complete,
    numbers,
    status_matrix,
    study_units,
    verdicts,
    words,
)
from popscan.report.sections.biomarkers import measured
from popscan.report.sections.common import Options
from popscan.report.text import count, is_true, listing, number, percent, plural


def analysed(context: StudyContext) -> int:
    """Return how many subjects came through the last stage (or have biomarkers, without ledger)."""
    matrix = status_matrix(context)
    if matrix.size:
        return int((matrix.iloc[:, -1] == "ok").sum())
    columns = measured(context)
    values = context.biomarkers[columns].apply(numbers) if columns else None
    return int(values.notna().any(axis=1).sum()) if values is not None else 0


def _losses(context: StudyContext) -> dict[str, int]:
    """Return ``failed at ingest`` -> n over all stages."""
    matrix = status_matrix(context)
    found = {}
    for stage in matrix:
        for status, verb in (("failed", "failed at"), ("excluded", "were excluded by")):
            n = int((matrix[stage] == status).sum())
            if n:
                found[f"{verb} {'QC' if stage == 'qc' else stage}"] = n
    return found


def _key_sentence(context: StudyContext, n: int, through: int, options: Options) -> str:
    lost = n - through
    if options.share and 0 < lost < options.minimum:
        return f"{plural(n, 'subject')} entered the study; fewer than {options.minimum} were lost."
    text = f"Of {plural(n, 'subject')}, {count(through)} ({percent(through, n)}) were analysed."
    losses = _losses(context)
    if losses and not (options.share and min(losses.values()) < options.minimum):
        text += " " + listing([f"{k:,} {what}" for what, k in losses.items()]) + "."
    return text


def _dice(context: StudyContext, options: Options) -> Card | None:
    table = complete(context.scores, "unit", "dice", "seen_in_training")
    dice = numbers(table["dice"])[~is_true(table["seen_in_training"])].dropna()
    if not len(dice):
        return None
    people = words(table.loc[dice.index, "unit"]).nunique()
    if options.share and people < options.minimum:
        return None
    return Card(
        value=number(dice.mean()),
        label="mean Dice",
        note=f"{plural(people, 'unseen subject')}",
    )


def _gap_card(context: StudyContext) -> Card | None:
    table = complete(context.fairness_gaps, "attribute", "gap", "p", "p_adj")
    p = numbers(table["p_adj"])
    p = p.where(p.notna(), numbers(table["p"]))
    tested = int(p.notna().sum())
    if not tested:
        return None
    strong = int((p < 0.05).sum())
    return Card(
        value=f"{strong:,}",
        label="gaps between groups",
        note=f"of {tested:,} tested, p < 0.05 after correction",
        tone="warn" if strong else "good",
    )


def _cards(context: StudyContext, n: int, through: int, options: Options) -> Cards:
    hide = options.share and 0 < n - through < options.minimum
    cards = [
        Card(value=count(n), label="subjects"),
        Card(
            value="hidden" if hide else count(through),
            label="analysed",
            note="" if hide else percent(through, n),
            tone="good" if through == n else "",
        ),
    ]
    final = verdicts(context)
    flagged = int(np.isin(final.to_numpy(dtype=object), ["review", "fail"]).sum())
    if len(final) and not (options.share and 0 < flagged < options.minimum):
        cards.append(
            Card(value=count(flagged), label="flagged by QC", note=percent(flagged, len(final)),
                 tone="warn" if flagged else "good")
        )  # fmt: skip
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
    if context.sentences:
        blocks.append(Bullets(items=[str(s) for s in list(context.sentences)[:3]]))
    return Section(ident=ident, title=title, blocks=blocks)
