"""Reduce: from the sums of all shards to one average per group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from popscan.atlas.cycle import CycleTemplate
from popscan.atlas.partial import GroupSums, Partial, merge
from popscan.atlas.template import Template
from popscan.records import PopscanError
from popscan.register import invert_field, warp_sharply, warper


def reduce(
    partials: Iterable[Partial],
    previous_template: Template | None = None,
    *,
    min_subjects: int = 1,
    with_cycle: bool = False,
) -> dict[str, Template]:
    """Average each group.

    Intensities and labels are averaged where registration put them, and the average is then moved
    by the inverse of the group's mean displacement: its shape is the group's mean shape, and not
    that of the template that was registered to (Guimond et al. 2000).

    Parameters
    ----------
    partials
        What `popscan.atlas.map_subjects` made of each shard; an iterator is read one by one.
    previous_template
        The template that was registered to; None in the first round.
    min_subjects
        Groups with fewer are not built (`popscan.atlas.group_counts` says how many each has), nor
        the average over the cycle of a group of which fewer have a cycle.
    with_cycle
        Whether averages over the cycle were asked for: `Template.n_cycle` counts, also none.

    Returns
    -------
    dict
        Group -> template; empty if no group is large enough.

    Raises
    ------
    PopscanError
        Without partials, or if grids differ or a subject is counted twice.
    """
    total = merge(partials)
    if previous_template is not None and previous_template.grid != total.grid:
        raise PopscanError("partials and previous template of the atlas live on different grids")
    return {
        name: replace(
            _template(name, sums, total, previous_template, max(min_subjects, 1)),
            n_cycle=_n_cycle(name, total) if with_cycle else None,
        )
        for name, sums in total.groups.items()
        if sums.n_subjects >= max(min_subjects, 1)
    }


def _n_cycle(name: str, total: Partial) -> int:
    return total.cycles[name].n_subjects if name in total.cycles else 0


def _template(
    name: str, sums: GroupSums, total: Partial, previous: Template | None, min_subjects: int
) -> Template:
    n = sums.n_subjects
    covered = np.maximum(sums.weight, 1.0)
    mean = sums.image / covered
    variance = np.maximum(sums.image_squared / covered - mean**2, 0.0)
    maps = [mean, np.sqrt(variance), sums.weight / n, *(sums.labels / n)]
    displacement = sums.displacement_mm / n
    inverse = None
    if previous is not None and displacement.any():
        inverse = invert_field(displacement, spacing_mm=total.grid.spacing)
        warp = warper(inverse, spacing_mm=total.grid.spacing)
        seen_by_any, *maps = warp([sums.weight > 0, *maps])
        maps[0] = warp_sharply(mean, seen_by_any, maps[0], inverse, spacing_mm=total.grid.spacing)
    image, image_sd, coverage, *probabilities = maps
    seen = coverage >= 0.5
    cycle = None
    if _n_cycle(name, total) >= min_subjects:
        cycle = CycleTemplate.of(total.cycles[name], inverse, spacing_mm=total.grid.spacing)
    return Template(
        group=name,
        grid=total.grid,
        n_subjects=n,
        round=0 if previous is None else previous.round + 1,
        image=np.where(seen, image, np.nan).astype(np.float32),
        image_sd=np.where(seen, image_sd, np.nan).astype(np.float32),
        probabilities=np.stack(probabilities).astype(np.float32),
        mean_displacement_mm=displacement.astype(np.float32),
        cycle=cycle,
    )
