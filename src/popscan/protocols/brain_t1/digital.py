"""A digital brain population: tissue shells and deep structures, deformed by smooth fields.

Simple and honest: ellipsoids in a skull, with a folded cortex by lobes, deep grey matter,
ventricles, cerebellum and brainstem. Every brain is another one by its size, a smooth displacement,
and its age: grey matter and hippocampus shrink, ventricles and surrounding fluid grow. It is for
tests, experiments on bias and timing; what a model is worth on people it cannot say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.brain_t1.labels import GROUPS, RIGHT
from popscan.records import LabelMap, PopscanError, Scan

Floats = NDArray[np.float32]
_CODE = {group.name: code for code, group in enumerate(GROUPS, start=1)}
_PAIRED = tuple(code for code, group in enumerate(GROUPS, start=1) if group.paired)
#: Head size by sex, mL (mean, sd), as adults of both sexes have it, rounded.
_ICV_ML = {"female": (1400.0, 110.0), "male": (1580.0, 125.0)}
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


@dataclass(frozen=True, kw_only=True)
class DigitalBrain:
    """A simulated subject.

    Attributes
    ----------
    scan, labels
        The T1-weighted volume and its labels, codes of `popscan.protocols.brain_t1.labels.LABELS`.
    truth
        What it was made from: ``icv_ml``, ``atrophy_pct``.
    """

    scan: Scan
    labels: LabelMap
    truth: Mapping[str, float]


def sample_population(
    n: int,
    *,
    seed: int,
    age_years: tuple[float, float] = (20.0, 90.0),
    female_share: float = 0.5,
    older_at_site_b: float = 0.0,
    women_at_site_b: float = 0.0,
    noise_of_women: float = 1.0,
    noise_at_site_b: float = 1.3,
) -> pd.DataFrame:
    """Draw participants.

    Parameters
    ----------
    n, seed
        How many, and which.
    age_years
        Youngest and oldest; evenly between.
    female_share
        Share of women.
    older_at_site_b, women_at_site_b
        Known biases, 0 to 1: how far age, or sex, decides at which site somebody is scanned; 0
        for chance, 1 for all of the older half, or all women, at site B.
    noise_of_women, noise_at_site_b
        Known biases: factors of the images' noise.

    Returns
    -------
    DataFrame
        ``participant_id, sex, age_years, site`` and hidden truth: ``truth_icv_ml``,
        ``truth_atrophy_pct`` (tissue lost of a young adult's), ``truth_noise``.

    Raises
    ------
    PopscanError
        If a share is not within 0 to 1 or both biases of the site together are above 1.
    """
    shares = (female_share, older_at_site_b, women_at_site_b)
    if not all(0 <= s <= 1 for s in shares) or older_at_site_b + women_at_site_b > 1:
        raise PopscanError(f"shares {shares}: 0 to 1 expected, the last two together at most 1")
    rng = np.random.default_rng([seed, 1])
    sex = np.where(rng.random(n) < female_share, "female", "male")
    age = rng.uniform(*age_years, n)
    old = age > np.mean(age_years)
    lean = older_at_site_b * (old - 0.5) + women_at_site_b * ((sex == "female") - 0.5)
    site = np.where(rng.random(n) < 0.5 + lean, "B", "A")
    mean, sd = np.array([_ICV_ML[s] for s in sex]).reshape(n, 2).T
    icv = mean + sd * np.clip(rng.normal(size=n), -2.5, 2.5)
    # Slow until about 60, then faster: the course that cross-sections of adults show.
    loss = 0.12 * (age - 20) + 0.010 * np.maximum(age - 55, 0) ** 2 / 1.5
    loss = np.maximum(loss + rng.normal(0, 1.5, n), 0)
    noise = np.where(site == "B", noise_at_site_b, 1.0) * np.where(
        sex == "female", noise_of_women, 1.0
    )
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{index + 1:04d}" for index in range(n)],
            "sex": sex,
            "age_years": np.round(age, 1),
            "site": site,
            "truth_icv_ml": np.round(icv, 1),
            "truth_atrophy_pct": np.round(loss, 2),
            "truth_noise": noise,
        }
    )


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], sd: float, reach: float) -> Floats:
    """Return a smooth random field of standard deviation `sd`."""
    coarse = rng.normal(size=[max(3, round(n / reach)) for n in shape])
    zoom = [n / c for n, c in zip(shape, coarse.shape, strict=True)]
    field = ndimage.zoom(coarse, zoom, order=3, mode="nearest", grid_mode=True)
    return np.asarray(field * sd / max(float(field.std()), 1e-6), dtype=np.float32)


def _ellipsoid(u: list[Floats], centre: tuple[float, ...], axes: tuple[float, ...]) -> Floats:
    parts = [((a - c) / r) ** 2 for a, c, r in zip(u, centre, axes, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2])


def _labels(u: list[Floats], *, atrophy: float, folds: Floats) -> NDArray[np.uint8]:
    """Return labels without sides from coordinates in units of the skull's semi-axes."""
    x, y, z = np.abs(u[0]), u[1], u[2]
    half = [x, y, z]
    r = np.sqrt(u[0] ** 2 + y**2 + z**2)
    out = np.zeros(r.shape, dtype=np.uint8)
    brain = (1 - 0.10 - 0.7 * atrophy) ** (1 / 3)
    out[r < 1] = _CODE["csf"]
    cerebrum = (r < brain + 0.03 * folds) & ((x > 0.015 + 0.02 * atrophy) | (r < 0.5))
    white = (r < brain - 0.17 + 0.35 * atrophy * 0.2 + 0.07 * folds) & ((x > 0.10) | (r < 0.42))
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


def _number(row: Mapping[str, Any], name: str) -> float:
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise PopscanError(f"participant {row.get('participant_id')}: {name} must be a number")
    return value


def simulate_subject(
    row: Mapping[str, Any], *, seed: int, spacing_mm: float = 2.0, noise: float = 0.03
) -> DigitalBrain:
    """Render one participant.

    Parameters
    ----------
    row
        As `sample_population` returns it.
    seed
        Of the study; the participant's own draws follow from it and their identifier.
    spacing_mm
        Isotropic voxel size.
    noise
        Standard deviation of the noise of magnitude images (Rician), white matter being 1.

    Raises
    ------
    PopscanError
        If a number of the row is missing.
    """
    icv, atrophy = _number(row, "truth_icv_ml"), _number(row, "truth_atrophy_pct") / 100
    rng = np.random.default_rng([seed, *str(row["participant_id"]).encode()])
    radius = (icv * 1000 * 3 / (4 * math.pi)) ** (1 / 3)
    semi = radius * _SHAPE
    field = 2 * (semi + 22.0)
    shape = tuple(math.ceil(f / spacing_mm) for f in field)
    centre = [(n - 1) / 2 for n in shape]
    steps = [np.arange(n, dtype=np.float32) - c for n, c in zip(shape, centre, strict=True)]
    place = np.meshgrid(*[step * spacing_mm for step in steps], indexing="ij")
    reach = 40.0 / spacing_mm
    u = [
        ((p + _smooth(rng, shape, 2.0, reach)) / s).astype(np.float32)
        for p, s in zip(place, semi, strict=True)
    ]
    folds = _smooth(rng, shape, 1.0, 9.0 / spacing_mm)
    groups = _labels(u, atrophy=atrophy, folds=folds)
    right = u[0] > 0
    labels = np.where(right & np.isin(groups, _PAIRED), groups + RIGHT, groups).astype(np.uint8)
    image = _render(groups, u, semi, spacing_mm=spacing_mm)
    image = image * np.exp(_smooth(rng, shape, 0.08, 60.0 / spacing_mm))
    sd = noise * _number({"truth_noise": 1.0, **row}, "truth_noise")
    real, imaginary = rng.normal(0, sd, (2, *shape))
    image = np.hypot(image + real, imaginary)
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = [-c * spacing_mm for c in centre]
    spacing = (spacing_mm, spacing_mm, spacing_mm)
    return DigitalBrain(
        scan=Scan(
            array=(1000 * image).astype(np.float32)[..., None],
            affine=affine,
            spacing_mm=spacing,
            view="t1w",
        ),
        labels=LabelMap(array=labels[..., None], frames=(0,)),
        truth={"icv_ml": icv, "atrophy_pct": 100 * atrophy},
    )


def _render(
    groups: NDArray[np.uint8], u: list[Floats], semi: NDArray[np.float64], *, spacing_mm: float
) -> Floats:
    """Return noise-free intensities: brain, skull, scalp, air; blurred by half a voxel."""
    table = np.full(len(GROUPS) + 1, _GREY, dtype=np.float32)
    for name, value in _INTENSITY.items():
        table[_CODE[name]] = value
    image = table[groups]
    r = np.sqrt(sum(part**2 for part in u))
    wall = 7.0 / float(np.mean(semi))
    outside = groups == 0
    image[outside] = 0.0
    image[outside & (r < 1 + wall)] = _BONE
    image[outside & (r >= 1 + wall) & (r < 1 + 2 * wall)] = _FAT
    return np.asarray(ndimage.gaussian_filter(image, 0.5))
