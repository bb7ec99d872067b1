"""What a classification or regression is trained to predict: an attribute of the subjects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from popscan.cells import is_recorded
from popscan.records import PopscanError


@dataclass(frozen=True, kw_only=True)
class Target:
    """An attribute, and how it is written as numbers.

    Attributes
    ----------
    task
        ``classify`` or ``regress``.
    attribute
        Name among the attributes of the cases.
    classes
        Of a classification, in the order of the outputs.
    mean, sd
        Of a regression's training subjects: the network predicts ``(value - mean) / sd``.
    """

    task: Literal["classify", "regress"]
    attribute: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    sd: float = 1.0

    @property
    def n_outputs(self) -> int:
        """Numbers that the network says of a slice."""
        return len(self.classes) if self.task == "classify" else 1

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, for model.yaml."""
        plain = asdict(self) | {"classes": list(self.classes)}
        unused = ("mean", "sd") if self.task == "classify" else ("classes",)
        return {key: value for key, value in plain.items() if key not in unused}

    def number(self, text: str) -> float:
        """Return an attribute's text as the number that is trained on; NaN where unknown.

        Raises
        ------
        PopscanError
            For an unknown class, or a text that is no number.
        """
        if not is_recorded(text):
            return math.nan
        if self.task == "classify":
            if text not in self.classes:
                raise PopscanError(
                    f"{self.attribute}: class {text!r}; the classes are {', '.join(self.classes)}"
                )
            return float(self.classes.index(text))
        return (_number(text, attribute=self.attribute) - self.mean) / self.sd


def _number(text: str, *, attribute: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PopscanError(f"{attribute}: a number is expected to regress on; found {text!r}")
    return value


def find_target(task: str, attribute: str, values: Mapping[str, str]) -> Target:
    """Return the target that training subjects define.

    Parameters
    ----------
    task, attribute
        Of the recipe.
    values
        Subject -> text of the attribute; unknown ones are left out.

    Raises
    ------
    PopscanError
        If there are fewer than two classes or two different numbers.
    """
    known = [text for text in values.values() if is_recorded(text)]
    if task == "classify":
        classes = tuple(sorted(set(known)))
        if len(classes) < 2:
            raise PopscanError(
                f"{attribute}: at least two classes are needed; the training subjects have "
                f"{', '.join(classes) or 'none'}"
            )
        return Target(task="classify", attribute=attribute, classes=classes)
    numbers = np.array([_number(text, attribute=attribute) for text in known])
    if len(numbers) < 2 or np.ptp(numbers) == 0:
        raise PopscanError(f"{attribute}: at least two different numbers are needed to regress on")
    return Target(
        task="regress", attribute=attribute, mean=float(numbers.mean()), sd=float(numbers.std())
    )


def target_loss(outputs: torch.Tensor, targets: torch.Tensor, *, task: str) -> torch.Tensor:
    """Return the mean loss of slices: cross-entropy of classes, Huber's of standardised values."""
    if task == "classify":
        return torch.nn.functional.cross_entropy(outputs.float(), targets.long())
    return torch.nn.functional.smooth_l1_loss(outputs.float()[:, 0], targets)


def reconstruction_loss(outputs: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of slices (n, 1, x, y) from the middle ones of images."""
    middle = images[:, images.shape[1] // 2]
    return torch.nn.functional.l1_loss(outputs.float()[:, 0], middle)


def slice_targets(target: Target, texts: Sequence[str]) -> torch.Tensor:
    """Return the target of every slice, shape (n,); NaN where unknown."""
    numbers = {text: target.number(text) for text in dict.fromkeys(texts)}
    return torch.tensor([numbers[text] for text in texts], dtype=torch.float32)
