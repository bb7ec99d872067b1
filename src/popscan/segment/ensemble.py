"""Slices through every member of a bundle, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from popscan.segment.bundle import Bundle
from popscan.segment.calibration import log_odds_of
from popscan.segment.networks import seen_by
from popscan.segment.samples import Watch
from popscan.segment.uncertainty import dropped

#: Mirrorings averaged when flips are asked for: none, x, y, both (axes of (n, label, x, y)).
_FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))
_FLIP_NAMES = {(): "", (2,): " flip-x", (3,): " flip-y", (2, 3): " flip-xy"}

#: Slices in one batch: a processor's cache holds few, a GPU is idle with few.
BATCHES = {"cpu": 8, "gpu": 128}


def probabilities(
    images: torch.Tensor,
    bundle: Bundle,
    *,
    flips: bool,
    precision: torch.dtype,
    watch: Watch | None = None,
) -> torch.Tensor:
    """Return mean class probabilities (n, label, x, y) of all members and mirrorings.

    Images are those of `Grids.cut`, with as much around a slice as any member needs; every member
    sees as much of it as it was trained with. `watch` is shown every member and mirroring, and
    as many draws of dropout as it wants. All of it stays on the bundle's device.
    """
    flip_axes = _FLIPS if flips else _FLIPS[:1]
    total = torch.zeros((), device=bundle.device)
    offsets = torch.tensor(log_odds_of(bundle.about, bundle.labels), device=bundle.device)

    def forward(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        low = precision != torch.float32
        with torch.autocast(bundle.device.type, dtype=precision, enabled=low):
            scores: torch.Tensor = network(x)
        return (scores.float() + offsets.view(1, -1, 1, 1)).softmax(dim=1)

    members = zip(bundle.networks, bundle.arguments, strict=True)
    for member, (network, arguments) in enumerate(members):
        x = seen_by(images, arguments)
        for axes in flip_axes:
            scores = forward(network, x.flip(axes) if axes else x)
            scores = scores.flip(axes) if axes else scores
            total = total + scores
            if watch is not None:
                watch.sample(f"member{member}{_FLIP_NAMES[axes]}", scores)
        if watch is None:
            continue
        for draw in range(watch.dropout_samples):
            with dropped(network, rate=watch.dropout_rate, seed=watch.seed + draw):
                scores = forward(network, x)
            watch.sample(f"member{member} dropout-{draw}", scores)
    return total / (len(flip_axes) * len(bundle.networks))


def in_batches(n: int, work: Callable[[int, int], None], *, batch: int) -> None:
    """Call `work(start, stop)` over 0..n; a batch that does not fit into memory is halved."""
    start = 0
    while start < n:
        try:
            work(start, min(n, start + batch))
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            torch.cuda.empty_cache()
            batch = max(1, batch // 2)
            continue
        start += batch
