"""Maps with known regions, simulated on short-axis images of which the regions are known.

Each tissue gets a relaxation time; the image itself says how bright a voxel is, how much of it is
blood or muscle (papillary muscles, partial volume) and what lies around. From that come raw images
as a sequence would make them, with noise, motion between them, thick borders and bands of bad
inversion, and popscan's own fit makes the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.t1_map.ingest import fitted
from popscan.protocols.t1_map.labels import LV, MYO, RV
from popscan.records import Scan
from popscan.relaxometry.simulate import (
    MOLLI_5_3,
    SHMOLLI,
    inversion_signal,
    inversion_times_ms,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.uint8]

#: Durations of the T2 preparation, in ms.
_T2_TIMES = (0.0, 25.0, 55.0)
#: Signal of blood in raw images without inversion.
_BRIGHT = 300.0


@dataclass(frozen=True, kw_only=True)
class Tissues:
    """Relaxation times of one subject, in ms.

    Attributes
    ----------
    wall, blood, fat, liver, muscle
        Of the tissues.
    lesion
        Factor of a focal lesion of the wall; 1 for none.
    """

    wall: float
    blood: float
    fat: float
    liver: float
    muscle: float
    lesion: float = 1.0


def draw_tissues(rng: np.random.Generator, kind: str) -> Tissues:
    """Return relaxation times as fields, vendors, contrast agent and disease have them.

    Parameters
    ----------
    rng
        Source of randomness.
    kind
        ``native``, ``contrast`` (T1 after contrast agent; blood may be as the wall), or ``t2``.
    """
    sick = rng.random() < 0.35
    if kind == "t2":
        return Tissues(
            wall=rng.uniform(40, 60), blood=rng.uniform(110, 220), fat=rng.uniform(60, 110),
            liver=rng.uniform(25, 40), muscle=rng.uniform(32, 48),
            lesion=rng.uniform(1.15, 1.5) if sick else 1.0,
        )  # fmt: skip
    if kind == "contrast":
        wall = rng.uniform(350, 600)
        return Tissues(
            wall=wall, blood=wall * rng.uniform(0.55, 1.0), fat=rng.uniform(230, 380),
            liver=rng.uniform(280, 450), muscle=wall * rng.uniform(1.0, 1.3),
            lesion=rng.uniform(0.6, 0.85) if sick else 1.0,
        )  # fmt: skip
    return Tissues(
        wall=rng.uniform(900, 1300), blood=rng.uniform(1500, 2000), fat=rng.uniform(230, 380),
        liver=rng.uniform(500, 850), muscle=rng.uniform(850, 1150),
        lesion=rng.uniform(1.1, 1.4) if sick else 1.0,
    )  # fmt: skip


def smooth_field(rng: np.random.Generator, shape: Sequence[int], *, width_px: float) -> Floats:
    """Return a smooth random field of mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(tuple(shape)), width_px, mode="wrap")
    return (field - field.mean()) / max(float(field.std()), 1e-9)


def redrawn(
    labels: Labels, rng: np.random.Generator, *, spacing_mm: float, sd_mm: float = 0.7
) -> Labels:
    """Return labels (x, y) as another observer might draw them: borders moved by a little.

    A smooth shift of `sd_mm`, and all contours a few percent larger or smaller.
    """
    inside = np.argwhere(labels > 0)
    if not len(inside):
        return labels
    at = np.stack(np.meshgrid(*map(np.arange, labels.shape), indexing="ij")).astype(float)
    middle = inside.mean(axis=0)[:, None, None]
    moved = at + (at - middle) * rng.normal(0.0, 0.025)
    for axis in (0, 1):
        shift = smooth_field(rng, labels.shape, width_px=10.0 / spacing_mm)
        moved[axis] += shift * sd_mm / spacing_mm
    found = ndimage.map_coordinates(labels, moved, order=0, mode="nearest")
    return np.asarray(found, dtype=np.uint8)


def relaxation_of(
    image: Floats, labels: Labels, tissues: Tissues, rng: np.random.Generator, *, spacing_mm: float
) -> Floats:
    """Return the relaxation time of every voxel (x, y), in ms.

    Parameters
    ----------
    image
        Intensities of a bright-blood image.
    labels
        Its regions.
    tissues
        What they are made of.
    rng
        Source of lesions, texture, and of what bright structures around the regions are.
    spacing_mm
        In-plane spacing.
    """
    smooth = ndimage.gaussian_filter(image, 0.5)
    muscle, blood = (float(np.median(smooth[labels == code])) for code in (MYO, LV))
    bright = np.clip((smooth - muscle) / (blood - muscle), 0.0, 1.0)
    around = smooth_field(rng, image.shape, width_px=35.0 / spacing_mm)
    liver = np.clip(0.5 + around, 0.0, 1.0)
    soft = tissues.muscle + (tissues.liver - tissues.muscle) * liver
    far = ndimage.distance_transform_edt(labels == 0) * spacing_mm
    fat = np.clip((far + 12.0 * smooth_field(rng, image.shape, width_px=8.0) - 12.0) / 6.0, 0, 1)
    shiny = tissues.blood + (tissues.fat - tissues.blood) * fat
    time = soft * (shiny / soft) ** bright
    cavity = np.isin(labels, (LV, RV))
    share = np.clip(bright / 0.7, 0.0, 1.0)  # trabeculae and papillary muscles are dark
    time = np.where(cavity, tissues.wall * (tissues.blood / tissues.wall) ** share, time)
    wall = labels == MYO
    mixed = 0.7 * np.clip((bright - 0.4) / 0.6, 0.0, 1.0)
    own = np.full(image.shape, tissues.wall)
    if tissues.lesion != 1.0 and wall.any():
        at = np.argwhere(wall)[rng.integers(int(wall.sum()))]
        near = np.linalg.norm(np.indices(image.shape) - at[:, None, None], axis=0) * spacing_mm
        own *= 1.0 + (tissues.lesion - 1.0) * np.exp(-0.5 * (near / rng.uniform(4.0, 12.0)) ** 2)
    time = np.where(wall, own * (tissues.blood / own) ** mixed, time)
    texture = 0.02 * smooth_field(rng, image.shape, width_px=1.0)
    return np.asarray(time * (1.0 + texture))


def simulate_map(
    image: Floats,
    time_ms: Floats,
    rng: np.random.Generator,
    *,
    spacing_mm: float,
    quantity: str = "t1",
    severity: float = 0.5,
) -> Floats:
    """Return the map (x, y) in ms that popscan fits to simulated raw images; 0 for no value.

    Parameters
    ----------
    image, time_ms
        Brightness, blood about 1, and relaxation time of every voxel.
    rng
        Source of noise, motion and artefacts, and of the sequence.
    spacing_mm
        In-plane spacing.
    quantity
        ``t1`` or ``t2``.
    severity
        0 for a good scan, 1 for what may have to be thrown away.
    """
    m0 = _BRIGHT * np.clip(image, 0.0, 2.0)
    band = _band(rng, image.shape, spacing_mm=spacing_mm, severity=severity)
    facts: dict[str, object]
    if quantity == "t2":
        times = np.array(_T2_TIMES)
        signal = np.exp(-times[:, None, None] / time_ms) * m0 * (1.0 - 0.7 * band)
        facts = {"times_ms": times}
    else:
        molli = rng.random() < 0.5
        scheme, beat = (MOLLI_5_3 if molli else SHMOLLI), float(rng.uniform(650.0, 1150.0))
        times = inversion_times_ms(scheme, beat_ms=beat)
        signal = inversion_signal(
            scheme, t1_ms=time_ms, m0=m0 * (1.0 - 0.6 * band), beat_ms=beat,
            pull=float(rng.uniform(0.85, 0.95)), efficiency=0.98 * (1.0 - 0.45 * band),
        )  # fmt: skip
        named = "molli" if molli else "shmolli"
        facts = {
            "times_ms": times, "scheme": named, "scheme_by": "config",
            "signed": bool(rng.random() < 0.7),
        }  # fmt: skip
    raw = _acquired(signal, rng, spacing_mm=spacing_mm, severity=severity)
    raw = raw if facts.get("signed") else np.abs(raw)
    scan = Scan(
        array=np.moveaxis(raw, 0, -1)[:, :, None, :].astype(np.float32),
        affine=np.diag([spacing_mm, spacing_mm, 8.0, 1.0]),
        spacing_mm=(spacing_mm, spacing_mm, 8.0), view=quantity,
    )  # fmt: skip
    made = fitted(scan, facts)[0][:, :, 0, 0]
    return _failed(made, rng, severity=severity)


def _band(
    rng: np.random.Generator, shape: Sequence[int], *, spacing_mm: float, severity: float
) -> Floats:
    """Return how much off resonance each voxel is, 0 to 1: a band across the field, or none."""
    if rng.random() > 0.35 * severity:
        return np.zeros(tuple(shape))
    turn = rng.uniform(0.0, np.pi)
    at = [(np.arange(n) - n / 2) * spacing_mm for n in shape]
    across = at[0][:, None] * np.cos(turn) + at[1][None] * np.sin(turn)
    bend = 8.0 * smooth_field(rng, shape, width_px=25.0)
    width = rng.uniform(5.0, 14.0)
    return np.asarray(np.exp(-0.5 * ((across + bend - rng.uniform(-40.0, 40.0)) / width) ** 2))


def _acquired(
    signal: Floats, rng: np.random.Generator, *, spacing_mm: float, severity: float
) -> Floats:
    """Blur, move and add noise to signed images (n, x, y)."""
    psf = rng.uniform(0.5, 0.9 + 0.8 * severity) / spacing_mm
    noise = _BRIGHT / rng.uniform(60.0 - 35.0 * severity, 90.0 - 55.0 * severity)
    moves = rng.random() < 0.2 + 0.5 * severity
    reach = rng.uniform(0.5, 1.0 + 5.0 * severity) / spacing_mm if moves else 0.0
    raw = []
    for one in signal:
        shift = reach * rng.standard_normal(2)
        seen = ndimage.gaussian_filter(one, psf)
        if reach:
            seen = ndimage.shift(seen, shift, order=1, mode="nearest")
        raw.append(seen + noise * rng.standard_normal(one.shape))
    return np.stack(raw)


def _failed(made: Floats, rng: np.random.Generator, *, severity: float) -> Floats:
    """Return the map with voxels and clumps of voxels without a right value."""
    if rng.random() > 0.4 * severity:
        return made
    field = smooth_field(rng, made.shape, width_px=rng.uniform(0.5, 2.0))
    bad = field > rng.uniform(2.3, 3.2)
    return np.where(bad, 0.0 if rng.random() < 0.5 else 4.0 * np.median(made[made > 0]), made)
