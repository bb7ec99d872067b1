"""Losses of label maps that do not show every structure, and label dropout.

Data sets label different structures. What is missing is no background, and a loss that says so
teaches the network from which data set an image is. Slices therefore come with what their labels
show (n, label), background always among it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from popscan.records import PopscanError
from popscan.train.losses import dice_ce

#: Logit of a structure that takes no part in the softmax.
_NEVER = -1e4


def shown_labels(
    annotated: Mapping[str, Sequence[str]], packs: Mapping[str, int], codes: Mapping[str, int]
) -> torch.Tensor:
    """Return which labels the label map of every slice shows, (slices, label) bool.

    Parameters
    ----------
    annotated
        Pack name -> names of the structures that it shows; packs that are not named show all.
    packs
        Pack name -> number of its slices, in their order.
    codes
        Name of each structure -> its label, from 1 on.

    Raises
    ------
    PopscanError
        If `annotated` names a pack that is not there.
    """
    if absent := sorted(set(annotated) - set(packs)):
        raise PopscanError(f"learning: annotated names packs that are not there: {absent}")
    rows = []
    for name, n in packs.items():
        row = torch.ones(1 + len(codes), dtype=torch.bool)
        for structure, code in codes.items():
            row[code] = structure in annotated.get(name, codes)
        rows.append(row.expand(n, -1))
    return torch.cat(rows)


def dropped(shown: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Return `shown` (n, label) with each label but background hidden with probability `rate`."""
    if not rate:
        return shown
    kept = torch.rand(shown.shape, generator=generator) >= rate
    kept[:, 0] = True
    return shown & kept


def hide(logits: torch.Tensor, shown: torch.Tensor, *, missing: str) -> torch.Tensor:
    """Return logits (n, label, x, y) in which hidden labels have no probability.

    With ``ignored`` the softmax goes over what is shown; with ``marginal`` the probability of what
    is hidden is added to background's.
    """
    hidden = ~shown[:, :, None, None]
    if missing == "ignored":
        return logits.masked_fill(hidden, _NEVER)
    other = hidden.clone()
    other[:, 0] = True
    background = logits.masked_fill(~other, _NEVER).logsumexp(dim=1, keepdim=True)
    return torch.cat([background, logits[:, 1:].masked_fill(hidden[:, 1:], _NEVER)], dim=1)


def exclusion(logits: torch.Tensor, labels: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Return the mean of ``-log(1 - p)`` where a structure is labelled; 0 where none is.

    p is the probability of all hidden structures together: two structures are never in one place.
    """
    hidden = logits.softmax(dim=1).masked_fill(shown[:, :, None, None], 0.0).sum(dim=1)
    inside = labels > 0
    if not bool(inside.any()):
        return logits.sum() * 0.0
    return -torch.log1p(-hidden[inside].clamp(max=1 - 1e-6)).mean()


def partial_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    shown: torch.Tensor,
    *,
    missing: str,
    exclusive: float = 0.0,
    dice_weight: float = 1.0,
    present_only: bool = False,
) -> torch.Tensor:
    """Return `dice_ce` of what the labels show.

    Parameters
    ----------
    logits, labels
        (n, label, x, y) and (n, x, y); labels that are not shown are taken as background.
    shown
        Which labels each slice's map shows, (n, label) bool.
    missing, exclusive
        As in `popscan.train.learning.Learning`.
    dice_weight, present_only
        As in `dice_ce`.
    """
    labels = labels * shown.gather(1, labels.flatten(1)).view_as(labels)
    believed = logits if missing == "background" else hide(logits, shown, missing=missing)
    loss = dice_ce(believed, labels, dice_weight=dice_weight, present_only=present_only)
    return loss + exclusive * exclusion(logits, labels, shown) if exclusive else loss
