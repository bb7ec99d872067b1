"""Lines that no frame of a series has: the coils fill them, for the mean over time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from popscan.recon.encoding import Encoding
from popscan.recon.sharing import shared_views

#: Weight of the image's size (Tikhonov), and steps of conjugate gradients.
_LAM, _STEPS = 1e-3, 20


def unfolded_mean(
    data: Tensor, mask: Tensor, encoding: Encoding, *, over_time: Tensor | None = None
) -> Tensor | None:
    """Return the image of the mean over time (z, 1, x, y); None where views can be shared.

    Views of other frames cannot give lines that no frame has; between others that some frame has
    they fold the image: they come from lines that are left out of single frames
    (`Slice.over_time`), or the coils unfold them. What lies beyond all lines (partial
    Fourier) folds nothing.

    Parameters
    ----------
    data, mask, encoding, over_time
        As `popscan.recon.prepared.Slice` has them.
    """
    mask = mask.to(torch.float32)
    pooled = mask.amax(dim=1, keepdim=True)
    total = data.sum(dim=1, keepdim=True)
    count = mask.sum(dim=1, keepdim=True)[:, :, None]
    folded = any(_folds(one) for one in pooled)
    if folded and over_time is not None:
        pooled = over_time.abs().amax(dim=2).gt(0).float()
        if mask.shape[2] == 1:  # whole readouts
            pooled = pooled.amax(dim=2, keepdim=True)
        total, count = over_time, pooled[:, :, None]
    if data.shape[2] == 1 or not folded:
        return None
    encoding = encoding.with_mask(pooled)
    right = encoding.adjoint(total / count.clamp(min=1))
    return conjugate_gradients(lambda v: encoding.normal(v) + _LAM * v, right, n_iterations=_STEPS)


def _folds(pooled: Tensor) -> bool:
    """Whether lines (1, x or 1, y) are missing between others."""
    there = pooled[0].any(dim=0).nonzero()[:, 0]
    return int(there[-1] - there[0]) + 1 > len(there)


def filled_start(
    data: Tensor, mask: Tensor, encoding: Encoding, *, over_time: Tensor | None = None
) -> Tensor:
    """Return images (z, t, x, y) of shared views, what no frame has from the unfolded mean.

    Parameters
    ----------
    data, mask, encoding, over_time
        As `popscan.recon.prepared.Slice` has them.
    """
    shared, present = shared_views(data, mask)
    start = encoding.with_mask(present).adjoint(shared)
    still = unfolded_mean(data, mask, encoding, over_time=over_time)
    if still is None:
        return start
    missing = 1 - present.amax(dim=1, keepdim=True)
    return start + encoding.with_mask(missing).normal(still)


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], right_hand_side: Tensor, *, n_iterations: int
) -> Tensor:
    """Solve ``normal(z) = right_hand_side`` for each slice (axis 0), from 0."""

    def energy(a: Tensor, b: Tensor) -> Tensor:
        product = (a.conj() * b).real.flatten(1).sum(dim=1, dtype=torch.float64)
        return product.to(torch.float32)[:, None, None, None]

    solution = torch.zeros_like(right_hand_side)
    residual, direction = right_hand_side, right_hand_side
    size = energy(residual, residual)
    for _ in range(n_iterations):
        image = normal(direction)
        step = size / energy(direction, image).clamp(min=1e-30)
        solution = solution + step * direction
        residual = residual - step * image
        updated = energy(residual, residual)
        direction = residual + (updated / size.clamp(min=1e-30)) * direction
        size = updated
    return solution
