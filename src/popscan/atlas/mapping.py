"""Map: register the prepared subjects of a shard to a template and add them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.atlas.cycle import CycleSums
from popscan.atlas.differences import Differences, Half, of_field, organ_of
from popscan.atlas.grid import AtlasGrid
from popscan.atlas.partial import ALL, Floats, GroupSums, Partial, exact, measures
from popscan.atlas.prepared import Prepared
from popscan.atlas.template import Template
from popscan.records import PopscanError
from popscan.register import jacobian_determinant, register, warp_sharply, warper
from popscan.spaces import Region


def map_subjects(
    subjects: Sequence[tuple[str, Sequence[str] | None, Prepared]],
    template: Template | None,
    *,
    regions: Sequence[Region],
    grid: AtlasGrid | None = None,
    method: str = "demons",
    n_demons_iterations: tuple[int, ...] | None = None,
    smoothing_mm: float = 5.0,
    image_weight: float = 0.0,
    with_cycle: bool = False,
) -> Partial:
    """Register subjects to a template and sum what an atlas needs.

    Parameters
    ----------
    subjects
        Unit, groups (``female``, ...) and prepared arrays of each; every subject also counts for
        the group `ALL`. Without groups (None: a further visit of a subject) only distances are
        measured, and nothing is added up.
    template
        What to register to, the previous round's template of `ALL`; None in the first round,
        where the landmarks' rigid alignment stands.
    regions
        Of the subjects' labels, in their order; their levels steer the registration.
    grid
        Only needed for a shard without subjects and without a template.
    method
        A name of `popscan.register.METHODS`.
    n_demons_iterations
        Steps per level of demons, coarse to fine (`popscan.register.register_demons`); by default
        20 and 2 where the smoothing spans a voxel and updates are of first order, else 30 and 8.
    smoothing_mm
        Stiffness of the displacement, of demons and velocity fields.
    image_weight
        How much intensities drive the registration next to the labels; 0 is labels alone, which
        neither scanner nor coil shading can pull.
    with_cycle
        Whether cycles are summed, too, where subjects have one.

    Returns
    -------
    Partial
        Sums per group, and of each subject one row of distances and its differences from the
        template.

    Raises
    ------
    PopscanError
        If grids differ, a unit comes twice, or nothing says which grid.
    """
    levels = np.array([region.level for region in regions], dtype=np.float32)
    ordered = sorted(subjects, key=lambda subject: subject[0])
    units = tuple(unit for unit, _, _ in ordered)
    if len(set(units)) < len(units):
        raise PopscanError("subjects counted twice in one shard of the atlas")
    grid = _common_grid(ordered, template, grid)
    options = _options(method, n_demons_iterations, smoothing_mm, grid.spacing_mm)
    groups: dict[str, GroupSums] = {}
    cycles: dict[str, CycleSums] = {}
    values = np.full((len(ordered), len(measures([r.name for r in regions]))), np.nan)
    organ = None if template is None else organ_of(template)
    moved: list[tuple[Half, Half]] = []
    for row, (_, names, prepared) in enumerate(ordered):
        field: NDArray = np.zeros((*grid.shape, 3))
        if template is not None:
            field = register(
                _feature(template.probabilities, template.image, levels, image_weight)[None],
                _feature(prepared.labels, prepared.image, levels, image_weight)[None],
                method=method,
                spacing_mm=grid.spacing,
                **options,
            ).displacement_mm[0]
        one = _summands(prepared, field, grid)
        if template is not None and organ is not None:
            values[row] = _distances(one, field, template)
            moved.append(of_field(field, organ, spacing_mm=grid.spacing))
        counted = sorted({ALL, *names}) if names is not None else ()
        for name in counted:
            groups[name] = groups.get(name, GroupSums.empty(grid, len(regions))) + one
        if with_cycle and prepared.cycle is not None:
            moving = CycleSums.of(prepared.cycle, field, spacing_mm=grid.spacing)
            for name in counted:
                cycles[name] = cycles[name] + moving if name in cycles else moving
    return Partial(
        grid=grid,
        groups=dict(sorted(groups.items())),
        units=units,
        values=values,
        differences=Differences.stacked(organ, moved) if organ is not None else None,
        cycles=dict(sorted(cycles.items())),
    )


def _options(
    method: str,
    n_demons_iterations: tuple[int, ...] | None,
    smoothing_mm: float,
    spacing_mm: float,
) -> dict[str, Any]:
    """Those of a registration method that the atlas sets; the others keep the method's defaults."""
    stiffness: dict[str, Any] = {"smoothing_mm": smoothing_mm}
    # Updates of first order take half of the time. On coarser grids than this averages drift.
    if smoothing_mm >= spacing_mm:
        search = {"n_iterations": (20, 2), "first_order": True, "max_step_mm": spacing_mm}
    else:
        search = {"n_iterations": (30, 8)}
    demons = {**stiffness, **search}
    if n_demons_iterations is not None:
        demons["n_iterations"] = n_demons_iterations
    return {"demons": demons, "svf": stiffness}.get(method, {})


def _common_grid(
    subjects: Sequence[tuple[str, Sequence[str] | None, Prepared]],
    template: Template | None,
    grid: AtlasGrid | None,
) -> AtlasGrid:
    grids = [prepared.grid for _, _, prepared in subjects]
    if template is not None:
        grids.append(template.grid)
    if grid is not None:
        grids.append(grid)
    if not grids:
        raise PopscanError("an empty shard without a template needs the atlas grid")
    if any(other != grids[0] for other in grids):
        raise PopscanError("subjects and template of the atlas live on different grids")
    return grids[0]


def _feature(
    labels: NDArray[np.float32],
    image: NDArray[np.float32],
    levels: NDArray[np.float32],
    image_weight: float,
) -> NDArray[np.float32]:
    """One grey image of a labelled organ, for registration by intensity differences."""
    feature = np.tensordot(levels, labels, axes=1)
    if image_weight:
        feature = feature + np.float32(image_weight) * np.nan_to_num(image)
    return feature


def _summands(prepared: Prepared, field: NDArray, grid: AtlasGrid) -> GroupSums:
    arrays = np.stack([prepared.inside.astype(np.float32), prepared.image, *prepared.labels])
    covered, grey, *memberships = warper(field, spacing_mm=grid.spacing)(arrays).astype(np.float64)
    inside = (covered > 0.5).astype(np.float64)
    if field.any():
        grey = warp_sharply(prepared.image, covered, grey, field, spacing_mm=grid.spacing)
    image = exact(grey) * inside
    return GroupSums(
        n_subjects=1,
        weight=inside,
        image=image,
        image_squared=exact(image**2),
        labels=exact(np.stack(memberships)),
        displacement_mm=exact(field),
    )


def _distances(one: GroupSums, field: NDArray, template: Template) -> Floats:
    mine, average = one.labels > 0.5, template.probabilities > 0.5
    organ = average.any(axis=0)
    seen = organ & (one.weight > 0) & np.isfinite(template.image)
    difference = (one.image - template.image)[seen]
    jacobian = jacobian_determinant(field, spacing_mm=template.grid.spacing)
    return np.array(
        [
            *(_overlap(a, b) for a, b in zip(mine, average, strict=True)),
            _mean(np.linalg.norm(field, axis=-1)[organ]),
            np.sqrt(_mean(difference**2)),
            jacobian.min(),
        ]
    )


def _overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")
