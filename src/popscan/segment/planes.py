"""Volumes of any label set, from 2D networks over the slices of three planes.

After FastSurferCNN (Henschel et al. 2020, doi:10.1016/j.neuroimage.2020.117012): every slice is
seen with its neighbours, axial, coronal and sagittal slices each by themselves, and the three
probabilities of a voxel are averaged. Here one network serves all planes; it knows no sides, so a
volume and its mirror image may be averaged, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.cuts import PLANES
from popscan.arrays.intensity import black_and_white
from popscan.arrays.resampling import resampling_matrix
from popscan.records import Scan, SubjectError
from popscan.segment.bundle import Bundle
from popscan.segment.calibration import temperature_of
from popscan.segment.devices import pick_precision
from popscan.segment.features import Tap
from popscan.segment.inputs import check_scan
from popscan.segment.networks import context_slices, seen_by, stride
from popscan.segment.preprocess import scaled

Box = tuple[slice, slice, slice]

#: Voxels kept around what the first look sees, and every how many slices it looks.
_MARGIN, _STEP = 8, 4
#: Larger volumes (voxels along an axis, at the network's spacing) are no patient.
_LARGEST = 512
#: Slices in one batch.
_BATCH = {"cpu": 8, "gpu": 64}


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What a network says of a volume, on the grid that it sees.

    Attributes
    ----------
    probabilities : Tensor, shape (label, x, y, z)
        Within `box`; 1 for background elsewhere.
    box
        Where, on a grid of `shape`.
    shape
        Voxels of the network's grid, which covers the field of view of the scan.
    black, white
        Intensities that count as 0 and 1.
    features : ndarray of float32, shape (slice, feature), or None
        Pooled features of the slices of all planes (`popscan.segment.features`), where asked for.
    """

    probabilities: torch.Tensor
    box: Box
    shape: tuple[int, int, int]
    black: float
    white: float
    features: NDArray[np.float32] | None = None


def _resampled(volume: torch.Tensor, shape: Sequence[int], *, mode: str) -> torch.Tensor:
    """Resample (x, y, z) to `shape` along each axis, field of view to field of view."""
    for axis, n in enumerate(shape):
        if volume.shape[axis] != n:
            matrix = resampling_matrix(volume.shape[axis], n, mode=mode, antialias=True)
            volume = torch.tensordot(matrix.to(volume), volume, dims=([1], [axis])).movedim(0, axis)
    return volume


def network_grid(scan: Scan, spacing_mm: float) -> tuple[int, int, int]:
    """Return how many voxels of `spacing_mm` cover the field of view along each axis.

    Raises
    ------
    SubjectError
        ``bad_spacing`` where they are more than any patient has.
    """
    size = [
        max(1, round(n * s / spacing_mm))
        for n, s in zip(scan.array.shape[:3], scan.spacing_mm, strict=True)
    ]
    if max(size) > _LARGEST:
        raise SubjectError(
            "bad_spacing",
            f"{scan.array.shape[:3]} voxels of {scan.spacing_mm} mm are "
            f"{max(size) * spacing_mm / 1000:.1f} m",
        )
    return (size[0], size[1], size[2])


class _Planes:
    """A bundle's networks on the slices of one volume."""

    def __init__(self, bundle: Bundle, *, batch: int, precision: torch.dtype) -> None:
        self.bundle, self.precision = bundle, precision
        self.batch = batch or _BATCH["cpu" if bundle.device.type == "cpu" else "gpu"]
        self.context = max(context_slices(arguments) for arguments in bundle.arguments)
        self.multiple = max(stride(arguments) for arguments in bundle.arguments)
        self.tap: Tap | None = None
        self.pooled: list[torch.Tensor] = []

    def slices(self, volume: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        """Return probabilities (n, label, a, b) of slices along the last axis of a volume."""
        a, b, n = volume.shape
        # The deepest level normalises over pixels: it needs more than one.
        sides = [
            math.ceil(max(side, 2 * self.multiple) / self.multiple) * self.multiple
            for side in (a, b)
        ]
        stack = volume.new_zeros(n, *sides)
        stack[:, :a, :b] = volume.movedim(2, 0)
        reach = torch.arange(-self.context, self.context + 1)
        found = []
        for start in range(0, len(chosen), self.batch):
            index = torch.tensor(chosen[start : start + self.batch])
            near = (index[:, None] + reach).clamp(0, n - 1)
            if self.tap is not None:
                self.tap.restart()
            found.append(self._ask(stack[near])[:, :, :a, :b])
            if self.tap is not None:
                self.pooled.append(self.tap.features().cpu())
        return torch.cat(found)

    def _ask(self, images: torch.Tensor) -> torch.Tensor:
        device, total = self.bundle.device, torch.zeros(())
        for network, arguments in zip(self.bundle.networks, self.bundle.arguments, strict=True):
            low = self.precision != torch.float32
            with torch.autocast(device.type, dtype=self.precision, enabled=low):
                scores = network(seen_by(images, arguments).to(device))
            total = total + scores.float().softmax(dim=1).cpu()
        return total / len(self.bundle.networks)


def _box_of(inside: NDArray[np.bool_], least: int) -> Box | None:
    """Return the box around what is inside, with a margin; None for less than `least` voxels."""
    if np.count_nonzero(inside) < least:
        return None
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        first = max(0, int(hit[0]) - _MARGIN)
        spans.append(slice(first, min(inside.shape[axis], int(hit[-1]) + 1 + _MARGIN)))
    return (spans[0], spans[1], spans[2])


def _look(volume: torch.Tensor, planes: _Planes) -> Box:
    """Return where the structures are, from some slices of two planes; all where they are not."""
    whole: Box = (slice(0, volume.shape[0]), slice(0, volume.shape[1]), slice(0, volume.shape[2]))
    inside = np.zeros(volume.shape, dtype=bool)
    for name in ("coronal", "sagittal"):
        axes = PLANES[name]
        turned = volume.permute(axes)
        chosen = list(range(_STEP // 2, turned.shape[2], _STEP))
        if not chosen:
            continue
        probability = 1.0 - planes.slices(turned, chosen)[:, 0]
        inside.transpose(axes)[..., chosen] |= (probability.movedim(0, 2) > 0.5).numpy()
    # Single false voxels would only make the box larger; a brain has thousands.
    return _box_of(inside, least=32) or whole


def predict_volume(
    scan: Scan,
    *,
    bundle: Bundle,
    flips: bool = False,
    batch_slices: int = 0,
    precision: str = "auto",
    features: bool = False,
) -> Volume:
    """Return mean probabilities over three planes of the first frame of a scan.

    Parameters
    ----------
    scan
        A volume (x, y, z, 1) in RAS orientation (`popscan.arrays.cuts.to_ras`), any spacing.
    bundle
        From `load_bundle`; several members are averaged.
    flips
        Average with the mirror image, left for right: twice the work.
    batch_slices
        Slices that go through a network at once; 0 takes what suits the device.
    precision
        As for `popscan.segment.devices.pick_precision`.
    features
        Whether the network's features are taken, too (of the first member).

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite``, ``bad_spacing``.
    """
    check_scan(scan)
    shape = network_grid(scan, bundle.spacing_mm)
    black, white = map(float, black_and_white(scan.array, **bundle.normalisation))
    # A copy: what comes from files may be read-only or in another byte order.
    stored = torch.from_numpy(np.array(scan.array[..., 0], dtype=np.float32))
    volume = _resampled(scaled(stored, low=black, high=white), shape, mode="bicubic")
    planes = _Planes(bundle, batch=batch_slices, precision=pick_precision(precision, bundle.device))
    with torch.inference_mode():
        box = _look(volume, planes)
        part = volume[box]
        with Tap(bundle.networks[0]) if features else nullcontext() as planes.tap:
            total = _average(part, planes)
        planes.tap = None
        if flips:
            total = (total + _average(part.flip(0), planes).flip(1)) / 2
        temperature = temperature_of(bundle.about, flips=flips)
        if temperature != 1.0:
            total = total.clamp_min(1e-12).pow_(1.0 / temperature)
            total /= total.sum(dim=0, keepdim=True)
    return Volume(
        probabilities=total, box=box, shape=shape, black=black, white=white,
        features=torch.cat(planes.pooled).numpy() if planes.pooled else None,
    )  # fmt: skip


def _average(part: torch.Tensor, planes: _Planes) -> torch.Tensor:
    """Return the mean probabilities (label, x, y, z) of the three planes."""
    total = torch.zeros(planes.bundle.n_labels, *part.shape)
    for axes in PLANES.values():
        turned = part.permute(axes)
        found = planes.slices(turned, range(turned.shape[2]))
        total.permute(0, *(a + 1 for a in axes)).add_(found.permute(1, 2, 3, 0))
    return total / len(PLANES)


def on_scan(volume: Volume, shape: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return labels and entropy in nats on the grid of a scan of `shape` (x, y, z).

    Probabilities are resampled one label at a time, so that memory does not grow with their number.
    """
    best = torch.full(tuple(shape), -1.0)
    labels = torch.zeros(tuple(shape), dtype=torch.uint8)
    entropy = torch.zeros(tuple(shape))
    for code, probability in enumerate(volume.probabilities):
        whole = torch.full(volume.shape, 1.0 if code == 0 else 0.0)
        whole[volume.box] = probability
        here = _resampled(whole, shape, mode="bilinear").clamp_(0, 1)
        entropy -= here.clamp_min(1e-12).log_().mul_(here)
        above = here > best
        labels[above] = code
        best = torch.maximum(best, here)
    return labels.numpy(), entropy.clamp_min_(0).numpy()


def sums_of(volume: Volume, names: Sequence[str]) -> dict[str, Any]:
    """Return what the network expects of itself per structure: ``implied_dice_NAME``.

    The Dice that its labels would have, were every voxel's probability right: twice the
    probability within the voxels labelled so, over their number plus all of its probability.
    """
    labels = volume.probabilities.argmax(dim=0)
    values = {}
    for code, name in enumerate(names, start=1):
        inside, probability = labels == code, volume.probabilities[code]
        total = float(inside.sum()) + float(probability.sum())
        dice = 2 * float(probability[inside].sum()) / total if total > 1 else math.nan
        values[f"implied_dice_{name}"] = round(dice, 5)
    return values
