"""The page of an experiment that classifies or reconstructs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.experiment.figures import signed
from popscan.experiment.page import left_out_text, trials_section
from popscan.report.blocks import (
    Block,
    Bullets,
    Card,
    Cards,
    Cell,
    Code,
    Column,
    Section,
    Table,
    Text,
)
from popscan.report.single import write_page
from popscan.report.text import number

_INTERVALS = (
    "Intervals (95%) are for other test subjects and other seeds together; with one seed for "
    "subjects alone. They are not corrected for the number of comparisons."
)
_WORDS = {
    "correct": "classified correctly",
    "sensitivity": "of the positives, flagged",
    "false_positive": "of the negatives, flagged",
    "score_of_negatives": "mean score of the negatives",
}


def write_predicted_page(
    path: Path,
    tables: Mapping[str, pd.DataFrame],
    *,
    name: str,
    section: Mapping[str, Any],
    config: str,
    left_out: int = 0,
) -> Path:
    """Write the page.

    Parameters
    ----------
    path
        The HTML file.
    tables
        As of `popscan.experiment.predicted_results.predicted_results`.
    name
        Of the study.
    section
        The config's experiment section.
    config
        The section as text.
    left_out
        Visits that are in neither training nor test, for their subject has an earlier one.
    """
    sections = [
        _overview(tables, section),
        _outcomes(tables["outcomes"], section),
        *([_discrimination(tables["predictions"])] if len(tables["predictions"]) else []),
        *([_occlusion(tables["occlusion"])] if len(tables["occlusion"]) else []),
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


def _overview(tables: Mapping[str, pd.DataFrame], section: Mapping[str, Any]) -> Section:
    status = tables["trials"]["status"]
    ok, n = int((status == "ok").sum()), len(status)
    cards = [
        Card(value=f"{ok} of {n}", label="trials done", tone="good" if ok == n else "bad"),
        Card(value=str(len(section["seeds"])), label="seeds"),
    ]
    texts = predicted_sentences(tables, section)
    blocks: list[Block] = [Cards(cards=cards), Bullets(items=texts), Text(text=_INTERVALS)]
    return Section(ident="found", title="What was found", blocks=blocks)


def predicted_sentences(
    tables: Mapping[str, pd.DataFrame], section: Mapping[str, Any]
) -> list[str]:
    """Return what the experiment shows: gaps of its main outcome, and how well it predicts."""
    outcomes = tables["outcomes"]
    if outcomes.empty:
        return ["No trial has ended well, so there is nothing to report."]
    main = "false_positive" if section.get("n_held_out") else "correct"
    rows = outcomes[(outcomes["outcome"] == main) & outcomes["gap"].notna()]
    texts = []
    for row in rows.to_dict("records"):
        attribute = section["attribute"] if row["attribute"] == "group" else row["attribute"]
        shown = row["n_seeds"] > 1 and (row["gap_low"] > 0 or row["gap_high"] < 0)
        if shown:
            texts.append(
                f"{row['input']}, {row['mitigation']}, {row['share_pct']:g} % of "
                f"{section['groups'][0]}: {_WORDS[main]}: {attribute} {row['level']} "
                f"{100 * row['mean']:.0f} %, {signed(100 * row['gap'], digits=0)} points against "
                f"{row['reference']} ({signed(100 * row['gap_low'], digits=0)} to "
                f"{signed(100 * row['gap_high'], digits=0)})."
            )
    hidden = len(rows) - len(texts)
    if hidden:
        texts.append(f"For {hidden} of {len(rows)} group comparisons no gap is shown.")
    return texts


def _outcomes(table: pd.DataFrame, section: Mapping[str, Any]) -> Section:
    rows = []
    for row in table.to_dict("records"):
        attribute = section["attribute"] if row["attribute"] == "group" else row["attribute"]
        gap = ""
        if pd.notna(row["gap"]):
            gap = f"{signed(row['gap'])} ({signed(row['gap_low'])} to {signed(row['gap_high'])})"
        rows.append(
            [
                Cell(text=f"{row['input']}, {row['mitigation']}"),
                Cell(text=f"{row['share_pct']:g}", sort=row["share_pct"]),
                Cell(text=_WORDS[row["outcome"]]),
                Cell(text=f"{attribute}: {row['level']}"),
                Cell(text=str(row["n"]), sort=row["n"]),
                Cell(
                    text=f"{number(row['mean'])} ({number(row['mean_low'])} to "
                    f"{number(row['mean_high'])})",
                    sort=row["mean"],
                ),
                Cell(text=gap),
            ]
        )
    columns = [
        Column(title="input, arm"),
        Column(title="share, %", numeric=True),
        Column(title="outcome"),
        Column(title="group"),
        Column(title="n", numeric=True),
        Column(title="mean (95%)", numeric=True),
        Column(title="gap (95%)", numeric=True, hint="group minus reference"),
    ]
    caption = "Rates and scores by group, over all seeds."
    return Section(
        ident="outcomes",
        title="Errors by group",
        blocks=[Table(caption=caption, columns=columns, rows=rows, dense=True)],
    )


def _discrimination(table: pd.DataFrame) -> Section:
    wanted = table[table["measure"].isin(["auc", "balanced_accuracy", "calibration_error"])]
    keys = ["architecture", "mitigation", "share_pct", "input", "attribute", "level", "measure"]
    rows = []
    for key, part in wanted.groupby(keys, sort=False):
        value = part["value"].astype(float)
        if value.notna().any():
            rows.append(
                [
                    Cell(text=f"{key[3]}, {key[1]}"),
                    Cell(text=f"{part['share_pct'].iloc[0]:g}"),
                    Cell(text=f"{key[4]}: {key[5]}" if key[4] else "all"),
                    Cell(text=str(key[6]).replace("_", " ")),
                    Cell(text=number(value.mean()), sort=float(value.mean())),
                    Cell(text=f"{number(value.min())} to {number(value.max())}"),
                ]
            )
    columns = [
        Column(title="input, arm"),
        Column(title="share, %", numeric=True),
        Column(title="group"),
        Column(title="measure"),
        Column(title="mean of the seeds", numeric=True),
        Column(title="the seeds", numeric=True),
    ]
    caption = "Within trainings; intervals of each for other subjects are in the table predictions."
    return Section(
        ident="discrimination",
        title="Discrimination and calibration",
        blocks=[Table(caption=caption, columns=columns, rows=rows, dense=True)],
    )


def _occlusion(table: pd.DataFrame) -> Section:
    rows = [
        [
            Cell(text=f"{row['mitigation']}, {row['share_pct']:g} %"),
            Cell(text=str(row["structure"]).replace("_", " ")),
            Cell(
                text=f"{signed(row['drop'])} ({signed(row['drop_low'])} to "
                f"{signed(row['drop_high'])})",
                sort=row["drop"],
            ),
            Cell(text=str(row["shown"]), tone="warn" if row["shown"] == "yes" else ""),
        ]
        for row in table.to_dict("records")
    ]
    columns = [
        Column(title="arm, share"),
        Column(title="structure"),
        Column(title="drop of the true class's logit (95%)", numeric=True),
        Column(title="shown?", hint="the interval for all structures together is above 0"),
    ]
    lead = (
        "Each structure of the test subjects was filled with its mean intensity over the training "
        "subjects: what the prediction loses rested on its intensities. More can be lost of large "
        "structures; shape and size stay."
    )
    caption = "What each structure carries."
    blocks: list[Block] = [Table(caption=caption, columns=columns, rows=rows, dense=True)]
    return Section(ident="occlusion", title="Where the model looks", lead=lead, blocks=blocks)
