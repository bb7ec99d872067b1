"""What reconstructions do to segmentation and biomarkers, beside their images' scores."""

from __future__ import annotations

import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Table
from popscan.report.context import StudyContext
from popscan.report.names import name_of
from popscan.report.sections.common import Options, small
from popscan.report.text import DASH, decimals
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import counted_as

#: Scores of images that stand beside -> title and decimals.
_IMAGES = {
    "psnr_db": ("PSNR (dB)", 1), "ssim": ("SSIM", 3), "nrmse": ("NRMSE", 3), "hfen": ("HFEN", 3),
}  # fmt: skip


def costs_of_variants(context: StudyContext, options: Options) -> list[Block]:
    """Return the table of Dice and errors of biomarkers by variant; nothing without any."""
    table = complete(context.variant_scores, "unit", "variant", "dice_mean")
    if not len(table):
        return []
    table = table.assign(unit=words(table["unit"]), variant=words(table["variant"]))
    images = complete(context.recon_scores, "unit", "variant", *_IMAGES)
    images = images.assign(unit=words(images["unit"]), variant=words(images["variant"]))
    outcomes = [o for o in context.protocol.outcomes if f"{o.name}_error" in table]
    rows = []
    for name, part in table.groupby("variant", sort=True):
        beside = images[(images["variant"] == name) & images["unit"].isin(part["unit"])]
        cells = [Cell(text=str(name)), Cell(text=options.count(part["unit"].nunique()))]
        cells += [_mean(beside[key], places, options) for key, (_, places) in _IMAGES.items()]
        cells.append(_mean(part["dice_mean"], 3, options))
        if "dice_reference_labels" in table:
            cells.append(_mean(part["dice_reference_labels"], 3, options))
        cells += [_error(part[f"{o.name}_error"], options) for o in outcomes]
        rows.append(cells)
    dice = ["Dice"] + ["Dice, reference labels"] * ("dice_reference_labels" in table)
    titles = [counted_as(context).capitalize(), *(title for title, _ in _IMAGES.values()), *dice]
    return [
        Table(
            caption="What counts beside the images' scores: the segmentation and biomarkers of "
            "every variant against those of the reference images, by the same model.",
            columns=[
                Column(title="Variant"),
                *[
                    Column(title=title, numeric=True)
                    for title in (*titles, *(name_of(o.name).full() for o in outcomes))
                ],
            ],
            rows=rows,
            note=f"Means over {counted_as(context)}; image scores are of the region of the "
            f"{context.wording.organ}. Biomarkers: mean error (mean absolute error) against the "
            "reference image as the same model segments it.",
        )
    ]


def _mean(column: pd.Series, places: int, options: Options) -> Cell:
    """Return the mean of what is known, or a dash."""
    known = numbers(column).dropna()
    if not len(known) or small(len(known), options):
        return Cell(text=DASH)
    mean = float(known.mean())
    return Cell(text=decimals(mean, places), sort=round(mean, places))


def _error(column: pd.Series, options: Options) -> Cell:
    """Return the mean and the mean absolute error of what is known, sorted by the latter."""
    known = numbers(column).dropna()
    if not len(known) or small(len(known), options):
        return Cell(text=DASH)
    size = float(known.abs().mean())
    return Cell(text=f"{decimals(known.mean(), 1)} ({decimals(size, 1)})", sort=round(size, 1))
