"""Shares of a recipe and arguments of its losses, checked before anything is trained."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from popscan.records import PopscanError
from popscan.train.adversarial import harden
from popscan.train.fields import deformation_loss
from popscan.train.losses import LOSSES, dice_ce
from popscan.train.partial import partial_loss
from popscan.train.points import implicit_loss
from popscan.yamlfile import shown

if TYPE_CHECKING:
    from popscan.train.recipe import Recipe

#: What the trainer gives itself.
_OWN = ("generator", "missing", "exclusive")
#: Largest value of an argument; others end at `_MOST`.
_LARGEST, _MOST = {"label_smoothing": 1.0}, 1e6
#: Those that must be above 0.
_ABOVE_0 = ("noise", "slices")


def check_arguments(recipe: Recipe, *, where: str) -> None:
    """Refuse shares that draw nothing, and arguments that a loss does not take.

    Raises
    ------
    PopscanError
        For shares that are negative or all 0; for an unknown argument, one that is missing, of
        another type or out of its range.
    """
    shares = recipe.shares
    if shares and (min(shares.values()) < 0 or not any(shares.values())):
        raise PopscanError(f"{where}: shares: from 0, one of them above; found {shown(shares)}")
    if recipe.loss_arguments or recipe.task in ("segment", "probabilistic"):
        _check(_loss_of(recipe), recipe.loss_arguments, where=f"{where}: loss_arguments")
    if recipe.adversarial:
        given = recipe.adversarial_arguments
        _check(harden, given, where=f"{where}: adversarial_arguments")


def _loss_of(recipe: Recipe) -> Callable[..., Any]:
    own: dict[str, Callable[..., Any]] = {"deform": deformation_loss, "implicit": implicit_loss}
    if recipe.task in own:
        return own[recipe.task]
    return partial_loss if recipe.learning.partial else LOSSES[recipe.loss]


def _options(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword arguments of a loss; others are those of `dice_ce`."""
    found = inspect.signature(function).parameters
    options = {k: p for k, p in found.items() if p.kind is p.KEYWORD_ONLY and k not in _OWN}
    if any(p.kind is p.VAR_KEYWORD for p in found.values()):
        return _options(dice_ce) | options
    return options


def _check(function: Callable[..., Any], given: Mapping[str, Any], *, where: str) -> None:
    """Refuse arguments that a function cannot be called with."""
    options = _options(function)
    if odd := sorted(set(given) - set(options)):
        known = ", ".join(sorted(options)) or "none"
        raise PopscanError(f"{where}: unknown {shown(odd)}; known are {known}")
    missing = [k for k, p in options.items() if p.default is p.empty and k not in given]
    if missing:
        raise PopscanError(f"{where}: {', '.join(missing)} is missing")
    for key, value in given.items():
        if not _fits(key, value, options[key].default):
            raise PopscanError(f"{where}: {key}: {shown(value)} cannot be")


def _fits(key: str, value: Any, default: Any) -> bool:
    """Return whether an argument is of the type of its default, and a number in its range."""
    if default is inspect.Parameter.empty:
        return isinstance(value, str)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if not isinstance(value, int if isinstance(default, int) else (int, float)):
        return False
    low_enough = value <= _LARGEST.get(key, _MOST)
    return math.isfinite(value) and low_enough and (value > 0 if key in _ABOVE_0 else value >= 0)
