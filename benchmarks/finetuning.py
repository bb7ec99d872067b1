"""Fine-tuning the shipped model in one way or another: what the benchmarks of training share."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from popscan.segment import load_bundle
from popscan.train.loop import fit
from popscan.train.packs import Case, Pack, build_pack
from popscan.train.recipe import Recipe
from segmentation import acdc_cases

ROOT = Path(__file__).resolve().parents[1]


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return the options that every fine-tuning has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "cine_sax")
    parser.add_argument("--data", type=Path, default=None, help="folder that holds acdc/")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser


@dataclass(frozen=True)
class Start:
    """Where all variants begin: a bundle's first member, its slices, and unseen patients."""

    recipe: Recipe
    network: torch.nn.Module
    pack: Pack
    unseen: list[Case]

    def finetune(self, recipe: Recipe) -> torch.nn.Module:
        """Return the network after the recipe's steps, its average where there is one."""
        init = self.network.state_dict()
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit(recipe, {"acdc": self.pack}, Path(folder), init=init, quiet=True)
        return fitted.averaged


def start(arguments: argparse.Namespace, *, name: str) -> Start:
    """Load bundle and cases; patients are unseen if the bundle names them for its validation."""
    torch.set_num_threads(arguments.threads)
    default = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    cases = acdc_cases((arguments.data or default) / "acdc")
    bundle = load_bundle(arguments.model, "cpu")
    held_out = set(bundle.about["validation"]["subjects"])
    member = bundle.about["members"][0]
    return Start(
        recipe=Recipe(
            name=name,
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
        ),
        network=bundle.networks[0],
        pack=build_pack(
            [c for c in cases if bundle.was_trained_on(c.unit)], spacing_mm=bundle.spacing_mm
        ),
        unseen=[c for c in cases if c.unit in held_out and not bundle.was_trained_on(c.unit)],
    )
