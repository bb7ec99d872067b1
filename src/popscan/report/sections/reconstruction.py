"""Section 4: agreement of reconstructions with reference images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Figure, Section, Table, Text, nothing
from popscan.report.context import StudyContext
from popscan.report.figures.distributions import Violins, violins
from popscan.report.figures.gallery import ERROR_RANGE, gallery
from popscan.report.sections.common import Options, small
from popscan.report.sections.variants import costs_of_variants
from popscan.report.text import DASH, decimals
from popscan.report.tidy import complete, different, numbers, words
from popscan.report.units import counted_as, status_matrix

_RECON = {"nrmse": "NRMSE", "psnr_db": "PSNR (dB)", "ssim": "SSIM", "hfen": "HFEN"}
#: The same of the whole image; tables of studies that ran before lack them.
_WHOLE = {
    "nrmse_whole": "NRMSE, whole image", "psnr_whole_db": "PSNR, whole image (dB)",
    "ssim_whole": "SSIM, whole image", "hfen_whole": "HFEN, whole image",
}  # fmt: skip
_PLACES = {
    "nrmse": 3, "psnr_db": 1, "ssim": 3, "hfen": 3,
    "nrmse_whole": 3, "psnr_whole_db": 1, "ssim_whole": 3, "hfen_whole": 3,
}  # fmt: skip


def reconstruction(context: StudyContext, options: Options) -> Section:
    """Return the scores of the variants, of the organ and of the whole image, and a gallery."""
    ident, title = "reconstruction", "Reconstruction quality"
    scores = _scores(context, options)
    costs = costs_of_variants(context, options)
    if not scores and not costs:
        matrix = status_matrix(context)
        images = "reconstruct" in matrix and (matrix["reconstruct"] == "not_applicable").all()
        why = (
            "The study starts from images: nothing was reconstructed."
            if images
            else "There are no reference images to compare reconstructions with."
        )
        return Section(ident=ident, title=title, blocks=nothing(why))
    warning = [Text(text=context.retrospective, tone="warn")] if context.retrospective else []
    return Section(
        ident=ident,
        title=title,
        blocks=[*warning, *scores, *costs, *_gallery(context, options)],
    )


def _scores(context: StudyContext, options: Options) -> list[Block]:
    """Return violins and a table of image scores; nothing without any."""
    table = complete(context.recon_scores, "unit", "variant", *_RECON)
    shown = _RECON | {k: title for k, title in _WHOLE.items() if k in table.columns}
    values = table[list(shown)].apply(numbers) if len(table) else pd.DataFrame()
    if not len(table) or values.isna().all(axis=None):
        return []
    variant = words(table["variant"], missing="default")
    names = different(variant)
    rows = []
    for name in names:
        part = values[variant == name]
        n = int(part.notna().any(axis=1).sum())
        cells = [Cell(text=name), Cell(text=options.count(n))]
        for column in shown:
            mean, sd = part[column].mean(), part[column].std()
            if np.isnan(mean) or small(int(part[column].notna().sum()), options):
                cells.append(Cell(text=DASH))
                continue
            places = _PLACES[column]
            text = f"{decimals(mean, places)} ({decimals(sd, places)})"
            cells.append(Cell(text=text, sort=round(float(mean), places)))
        rows.append(cells)
    panels = [
        Violins(
            title=label,
            groups={name: values[column][variant == name].to_numpy(dtype=float) for name in names},
            ranges={},
            units={}
            if options.share
            else {name: words(table["unit"])[variant == name].tolist() for name in names},
        )
        for column, label in _RECON.items()
        if values[column].notna().any()
    ]
    figure = Figure(
        markup=violins(
            panels, name="recon", alt="Reconstruction scores by variant; numbers in the table.",
            columns=3, private=options.share, links=options.links,
        ),
        caption="Agreement of the reconstructed with the reference images, by variant. Bars: "
        "quartiles; line: median.",
    )  # fmt: skip
    units = counted_as(context)
    scores = Table(
        caption=f"Reconstruction scores, mean (SD) over {units}.",
        columns=[
            Column(title="Variant"),
            *[Column(title=t, numeric=True) for t in (units.capitalize(), *shown.values())],
        ],
        rows=rows,
        note="Lower NRMSE and HFEN (edges lost or added) are better; higher PSNR and SSIM are "
        f'better. Columns without "whole image" are of the region of the {context.wording.organ}.',
    )
    return [figure, scores]


def _gallery(context: StudyContext, options: Options) -> list[Block]:
    """Return one slice by every variant, where pictures may be shown."""
    shown = context.gallery
    if shown is None or options.share:
        return []
    if isinstance(shown, str):
        return [Text(text=shown)]
    names = list(shown.images)
    errors = ", ".join(f"{name} {decimals(100 * shown.error_of(name), 1)}%" for name in names)
    return [
        Figure(
            markup=gallery(shown),
            caption=f"One slice of {shown.unit} by every variant: above the images on one grey "
            "scale, below their absolute errors on one scale, from 0 (black) to "
            f"{decimals(100 * ERROR_RANGE, 0)}% of the reference's maximum (white). Root mean "
            f"square errors of this slice, relative to that maximum: {errors}.",
        )
    ]
