"""Squares around the labels, seen in place of whole images, and their way back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.resampling import Window
from popscan.segment.preprocess import normalise
from popscan.train.packs import INTENSITY_SCALE, Pack

Centre = tuple[float, float]


def label_centres(labels: NDArray[np.uint8], unit: NDArray[np.str_]) -> dict[str, Centre]:
    """Return the middle of the box around each subject's labels; of the image where none is."""
    centres = {}
    for name in dict.fromkeys(unit.tolist()):
        inside = (labels[unit == name] != 0).any(axis=0)
        if inside.any():
            xs, ys = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            centres[name] = (float(xs[0] + xs[-1]) / 2, float(ys[0] + ys[-1]) / 2)
        else:
            centres[name] = ((labels.shape[1] - 1) / 2, (labels.shape[2] - 1) / 2)
    return centres


def crop(pack: Pack, size: int, centres: Mapping[str, Centre]) -> Pack:
    """Return squares of `size` around each subject's centre, normalised anew.

    What lies outside of them no longer has a say in how bright the rest is.
    """
    images = np.zeros((len(pack), size, size), np.int16)
    labels = np.zeros((len(pack), size, size), np.uint8)
    for name, centre in centres.items():
        own = pack.unit == name
        window = Window.around(centre, (size, size))
        seen = window.cut(torch.from_numpy(pack.images[own]).float()).numpy()
        images[own] = (normalise(seen) * INTENSITY_SCALE).round().astype(np.int16)
        labels[own] = window.cut(torch.from_numpy(pack.labels[own])).numpy()
    return replace(pack, images=images, labels=labels)


def uncrop(
    found: NDArray[np.uint8], whole: Pack, centres: Mapping[str, Centre]
) -> NDArray[np.uint8]:
    """Return labels found in crops of `whole` on its own grid; background outside of them."""
    full = np.zeros(whole.labels.shape, np.uint8)
    size = (found.shape[1], found.shape[2])
    shape = (whole.labels.shape[1], whole.labels.shape[2])
    for name, centre in centres.items():
        own = np.flatnonzero(whole.unit == name)
        window = Window.around(centre, size)
        full[own] = window.paste(torch.from_numpy(found[own]), shape).numpy()
    return full


def centre_distance(a: Mapping[str, Centre], b: Mapping[str, Centre]) -> float:
    """Mean distance of two sets of centres, in pixels."""
    return round(float(np.mean([math.dist(a[name], b[name]) for name in a])), 3)
