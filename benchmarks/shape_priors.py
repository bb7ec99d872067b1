"""What shape priors do: Dice and the share of anatomically impossible slices.

    python benchmarks/shape_priors.py [--steps 150] [--seed 0]

Every loss fine-tunes the first member of a bundle for as many steps, with the same slices in the
same order; `dice_ce` is the control. Then the patients that the bundle names as its validation
subjects are segmented with and without keeping the largest components. A slice is impossible if it
breaks a law of `popscan.arrays.anatomy`; the experts' own share stands beside it. Reads
``$POPSCAN_DATA/acdc`` (by default ``../shared/data/acdc``); needs gudhi for the topology loss.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from popscan.arrays.anatomy import impossible_slices
from popscan.records import Label
from popscan.segment import load_bundle
from popscan.train.evaluate import draft_bundle, mean_dice, score_case
from popscan.train.loop import fit
from popscan.train.packs import Case, Pack, build_pack
from popscan.train.recipe import Recipe
from popscan.train.sampler import Sampler
from popscan.train.shape_code import train_shape_coder
from segmentation import acdc_cases

ROOT = Path(__file__).resolve().parents[1]


def share(flags: list[np.ndarray]) -> float:
    """Return the share of true flags over all cases, in percent."""
    return 100.0 * float(np.concatenate(flags).mean())


def impossible(labels: np.ndarray, frames: tuple[int, ...]) -> np.ndarray:
    """Return for every labelled slice of the labelled frames whether it is impossible."""
    kept = labels[..., list(frames)]
    labelled = (kept != int(Label.BACKGROUND)).any(axis=(0, 1))
    return impossible_slices(kept)["any"][labelled]


def judge(recipe: Recipe, network: torch.nn.Module, cases: list[Case]) -> str:
    """Return Dice and impossible slices with and without the largest components."""
    cells = []
    for largest in (False, True):
        rows: list[dict[str, Any]] = []
        flags = []
        for case in cases:
            bundle = draft_bundle(recipe, network)
            scored, found = score_case(case, bundle=bundle, largest_component=largest)
            rows += scored
            flags.append(impossible(found.labels, case.labels.frames))
        cells.append(f"{mean_dice(pd.DataFrame(rows)):.4f}  {share(flags):5.1f} %")
    return "     ".join(cells)


def finetune(recipe: Recipe, pack: Pack, init: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return the network after the recipe's steps, its average where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(recipe, {"acdc": pack}, Path(folder), init=init, quiet=True).averaged


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "cine_sax")
    parser.add_argument("--data", type=Path, default=None, help="folder that holds acdc/")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--coder-steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    default = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    cases = acdc_cases((arguments.data or default) / "acdc")
    bundle = load_bundle(arguments.model, "cpu")
    held_out = set(bundle.about["validation"]["subjects"])
    unseen = [c for c in cases if c.unit in held_out and not bundle.was_trained_on(c.unit)]
    pack = build_pack([c for c in cases if bundle.was_trained_on(c.unit)])
    member = bundle.about["members"][0]
    base = Recipe(
        name="shape-priors",
        seed=arguments.seed,
        architecture=member["architecture"],
        architecture_arguments=member["arguments"],
        spacing_mm=bundle.spacing_mm,
        patch=bundle.patch,
        batch=arguments.batch,
        steps=arguments.steps,
        learning_rate=2e-4,
        warmup_steps=10,
        ema_decay=0.97,
    )
    expert = share([impossible(c.labels.array, c.labels.frames) for c in unseen])
    print(f"{len(unseen)} unseen patients; impossible slices of the experts: {expert:.1f} %")
    head = "Dice    impossible"
    print(f"{'':12s} {'all pieces':22s} largest pieces only\n{'':12s} {head:22s} {head}")
    with tempfile.TemporaryDirectory() as folder:
        coder = Path(folder) / "coder.safetensors"
        sampler = Sampler.of(base, {"acdc": pack})
        train_shape_coder(
            sampler, coder, patch=base.patch, steps=arguments.coder_steps, seed=arguments.seed
        )
        losses: dict[str, dict[str, Any]] = {
            "dice_ce": {},
            "boundary": {},
            "topology": {"weight": 0.2, "slices": 4},
            "shape_code": {"encoder": str(coder), "weight": 0.1},
        }
        init = bundle.networks[0].state_dict()
        print(f"{'as shipped':12s} {judge(base, bundle.networks[0], unseen)}", flush=True)
        for name, options in losses.items():
            recipe = Recipe(**{**vars(base), "loss": name, "loss_arguments": options})
            print(f"{name:12s} {judge(base, finetune(recipe, pack, init), unseen)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
