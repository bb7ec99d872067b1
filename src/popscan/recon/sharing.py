"""View sharing: samples that a frame lacks, from the frames nearest in time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def shared_views(
    data: Tensor, mask: Tensor, *, reach: int | None = None, frames: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Fill frames' missing samples from the nearest frame that acquired them.

    Frames form a cycle: the last is next to the first. Where two frames are equally
    near, both count half.

    Parameters
    ----------
    data : Tensor of complex64, shape (z, t, coil, x, y)
        K-space, 0 where nothing was acquired.
    mask : Tensor of bool or float32, shape (z, t, x or 1, y)
        What was acquired.
    reach
        How many frames away samples may come from; None for any.
    frames
        Which frames to return; None for all.

    Returns
    -------
    data, mask : Tensor
        K-space (z, frames, coil, x, y) with the shared samples, and which samples (float32, 0 or
        1) it holds now.
    """
    first, second, present = _sources(mask, reach=reach, frames=frames)
    shape = (-1, -1, *data.shape[2:])
    near = data.gather(1, first[:, :, None].expand(shape))
    if not torch.equal(first, second):
        near = 0.5 * (near + data.gather(1, second[:, :, None].expand(shape)))
    return near * present[:, :, None], present


def _sources(
    mask: Tensor, *, reach: int | None, frames: Sequence[int] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two nearest frames of each sample (z, frames, x or 1, y), and whether any is."""
    n = mask.shape[1]
    every = torch.arange(n, device=mask.device)
    chosen = every if frames is None else torch.as_tensor(list(frames), device=mask.device)
    step = (every - chosen[:, None]) % n
    apart = torch.minimum(step, n - step)
    limit = n if reach is None else reach
    # (z, frames, source, x or 1, y); ties are broken forwards and backwards.
    far = torch.where(mask.bool()[:, None], apart[:, :, None, None], n + 1)
    ahead = 2 * far + (step > apart)[:, :, None, None]
    behind = 2 * far + (step == apart)[:, :, None, None]
    present = (far.amin(dim=2) <= limit).to(torch.float32)
    first, second = ahead.argmin(dim=2), behind.argmin(dim=2)
    nearest = far.amin(dim=2, keepdim=True)
    tied = far.gather(2, second[:, :, None]) == nearest
    return first, torch.where(tied[:, :, 0], second, first), present
