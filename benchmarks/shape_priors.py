"""What shape priors do: Dice and the share of anatomically impossible slices.

    python benchmarks/shape_priors.py [--steps 150] [--seed 0]

Every loss fine-tunes the first member of a bundle for as many steps, with the same slices in the
same order; `dice_ce` is the control. Then the patients that the bundle names as its validation
subjects are segmented with and without keeping the largest components. A slice is impossible if it
breaks a law of `popscan.protocols.cine_sax.anatomy`; the experts' own share stands beside it. Reads
``$POPSCAN_DATA/acdc`` (by default ``../shared/data/acdc``); needs gudhi for the topology loss.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from finetuning import parser_of, start
from popscan.protocols.cine_sax.anatomy import impossible_slices
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training.evaluate import score_case
from popscan.train.evaluate import draft_bundle, mean_dice
from popscan.train.packs import Case
from popscan.train.recipe import Recipe
from popscan.train.sampler import Sampler
from popscan.train.shape_code import train_shape_coder


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


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--coder-steps", type=int, default=400)
    arguments = parser.parse_args()
    begin = start(arguments, name="shape-priors")
    base, unseen = begin.recipe, begin.unseen
    expert = share([impossible(c.labels.array, c.labels.frames) for c in unseen])
    print(f"{len(unseen)} unseen patients; impossible slices of the experts: {expert:.1f} %")
    head = "Dice    impossible"
    print(f"{'':12s} {'all pieces':22s} largest pieces only\n{'':12s} {head:22s} {head}")
    with tempfile.TemporaryDirectory() as folder:
        coder = Path(folder) / "coder.safetensors"
        sampler = Sampler.of(base, {"acdc": begin.pack})
        train_shape_coder(
            sampler,
            coder,
            patch=base.patch,
            n_labels=base.n_labels,
            steps=arguments.coder_steps,
            seed=arguments.seed,
        )
        losses: dict[str, dict[str, Any]] = {
            "dice_ce": {},
            "boundary": {},
            "topology": {"weight": 0.2, "slices": 4},
            "shape_code": {"encoder": str(coder), "weight": 0.1},
        }
        print(f"{'as shipped':12s} {judge(base, begin.network, unseen)}", flush=True)
        for name, options in losses.items():
            recipe = replace(base, loss=name, loss_arguments=options)
            print(f"{name:12s} {judge(base, begin.finetune(recipe), unseen)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
