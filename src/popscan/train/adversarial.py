"""The bias field and the affine change that a network copes with worst (AdvChain).

One step up the loss, for each slice by itself: C. Chen et al., Medical Image Analysis 2022,
doi:10.1016/j.media.2022.102597. Both changes are small and natural; the direction is the
network's own weakness, so they teach more than random ones of the same size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def _changed(
    images: torch.Tensor, truth: torch.Tensor, bias: torch.Tensor, affine: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and label maps (n, label, x, y) under a log bias field and an affine map."""
    field = F.interpolate(bias, size=images.shape[-2:], mode="bicubic", align_corners=False)
    identity = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    size = [len(images), 1, *images.shape[-2:]]
    grid = F.affine_grid(identity + affine, size, align_corners=False)
    changed = F.grid_sample(images * field.exp(), grid, align_corners=False)
    moved = F.grid_sample(truth, grid, align_corners=False)
    outside = torch.zeros_like(moved)
    outside[:, 0] = 1.0 - moved.sum(dim=1)
    return changed, moved + outside


def _unit(gradient: torch.Tensor) -> torch.Tensor:
    norm = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    return gradient / norm.view(-1, *[1] * (gradient.ndim - 1))


def harden(
    network: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    generator: torch.Generator,
    bias_log: float = 0.6,
    affine: float = 0.25,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return slices and labels changed as is worst for the network.

    Parameters
    ----------
    network
        Its weights get no gradient and stay as they are.
    images, labels
        (n, channel, x, y) and (n, x, y).
    generator
        Draws the start of the search.
    bias_log, affine
        Euclidean size of the change per slice: of the 4 x 4 knots of the logarithm of the field,
        and of the six numbers of the map (1: half of the field of view). 0 leaves one out.

    Returns
    -------
    Images and labels of the same shapes.
    """
    n_labels = int(labels.max()) + 1
    truth = F.one_hot(labels, n_labels).movedim(-1, 1).to(images.dtype)
    start = [
        (size, (size * 0.1) * torch.randn(len(images), *shape, generator=generator))
        for size, shape in ((bias_log, (1, 4, 4)), (affine, (2, 3)))
    ]
    knots, theta = (x.to(images.device).requires_grad_(True) for _, x in start)
    with torch.enable_grad():
        changed, moved = _changed(images, truth, knots, theta)
        log_p = network(changed).float().log_softmax(dim=1)[:, :n_labels]
        loss = -(moved * log_p).sum(dim=1).mean(dim=(1, 2)).sum()
        gradients = torch.autograd.grad(loss, [knots, theta])
    with torch.no_grad():
        worst = [size * _unit(g) for (size, _), g in zip(start, gradients, strict=True)]
        changed, moved = _changed(images, truth, *worst)
    return changed, moved.argmax(dim=1)
