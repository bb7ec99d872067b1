"""ACDC's patients at a coarse spacing, and the small network that benchmarks/recipes.py trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.records import SubjectError
from popscan.train.packs import Case, Pack, build_pack, read_pack, write_pack
from popscan.train.recipe import Recipe, parse_recipe
from recipes_shared import joined, shapes, tiny
from segmentation import acdc_cases

#: Spacing (mm) and side (pixels) of the patches: the heart and little else.
SPACING_MM, SIDE = 3.0, 48
#: Name of the simulated discs and squares as a source of data.
SHAPES = "shapes"


@dataclass(frozen=True)
class Setting:
    """Where the patients are, how many are trained on (0 for all), and for how many steps.

    `kept` is a folder for packs, so that the next call of this script need not make them.
    """

    root: Path
    kept: Path
    n: int
    steps: int


def small(at: Setting, seed: int, **values: Any) -> Recipe:
    """Return the recipe that all variants share."""
    if at.root.name == SHAPES:
        return tiny(seed, steps=at.steps, **values)
    plain = {
        "name": "small", "seed": seed, "architecture": "unet", "patch": SIDE, "batch": 12,
        "architecture_arguments": {"channels": [8, 16, 32, 64], "residual_units": 2},
        "steps": at.steps, "spacing_mm": SPACING_MM, "learning_rate": 5e-3, "warmup_steps": 20,
        "autocast": False, "ema_decay": 0.98, "checkpoint_every": 10**6,
    }  # fmt: skip
    return parse_recipe(plain | values)


@lru_cache(maxsize=1)
def patients(root: Path) -> tuple[list[Case], list[Case]]:
    """Return training and validation patients, without those that cannot be read."""
    try:
        return split_acdc(acdc_cases(root))
    except SubjectError as error:
        raise SystemExit(str(error)) from error


@lru_cache(maxsize=4)
def packs_of(at: Setting) -> tuple[Pack, Pack, Pack]:
    """Return the packs of the first and second half of the training patients, and validation."""
    if at.root.name == SHAPES:
        n = at.n // 2 or 30
        seen = [shapes(n, seed=10 + flat, flat=bool(flat)) for flat in (1, 0)]
        unseen = [shapes(20, seed=99 + flat, flat=bool(flat)) for flat in (1, 0)]
        return seen[0], seen[1], joined(*unseen)
    first, second, unseen = kept_packs(at)
    return first, second, cut(unseen)


def kept_packs(at: Setting) -> tuple[Pack, Pack, Pack]:
    """Return the packs of both halves of the training patients and of validation, not cut."""
    names = [
        at.kept / f"{at.root.name}-{part}-{at.n}.npz" for part in ("first", "second", "unseen")
    ]
    if not all(path.exists() for path in names):
        train, validation = patients(at.root)
        rng = np.random.default_rng(0)
        chosen = [train[i] for i in rng.permutation(len(train))[: at.n or len(train)]]
        at.kept.mkdir(parents=True, exist_ok=True)
        for path, part in zip(names, (chosen[::2], chosen[1::2], validation), strict=True):
            write_pack(path, build_pack(part, spacing_mm=SPACING_MM, size=SIDE + 16))
    first, second, unseen = (read_pack(path) for path in names)
    return first, second, unseen


def cut(pack: Pack, *, side: int = SIDE) -> Pack:
    """Return the middle of every slice, as large as a patch."""
    low = (pack.images.shape[1] - side) // 2
    part = (slice(None), slice(low, low + side), slice(low, low + side))
    return replace(pack, images=pack.images[part], labels=pack.labels[part])
