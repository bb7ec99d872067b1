"""Labels that are spoilt in known manners, for `qc.py`: what goes wrong between image and table.

Every manner takes true labels (x, y, z, t) and returns spoilt ones, or None where a heart does not
allow it (a stack without a slice above the base). Sizes are drawn between what hardly matters and
what nobody would pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.labels import Label

Labels = NDArray[np.uint8]
_WALLED = (Label.LV, Label.MYO)


@dataclass(frozen=True, kw_only=True)
class Heart:
    """True labels, and what the manners of spoiling need beside them.

    `other` are another subject's labels on the grid of this one, end-diastole and end-systole.
    """

    labels: Labels
    spacing_mm: tuple[float, float, float]
    ed: int
    es: int
    other: Labels
    rng: np.random.Generator

    def rows(self, t: int) -> tuple[list[int], int]:
        """Return the slices with LV of a frame from base to apex, and the step to the base."""
        held = np.flatnonzero((self.labels[..., t] == Label.LV).any(axis=(0, 1))).tolist()
        first = base_is_first(self.labels[..., self.ed])
        return (held if first else held[::-1]), (-1 if first else 1)

    def disc(self, mm: float) -> NDArray[np.bool_]:
        """Return a disc of a radius, to grow and shrink labels in their plane."""
        n = [int(np.ceil(mm / step)) for step in self.spacing_mm[:2]]
        x, y = np.ogrid[-n[0] : n[0] + 1, -n[1] : n[1] + 1]
        return np.asarray(np.hypot(x * self.spacing_mm[0], y * self.spacing_mm[1]) <= mm)[
            ..., None, None
        ]


def _without_slices(
    heart: Heart, chosen: Callable[[list[int]], list[int]], frames: list[int]
) -> Labels | None:
    out = heart.labels.copy()
    for t in frames:
        rows, _ = heart.rows(t)
        if len(rows) < 5:
            return None
        out[:, :, chosen(rows), t] = 0
    return out


def _all_frames(heart: Heart) -> list[int]:
    return list(range(heart.labels.shape[3]))


def basal_slice_missing(heart: Heart) -> Labels | None:
    """Leave out the most basal slice, at any phase."""
    return _without_slices(heart, lambda rows: rows[:1], _all_frames(heart))


def basal_slice_missing_at_ed(heart: Heart) -> Labels | None:
    """Leave out the most basal slice at end-diastole."""
    return _without_slices(heart, lambda rows: rows[:1], [heart.ed])


def basal_slice_missing_at_es(heart: Heart) -> Labels | None:
    """Leave out the most basal slice at end-systole."""
    return _without_slices(heart, lambda rows: rows[:1], [heart.es])


def apex_missing(heart: Heart) -> Labels | None:
    """Leave out the two or three most apical slices, at any phase."""
    n = int(heart.rng.integers(2, 4))
    return _without_slices(heart, lambda rows: rows[-n:], _all_frames(heart))


def middle_slice_missing(heart: Heart) -> Labels | None:
    """Leave out a slice of the middle, at any phase."""
    rows, _ = heart.rows(heart.es)
    if len(rows) < 5:
        return None
    z = rows[int(heart.rng.integers(1, len(rows) - 1))]
    return _without_slices(heart, lambda _: [z], _all_frames(heart))


def atrium_labelled(heart: Heart) -> Labels | None:
    """Label the slice above the base as the most basal one, at end-systole or always."""
    out = heart.labels.copy()
    for t in [heart.es] if heart.rng.random() < 0.5 else _all_frames(heart):
        rows, up = heart.rows(t)
        if not rows or not 0 <= rows[0] + up < out.shape[2]:
            return None
        out[:, :, rows[0] + up, t] = heart.labels[:, :, rows[0], t]
    return out


def exchanged(heart: Heart) -> Labels:
    """Exchange the codes of LV and RV."""
    codes = np.arange(256, dtype=np.uint8)
    codes[[Label.LV, Label.RV]] = Label.RV, Label.LV
    return codes[heart.labels]


def cavity_too_small(heart: Heart) -> Labels:
    """Let the wall grow into the cavity by 1.5 to 4 mm."""
    mm = heart.rng.uniform(1.5, 4.0)
    lost = (heart.labels == Label.LV) & ~_eroded(heart.labels == Label.LV, heart.disc(mm))
    return np.where(lost, np.uint8(Label.MYO), heart.labels)


def cavity_too_large(heart: Heart) -> Labels:
    """Let the cavity grow into the wall by 1.5 to 4 mm."""
    grown = ndimage.binary_dilation(
        heart.labels == Label.LV, heart.disc(heart.rng.uniform(1.5, 4.0))
    )
    return np.where(grown & (heart.labels == Label.MYO), np.uint8(Label.LV), heart.labels)


def rv_too_small(heart: Heart) -> Labels:
    """Shrink the RV by 1.5 to 4 mm on all sides."""
    kept = _eroded(heart.labels == Label.RV, heart.disc(heart.rng.uniform(1.5, 4.0)))
    return np.where((heart.labels == Label.RV) & ~kept, np.uint8(0), heart.labels)


def rv_leaks(heart: Heart) -> Labels:
    """Let the RV grow by 2 to 6 mm over what is not labelled."""
    grown = ndimage.binary_dilation(
        heart.labels == Label.RV, heart.disc(heart.rng.uniform(2.0, 6.0))
    )
    return np.where(grown & (heart.labels == 0), np.uint8(Label.RV), heart.labels)


def lv_leaks_into_rv(heart: Heart) -> Labels:
    """Let the cavity break through the septum in three slices, into the RV."""
    rows, _ = heart.rows(heart.es)
    chosen = rows[1:4]
    labels = heart.labels.copy()
    part = labels[:, :, chosen]
    near = ndimage.binary_dilation(np.isin(part, _WALLED), heart.disc(12.0))
    labels[:, :, chosen] = np.where(near & (part == Label.RV), np.uint8(Label.LV), part)
    return labels


def slice_shifted(heart: Heart) -> Labels:
    """Shift the labels of two slices by 10 to 20 mm."""
    out = heart.labels.copy()
    rows, _ = heart.rows(heart.ed)
    for z in heart.rng.choice(rows, min(2, len(rows)), replace=False):
        angle, mm = heart.rng.uniform(0, 2 * np.pi), heart.rng.uniform(10, 20)
        step = [
            round(mm * f(angle) / s)
            for f, s in zip((np.cos, np.sin), heart.spacing_mm[:2], strict=True)
        ]
        out[:, :, z] = np.roll(out[:, :, z], step, axis=(0, 1))
    return out


def holes(heart: Heart) -> Labels:
    """Cut round holes of 8 to 14 mm radius into the cavities of half of the slices."""
    return _blobs(heart, lambda old: np.where(old == Label.MYO, old, 0), inside=True)


def islands(heart: Heart) -> Labels:
    """Add pieces of cavity of 8 to 14 mm radius beside the heart, in half of the slices."""
    return _blobs(heart, lambda old: np.where(old == 0, Label.LV, old), inside=False)


def _blobs(heart: Heart, change: Callable, *, inside: bool) -> Labels:
    out = heart.labels.copy()
    rows, _ = heart.rows(heart.ed)
    x, y = np.ogrid[: out.shape[0], : out.shape[1]]
    for z in rows[::2]:
        spots = np.argwhere(heart.labels[:, :, z, heart.ed] == Label.LV)
        centre = spots[heart.rng.integers(len(spots))].astype(float)
        if not inside:
            angle = heart.rng.uniform(0, 2 * np.pi)
            centre += 70.0 * np.array([np.cos(angle), np.sin(angle)]) / heart.spacing_mm[:2]
        dx, dy = ((a - c) * s for a, c, s in zip((x, y), centre, heart.spacing_mm, strict=False))
        blob = np.hypot(dx, dy) <= heart.rng.uniform(8, 14)
        out[:, :, z] = np.where(blob[..., None], change(out[:, :, z]), out[:, :, z])
    return out.astype(np.uint8)


def one_bad_frame(heart: Heart) -> Labels:
    """Label end-systole in the apical half alone."""
    rows, _ = heart.rows(heart.es)
    out = heart.labels.copy()
    out[:, :, rows[: len(rows) // 2], heart.es] = 0
    return out


def mirrored(heart: Heart) -> Labels:
    """Mirror labels left to right about the middle of the LV."""
    held = np.argwhere((heart.labels == Label.LV).any(axis=(1, 2, 3)))
    flipped = heart.labels[::-1]
    step = round(2 * float(held.mean()) - (heart.labels.shape[0] - 1))
    return np.roll(flipped, step, axis=0)


def phases_exchanged(heart: Heart) -> Labels:
    """Exchange the labels of end-diastole and end-systole."""
    out = heart.labels.copy()
    out[..., [heart.ed, heart.es]] = heart.labels[..., [heart.es, heart.ed]]
    return out


def es_of_wrong_frame(heart: Heart) -> Labels:
    """Give end-systole the labels of a frame half way, or a mean of both where there is none."""
    t = (heart.ed + heart.es) // 2
    out = heart.labels.copy()
    if t not in (heart.ed, heart.es):
        out[..., heart.es] = heart.labels[..., t]
        return out
    inside = ndimage.distance_transform_edt
    for label in (Label.LV, Label.RV):
        depth = [
            inside(m) - inside(~m)
            for m in (heart.labels[..., t] == label for t in (heart.ed, heart.es))
        ]
        mean = (depth[0] + depth[1]) > 0
        out[..., heart.es] = np.where(mean, np.uint8(label), out[..., heart.es])
    return out


def wall_flat(heart: Heart) -> Labels:
    """Leave out half of the wall."""
    out = heart.labels.copy()
    middle = np.argwhere(heart.labels == Label.LV)[:, 0].mean()
    half = np.arange(out.shape[0])[:, None, None, None] > middle
    return np.where(half & (out == Label.MYO), np.uint8(0), out)


def of_another_subject(heart: Heart) -> Labels:
    """Take the labels of another subject, about the same middle of the LV."""
    out = np.zeros_like(heart.labels)
    centre = [np.argwhere(a == Label.LV).mean(axis=0)[:3] for a in (heart.labels, heart.other)]
    step = np.round(centre[0] - centre[1]).astype(int)
    moved = np.roll(heart.other, step, axis=(0, 1, 2))
    for t in _all_frames(heart):
        near_es = abs(t - heart.es) < min(abs(t - heart.ed), abs(t - heart.labels.shape[3]))
        out[..., t] = moved[..., int(near_es)]
    return out


def _eroded(mask: NDArray[np.bool_], disc: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_erosion(mask, disc))


#: Name -> the manner, in the order of the tables.
SPOILT: Mapping[str, Callable[[Heart], Labels | None]] = {
    "basal slice missing": basal_slice_missing,
    "basal slice missing at ED": basal_slice_missing_at_ed,
    "basal slice missing at ES": basal_slice_missing_at_es,
    "atrium labelled": atrium_labelled,
    "apex missing": apex_missing,
    "middle slice missing": middle_slice_missing,
    "LV and RV exchanged": exchanged,
    "LV cavity too small": cavity_too_small,
    "LV cavity too large": cavity_too_large,
    "RV too small": rv_too_small,
    "RV leaks": rv_leaks,
    "LV leaks into RV": lv_leaks_into_rv,
    "slices shifted": slice_shifted,
    "holes": holes,
    "islands": islands,
    "one bad frame": one_bad_frame,
    "mirrored": mirrored,
    "ED and ES exchanged": phases_exchanged,
    "ES of a wrong frame": es_of_wrong_frame,
    "wall flat": wall_flat,
    "of another subject": of_another_subject,
}

#: Manners that rules find nearly always; the development part takes a third of each.
PLAIN = (
    "middle slice missing", "LV and RV exchanged", "LV leaks into RV", "slices shifted", "holes",
    "islands", "one bad frame", "mirrored", "ED and ES exchanged", "wall flat",
)  # fmt: skip
