"""Labelled cases of which the images are simulated maps, from labelled short-axis images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from popscan.protocols.t1_map.labels import LV, MYO, RV
from popscan.protocols.t1_map.training.maps import (
    Labels,
    draw_tissues,
    redrawn,
    relaxation_of,
    simulate_map,
)
from popscan.records import LabelMap, Scan, SubjectError
from popscan.train.packs import Case

#: Side of a field that no image fills: maps keep what was acquired.
WHOLE_MM = 1000.0
#: Side of a map that somebody cut around the regions.
CUT_MM = 240.0
#: Blood must be so much brighter than muscle that the image says what is which.
_CONTRAST = 1.15
#: The middle of a field with a drawn side is so far from that of the regions at most.
_OFF_MM = 40.0
#: Slices between these shares of the labelled ones are middle ones.
_MIDDLE = (0.25, 0.8)


def middle_slices(labels: Labels) -> list[int]:
    """Return the slices (x, y, z) in the middle that show all regions; empty for none."""
    shown = [z for z in range(labels.shape[2]) if {RV, MYO, LV} <= set(np.unique(labels[..., z]))]
    low, high = (round(share * len(shown)) for share in _MIDDLE)
    return shown[low:high]


def map_cases(
    cases: Iterable[Case],
    *,
    seed: int,
    draws: int,
    severity: float | None = None,
    kinds: Sequence[str] = ("native", "native", "contrast", "t2"),
    observers: bool = True,
    part: tuple[int, int] = (0, 1),
    field_mm: float | tuple[float, float] = WHOLE_MM,
) -> Iterator[Case]:
    """Yield simulated maps of labelled short-axis cases, each a visit of its own.

    Parameters
    ----------
    cases
        Short-axis images with the regions of some frames.
    seed
        Of everything that is drawn.
    draws
        Maps of each labelled frame; their slices and tissues are drawn.
    severity
        As in `simulate_map`; None draws it for every map.
    kinds
        Kinds of `draw_tissues` that are drawn from.
    observers
        Whether the regions are as another observer might draw them; else the case's own.
    part
        ``(k, n)``: every n-th case from the k-th on; all by default. Maps are the same in parts.
    field_mm
        Side of the field around the regions, cut where the image ends; `WHOLE_MM` keeps all of
        it. Of two numbers, the side is drawn between them for every map, and the field's middle
        up to 40 mm from that of the regions.

    Yields
    ------
    Case
        One slice and frame: the map in ms, cut to `field_mm` around the regions. Attributes
        ``kind``, ``severity``, ``lesion`` (yes, no) and ``frame`` beside the case's; its ``meta``
        has ``time_ms``, the true relaxation times. Frames whose blood is not brighter than muscle
        are left out.
    """
    for number, case in enumerate(cases):
        if number % part[1] != part[0]:
            continue
        for frame in case.labels.frames:
            labels = case.labels.array[..., frame]
            middle = middle_slices(labels)
            for draw in range(draws):
                rng = np.random.default_rng([seed, number, frame, draw])
                kind = str(rng.choice(list(kinds)))
                hard = float(rng.random()) if severity is None else severity
                if not middle:
                    continue
                z = int(rng.choice(middle))
                box = _field(
                    case.labels.array[..., z, frame], float(np.mean(case.scan.spacing_mm[:2])),
                    field_mm, np.random.default_rng([seed, number, frame, draw, 1]),
                )  # fmt: skip
                made = _one(
                    case, frame, z, kind=kind, severity=hard, rng=rng, observers=observers,
                    box=box,
                )  # fmt: skip
                if made is not None:
                    name = case.unit.split("_ses-")[0]
                    yield replace(made, unit=f"{name}_ses-{frame}x{draw}")


def _one(
    case: Case, frame: int, z: int, *, kind: str, severity: float, rng: np.random.Generator,
    observers: bool, box: tuple[slice, slice],
) -> Case | None:  # fmt: skip
    spacing = float(np.mean(case.scan.spacing_mm[:2]))
    image = case.scan.array[..., z, frame][box].astype(float)
    labels = case.labels.array[..., z, frame][box]
    muscle, blood = (float(np.median(image[labels == code])) for code in (MYO, LV))
    if not blood > _CONTRAST * max(muscle, 1e-9):
        return None
    tissues = draw_tissues(rng, kind)
    time = relaxation_of(image, labels, tissues, rng, spacing_mm=spacing)
    quantity = "t2" if kind == "t2" else "t1"
    try:
        made = simulate_map(
            image / blood, time, rng, spacing_mm=spacing, quantity=quantity, severity=severity
        )
    except SubjectError:
        return None
    drawn = redrawn(labels, rng, spacing_mm=spacing) if observers else labels
    affine = np.diag([spacing, spacing, case.scan.spacing_mm[2], 1.0])
    scan = Scan(
        array=made[:, :, None, None].astype(np.float32), affine=affine,
        spacing_mm=(spacing, spacing, float(case.scan.spacing_mm[2])), view=quantity,
        meta={"time_ms": time[:, :, None]},
    )  # fmt: skip
    lesion = "yes" if tissues.lesion != 1.0 else "no"
    about = {"kind": kind, "severity": f"{severity:.2f}", "lesion": lesion, "frame": str(frame)}
    return Case(
        unit=case.unit, scan=scan, labels=LabelMap(array=drawn[:, :, None, None], frames=(0,)),
        attributes={**case.attributes, **about},
    )  # fmt: skip


def _field(
    labels: Labels,
    spacing_mm: float,
    field_mm: float | tuple[float, float],
    rng: np.random.Generator,
) -> tuple[slice, slice]:
    """Return the rows and columns of the field around the regions."""
    middle = np.argwhere(labels > 0).mean(axis=0)
    if isinstance(field_mm, tuple):
        side = float(rng.uniform(*field_mm))
        middle = middle + rng.uniform(-_OFF_MM, _OFF_MM, 2) / spacing_mm
    else:
        side = field_mm
    half = side / 2 / spacing_mm
    rows, columns = (
        slice(max(0, int(m - half)), min(n, int(m + half) + 1))
        for m, n in zip(middle, labels.shape, strict=True)
    )
    return rows, columns
