"""What a network says of the slices of one stack, each seen with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def network_outputs(
    network: torch.nn.Module,
    images: torch.Tensor,
    *,
    context: int = 0,
    rows: Sequence[int] | None = None,
    batch: int = 64,
) -> torch.Tensor:
    """Return the outputs of slices on the CPU.

    Parameters
    ----------
    network
        Sees ``1 + 2 context`` slices.
    images
        A stack (n, x, y); beyond its ends its first and last slices are seen.
    context
        Neighbours on each side.
    rows
        Which slices; None for all.
    batch
        Slices at once.
    """
    chosen = torch.arange(len(images)) if rows is None else torch.as_tensor(list(rows))
    near = (chosen[:, None] + torch.arange(-context, context + 1)).clamp(0, len(images) - 1)
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for part in near.split(batch):
            parts.append(network.eval()(images[part].to(device)).float().cpu())
    return torch.cat(parts)
