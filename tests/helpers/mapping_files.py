"""BIDS folders of inversion-recovery images: a ring of wall around blood, with a known T1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from popscan.relaxometry.simulate import SHMOLLI, inversion_signal, inversion_times_ms

SPACING_MM = 1.8
AFFINE = np.diag([-SPACING_MM, -SPACING_MM, 8.0, 1.0])
RV, MYO, LV = 1, 2, 3


def regions(n: int = 44) -> np.ndarray:
    """Labels (x, y, 1): blood in a ring of wall, the right ventricle beside it."""
    x, y = np.mgrid[:n, :n] - n / 2.0
    radius = np.hypot(x - 2, y)
    labels = np.where(radius < 8, LV, np.where(radius < 14, MYO, 0))
    beside = (np.hypot(x + 11, y) < 9) & (labels == 0)
    return np.where(beside, RV, labels).astype(np.uint8)[..., None]


def t1_truth_ms(labels: np.ndarray, *, wall_ms: float, blood_ms: float) -> np.ndarray:
    """T1 of every voxel; what is around has that of fat."""
    return np.where(labels == MYO, wall_ms, np.where(labels == 0, 350.0, blood_ms)).astype(float)


def samples(t1_ms: np.ndarray, *, noise: float = 3.0, seed: int = 1) -> np.ndarray:
    """Signed samples (7, x, y, z) of ShMOLLI, with noise."""
    clean = inversion_signal(SHMOLLI, t1_ms=t1_ms, m0=400.0)
    return clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)


def write_image(path: Path, array: np.ndarray, side: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    if side is not None:
        Path(str(path).replace(".nii.gz", ".json")).write_text(json.dumps(side))


def write_raw(
    folder: Path,
    sub: str,
    signed: np.ndarray,
    *,
    phase: bool = False,
    times_ms: Sequence[float] | None = None,
    name: str = "ShMOLLI_192i",
) -> None:
    """One file per inversion, magnitude and (if asked) phase."""
    times = inversion_times_ms(SHMOLLI) if times_ms is None else times_ms
    for number, (image, time) in enumerate(zip(signed, times, strict=True), start=1):
        part = "_part-mag" if phase else ""
        stem = folder / sub / "anat" / f"{sub}_inv-{number}{part}_IRT1.nii.gz"
        side = {"InversionTime": float(time) / 1000.0, "SeriesDescription": name}
        write_image(stem, np.abs(image).astype(np.float32), side)
        if phase:
            other = Path(str(stem).replace("part-mag", "part-phase"))
            write_image(other, np.where(image < 0, -2.0, 1.14).astype(np.float32))


def write_regions(folder: Path, sub: str, labels: np.ndarray) -> None:
    write_image(folder / sub / "anat" / f"{sub}_desc-manual_dseg.nii.gz", labels)
