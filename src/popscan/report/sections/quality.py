"""Section 5: agreement of segmentations with references."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from popscan.names import subject_of
from popscan.report.blocks import (
    Block,
    Cell,
    Column,
    Figure,
    Heading,
    Section,
    Table,
    Text,
    nothing,
)
from popscan.report.context import StudyContext
from popscan.report.figures.base import STRUCTURE_NAMES
from popscan.report.figures.distributions import Violins, violins
from popscan.report.sections.common import Options, small
from popscan.report.text import DASH, decimals, listing, number
from popscan.report.tidy import complete, different, numbers, words
from popscan.report.units import counted_as, in_words
from popscan.scored import failed_reference, seen_in_training

#: Reason of the stage score for leaving labels aside -> in words.
_UNUSED = {
    "label_coding": "codes that look exchanged",
    "unknown_label": "codes without a meaning",
    "label_mismatch": "another grid than the image",
    "several_labels": "several label files",
    "labels_unused": "label files that belong to no image",
    "empty_labels": "no labelled voxel",
    "bad_labels": "files that are no labels",
}
_PLACES = {"dice": 3, "hd95_mm": 1}


def _summary(values: pd.Series, places: int, options: Options) -> list[Cell]:
    """Mean, SD, median and 5th percentile of a column as cells."""
    known = numbers(values).dropna()
    if not len(known) or small(len(known), options):
        return [Cell(text=DASH)] * 4
    numbers_shown = (known.mean(), known.std(), known.median(), known.quantile(0.05))
    return [Cell(text=decimals(v, places)) for v in numbers_shown]


def _structure(name: str) -> str:
    return STRUCTURE_NAMES.get(name.lower(), name)


def _phases(table: pd.DataFrame) -> pd.Series:
    phase = words(table["phase"])
    frame = words(table["frame"])
    is_name = frame.str.fullmatch(r"[A-Za-z]+")
    phase = phase.where(phase != "", frame.where(is_name, ""))
    return phase.str.upper().mask(phase == "", "all labelled")


def _score_table(part: pd.DataFrame, options: Options, *, caption: str, units: str) -> Table:
    rows = []
    for structure in different(part["structure"]):
        for phase in different(part["phase"]):
            cell = part[(part["structure"] == structure) & (part["phase"] == phase)]
            if not len(cell):
                continue
            n = int(cell["dice"].notna().sum())
            distance = cell["hd95_mm"].dropna()
            hide = small(len(distance), options)
            mean = DASH if hide else decimals(distance.mean(), 1)
            failed = n - len(distance)
            if failed > 0 and not hide:
                mean += f" ({options.count(failed)} failed)"
            rows.append(
                [
                    Cell(text=_structure(structure)),
                    Cell(text=phase),
                    Cell(text=options.count(n)),
                    *_summary(cell["dice"], 3, options),
                    Cell(text=options.count(len(distance))),
                    Cell(text=mean),
                ]
            )
    titles = (
        units.capitalize(), "Dice mean", "SD", "Median", "5th percentile",
        f"{units.capitalize()} with HD95",
        "HD95 mean (mm)",
    )  # fmt: skip
    return Table(
        caption=caption,
        columns=[
            Column(title="Structure"),
            Column(title="Phase"),
            *[Column(title=t, numeric=True) for t in titles],
        ],
        rows=rows,
        note="HD95 has no value where only one of segmentation and reference has the structure: "
        f"those {units} failed, have a Dice of 0 and are not in its mean.",
    )


def _panel_figure(part: pd.DataFrame, options: Options, *, counted: str) -> Figure:
    panels = []
    for structure in different(part["structure"]):
        rows = part[part["structure"] == structure]
        groups = {
            phase: rows.loc[rows["phase"] == phase, "dice"].to_numpy(dtype=float)
            for phase in different(part["phase"])
        }
        if options.share:
            groups = {g: v for g, v in groups.items() if np.isfinite(v).sum() >= options.minimum}
        units = (
            {}
            if options.share
            else {
                phase: words(rows.loc[rows["phase"] == phase, "unit"]).tolist() for phase in groups
            }
        )
        panels.append(Violins(title=_structure(structure), groups=groups, ranges={}, units=units))
    return Figure(
        markup=violins(
            panels, name="dice", alt="Dice by structure and phase; numbers are in the table.",
            columns=3, private=options.share, same_scale=True, links=options.links,
        ),
        caption="Dice of subjects that no training has seen. "
        + ("" if options.share else f"Each point is a {counted}. ")
        + "Bars: quartiles; line: median.",
    )  # fmt: skip


def _unused_references(context: StudyContext, options: Options) -> list[Block]:
    """Say how many subjects have reference labels that could not be used, and why."""
    ledger = complete(context.ledger, "unit", "stage", "status", "reason", "message")
    here = (words(ledger["stage"]) == "score") & (words(ledger["status"]) == "not_applicable")
    rows = ledger[here & (words(ledger["reason"]) != "no_reference")]
    if not len(rows):
        return []
    reason = words(rows["reason"])
    named = listing(
        [
            f"{_UNUSED.get(code, code)} ({options.count(n)})"
            for code, n in sorted(Counter(reason).items())
        ]
    )
    text = f"Reference labels that are there were not used: {named}."
    coded = words(rows.loc[reason.isin(["label_coding", "unknown_label"]), "message"])
    if len(coded) and not options.share:
        text += f" Most often: {coded.mode().iloc[0]}."
    return [Text(text=text, tone="warn")]


def segmentation(context: StudyContext, options: Options) -> Section:
    """Return Dice and surface distance, unseen subjects apart from those seen in training."""
    ident, title = "segmentation", "Segmentation quality"
    table = complete(
        context.scores, "unit", "structure", "phase", "frame", "dice", "hd95_mm"
    ).copy()
    unused = _unused_references(context, options)
    table["dice"], table["hd95_mm"] = numbers(table["dice"]), numbers(table["hd95_mm"])
    if not len(table) or table["dice"].isna().all():
        why = (
            "There are no reference labels, so agreement cannot be measured; see the quality "
            "control section for what can be concluded without them."
        )
        return Section(ident=ident, title=title, blocks=unused or nothing(why))
    table["structure"] = words(table["structure"], missing="all structures")
    table["phase"] = _phases(table)
    seen, failed = seen_in_training(table), failed_reference(table)
    unseen, trained, doubted = table[~seen & ~failed], table[seen], table[failed & ~seen]
    units = counted_as(context)
    blocks: list[Block] = [*unused]
    if unseen["dice"].notna().any():
        blocks += [
            _panel_figure(unseen, options, counted=units.removesuffix("s")),
            _score_table(
                unseen, options, caption="Subjects that the model has not seen.", units=units
            ),
        ]
        overall = number(unseen["dice"].mean())
        units_of = words(unseen.loc[unseen["dice"].notna(), "unit"])
        who = in_words(units_of, options.plural, who="unseen subject")
        lead = f"Mean Dice {overall} over {who} with references."
        if small(units_of.map(subject_of).nunique(), options):
            lead = ""
    else:
        cause = (
            "was seen in training or has a reference that failed its checks"
            if len(doubted)
            else "was seen in training"
        )
        blocks.append(
            Text(
                text=f"Every subject with reference labels {cause}: nothing here says "
                "how the model does on new subjects.",
                tone="warn",
            )
        )
        lead = ""
    if len(doubted):
        who = in_words(words(doubted["unit"]), options.plural, who="unseen subject")
        blocks.append(
            Text(
                text=f"The references of {who} failed their "
                "checks (table reference_checks): they are of another image, shifted, or coded "
                "otherwise. They enter no mean of this report.",
                tone="warn",
            )
        )
    if trained["dice"].notna().any():
        blocks += [
            Heading(text="Subjects seen in training"),
            Text(
                text="Kept apart: these numbers flatter the model and enter no summary of this "
                "report.",
                tone="warn",
            ),
            _score_table(
                trained, options, caption="Subjects that the model was trained on.", units=units
            ),
        ]
    return Section(ident=ident, title=title, lead=lead, blocks=blocks)
