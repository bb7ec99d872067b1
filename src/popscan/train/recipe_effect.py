"""Keys of recipes that a task would ignore: a recipe that sets one is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from popscan.train.recipe import Recipe

#: Tasks whose examples are simulated or drawn from pairs: no slices with labels.
_MADE = ("undersampled", "register", "deform", "implicit")
#: Those without a loss between labels and probabilities.
_NO_LABELS = (*_MADE, "classify", "regress", "reconstruct")
#: Key -> the tasks that do not use it.
UNUSED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("adversarial", "adversarial_arguments", "mirror", "planes", "edge_weight", "blend",
         "mitigation"),
        _MADE,
    ),
    "init_from": ("undersampled", "register", "implicit"),
    "augmentation": ("undersampled", "implicit"),
    "loss": _NO_LABELS,
    "loss_arguments": tuple(task for task in _NO_LABELS if task not in ("deform", "implicit")),
    **dict.fromkeys(("spacing_mm", "validate_every"), ("implicit",)),
    "undersampling": (
        "segment", "probabilistic", "classify", "regress", "reconstruct", "register", "deform",
        "implicit",
    ),
}  # fmt: skip
#: Key -> the key without which it has no effect.
NEEDS = {"mirror": "planes", "adversarial_arguments": "adversarial"}


def without_effect(recipe: Recipe, plain: Recipe) -> list[str]:
    """Return what a recipe sets and its task ignores, in words; empty if there is nothing.

    Parameters
    ----------
    recipe
        With a known task.
    plain
        One that sets nothing. A key that is written with its default is not noticed.
    """
    given = [key for key in (*UNUSED, *NEEDS) if getattr(recipe, key) != getattr(plain, key)]
    ignored = [key for key in dict.fromkeys(given) if recipe.task in UNUSED.get(key, ())]
    found = [f"task {recipe.task} does not go with {', '.join(ignored)}"] if ignored else []
    return found + [
        f"{key} goes with {NEEDS[key]} alone"
        for key in dict.fromkeys(given)
        if key in NEEDS and key not in ignored and not getattr(recipe, NEEDS[key])
    ]
