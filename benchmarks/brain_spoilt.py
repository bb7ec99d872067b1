"""Images for `brain_inputs.py`: a brain scan in other headers, contrasts, fields and qualities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.brain_t1.labels import GROUPS, from_muse, without_sides
from popscan.records import SubjectError

CODE = {group.name: code for code, group in enumerate(GROUPS, start=1)}
Image = nib.Nifti1Image


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A subject's scan in RAS order, its groups without sides, and its FLAIR where it has one."""

    name: str
    volume: NDArray[np.float32]
    groups: NDArray[np.uint8]
    affine: NDArray[np.float64]
    folder: Path


def plain_of(data: Path, name: str) -> Plain:
    """Read a subject of the data."""
    image = nib.as_closest_canonical(nib.load(data / "brain" / name / f"anat/{name}_T1w.nii.gz"))
    labels = data / "brain/derivatives/dlmuse" / name / f"anat/{name}_dseg.nii.gz"
    codes = np.asarray(nib.as_closest_canonical(nib.load(labels)).dataobj)
    return Plain(
        name=name,
        volume=np.asarray(image.dataobj, dtype=np.float32),
        groups=without_sides(from_muse(codes)),
        affine=np.asarray(image.affine),
        folder=data,
    )


def stored(
    volume: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    sform: int = 1,
    qform: int = 1,
    zooms: tuple[float, ...] = (),
    unit: str = "mm",
) -> Image:
    """Return a NIfTI image with these codes; `zooms` replaces the steps that pixdim has."""
    image = Image(volume, affine)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    image.header.set_xyzt_units(unit, "sec")
    if zooms:
        image.header["pixdim"][1:4] = zooms
    if not sform:
        image.header["sform_code"] = 0
    return image


def scaled(affine: NDArray[np.float64], factors: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return an affine whose steps are other than they were."""
    out = affine.copy()
    out[:3, :3] = out[:3, :3] * np.asarray(factors)
    return out


def head_of(volume: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the head, holes filled."""
    mask = ndimage.binary_closing(volume > 0.12 * np.percentile(volume, 99), iterations=2)
    return np.asarray(ndimage.binary_fill_holes(mask))


def brain_of(plain: Plain) -> NDArray[np.bool_]:
    """Return the brain with the fluid around it."""
    return np.asarray(ndimage.binary_fill_holes(plain.groups > 0))


def tissue_image(plain: Plain, levels: dict[str, float], *, rest: float = 0.5) -> NDArray[Any]:
    """Return another contrast: levels of white, grey, fluid, of the head's rest and of air.

    Texture is the plain scan's, so that it is no cartoon.
    """
    fluid = np.isin(plain.groups, [CODE[n] for n in ("lateral_ventricle", "ventricles_3_4", "csf")])
    white = np.isin(
        plain.groups,
        [CODE[n] for n in ("cerebral_white", "corpus_callosum", "cerebellum_white", "brainstem")],
    )
    grey = (plain.groups > 0) & ~fluid & ~white
    head = head_of(plain.volume)
    out = np.where(head, rest * plain.volume / np.percentile(plain.volume[head], 50), 0.0)
    for name, mask in (("fluid", fluid), ("white", white), ("grey", grey)):
        own = plain.volume[mask]
        texture = (plain.volume[mask] - np.median(own)) / max(1.0, np.percentile(own, 90))
        out[mask] = levels[name] * (1 + 0.25 * texture)
    out = ndimage.gaussian_filter(out, 0.4)
    noise = np.random.default_rng(3).normal(0, 0.015, (2, *out.shape))
    return (1000 * np.hypot(out + noise[0], noise[1])).astype(np.float32)


def without_skull(plain: Plain, grow: int = 1) -> NDArray[np.float32]:
    """Return the scan with all but the brain set to 0."""
    brain = brain_of(plain)
    mask = ndimage.binary_dilation(brain, iterations=grow) if grow else brain
    return np.where(mask, plain.volume, 0).astype(np.float32)


def resampled(plain: Plain, steps: tuple[float, float, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the scan with other voxels: means over thicker ones, as a scanner measures them."""
    old = np.linalg.norm(plain.affine[:3, :3], axis=0)
    ratio = np.asarray(steps) / old
    smooth = ndimage.gaussian_filter(plain.volume, np.where(ratio > 1, 0.4 * ratio, 0))
    shape = np.floor(np.asarray(plain.volume.shape) / ratio).astype(int)
    out = ndimage.affine_transform(smooth, np.diag(ratio), output_shape=tuple(shape), order=1)
    affine = plain.affine.copy()
    affine[:3, :3] = affine[:3, :3] * ratio
    return out.astype(np.float32), affine


def in_template(plain: Plain) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the scan on the grid of MNI152 at 2 mm, with the brain stretched to its size."""
    hit = np.argwhere(brain_of(plain))
    low, high = hit.min(axis=0), hit.max(axis=0)
    # Extent of the template's brain with fluid (mm), and its middle on the template's grid.
    extent, middle = np.array([148.0, 186.0, 158.0]), np.array([45.0, 54.0, 40.0])
    ratio = (high - low + 1) / (extent / 2.0)
    offset = (low + high) / 2.0 - ratio * middle
    out = ndimage.affine_transform(
        plain.volume, np.diag(ratio), offset=offset, output_shape=(91, 109, 91), order=1
    )
    affine = np.array([[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]], float)
    return out[::-1].astype(np.float32), affine


def moved(volume: NDArray[np.float32], *, lines: float, shift: float) -> NDArray[np.float32]:
    """Return a scan whose head moved: part of its k-space lines are of the shifted head."""
    k = np.fft.fftn(volume)
    rng = np.random.default_rng(5)
    other = np.fft.fftn(
        ndimage.rotate(np.roll(volume, round(shift), axis=2), 2 * shift, axes=(1, 2),
                       reshape=False, order=1)
    )  # fmt: skip
    n = volume.shape[1]
    starts = rng.random(n // 4) < lines
    taken = np.repeat(starts, 4)
    taken = np.pad(taken, (0, n - len(taken)))
    k[:, taken] = other[:, taken]
    return np.abs(np.fft.ifftn(k)).astype(np.float32)


def ringing(volume: NDArray[np.float32], keep: float) -> NDArray[np.float32]:
    """Return a scan of which only the middle of k-space was measured along two axes."""
    k = np.fft.fftshift(np.fft.fftn(volume))
    for axis in (0, 1):
        n = volume.shape[axis]
        lost = np.abs(np.arange(n) - n // 2) > keep * n / 2
        k[(slice(None),) * axis + (lost,)] = 0
    return np.abs(np.fft.ifftn(np.fft.ifftshift(k))).astype(np.float32)


def bias(shape: tuple[int, ...], strength: float) -> NDArray[np.float32]:
    """Return a smooth field from 1 to `strength`."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    field = 0.5 * (axes[1] + axes[2] * axes[0] + 1)
    return np.asarray(strength ** np.clip(field, 0, 1), dtype=np.float32)


def enhanced(plain: Plain, level: float) -> NDArray[np.float32]:
    """Return a scan after contrast agent: veins, dura and a ring of the skin are bright."""
    brain = brain_of(plain)
    white = float(np.median(plain.volume[plain.groups == CODE["cerebral_white"]]))
    rim = ndimage.binary_dilation(brain, iterations=1) & ~brain
    rng = np.random.default_rng(7)
    vessels = ndimage.gaussian_filter(rng.normal(size=brain.shape), 1.2)
    sulci = ndimage.binary_dilation(plain.groups == CODE["csf"]) & brain
    bright = rim | (sulci & (vessels > 1.3 * vessels.std()))
    middle = np.zeros_like(brain)
    hit = np.argwhere(brain)
    x, z = int(hit[:, 0].mean()), hit[:, 2].max()
    middle[x - 2 : x + 3, hit[:, 1].min() : hit[:, 1].max(), z - 2 : z + 2] = True
    lateral = ndimage.binary_erosion(plain.groups == CODE["lateral_ventricle"])
    plexus = lateral & (vessels > 1.0 * vessels.std())
    out = np.where(bright | middle | plexus, level * white, plain.volume)
    return ndimage.gaussian_filter(out, 0.4).astype(np.float32)


def sphere(plain: Plain) -> NDArray[np.float32]:
    """Return a phantom: a ball of water with a few inserts."""
    shape = plain.volume.shape
    axes = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    out = np.where(radius < 42, 800.0, 0.0)
    for k in range(8):
        at = 22 * np.array([math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)])
        out[(np.hypot(axes[0] - at[0], axes[1] - at[1]) < 6) & (radius < 40)] = 200 + 100 * k
    noise = np.random.default_rng(2).normal(0, 12, (2, *shape))
    return np.hypot(out + noise[0], noise[1]).astype(np.float32)


def flair(plain: Plain) -> Image | None:
    """Return the subject's FLAIR, or that of the first subject."""
    for name in (plain.name, "sub-A01"):
        path = plain.folder / "brain" / name / f"anat/{name}_FLAIR.nii.gz"
        if path.exists():
            return nib.load(path)
    return None


def thorax(plain: Plain) -> Image:
    """Return a PET of another organ, on its own grid."""
    values = np.fromfile(plain.folder / "pet_thorax" / "FDG_g1.v", dtype="<f4")
    volume = ndimage.zoom(values.reshape((155, 155, 15), order="F"), (1, 1, 4), order=1)
    return stored(volume.astype(np.float32), np.diag([3.129, 3.129, 3.0, 1.0]))


def mirrored_sform(v: NDArray[Any], a: NDArray[Any], las: NDArray[Any]) -> Image:
    """Return an image whose sform alone is mirrored."""
    image = stored(v, a)
    sform = las @ a
    image.set_sform(sform, code=1)
    return image


def sform_ones(v: NDArray[Any], a: NDArray[Any]) -> Image:
    """Return an image whose sform has steps of 1."""
    image = stored(v, a)
    sform = np.eye(4)
    sform[:3, 3] = a[:3, 3]
    zooms = image.header["pixdim"][1:4].copy()
    image.set_sform(sform, code=1)
    image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = zooms
    return image


def same_values(image: Image | None) -> Image:
    """Return the same values with a plain header."""
    if image is None:
        raise SubjectError("no_images", "no FLAIR in the data")
    return stored(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def tilted(affine: NDArray[Any], degrees: float) -> NDArray[Any]:
    """Return an affine of a head that nods."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
    return np.asarray(turn @ affine)


def ct(p: Plain) -> NDArray[np.float32]:
    """Return something like a CT."""
    head, brain = head_of(p.volume), brain_of(p)
    skull = ndimage.binary_dilation(brain, iterations=4) & ~ndimage.binary_dilation(brain) & head
    out = np.where(head, 20.0, -1000.0)
    levels = tissue_image(p, {"white": 0.030, "grey": 0.037, "fluid": 0.008}, rest=0.02)
    out = np.where(brain, levels, out)
    out[skull] = 1000
    noise = np.random.default_rng(4).normal(0, 4, out.shape)
    return (ndimage.gaussian_filter(out, 0.4) + noise).astype(np.float32)


def bare(p: Plain) -> NDArray[np.float32]:
    """Return the tissue alone, without fluid around it."""
    tissue = (p.groups > 0) & (p.groups != CODE["csf"])
    return np.where(ndimage.binary_fill_holes(tissue), p.volume, 0).astype(np.float32)


def defaced(p: Plain, *, deep: bool = False) -> NDArray[np.float32]:
    """Return a scan without its face, or with part of the brain gone."""
    out = p.volume.copy()
    hit = np.argwhere(brain_of(p))
    low, high = hit.min(axis=0), hit.max(axis=0)
    y = high[1] - (12 if deep else 0)
    z = low[2] + (high[2] - low[2]) * (0.55 if deep else 0.35)
    out[:, int(y if deep else (low[1] + high[1]) / 2 + 20) :, : int(z)] = 0
    if not deep:
        mask = ndimage.binary_dilation(brain_of(p), iterations=2)
        out = np.where(mask, p.volume, out)
    return out


def cropped(
    p: Plain, axis: int, *, top: float = 0, bottom: float = 0, blank: bool = False
) -> Image:
    """Cut planes off, so that so many mm of the brain are gone; or set them to 0."""
    hit = np.argwhere(brain_of(p))[:, axis]
    step = float(np.linalg.norm(p.affine[:3, axis]))
    start = int(hit.min() + bottom / step) if bottom else 0
    stop = int(hit.max() - top / step) + 1 if top else p.volume.shape[axis]
    keep = [slice(None)] * 3
    keep[axis] = slice(start, stop)
    if blank:
        out = np.zeros_like(p.volume)
        out[tuple(keep)] = p.volume[tuple(keep)]
        return stored(out, p.affine)
    affine = p.affine.copy()
    affine[:3, 3] += affine[:3, axis] * start
    return stored(p.volume[tuple(keep)], affine)


def clipped(p: Plain) -> NDArray[np.uint8]:
    """Return a scan in 8 bits whose white matter is cut off."""
    white = float(np.median(p.volume[p.groups == CODE["cerebral_white"]]))
    return np.clip(255 * p.volume / (0.95 * white), 0, 255).astype(np.uint8)


def noisy(v: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return a scan with Rician noise."""
    noise = np.random.default_rng(6).normal(0, share * np.percentile(v, 99), (2, *v.shape))
    return np.hypot(v + noise[0], noise[1]).astype(np.float32)


def grey_map(p: Plain) -> NDArray[np.float32]:
    """Return a map of the probability of grey matter."""
    names = [g.name for g in GROUPS if g.name.endswith("_grey")]
    mask = np.isin(p.groups, [CODE[n] for n in names])
    return ndimage.gaussian_filter(mask.astype(np.float32), 0.7)


def mp2rage(p: Plain, part: str) -> NDArray[Any]:
    """Return one of the images of an MP2RAGE: uni, inv1 or inv2."""
    rng = np.random.default_rng(9)
    if part == "uni":
        flat = p.volume / bias(p.volume.shape, 1.0)
        out = 4095 * np.clip(flat / np.percentile(flat, 99.5), 0, 1)
        air = ~head_of(p.volume)
        out[air] = rng.uniform(0, 4095, int(air.sum()))
        return out.astype(np.int16)
    if part == "inv1":
        return tissue_image(p, {"white": 0.5, "grey": 0.15, "fluid": 0.7}, rest=0.4)
    return tissue_image(p, {"white": 0.95, "grey": 0.9, "fluid": 0.7}, rest=0.9)


def shuffled(v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a scan of which 20 slices lie in reverse order."""
    out = v.copy()
    middle = v.shape[2] // 2
    out[:, :, middle : middle + 20] = v[:, :, middle : middle + 20][:, :, ::-1]
    return out


def interleaved(v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a scan whose even slices come before the odd ones."""
    order = [*range(0, v.shape[2], 2), *range(1, v.shape[2], 2)]
    return np.ascontiguousarray(v[:, :, order])


def lesion(p: Plain) -> NDArray[np.float32]:
    """Return a scan with a large cyst on the right."""
    hit = np.argwhere(brain_of(p))
    centre = hit.mean(axis=0) + [16, 6, 8]
    axes = np.meshgrid(*[np.arange(n) for n in p.volume.shape], indexing="ij")
    near = sum((x - c) ** 2 for x, c in zip(axes, centre, strict=True)) < 11**2
    fluid = float(np.median(p.volume[p.groups == CODE["lateral_ventricle"]]))
    return np.where(near & brain_of(p), fluid, p.volume).astype(np.float32)
