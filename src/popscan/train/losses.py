"""Losses of segmentation: logits (n, label, x, y) and labels (n, x, y) to a scalar."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def soft_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return 1 - mean soft Dice of the foreground labels, pooled over the batch.

    Pooling over the batch (as nnU-Net does in 2D) keeps slices without a structure from
    dominating: there a single voxel would move the Dice from 1 to 0.
    """
    p = logits.softmax(dim=1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    dims = (0, 2, 3)
    overlap = (p * truth).sum(dims)
    total = p.sum(dims) + truth.sum(dims)
    return 1 - ((2 * overlap + 1) / (total + 1))[1:].mean()


def dice_ce(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    dice_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return cross-entropy plus `dice_weight` times the soft Dice loss."""
    entropy = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return entropy + dice_weight * soft_dice(logits, labels)


#: Loss name in a recipe -> function ``(logits, labels, **arguments)``.
LOSSES = {"dice_ce": dice_ce}
