"""How the shipped models of motion are made: networks that register two phases of a slice."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from popscan.arrays.intensity import black_and_white
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.register import register
from popscan.register.learned import save_pairs
from popscan.register.measures import measure_pairs, summarise
from popscan.train.loop import fit
from popscan.train.packs import Case, build_pack
from popscan.train.recipe import Recipe, load_recipe

#: Architecture -> method, and what the card says of the network.
_NETWORKS = {
    "pairs": ("voxelmorph", "in one pass", "U-Net"),
    "gradirn": (
        "gradirn",
        "in a few steps down the gradient of the images' distance",
        "one small U-Net of the velocity per level of resolution",
    ),
    "vr_net": (
        "vr_net",
        "in a few steps of variable splitting",
        "one small residual U-Net of the velocity per step",
    ),
}
CARD = """# Model card: {name}

Registers one phase of a short-axis cine slice with another, {how} (method `{method}`,
docs/registration.md). For research, not for diagnosis.

- **In**: two slices of one scan, intensities of about 0 to 1, resampled to 1.5 mm; a map of how
  stiff the field should be, 0.01 to 0.64.
- **Out**: a stationary velocity at 6 mm, antisymmetric in the two images.
- **Network**: {network}, {parameters:,} parameters. Weights: safetensors, float16 on disk. Nothing
  in this folder can run code.
- **Trained on**: end-diastole and end-systole of the {patients} training patients of cine_sax
  (ACDC, Bernard et al., IEEE TMI 2018, doi:10.1109/TMI.2018.2837502, one hospital, one
  manufacturer, CC BY-NC-SA 4.0; see the challenge's terms before using this model commercially),
  {steps} steps, recipe {recipe}. Expert labels were part of the loss, and are not needed
  afterwards.
- **Measured on**: the {n_validation} validation patients of cine_sax, which took no part:
  end-systole onto end-diastole of whole slices, mean Dice of RV, myocardium and LV {dice:.3f}
  (unregistered {dice_before:.3f}), mean over the worst 30% {robust_dice:.3f}, HD95
  {hd95_mm:.1f} mm. Beside other methods: `benchmarks/registration.py`.
- **Limits**: pairs were always the two ends of the motion; smaller motion, other views, scars,
  other contrasts and other manufacturers were not in training. ACDC records neither sex nor race
  nor age.
"""


def train_motion(acdc: Sequence[Case], *, recipe: str | Recipe, work: Path, out: Path) -> Path:
    """Train a shipped model of motion again; 10 to 30 minutes on one core.

    Parameters
    ----------
    acdc
        The 70 patients, each with its ``group`` attribute and ``ED, ES`` as frame labels.
    recipe
        ``motion_cine``, ``motion_gradirn``, ``motion_vr_net``, or one of your own.
    work
        Folder for checkpoints; called again after an interruption, it goes on from there.
    out
        Folder of the model.

    Returns
    -------
    `out`.
    """
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    train, validation = split_acdc(acdc)
    pack = build_pack(train, spacing_mm=chosen.spacing_mm)
    network = fit(chosen, {"acdc": pack}, work / chosen.name).averaged
    return export_motion(network, chosen, out=out, n_train=len(train), validation=validation)


def export_motion(
    network: torch.nn.Module, recipe: Recipe, *, out: Path, n_train: int, validation: Sequence[Case]
) -> Path:
    """Write a trained network as a model, with its scores on validation patients."""
    method, how, what = _NETWORKS[recipe.architecture]
    about = {
        "name": recipe.name,
        "arguments": recipe.architecture_arguments,
        "training": {"steps": recipe.steps, "seed": recipe.seed, "patients": n_train},
        "validation": [case.unit for case in validation],
    }
    save_pairs(out, network, about=about, card="", architecture=recipe.architecture)
    scores = _scores(validation, method=method, model=out)
    card = wrapped(CARD.format(
        name=recipe.name, how=how, method=method, network=what,
        parameters=sum(p.numel() for p in network.parameters()), patients=n_train,
        steps=recipe.steps, recipe=recipe.name, n_validation=len(validation), **scores,
    ))  # fmt: skip
    return save_pairs(
        out, network, about={**about, "scores": scores},
        card=card, architecture=recipe.architecture,
    )  # fmt: skip


def wrapped(card: str) -> str:
    """Return the card with its paragraphs and items filled to 100 columns."""
    text = ""
    for part in re.split(r"\n(?=- )|\n\n", card.strip()):
        item = part.startswith("- ")
        filled = textwrap.fill(" ".join(part.split()), 100, subsequent_indent="  " if item else "")
        text += filled + ("\n" if item else "\n\n")
    return text


def _scores(cases: Sequence[Case], *, method: str, model: Path) -> dict[str, float]:
    """Return mean measures of the second labelled frame onto the first."""
    names = {int(label): name for label, name in STRUCTURES.items()}
    rows = []
    for case in cases:
        fixed, moving = case.labels.frames[:2]
        low, high = black_and_white(case.scan.array[..., fixed])
        images = [
            np.clip((case.scan.array[None, ..., f] - low) / (high - low), -0.5, 2)
            for f in (fixed, moving)
        ]
        labels = [case.labels.array[None, ..., f] for f in (fixed, moving)]
        warp = register(
            images[0], images[1], method=method, spacing_mm=case.scan.spacing_mm, in_plane=True,
            model=str(model),
        )  # fmt: skip
        measured = measure_pairs(
            warp, fixed_labels=labels[0], moving_labels=labels[1], structures=names
        )
        still = measure_pairs(
            type(warp).identity(1, labels[0].shape[1:], spacing_mm=warp.spacing_mm),
            fixed_labels=labels[0], moving_labels=labels[1], structures=names,
        )  # fmt: skip
        rows.append(measured.assign(method=method, dice_before=still["dice"]))
    table = pd.concat(rows)
    mean = summarise(table.drop(columns="dice_before")).iloc[0]
    kept = {name: float(mean[name]) for name in ("dice", "robust_dice", "hd95_mm")}
    kept["dice_before"] = float(table["dice_before"].mean())
    return {name: round(value, 3) for name, value in kept.items()}
