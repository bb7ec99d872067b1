"""Section 8: the population's averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popscan.report.blocks import Figure, Section, nothing
from popscan.report.context import StudyContext
from popscan.report.figures.atlas import atlas_figure, mean_image
from popscan.report.sections.common import Options
from popscan.report.text import listing, plural, title_of


def section(context: StudyContext, options: Options) -> Section:
    """Return the mean image of every group with probability contours."""
    ident, title = "atlas", "Atlas"
    shown = {
        group: pictures
        for group, pictures in context.atlas.items()
        if (mean := mean_image(pictures)) is not None
        and mean.size
        and not (options.share and float(pictures.get("n", options.minimum)) < options.minimum)
    }
    frame = context.protocol.atlas
    if not shown or frame is None:
        why = (
            "No atlas was built: it is turned off, or no segmented subject passed quality control."
        )
        return Section(ident=ident, title=title, blocks=nothing(why))
    names = listing([_group(name) for name in shown])
    figure = Figure(
        markup=atlas_figure(
            shown,
            frame,
            alt=f"Mean image of {names} with label probability contours.",
            count=options.count,
        ),
        caption="Mean image after registration, per group. Thick contour: half of the subjects "
        f"have this label there; thin: 10% and 90%. {frame.legend}",
    )
    lead = f"Population averages of {plural(len(shown), 'group')}: {names}."
    lead += _registered_to(context.atlas.get("all", {}), with_counts=not options.share)
    return Section(ident=ident, title=title, lead=lead, blocks=[figure])


def _registered_to(whole: Mapping[str, Any], *, with_counts: bool) -> str:
    """Say where subjects were registered to averages from before the study grew."""
    if not whole.get("registered_to"):
        return ""
    if not with_counts:
        return " Subjects were registered to averages made before the study grew."
    n, total = int(whole["registered_to"]), int(whole["n"])
    return (
        f" Subjects were registered to averages of {n} of {total} subjects, made before the study "
        "grew."
    )


def _group(name: str) -> str:
    """Name a group in a sentence: ``sex=female`` is "female (sex)"."""
    parts = []
    for pair in name.split(", "):
        column, _, level = pair.partition("=")
        title = title_of(column, unit=False)
        title = title if title[:2].isupper() else title[:1].lower() + title[1:]
        parts.append(f"{level} ({title})" if level else pair)
    return ", ".join(parts)
