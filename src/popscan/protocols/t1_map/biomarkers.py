"""Values of a map in its regions, each with an interval, and what the borders do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.columns import Column
from popscan.protocols.cine_sax.aha import segment_at
from popscan.protocols.cine_sax.insertion import find_insertion
from popscan.protocols.t1_map.labels import LABELS, LV, MYO
from popscan.relaxometry import RegionValue, region_value

#: Sectors of the wall, in order of AHA's mid segments 7 to 12.
SECTORS = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
_FIRST_MID = 7
_AHA = "sectors as AHA's mid segments, Cerqueira et al. 2002, doi:10.1161/hc0402.102975"


def dictionary(quantity: str) -> dict[str, Column]:
    """Return the columns of the regions; `quantity` is ``t1`` or ``t2``."""
    name = quantity.upper()
    columns: dict[str, Column] = {}
    for region in LABELS.names.values():
        title = LABELS.titles[region].lower()
        columns |= {
            f"{region}_{quantity}_ms": Column("ms", f"Mean {name}, {title}", "own definition"),
            f"{region}_{quantity}_low_ms": Column(
                "ms", f"Lower end of the interval of mean {name}, {title}",
                "variance from the autocovariance within the region; see docs/mapping.md",
            ),
            f"{region}_{quantity}_high_ms": Column("ms", "Upper end of the same", "likewise"),
            f"{region}_{quantity}_median_ms": Column("ms", f"Median {name}, {title}"),
            f"{region}_{quantity}_sd_ms": Column("ms", f"Spread of {name} over voxels, {title}"),
            f"{region}_{quantity}_core_ms": Column(
                "ms", f"Mean {name} without voxels at the region's border, {title}",
                "own definition: partial volume",
            ),
            f"{region}_{quantity}_border_shift_ms": Column(
                "ms", f"Mean {name} less that without border voxels, {title}",
                "own definition: partial volume",
            ),
            f"{region}_border_pct": Column("%", f"Voxels at the border of the region, {title}"),
            f"{region}_failed_pct": Column("%", f"Voxels of the region without a value, {title}"),
            f"{region}_voxels": Column("voxels", f"Voxels with a value, {title}"),
        }  # fmt: skip
    return {**columns, **sector_columns(quantity)}


def details(quantity: str) -> dict[str, Column]:
    """Return those of the columns that the report lists apart."""
    first = {f"{region}_{quantity}_ms" for region in LABELS.names.values()}
    first.add(f"wall_{quantity}_core_ms")
    return {name: c for name, c in dictionary(quantity).items() if name not in first}


def sector_columns(quantity: str) -> dict[str, Column]:
    """Return the columns of the wall's sectors."""
    return {
        f"wall_{sector}_{quantity}_ms": Column(
            "ms", f"Mean {quantity.upper()}, {sector} sector of the myocardium", _AHA
        )
        for sector in SECTORS
    }


DICTIONARY: Mapping[str, Column] = dictionary("t1")
DETAILS: Mapping[str, Column] = details("t1")


def measure(
    labels: ArrayLike,
    *,
    image: ArrayLike,
    spacing_mm: Sequence[float],
    affine: ArrayLike,
    interval_level: float = 0.9,
) -> dict[str, float]:
    """Measure a T1 map in its regions: every column of `DICTIONARY`.

    Parameters
    ----------
    labels, image : array_like, shape (x, y, z, t)
        Regions, and the map in the first frame (ms, 0 for no value).
    spacing_mm
        Distance of voxel centres.
    affine : array_like, shape (4, 4)
        Voxel index to RAS mm: which side of the septum is anterior.
    interval_level
        Of the intervals.

    Returns
    -------
    dict
        Column -> value; NaN for regions that are not labelled, and for sectors where no slice shows
        both ends of the septum.
    """
    return measured("t1", labels, image, spacing_mm=spacing_mm, affine=affine, level=interval_level)


def measured(
    quantity: str,
    labels: ArrayLike,
    image: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    affine: ArrayLike,
    level: float,
) -> dict[str, float]:
    """Measure a map of a quantity; see `measure`."""
    regions = np.asarray(labels)[..., 0]
    map_ms = np.asarray(image, dtype=float)[..., 0]
    map_ms = np.where(map_ms > 0, map_ms, np.nan)
    values: dict[str, float] = {}
    for code, region in LABELS.names.items():
        found = region_value(map_ms, regions == code, spacing_mm=spacing_mm, level=level)
        values |= _columns_of(region, quantity, found)
    sectors = wall_sectors(regions, spacing_mm=spacing_mm, affine=affine)
    for number, sector in enumerate(SECTORS, start=1):
        known = (sectors == number) & np.isfinite(map_ms)
        mean = float(map_ms[known].mean()) if known.any() else float("nan")
        values[f"wall_{sector}_{quantity}_ms"] = mean
    return values


def _columns_of(region: str, quantity: str, found: RegionValue) -> dict[str, float]:
    own = f"{region}_{quantity}"
    return {
        f"{own}_ms": found.mean,
        f"{own}_low_ms": found.low,
        f"{own}_high_ms": found.high,
        f"{own}_median_ms": found.median,
        f"{own}_sd_ms": found.sd,
        f"{own}_core_ms": found.core_mean,
        f"{own}_border_shift_ms": found.border_shift,
        f"{region}_border_pct": found.border_pct,
        f"{region}_failed_pct": found.failed_pct,
        f"{region}_voxels": float(found.n_voxels),
    }


def wall_sectors(
    labels: NDArray[np.uint8], *, spacing_mm: Sequence[float], affine: ArrayLike
) -> NDArray[np.uint8]:
    """Divide the wall into six sectors, 1 to 6 in the order of `SECTORS`; 0 elsewhere.

    Only slices that show both ends of the septum are divided.
    """
    out = np.zeros(labels.shape, dtype=np.uint8)
    matrix = np.asarray(affine, dtype=float)[:3, :3]
    for z in range(labels.shape[2]):
        points = find_insertion(labels[:, :, z], spacing_mm=spacing_mm)
        if points is None:
            continue
        septum = points.middle
        across = np.array([septum[1], -septum[0]])
        # Of both directions along the septum, anterior is the one that points more to the front.
        front = matrix[1, :2] / np.linalg.norm(matrix[:, :2], axis=0)
        anterior = across if front @ across >= 0 else -across
        step = np.asarray(spacing_mm[:2], dtype=float)
        centre = np.argwhere(np.isin(labels[:, :, z], (MYO, LV))).mean(axis=0) * step
        at = np.argwhere(labels[:, :, z] == MYO)
        away = at * step - centre
        angle = np.rad2deg(np.arctan2(away @ anterior, away @ septum))
        out[at[:, 0], at[:, 1], z] = segment_at(angle, "mid") - (_FIRST_MID - 1)
    return out
