"""Accelerated proximal gradient steps for operators of norm at most 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def fista(
    normal: Callable[[Tensor], Tensor],
    right_hand_side: Tensor,
    prox: Callable[[Tensor, int], Tensor],
    *,
    n_iterations: int,
    start: Tensor | None = None,
) -> Tensor:
    """Minimise ``|E x - y|^2 / 2 + g(x)``.

    Beck A, Teboulle M. A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems. SIAM J Imaging Sci 2:183-202, 2009.

    Parameters
    ----------
    normal
        ``E^H E``, of norm at most 1: the step is 1.
    right_hand_side
        ``E^H y``.
    prox
        The proximal map of g; its second argument is the number of the step.
    n_iterations
        How many steps.
    start
        First image; `right_hand_side` if not given.

    Returns
    -------
    Tensor
        Of the shape of `right_hand_side`.
    """
    image = right_hand_side if start is None else start
    ahead, momentum = image, 1.0
    for step in range(n_iterations):
        updated = prox(ahead + (right_hand_side - normal(ahead)), step)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = torch.lerp(image, updated, 1 + (momentum - 1) / following)
        image, momentum = updated, following
    return image
