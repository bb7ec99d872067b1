"""Sections 11 and 12: methods and versions; problems and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from popscan.report import boilerplate
from popscan.report.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Column,
    Details,
    Heading,
    Section,
    Table,
    Text,
    nothing,
)
from popscan.report.context import StudyContext
from popscan.report.names import name_of
from popscan.report.sections.common import Options
from popscan.report.text import is_true, listing, plural, stage_title, title_of
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import (
    deciding_matrix,
    final_status,
    in_words,
    status_matrix,
    study_units,
    unit_column,
)
from popscan.scored import seen_in_training

#: What stands before the names of a part of the provenance.
_PARTS = {"packages": "Package ", "stages": "Version of stage: ", "model": "Segmentation model: "}


def _named(keys: Sequence[str]) -> str:
    """Return what an entry of the provenance is, in words.

    Examples
    --------
    >>> _named(["packages", "numpy"]), _named(["cohort", "withdrawn", "by_hand"]), _named(["seed"])
    ('Package numpy', 'Cohort: withdrawn, by hand', 'Seed')
    """
    part, *within = keys
    if not within:
        return part if part == "popscan" else title_of(part)
    if part == "packages":
        return _PARTS[part] + ".".join(within)
    if part == "stages":
        return _PARTS[part] + ", ".join(map(stage_title, within))
    words_within = ", ".join(name_of(key).inside() for key in within)
    return _PARTS.get(part, f"{title_of(part)}: ") + words_within


def _flat(entries: Mapping[str, Any], above: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return nested provenance as (name, words), in the order given."""
    found: list[tuple[str, str]] = []
    for key, value in entries.items():
        keys = [*above, str(key)]
        if isinstance(value, Mapping):
            found += _flat(value, keys)
        elif isinstance(value, list | tuple):
            found.append((_named(keys), ", ".join(map(str, value)) or "none"))
        else:
            found.append((_named(keys), str(value)))
    return found


def _paragraph(sentences: Sequence[str]) -> list[Block]:
    """Return the paragraph for a paper, to be copied."""
    return [
        Details(
            summary="A methods paragraph for your paper",
            blocks=[Code(text=boilerplate.plain(sentences))],
        ),
        Details(summary="The same in LaTeX", blocks=[Code(text=boilerplate.latex(sentences))]),
        Details(
            summary="Its references in BibTeX", blocks=[Code(text=boilerplate.bibtex(sentences))]
        ),
    ]


def methods(context: StudyContext, options: Options) -> Section:
    """Return provenance, model cards and the config as written."""
    ident, title = "methods", "Methods and versions"
    blocks: list[Block] = []
    if context.methods and not options.share:
        blocks += _paragraph(context.methods)
    if context.provenance:
        rows = [[Cell(text=key), Cell(text=value)]
                for key, value in _flat(context.provenance)]  # fmt: skip
        blocks.append(
            Table(
                caption="Where these numbers come from.",
                columns=[Column(title="What"), Column(title="Value")],
                rows=rows,
                sortable=False,
                dense=True,
            )
        )
    else:
        blocks += nothing("No provenance was recorded for this study.")
    for name, card in context.model_cards.items():
        blocks.append(Details(summary=f"Model card: {name}", blocks=[Code(text=card)]))
    if context.config_text:
        blocks.append(
            Details(summary="The config, as written", blocks=[Code(text=context.config_text)])
        )
    elif options.share:
        blocks.append(Text(text="The config and model cards are left out of a shared report.",
                           tone="empty"))  # fmt: skip
    if len(context.biomarker_dictionary):
        table = complete(context.biomarker_dictionary, "column", "unit", "meaning", "source")
        rows = [
            [Cell(text=row[0], code=True), *(Cell(text=value) for value in row[1:])]
            for row in zip(
                *(words(table[c]) for c in ("column", "unit", "meaning", "source")), strict=True
            )
        ]
        dictionary = Table(
            caption="Biomarkers: columns of the study's table.",
            columns=[Column(title=t) for t in ("Column", "Unit", "Meaning", "Source")],
            rows=rows,
            dense=True,
        )
        blocks.append(Details(summary="Data dictionary of the biomarkers", blocks=[dictionary]))
    return Section(ident=ident, title=title, blocks=blocks)


def problems(context: StudyContext, options: Options) -> list[str]:
    """Return what a reader should know before trusting the numbers, one sentence each."""
    found: list[str] = []
    matrix = status_matrix(context)
    if matrix.size and not options.share:
        absent = [f"{stage} ({(matrix[stage] == 'no_record').sum():,})" for stage in matrix
                  if (matrix[stage] == "no_record").any()]  # fmt: skip
        if absent:
            found.append(
                f"Some subjects have no record at {listing(absent)}: the run is not complete."
            )
        counts = {str(stage): int((matrix[stage] == "failed").sum()) for stage in matrix}
        chain = set(deciding_matrix(context))
        failed = [
            f"{stage_title(str(stage)).lower()} ({n:,})"
            for stage, n in counts.items()
            if n and stage in chain
        ]
        aside = [
            f"{stage_title(str(stage)).lower()} ({n:,})"
            for stage, n in counts.items()
            if n and stage not in chain
        ]
        if failed:
            found.append(f"Subjects failed at {listing(failed)}; they are in no later number.")
        excluded = [
            f"{stage_title(str(stage)).lower()} ({n:,})"
            for stage in deciding_matrix(context)
            if (n := int((matrix[stage] == "excluded").sum()))
        ]
        if excluded:
            found.append(f"Subjects were excluded at {listing(excluded)}.")
        if not (final_status(context) == "ok").any():
            found.append("No subject was analysed: every mean and gap of this report is empty.")
        if aside:
            found.append(
                f"Subjects failed at {listing(aside)}, which decides nothing: they lack the "
                "numbers of that stage only."
            )
    if len(context.participants) and len(context.ledger) and not options.share:
        units = set(study_units(context))
        known = unit_column(context.participants, known=units)
        without = int((~known.isin(units)).sum())
        if without:
            found.append(f"{plural(without, 'row')} of the cohort table had no scan in the study.")
        stray = units - set(known)
        if stray:
            found.append(f"{in_words(stray, plural)} with scans had no row in the cohort table.")
    scores = context.scores
    if seen_in_training(scores).any():
        found.append("Some subjects with reference labels were seen in training; their scores are "
                     "shown apart and say nothing of new subjects.")  # fmt: skip
    few = complete(context.fairness_groups, "attribute", "group", "too_few")
    keys = [words(few["attribute"]), words(few["group"])]
    never = is_true(few["too_few"]).groupby(keys, sort=False).all()
    names = [f"{group} ({title_of(str(name))})" for name, group in never.index[never]]
    if names and not options.share:
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        found.append(f"Too few subjects for any statement: {', '.join(names[:6])}{more}.")
    undefined = [
        title_of(str(c)) for c in context.biomarkers.columns
        if c != "unit" and pd.api.types.is_numeric_dtype(context.biomarkers[c])
        and numbers(context.biomarkers[c]).isna().all()
    ]  # fmt: skip
    if len(context.biomarkers) and undefined:
        found.append(f"Undefined for every subject: {', '.join(undefined[:12])}.")
    return found


def limits(context: StudyContext, options: Options) -> Section:
    """Return what went wrong and what these numbers cannot say."""
    ident, title = "limits", "Problems and limits"
    found = problems(context, options)
    blocks: list[Block] = [Heading(text="Problems of this run")]
    none = (
        "Problems of single subjects are not part of a shared report; no other was found."
        if options.share
        else "No problem was found in this run."
    )
    blocks += [Bullets(items=found)] if found else nothing(none)
    blocks.append(Heading(text="Limits"))
    standing = [
        "Segmentations and biomarkers are for research, not for the care of a patient.",
        "Automatic quality control misses errors that look plausible; flagged subjects deserve a "
        "person's eye, and so does a random sample of the others.",
        "A gap that is not significant may still be there: read the interval, not the star.",
    ]
    blocks.append(Bullets(items=[*map(str, context.limits), *standing]))
    summary = "What went wrong in this run, and what these numbers cannot say."
    return Section(ident=ident, title=title, blocks=blocks, summary=summary)
