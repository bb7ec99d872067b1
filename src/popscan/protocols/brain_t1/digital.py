"""A digital brain: tissue shells and deep structures, deformed by smooth fields.

Simple and honest: ellipsoids in a skull, with a folded cortex by lobes, deep grey matter,
ventricles, cerebellum and brainstem. Every brain is another one by its size, a smooth displacement,
and its age: grey matter and hippocampus shrink, ventricles and surrounding fluid grow. It is for
tests, experiments on bias and timing; what a model is worth on people it cannot say. Whose brains
they are says `popscan.protocols.brain_t1.population`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.brain_t1.biomarkers import measure
from popscan.protocols.brain_t1.labels import GROUPS, RIGHT
from popscan.records import LabelMap, PopscanError, Scan

Floats = NDArray[np.float32]
_CODE = {group.name: code for code, group in enumerate(GROUPS, start=1)}
_PAIRED = tuple(code for code, group in enumerate(GROUPS, start=1) if group.paired)
#: Semi-axes of the skull's inside relative to their geometric mean.
_SHAPE = np.array([0.95, 1.18, 0.89])
#: Structure -> centre and semi-axes, in units of the skull's semi-axes, of its right half.
_DEEP: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "thalamus": ((0.15, -0.12, -0.02), (0.12, 0.17, 0.13)),
    "putamen": ((0.40, 0.12, -0.03), (0.08, 0.22, 0.15)),
    "pallidum": ((0.29, 0.09, -0.05), (0.06, 0.14, 0.10)),
    "caudate": ((0.24, 0.24, 0.10), (0.07, 0.18, 0.13)),
    "hippocampus": ((0.42, -0.16, -0.30), (0.09, 0.25, 0.09)),
    "amygdala": ((0.38, 0.14, -0.32), (0.10, 0.09, 0.10)),
    "ventral_dc": ((0.11, 0.02, -0.24), (0.10, 0.16, 0.09)),
}
#: Typical intensities; what is not named is grey matter.
_INTENSITY = {
    "cerebral_white": 1.0, "corpus_callosum": 1.02, "cerebellum_white": 0.98, "brainstem": 0.93,
    "thalamus": 0.84, "pallidum": 0.92, "ventral_dc": 0.86, "putamen": 0.78, "caudate": 0.76,
    "lateral_ventricle": 0.22, "ventricles_3_4": 0.24, "csf": 0.25,
}  # fmt: skip
_GREY, _FAT, _BONE = 0.70, 0.95, 0.08
#: What the bias ``deep_brightness`` makes brighter.
_DEEP_GREY = ("thalamus", "putamen", "pallidum", "caudate")
#: Share of the field of view, from the top, that the fault ``truncated`` leaves.
_LEFT_OVER = 0.45


@dataclass(frozen=True, kw_only=True)
class DigitalBrain:
    """A simulated subject.

    Attributes
    ----------
    scan, labels
        The T1-weighted volume and its labels, codes of `popscan.protocols.brain_t1.labels.LABELS`.
    truth
        Every biomarker, of the labels on the image's grid before a fault takes part of it.
    kspace
        None: images are made as such.
    """

    scan: Scan
    labels: LabelMap
    truth: Mapping[str, float]
    kspace: None = None


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], sd: float, reach: float) -> Floats:
    """Return a smooth random field of standard deviation `sd`."""
    coarse = rng.normal(size=[max(3, round(n / reach)) for n in shape])
    zoom = [n / c for n, c in zip(shape, coarse.shape, strict=True)]
    field = ndimage.zoom(coarse, zoom, order=3, mode="nearest", grid_mode=True)
    return np.asarray(field * sd / max(float(field.std()), 1e-6), dtype=np.float32)


def _ellipsoid(u: list[Floats], centre: tuple[float, ...], axes: tuple[float, ...]) -> Floats:
    parts = [((a - c) / r) ** 2 for a, c, r in zip(u, centre, axes, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2])


def _labels(
    u: list[Floats], *, atrophy: float, thinning: float, folds: Floats
) -> NDArray[np.uint8]:
    """Return labels without sides from coordinates in units of the skull's semi-axes."""
    x, y, z = np.abs(u[0]), u[1], u[2]
    half = [x, y, z]
    r = np.sqrt(u[0] ** 2 + y**2 + z**2)
    out = np.zeros(r.shape, dtype=np.uint8)
    brain = (1 - 0.10 - 0.7 * atrophy) ** (1 / 3)
    out[r < 1] = _CODE["csf"]
    cerebrum = (r < brain + 0.03 * folds) & ((x > 0.015 + 0.02 * atrophy) | (r < 0.5))
    inner = brain - 0.17 + thinning
    white = (r < inner + 0.35 * atrophy * 0.2 + 0.07 * folds) & ((x > 0.10) | (r < 0.42))
    cortex = cerebrum & ~white
    out[cortex] = _CODE["temporal_grey"]
    out[cortex & (z > 0.15)] = _CODE["parietal_grey"]
    out[cortex & (y > 0.2) & (z > -0.4)] = _CODE["frontal_grey"]
    out[cortex & (y < -0.58)] = _CODE["occipital_grey"]
    out[cortex & (x < 0.13) & (r < 0.66)] = _CODE["limbic_grey"]
    insula = cortex & (x > 0.55) & (np.abs(y - 0.1) < 0.25) & (np.abs(z + 0.12) < 0.18)
    out[insula] = _CODE["insula_grey"]
    out[white] = _CODE["cerebral_white"]
    callosum = _ellipsoid(half, (0, 0.0, 0.24), (0.2, 0.46, 0.12))
    out[(callosum < 1) & (callosum > 0.45) & (z > 0.2)] = _CODE["corpus_callosum"]
    for name, (centre, axes) in _DEEP.items():
        shrink = (1 - (2.0 if name in ("hippocampus", "amygdala") else 0.8) * atrophy) ** (1 / 3)
        size = tuple(a * shrink for a in axes)
        out[_ellipsoid(half, centre, size) < 1] = _CODE[name]
    grow = (0.55 + 8.0 * atrophy) ** (1 / 3)
    lateral = _ellipsoid(half, (0.12, 0.0, 0.13), (0.10 * grow, 0.42, 0.11 * grow))
    out[(lateral < 1) & (x > 0.02)] = _CODE["lateral_ventricle"]
    out[(x < 0.035 * grow) & (np.abs(y) < 0.17) & (np.abs(z + 0.04) < 0.13)] = _CODE[
        "ventricles_3_4"
    ]
    cerebellum = _ellipsoid(half, (0, -0.52, -0.60), (0.52, 0.33, 0.27))
    out[(cerebellum < 1) & (r < 0.99)] = _CODE["cerebellum_grey"]
    out[(cerebellum < 0.36) & (r < 0.99)] = _CODE["cerebellum_white"]
    stem = ((x / 0.17) ** 2 + ((y + 0.14) / 0.17) ** 2 < 1) & (z < -0.28) & (r < 0.99)
    out[stem] = _CODE["brainstem"]
    out[(x < 0.09) & (np.abs(y + 0.30) < 0.06) & (np.abs(z + 0.52) < 0.12)] = _CODE[
        "ventricles_3_4"
    ]
    return out


def _number(row: Mapping[str, Any], name: str, default: float | None = None) -> float:
    try:
        value = float(row[name] if default is None else row.get(name, default))
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise PopscanError(f"participant {row.get('participant_id')}: {name} must be a number")
    return value


def simulate_subject(
    row: Mapping[str, Any],
    *,
    seed: int,
    spacing_mm: float | tuple[float, float] = 2.0,
    kspace: bool = False,
    noise: float = 0.03,
) -> DigitalBrain:
    """Render one participant.

    Parameters
    ----------
    row
        As `popscan.protocols.brain_t1.population.sample_population` returns it.
    seed
        Of the study; the participant's own draws follow from it and their identifier.
    spacing_mm
        Isotropic voxel size; of two the first.
    kspace
        There is none: refused.
    noise
        Standard deviation of the noise of magnitude images (Rician), white matter being 1.

    Raises
    ------
    PopscanError
        If a number of the row is missing, or k-space is wanted.
    """
    if kspace:
        raise PopscanError("simulate.kspace: digital brains are images; false is expected")
    step = float(spacing_mm[0] if isinstance(spacing_mm, tuple) else spacing_mm)
    icv, atrophy = _number(row, "truth_icv_ml"), _number(row, "truth_atrophy_pct") / 100
    rng = np.random.default_rng([seed, *str(row["participant_id"]).encode()])
    radius = (icv * 1000 * 3 / (4 * math.pi)) ** (1 / 3)
    semi = radius * _SHAPE
    shape, u, affine = _grid(semi, step, rng)
    folds = _smooth(rng, shape, 1.0, 9.0 / step)
    thinning = _number(row, "truth_thinning_mm", 0.0) / float(np.mean(semi))
    groups = _labels(u, atrophy=atrophy, thinning=thinning, folds=folds)
    right = u[0] > 0
    labels = np.where(right & np.isin(groups, _PAIRED), groups + RIGHT, groups).astype(np.uint8)
    image = _render(groups, u, semi, table=_intensities(row))
    image = image * np.exp(_smooth(rng, shape, 0.08, 60.0 / step))
    sd = noise * _number(row, "truth_noise", 1.0)
    real, imaginary = rng.normal(0, sd, (2, *shape))
    image = np.hypot(image + real, imaginary)
    made = DigitalBrain(
        scan=Scan(
            array=(1000 * image).astype(np.float32)[..., None],
            affine=affine,
            spacing_mm=(step, step, step),
            view="t1w",
        ),
        labels=LabelMap(array=labels[..., None], frames=(0,)),
        truth=measure(labels[..., None], spacing_mm=(step, step, step)),
    )
    return _damaged(made, str(row.get("fault") or ""))


def _grid(
    semi: NDArray[np.float64], step: float, rng: np.random.Generator
) -> tuple[tuple[int, ...], list[Floats], NDArray[np.float64]]:
    """Return shape, coordinates in units of the skull's semi-axes, deformed, and the affine."""
    shape = tuple(math.ceil(f / step) for f in 2 * (semi + 22.0))
    centre = [(n - 1) / 2 for n in shape]
    along = [np.arange(n, dtype=np.float32) - c for n, c in zip(shape, centre, strict=True)]
    place = np.meshgrid(*[axis * step for axis in along], indexing="ij")
    u = [
        ((p + _smooth(rng, shape, 2.0, 40.0 / step)) / s).astype(np.float32)
        for p, s in zip(place, semi, strict=True)
    ]
    affine = np.diag([step] * 3 + [1.0])
    affine[:3, 3] = [-c * step for c in centre]
    return shape, u, affine


def _damaged(made: DigitalBrain, fault: str) -> DigitalBrain:
    """Apply the fault that strikes at the scanner; the truth stays."""
    array, labels = made.scan.array, made.labels.array
    if fault == "motion":
        # What moved during the readout appears again, a third of the field further.
        ghost = np.roll(array, array.shape[1] // 3, axis=1)
        return replace(made, scan=replace(made.scan, array=0.75 * array + 0.35 * ghost))
    if fault == "truncated":
        first = array.shape[2] - round(_LEFT_OVER * array.shape[2])
        affine = made.scan.affine.copy()
        affine[:3, 3] += affine[:3, 2] * first
        scan = replace(made.scan, array=array[:, :, first:], affine=affine)
        return replace(made, scan=scan, labels=replace(made.labels, array=labels[:, :, first:]))
    return made


def _intensities(row: Mapping[str, Any]) -> Floats:
    """Return the noise-free intensity of each label, with the biases of contrast."""
    table = np.full(len(GROUPS) + 1, _GREY, dtype=np.float32)
    for name, value in _INTENSITY.items():
        table[_CODE[name]] = value
    deep = [_CODE[name] for name in _DEEP_GREY]
    table[deep] += (1.0 - table[deep]) * _number(row, "truth_deep_brightness", 0.0)
    grey = (table > 0.5) & (table < 1.0)
    table[grey] += (1.0 - table[grey]) * _number(row, "truth_contrast_loss", 0.0)
    return table


def _render(
    groups: NDArray[np.uint8], u: list[Floats], semi: NDArray[np.float64], *, table: Floats
) -> Floats:
    """Return noise-free intensities: brain, skull, scalp, air; blurred by half a voxel."""
    image = table[groups]
    r = np.sqrt(sum(part**2 for part in u))
    wall = 7.0 / float(np.mean(semi))
    outside = groups == 0
    image[outside] = 0.0
    image[outside & (r < 1 + wall)] = _BONE
    image[outside & (r >= 1 + wall) & (r < 1 + 2 * wall)] = _FAT
    return np.asarray(ndimage.gaussian_filter(image, 0.5))
