"""Losses of segmentation: logits (n, label, x, y) and labels (n, x, y) to a scalar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage


def soft_dice(
    logits: torch.Tensor, labels: torch.Tensor, *, present_only: bool = False
) -> torch.Tensor:
    """Return 1 - mean soft Dice of the foreground labels, pooled over the batch.

    Pooling over the batch (as nnU-Net does in 2D) keeps slices without a structure from
    dominating: there a single voxel would move the Dice from 1 to 0. With `present_only` labels
    that the whole batch lacks do not count: of many small structures a batch lacks some each time,
    and each time the network would learn never to name them.
    """
    p = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    dims = (0, 2, 3)
    overlap = (p * truth).sum(dims)
    total = p.sum(dims) + truth.sum(dims)
    dice = ((2 * overlap + 1) / (total + 1))[1:]
    if present_only and bool((there := truth.sum(dims)[1:] > 0).any()):
        dice = dice[there]
    return 1 - dice.mean()


def dice_ce(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    dice_weight: float = 1.0,
    label_smoothing: float = 0.0,
    present_only: bool = False,
) -> torch.Tensor:
    """Return cross-entropy plus `dice_weight` times the soft Dice loss."""
    entropy = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return entropy + dice_weight * soft_dice(logits, labels, present_only=present_only)


def dice_focal(
    logits: torch.Tensor, labels: torch.Tensor, *, gamma: float = 2.0, dice_weight: float = 1.0
) -> torch.Tensor:
    """Return the focal loss plus `dice_weight` times the soft Dice loss.

    Pixels that are already sure count little (Lin et al. 2017, doi:10.1109/ICCV.2017.324).
    """
    log_p = logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    focal = -((1 - log_p.exp()) ** gamma * log_p).mean()
    return focal + dice_weight * soft_dice(logits, labels)


def signed_distance(labels: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Return pixels to the border of every label, negative inside of it, (n, label, x, y).

    0 everywhere for a label that a slice does not have or has nothing but.
    """
    truth = F.one_hot(labels, n_labels).movedim(-1, 1).bool().cpu().numpy()
    out = np.zeros(truth.shape, dtype=np.float32)
    for n, k in np.argwhere(truth.any(axis=(2, 3)) & ~truth.all(axis=(2, 3))):
        inside = truth[n, k]
        out[n, k] = ndimage.distance_transform_edt(~inside)
        out[n, k] -= ndimage.distance_transform_edt(inside)
    return torch.from_numpy(out).to(labels.device)


def boundary(
    logits: torch.Tensor, labels: torch.Tensor, *, weight: float = 0.01, **others: Any
) -> torch.Tensor:
    """Return `dice_ce` plus `weight` times the boundary loss.

    Probability counts by its signed distance in pixels to the true border, so that far-away
    errors cost more (Kervadec et al. 2021, doi:10.1016/j.media.2020.101851).
    """
    distance = signed_distance(labels, logits.shape[1])
    far = (logits.softmax(dim=1) * distance)[:, 1:].mean()
    return dice_ce(logits, labels, **others) + weight * far


def with_topology(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    weight: float = 0.1,
    slices: int = 4,
    **others: Any,
) -> torch.Tensor:
    """Return `dice_ce` plus `weight` times `popscan.train.topology.topology`."""
    from popscan.train.topology import topology

    return dice_ce(logits, labels, **others) + weight * topology(logits, labels, slices=slices)


def with_shape_code(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    encoder: str,
    weight: float = 0.05,
    **others: Any,
) -> torch.Tensor:
    """Return `dice_ce` plus `weight` times `popscan.train.shape_code.code_distance`."""
    from popscan.train.shape_code import code_distance

    return dice_ce(logits, labels, **others) + weight * code_distance(
        logits, labels, encoder=encoder
    )


#: Loss name in a recipe -> function ``(logits, labels, **arguments)``.
LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "dice_ce": dice_ce,
    "dice_focal": dice_focal,
    "boundary": boundary,
    "topology": with_topology,
    "shape_code": with_shape_code,
}
