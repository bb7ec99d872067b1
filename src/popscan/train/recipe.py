"""Recipes: what a training is, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from popscan.arrays.cuts import PLANES
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError
from popscan.train.augmentation import Augmentation
from popscan.train.learning import Learning
from popscan.train.losses import LOSSES
from popscan.train.mitigation import Mitigation, check_mitigation
from popscan.train.private import Private
from popscan.train.recipe_arguments import check_arguments
from popscan.train.recipe_checks import check_learning_of, check_private_of, check_task
from popscan.train.recipe_effect import without_effect
from popscan.train.recipe_values import kept_as_written, known_keys, truths
from popscan.train.undersampling import Undersampling
from popscan.yamlfile import problem_text, read_yaml, shown

#: Recipes that come with popscan.
RECIPES_DIR = Path(__file__).parent / "recipes"
#: Smallest and largest value of what a training cannot do without.
_RANGES = {
    "seed": (0, 2**63 - 1),
    "spacing_mm": (0.05, 50),
    "patch": (8, 8192),
    "batch": (1, 65536),
    "steps": (0, 10**9),
    "schedule_steps": (0, 10**9),
    "edge_weight": (0, 1e6),
    "learning_rate": (0, 1e3),
    "warmup_steps": (0, 10**9),
    "final_fraction": (0, 1),
    "weight_decay": (0, 1e3),
    "clip_norm": (0, 1e9),
    "ema_decay": (0, 1),
    "validate_every": (0, 10**9),
    "checkpoint_every": (1, 10**9),
    "log_every": (1, 10**9),
    "adversarial": (0, 1),
    "blend": (0, 1),
    "latent_weight": (0, 1e3),
    "mean_weight": (0, 1e3),
}

#: What most recipes do without.
_RARE = (
    "mitigation",
    "adversarial",
    "adversarial_arguments",
    "labels",
    "planes",
    "mirror",
    "task",
    "target",
    "undersampling",
    "learning",
    "private",
    "blend",
    "latent_weight",
    "mean_weight",
)


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
        How much more often the highest and lowest slices of an organ, and those next outside of
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
    blend
        Share of the new weights in the result; the rest are those it started from (Wortsman et
        al., CVPR 2022: between both lies what is robust and as accurate).
    adversarial, adversarial_arguments
        Share of the steps whose slices are changed as is worst for the network, and the options
        of `popscan.train.adversarial.harden`.
    mitigation
        What is done so that groups of subjects are served alike; nothing by default.
    labels
        Names of the structures by label, 1 first; those of the default protocol where not given.
    planes
        Keys of `popscan.arrays.cuts.PLANES`: volumes are cut into slices in each of them, with
        a pack each (the plane's name is the pack's); empty for stacks as they were acquired.
    mirror
        Whether volumes are trained on as their mirror images, too (left for right).
    task, target
        ``segment``; or ``probabilistic``, segmentations that are drawn (``hierarchical``); or
        ``classify`` and ``regress`` with the attribute of the subjects that is
        predicted (`popscan.train.predictor`); or ``reconstruct``, the images themselves, by an
        architecture that cannot copy them (``autoencoder``); or ``undersampled``, the images of
        simulated k-space (``cascade``, ``varnet``, ``kt_net``, ``dautomap``); or ``register``, one
        phase of a slice with another (``pairs``, ``gradirn``, ``vr_net``); or ``deform``, gradients
        of displacements (``deformations``). `loss` is then not used; or ``implicit``, labels of
        points by their places and a subject's code (``implicit``): `batch` is then the number of
        subjects in a step, `patch` that of points of each (`spacing_mm` is not used).
    latent_weight, mean_weight
        Of task ``probabilistic``: weights beside that of `loss` of a draw of the posterior: of the
        divergence of posterior from prior, in nats per pixel (1 is the bound of the likelihood
        where the loss is cross-entropy), and of `loss` of the prior's means.
    undersampling
        Of task ``undersampled``: what is simulated. `patch` is then the number of readouts, and
        `spacing_mm` and `augmentation` are not used.
    learning
        What is done about labels that are partial or wrong; nothing by default.
    private
        How what a subject's data can change of the weights is bounded; not at all by default.
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
    blend: float = 1.0
    adversarial: float = 0.0
    adversarial_arguments: dict[str, float] = field(default_factory=dict)
    mitigation: Mitigation = field(default_factory=Mitigation)
    labels: tuple[str, ...] = field(
        default_factory=lambda: tuple(get_protocol(DEFAULT).network_codes)
    )
    planes: tuple[str, ...] = ()
    mirror: bool = False
    task: str = "segment"
    target: str = ""
    undersampling: Undersampling = field(default_factory=Undersampling)
    learning: Learning = field(default_factory=Learning)
    private: Private = field(default_factory=Private)
    latent_weight: float = 1.0
    mean_weight: float = 0.0

    @property
    def n_labels(self) -> int:
        """Number of labels, background included."""
        return 1 + len(self.labels)

    @property
    def codes(self) -> dict[str, int]:
        """Name of each structure -> its label."""
        return {name: code for code, name in enumerate(self.labels, start=1)}

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, for the bundle's model.yaml.

        What a recipe does not use of the rarer options it does not list either, so that it and
        its checkpoints stay the same when options are added.
        """
        plain = asdict(self)
        unused = Recipe(name=self.name)
        for key in _RARE:
            if getattr(self, key) == getattr(unused, key):
                del plain[key]
            elif isinstance(plain[key], tuple):
                plain[key] = list(plain[key])
        if "private" in plain and not self.private.bias_aware:
            del plain["private"]["bias_aware"]
        for key in ("remap", "phase_drop", "tone", "band", "fine", "context_blend"):
            if not plain["augmentation"][key]:
                del plain["augmentation"][key]
        return plain


#: Key of a recipe -> what it is made into.
_PARTS: dict[str, type] = {
    "augmentation": Augmentation, "mitigation": Mitigation, "undersampling": Undersampling,
    "learning": Learning, "private": Private,
}  # fmt: skip


def parse_recipe(values: dict[str, Any], *, where: str = "recipe") -> Recipe:
    """Return the recipe that plain data describes.

    Raises
    ------
    PopscanError
        For unknown keys and losses, wrong types and numbers that cannot be.
    """
    values = known_keys(Recipe, values, where=where)
    if "name" not in values:
        raise PopscanError(f"{where}: a recipe needs a name")
    for key, kind in _PARTS.items():
        given = values.get(key)
        values[key] = known_keys(kind, {} if given is None else given, where=f"{where}: {key}")
    values = _typed(values, where=where)
    mitigation = check_mitigation(Mitigation(**values.pop("mitigation")), where=where)
    augmentation = Augmentation(**values.pop("augmentation"))
    undersampling = Undersampling(**values.pop("undersampling"))
    learning, private = Learning(**values.pop("learning")), Private(**values.pop("private"))
    recipe = Recipe(
        **values, augmentation=augmentation, mitigation=mitigation, undersampling=undersampling,
        learning=learning, private=private,
    )  # fmt: skip
    if recipe.loss not in LOSSES:
        raise PopscanError(
            f"{where}: unknown loss {shown(recipe.loss)}; known are {', '.join(LOSSES)}"
        )
    if odd := [p for p in recipe.planes if p not in PLANES]:
        raise PopscanError(f"{where}: planes: {shown(odd)}; known are {', '.join(PLANES)}")
    if not recipe.labels or len(set(recipe.labels)) < len(recipe.labels):
        raise PopscanError(f"{where}: labels: names, each once; found {shown(recipe.labels)}")
    check_task(recipe, where=where)
    if ignored := without_effect(recipe, Recipe(name=recipe.name)):
        raise PopscanError(f"{where}: {'; '.join(ignored)}")
    if recipe.blend != 1 and not recipe.init_from:
        raise PopscanError(f"{where}: blend goes with init_from alone")
    check_learning_of(recipe, where=where)
    check_private_of(recipe, where=where)
    check_arguments(recipe, where=where)
    for key, (low, high) in _RANGES.items():
        if not low <= getattr(recipe, key) <= high:
            raise PopscanError(
                f"{where}: {key}: a number from {low:g} to {high:g} is expected; "
                f"found {shown(getattr(recipe, key))}"
            )
    return recipe


def _typed(values: dict[str, Any], *, where: str) -> dict[str, Any]:
    """Return the values in the types of the recipe's fields; ``1e-3`` is text to YAML."""
    try:
        parsed = asdict(TypeAdapter(Recipe).validate_python(values))
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
        raise PopscanError("; ".join(problem_text(i, where=where) for i in items[:5])) from error
    if found := truths(values, parsed):
        raise PopscanError(f"{where}: {', '.join(found)}: a number is expected, not a truth value")
    kept: dict[str, Any] = kept_as_written(values, parsed, where=where)
    return kept


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
    values = read_yaml(path)
    return parse_recipe(values, where=str(path))
