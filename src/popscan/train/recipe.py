"""Recipes: what a training is, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from popscan.records import PopscanError
from popscan.train.augment import Augmentation
from popscan.train.losses import LOSSES
from popscan.train.mitigation import Mitigation, check_mitigation

#: Recipes that come with popscan.
RECIPES_DIR = Path(__file__).parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training, complete: the same recipe, packs and seed give the same weights.

    Attributes
    ----------
    name, seed
        For the card; everything random follows from the seed.
    architecture, architecture_arguments
        As for `popscan.segment.networks.build_network`.
    spacing_mm, patch
        In-plane spacing and side of the training patch in pixels.
    batch, steps
        Slices per step; number of steps, 0 for the weights of `init_from` as they are, in a network
        that sees other neighbours or phases.
    schedule_steps
        Steps after which the learning rate reaches its end; 0 means `steps`. More than `steps`
        describes a training that ended before its schedule did.
    shares
        Pack name -> share of each batch's slices, in expectation; empty for all slices alike.
    edge_weight
        How much more often the highest and lowest slices of a heart, and those next outside of
        them, are drawn than others.
    learning_rate, warmup_steps, final_fraction
        Peak rate, linear rise to it, and the fraction of it at which the cosine ends (above 0
        where another recipe continues).
    weight_decay, clip_norm, ema_decay
        AdamW's weight decay, the largest norm of a gradient, decay of the averaged weights.
    autocast
        Whether the forward pass computes in bfloat16.
    loss, loss_arguments
        A key of `LOSSES` and its options.
    augmentation
        What is changed how often.
    validate_every, checkpoint_every, log_every
        In steps; 0 validates only at the end.
    init_from
        Recipe whose result this one starts from; empty for random weights.
    adversarial, adversarial_arguments
        Share of the steps whose slices are changed as is worst for the network, and the options
        of `popscan.train.adversarial.harden`.
    mitigation
        What is done so that groups of subjects are served alike; nothing by default.
    """

    name: str
    seed: int = 0
    architecture: str = "dynunet"
    architecture_arguments: dict[str, Any] = field(default_factory=dict)
    spacing_mm: float = 1.5
    patch: int = 128
    batch: int = 16
    steps: int = 1000
    schedule_steps: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    edge_weight: float = 1.0
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    final_fraction: float = 0.0
    weight_decay: float = 1e-2
    clip_norm: float = 5.0
    ema_decay: float = 0.998
    autocast: bool = True
    loss: str = "dice_ce"
    loss_arguments: dict[str, Any] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    validate_every: int = 0
    checkpoint_every: int = 250
    log_every: int = 25
    init_from: str = ""
    adversarial: float = 0.0
    adversarial_arguments: dict[str, float] = field(default_factory=dict)
    mitigation: Mitigation = field(default_factory=Mitigation)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, for the bundle's model.yaml.

        What a recipe does not use of the rarer options it does not list either, so that it and
        its checkpoints stay the same when options are added.
        """
        plain = asdict(self)
        unused = Recipe(name=self.name)
        for key in ("mitigation", "adversarial", "adversarial_arguments"):
            if getattr(self, key) == getattr(unused, key):
                del plain[key]
        for key in ("remap", "phase_drop"):
            if not plain["augmentation"][key]:
                del plain["augmentation"][key]
        return plain


def _known(cls: type, values: dict[str, Any], *, where: str) -> dict[str, Any]:
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - known):
        raise PopscanError(
            f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    return values


def parse_recipe(values: dict[str, Any], *, where: str = "recipe") -> Recipe:
    """Return the recipe that plain data describes; unknown keys and losses are errors."""
    values = dict(_known(Recipe, values, where=where))
    if "name" not in values:
        raise PopscanError(f"{where}: a recipe needs a name")
    how = _known(
        Augmentation, values.pop("augmentation", None) or {}, where=f"{where}: augmentation"
    )
    how = {k: tuple(v) if isinstance(v, list) else v for k, v in how.items()}
    fair = _known(Mitigation, values.pop("mitigation", None) or {}, where=f"{where}: mitigation")
    mitigation = check_mitigation(Mitigation(**fair), where=where)
    recipe = Recipe(**values, augmentation=Augmentation(**how), mitigation=mitigation)
    if recipe.loss not in LOSSES:
        raise PopscanError(f"{where}: unknown loss {recipe.loss!r}; known are {', '.join(LOSSES)}")
    return recipe


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Return a shipped recipe by its name, or one of your own by its file.

    Raises
    ------
    PopscanError
        If there is none such (the message lists the shipped ones) or a key is unknown.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = RECIPES_DIR / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES_DIR.glob("*.yaml")))
        raise PopscanError(f"no recipe {str(name_or_path)!r}; shipped are {known}")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise PopscanError(f"{path}: a recipe is a mapping of keys to values")
    return parse_recipe(values, where=str(path))
