"""Tasks of recipes, and what they, partial labels and private training do not go with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popscan.records import PopscanError
from popscan.train.learning import check_learning
from popscan.train.mitigation import Mitigation
from popscan.train.private import check_private
from popscan.yamlfile import shown

if TYPE_CHECKING:
    from popscan.train.recipe import Recipe

#: What is trained.
TASKS = (
    "segment", "probabilistic", "classify", "regress", "reconstruct", "undersampled", "register",
    "deform", "implicit",
)  # fmt: skip
#: Those of them whose result is a bundle that segments.
SEGMENTING = ("segment", "probabilistic")
#: Architectures that go with one task alone, and it with them.
OWN = {
    "autoencoder": "reconstruct",
    **dict.fromkeys(("cascade", "varnet", "kt_net", "dautomap"), "undersampled"),
    "hierarchical": "probabilistic",
    **dict.fromkeys(("pairs", "gradirn", "vr_net"), "register"),
    "deformations": "deform",
    "implicit": "implicit",
}


def check_learning_of(recipe: Recipe, *, where: str) -> None:
    """Refuse what partial and wrong labels do not go with."""
    beside = {
        f"task {recipe.task}": recipe.task != "segment",
        f"loss {recipe.loss}": recipe.loss != "dice_ce",
        "label_smoothing": bool(recipe.loss_arguments.get("label_smoothing")),
        "adversarial": bool(recipe.adversarial),
        "mitigation's reweigh or dro_step": recipe.mitigation.reweigh
        or bool(recipe.mitigation.dro_step),
    }
    if recipe.learning.refurbish and (
        recipe.task != "segment" or recipe.learning.refurbish_after >= recipe.steps
    ):
        raise PopscanError(
            f"{where}: learning: refurbish goes with task segment, and refurbish_after with more "
            f"than {recipe.learning.refurbish_after} steps"
        )
    check_learning(recipe.learning, labels=recipe.labels, beside=beside, where=where)


def check_private_of(recipe: Recipe, *, where: str) -> None:
    """Refuse what private training does not go with."""
    beside = {
        f"task {recipe.task}": recipe.task != "segment",
        "init_from": bool(recipe.init_from),
        "adversarial": bool(recipe.adversarial),
        "shares": bool(recipe.shares),
        "mitigation": recipe.mitigation != Mitigation(),
        "learning: refurbish": bool(recipe.learning.refurbish),
    }
    check_private(recipe.private, seed=recipe.seed, beside=beside, where=where)


def check_task(recipe: Recipe, *, where: str) -> None:
    """Refuse unknown tasks, and what classification and regression do not know."""
    if recipe.task not in TASKS:
        raise PopscanError(f"{where}: task {shown(recipe.task)}; known are {', '.join(TASKS)}")
    if (recipe.task in ("classify", "regress")) != bool(recipe.target):
        raise PopscanError(f"{where}: target goes with task classify or regress, and they with it")
    for task in dict.fromkeys(OWN.values()):
        names = [name for name in OWN if OWN[name] == task]
        if (recipe.architecture in names) != (recipe.task == task):
            known = " or ".join(names)
            raise PopscanError(f"{where}: architecture {known} goes with task {task} alone")
    if (recipe.latent_weight, recipe.mean_weight) != (1, 0) and recipe.task != "probabilistic":
        raise PopscanError(
            f"{where}: latent_weight and mean_weight go with task probabilistic alone"
        )
    if recipe.task in ("segment", "undersampled", "register", "deform", "implicit"):
        return
    unusable = {
        "phases 2": recipe.architecture_arguments.get("phases", 1) != 1,
        "init_from": bool(recipe.init_from) and recipe.task != "probabilistic",
        "adversarial": bool(recipe.adversarial),
        "mitigation other than sampling": recipe.mitigation
        != Mitigation(attribute=recipe.mitigation.attribute, sampling=recipe.mitigation.sampling),
    }
    if names := [name for name, used in unusable.items() if used]:
        raise PopscanError(f"{where}: task {recipe.task} does not go with {', '.join(names)}")
