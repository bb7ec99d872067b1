"""What the fields of a recipe bring on simulated images: seconds a run (benchmarks/recipes.py)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from popscan.segment.features import Tap
from popscan.segment.uncertainty import predictive_entropy
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.private import LEAST_SEED, epsilon
from popscan.train.suggest import suggest
from recipes_shared import Values, dice, joined, shapes, tiny, trained

#: Variant -> noise multiplier and more; no noise trains as usual, without clipping.
PRIVATE: dict[str, dict[str, float]] = {
    "not private": {"noise": 0.0},
    **{f"noise {noise}": {"noise": float(noise)} for noise in (1, 2, 4)},
    "noise 1, bias-aware 0.02": {"noise": 1.0, "bias_aware": 0.02},
    "noise 1, bias-aware 0.1": {"noise": 1.0, "bias_aware": 0.1},
    "noise 4, bias-aware 0.02": {"noise": 4.0, "bias_aware": 0.02},
    "noise 4, bias-aware 0.1": {"noise": 4.0, "bias_aware": 0.1},
}
N_SUBJECTS, SMALL = 150, 0.1
SUGGEST = [f"{how} {n}" for how in ("suggested", "random") for n in (4, 12)]


def picked(pack: Pack, rows: np.ndarray) -> Pack:
    """Return some images of a pack."""
    names = ("images", "labels", "unit", "frame", "slice_index", "usable")
    return replace(pack, **{name: getattr(pack, name)[rows] for name in names})


def faint(pack: Pack) -> Pack:
    """Return images in which the disc is darker than the ground, the square fainter."""
    images = pack.images.astype(float)
    images[pack.labels == 1] -= 0.75 * INTENSITY_SCALE
    images[pack.labels == 2] += 0.25 * INTENSITY_SCALE
    units = np.array([f"f{unit}" for unit in pack.unit.tolist()])
    return replace(pack, images=images.astype(np.int16), unit=units)


def run_private(variant: str, seed: int) -> Values:
    """Train privately on two groups that look otherwise, one of them small; Dice of both, unseen.

    The small group is on a striped ground, or has another contrast.
    """
    n_small = round(SMALL * N_SUBJECTS)
    large = shapes(N_SUBJECTS - n_small, seed=10 + seed, flat=True)
    kind, _, how = variant.partition(", ")
    small = KINDS[kind](n_small, 50 + seed)
    private = {
        "clip": 1.0, "sampling_rate": 0.12, "slices": 1, "delta": 0.5 / N_SUBJECTS,
    } | PRIVATE[how]  # fmt: skip
    recipe = tiny(
        LEAST_SEED + seed, steps=120, batch=18, private=private,
        architecture_arguments={"channels": [6, 12], "residual_units": 1},
    )  # fmt: skip
    network, cpu_s = trained(recipe, {"all": joined(large, small)})
    unseen = {"large": shapes(40, seed=99, flat=True), "small": KINDS[kind](40, 98)}
    scores = {name: dice(network, pack, recipe.codes) for name, pack in unseen.items()}
    noisy = recipe.private.noise > 0
    spent = epsilon(recipe.private, steps=recipe.steps) if noisy else math.inf
    means = {name: float(np.mean(list(values.values()))) for name, values in scores.items()}
    return {"epsilon": spent, **means, "gap": means["large"] - means["small"], "cpu_s": cpu_s}


#: What a small group is like -> its images by number and seed.
KINDS = {
    "striped": lambda n, seed: shapes(n, seed=seed, flat=False),
    "other contrast": lambda n, seed: faint(shapes(n, seed=seed, flat=True)),
}
PRIVATE_RUNS = [f"{kind}, {how}" for kind in KINDS for how in PRIVATE]


def mixture(counts: tuple[int, int, int], *, seed: int) -> Pack:
    """Return so many images on a flat ground, on a striped one, and of another contrast."""
    flat, striped, other = counts
    parts = [
        shapes(flat, seed=seed, flat=True),
        shapes(striped, seed=seed + 1, flat=False),
        faint(shapes(other, seed=seed + 2, flat=True)),
    ]
    return joined(joined(*parts[:2]), parts[2])


def looked_at(network: torch.nn.Module, pack: Pack) -> tuple[np.ndarray, np.ndarray]:
    """Return entropy near the structures (n,) and pooled features (n, feature) of images."""
    images = torch.from_numpy(pack.images).float()[:, None] / INTENSITY_SCALE
    with torch.inference_mode(), Tap(network.eval()) as tap:
        probabilities = network(images).softmax(dim=1)
        features = tap.features()
    inside = (probabilities.argmax(dim=1) > 0).float()
    entropy = (predictive_entropy(probabilities.clone()) * inside).sum(dim=(1, 2))
    return (entropy / inside.sum(dim=(1, 2))).double().numpy(), features.double().numpy()


def run_suggest(variant: str, seed: int) -> Values:
    """Choose images of a pool to label, train on them and the first four; Dice by kind."""
    how, n = variant.split()
    pool, first = mixture((90, 20, 10), seed=100 + 10 * seed), shapes(4, seed=7 + seed, flat=True)
    network, spent = trained(tiny(seed, steps=80), {"first": first})
    if how == "random":
        rows = np.random.default_rng(seed).permutation(len(pool))[: int(n)]
    else:
        unsure, features = looked_at(network, pool)
        names = [str(i) for i in range(len(pool))]
        labelled = looked_at(network, first)[1]
        table = suggest(
            names, unsure, features, n=int(n), seed=seed,
            labelled=[f"first {i}" for i in range(4)], labelled_features=labelled,
        )  # fmt: skip
        rows = table.loc[table["chosen"], "unit"].astype(int).to_numpy()
    network, cpu_s = trained(tiny(seed, steps=150), {"all": joined(first, picked(pool, rows))})
    kinds = dict(zip(("flat", "striped", "other_contrast"), np.eye(3, dtype=int) * 30, strict=True))
    scores = {
        name: dice(network, mixture(tuple(counts.tolist()), seed=900), {"disc": 1, "square": 2})
        for name, counts in kinds.items()
    }
    means = {name: float(np.mean(list(v.values()))) for name, v in scores.items()}
    return {"mean": float(np.mean(list(means.values()))), **means, "cpu_s": cpu_s + spent}
