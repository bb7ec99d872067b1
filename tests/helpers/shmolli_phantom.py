"""The ShMOLLI phantom: its images, the vendor's map, and a simple detector of its nine vials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from scipy import ndimage

FOLDER = "t1_shmolli_phantom"
#: Walls of the vials are dark rings of about this radius; values are read well within.
WALL_MM, INSIDE_MM = 12.0, 7.0
N_VIALS = 9


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """Arrays have axes (image, row, column); the vendor's T1 in whole ms, 0 for none."""

    times_ms: list[float]
    magnitude: np.ndarray
    phase_rad: np.ndarray
    vendor_ms: np.ndarray
    vendor_n: np.ndarray
    vials: list[np.ndarray]


def read_phantom(data: Path) -> Phantom:
    """Read the phantom below the folder of shared data."""
    magnitude = _series(data, "ShMOLLI_192i_e11_12")
    phase = _series(data, "ShMOLLI_192i_e11_13")
    maps = _series(data, "ShMOLLI_192i_e11_T1MAP_14")
    params = _series(data, "ShMOLLI_192i_e11_FITPARAMS_15")
    range_map = next(d for d in params if "T1range" in str(d.ImageComments))
    images = np.stack([d.pixel_array for d in magnitude]).astype(float)
    spacing = float(magnitude[0].PixelSpacing[0])
    slope, intercept = float(phase[0].RescaleSlope), float(phase[0].RescaleIntercept)
    return Phantom(
        times_ms=[float(d.InversionTime) for d in magnitude],
        magnitude=images,
        phase_rad=np.pi
        * (np.stack([d.pixel_array for d in phase]) * slope + intercept)
        / abs(intercept),
        vendor_ms=maps[-1].pixel_array.astype(float),
        vendor_n=range_map.pixel_array // 1000 + 4,
        vials=find_vials(images[-3], spacing),
    )


def find_vials(image: np.ndarray, spacing_mm: float) -> list[np.ndarray]:
    """Discs within the nine best matches of a dark ring, in order of rows and columns."""
    reach = int(np.ceil(1.5 * WALL_MM / spacing_mm))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * spacing_mm
    radius = np.hypot(y, x)
    wall = np.abs(radius - WALL_MM) < 1.2
    beside = (np.abs(radius - WALL_MM) < 4.0) & ~wall
    template = beside / beside.sum() - wall / wall.sum()
    level = ndimage.uniform_filter(image, 2 * reach + 1)
    tissue = ndimage.uniform_filter(image, 7) > 0.06 * image.max()
    bright = ndimage.minimum_filter(tissue, 2 * round(WALL_MM / spacing_mm) + 1)
    match = ndimage.correlate(image / np.maximum(level, 1.0), template) * bright
    found = []
    for _ in range(N_VIALS):
        row, column = np.unravel_index(match.argmax(), match.shape)
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        apart = spacing_mm * np.hypot(rows - row, columns - column)
        match[apart < 1.5 * WALL_MM] = -1.0
        found.append((row, column, apart < INSIDE_MM))
    found.sort(key=lambda v: (round(v[0] * spacing_mm / 30.0), v[1]))
    return [disc for *_, disc in found]


def _series(data: Path, name: str) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((data / FOLDER / name).glob("*.dcm"))]
