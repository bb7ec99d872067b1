"""What the parts of benchmarks/recipes.py share: simulated images, a training, Dice."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from popscan.segment.known import subject_of
from popscan.train.loop import fit
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.recipe import Recipe, parse_recipe

Values = dict[str, float]
#: Augmentation that changes nothing but what a recipe adds.
STILL = dict.fromkeys(
    ("turn_any", "turn_deg", "shift_px", "gamma", "contrast", "bias", "noise", "blur", "elastic",
     "low_resolution", "invert", "random_convolution", "ghost"), 0,
)  # fmt: skip


def shapes(n: int, *, seed: int, flat: bool) -> Pack:
    """Return images (32, 32) with a bright disc and a dark square, labels 1 and 2."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:32, :32]
    images, labels = np.zeros((n, 32, 32)), np.zeros((n, 32, 32), np.uint8)
    for i in range(n):
        (a, b), (c, d) = rng.integers(8, 24, 2), rng.integers(8, 24, 2)
        labels[i][np.hypot(x - a, y - b) < 5] = 1
        labels[i][(abs(x - c) < 4) & (abs(y - d) < 4) & (labels[i] == 0)] = 2
        images[i] = 0.5 * (labels[i] == 1) - 0.5 * (labels[i] == 2)
        images[i] += 0.15 * rng.normal(size=(32, 32)) + (0 if flat else 0.4 * np.sin(2.0 * x))
    return Pack(
        images=(images * INTENSITY_SCALE).astype(np.int16),
        labels=labels,
        unit=np.array([f"{flat}{i}" for i in range(n)]),
        frame=np.zeros(n, np.int32),
        slice_index=np.zeros(n, np.int32),
        usable=np.ones(n, bool),
        spacing_mm=1.5,
    )


def joined(first: Pack, second: Pack) -> Pack:
    """Return two packs as one."""
    names = ("images", "labels", "unit", "frame", "slice_index", "usable")
    both = {name: np.concatenate([getattr(p, name) for p in (first, second)]) for name in names}
    return Pack(**both, spacing_mm=first.spacing_mm)


def dice(network: torch.nn.Module, pack: Pack, labels: Mapping[str, int]) -> Values:
    """Return the mean Dice of each label over the subjects whose reference has it."""
    images = torch.from_numpy(pack.images).float()[:, None] / INTENSITY_SCALE
    with torch.inference_mode():
        found = torch.cat([network.eval()(part).argmax(dim=1) for part in images.split(64)]).numpy()
    people = np.array([subject_of(unit) for unit in pack.unit.tolist()])
    scores: dict[str, list[float]] = {name: [] for name in labels}
    for person in sorted(set(people.tolist())):
        rows = people == person
        for name, label in labels.items():
            p, t = found[rows] == label, pack.labels[rows] == label
            if t.any():
                scores[name].append(float(2 * (p & t).sum() / (p.sum() + t.sum())))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def trained(recipe: Recipe, packs: Mapping[str, Pack]) -> tuple[torch.nn.Module, float]:
    """Return the averaged network and the CPU seconds of its training."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        network = fit(recipe, packs, Path(folder), quiet=True).averaged
    return network, time.process_time() - begun


def tiny(seed: int, **values: Any) -> Recipe:
    """Return the recipe that all variants of the shapes share."""
    plain = {
        "name": "shapes", "seed": seed, "architecture": "unet", "patch": 32, "batch": 12,
        "architecture_arguments": {"channels": [8, 16], "residual_units": 1}, "steps": 120,
        "learning_rate": 1e-2, "warmup_steps": 5, "autocast": False, "ema_decay": 0.9,
        "checkpoint_every": 10**6, "labels": ["disc", "square"],
        "augmentation": STILL | {"scale": [1, 1]},
    }  # fmt: skip
    return parse_recipe(plain | values)
