"""Slices of one or several scans through the networks, in batches that they share.

What a network says of a slice does not depend on the slices that share its batch (they are
normalised one by one), so that scans of which each has too few slices to keep a GPU busy go
through it together. Sums of floating-point numbers may be made in another order for another size
of batch, which moves probabilities by some 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch

from popscan.segment.bundle import Bundle
from popscan.segment.calibration import doubt_limit_of, log_odds_of
from popscan.segment.features import Tap
from popscan.segment.networks import seen_by
from popscan.segment.samples import Watch
from popscan.segment.uncertainty import dropped, predictive_entropy

#: Whether mirrorings are averaged: never, all four of every slice, or a second one of each slice
#: that the network doubts.
Flips = bool | Literal["doubtful"]
#: Mirrorings averaged when flips are asked for: x, y, both (axes of (n, label, x, y)).
_FLIPS: tuple[tuple[int, ...], ...] = ((2,), (3,), (2, 3))
#: The one that doubtful slices get.
_FLIPS_IN_DOUBT = _FLIPS[:1]
_FLIP_NAMES = {(2,): " flip-x", (3,): " flip-y", (2, 3): " flip-xy"}

#: Slices in one batch: a processor's cache holds few, a GPU is idle with few.
BATCHES = {"cpu": 8, "gpu": 128}


@dataclass(kw_only=True)
class Job:
    """Slices of one scan that the networks are to see.

    Attributes
    ----------
    n
        How many slices.
    size
        Pixels along x and y that the networks see; only jobs of one size share batches.
    images
        First slice, slice after the last -> what the networks see of them, as `Grids.cut` has it.
    take
        Is given the first slice, the slice after the last, and their mean probabilities
        (n, label, x, y); once more where memory did not suffice for the rest of a batch.
    watch
        Is shown every sample, where there is one.
    features
        First slice of a batch -> pooled features of the first pass, where they are tapped.
    """

    n: int
    size: tuple[int, int]
    images: Callable[[int, int], torch.Tensor]
    take: Callable[[int, int, torch.Tensor], None]
    watch: Watch | None = None
    features: dict[int, torch.Tensor] = field(default_factory=dict)


#: A job, its first slice in a batch and the slice after the last.
Piece = tuple[Job, int, int]


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How slices go through a bundle's networks.

    Attributes
    ----------
    bundle
        Networks and their device.
    precision
        What they compute in.
    batch
        Slices at once.
    flips
        Which mirrorings are averaged.
    dropout_samples, dropout_rate
        Draws of Monte-Carlo dropout per member for jobs that are watched; their seeds are 0, 1, ...
    tapped
        Whether features of the first member's first pass are taken.
    """

    bundle: Bundle
    precision: torch.dtype
    batch: int
    flips: Flips = False
    dropout_samples: int = 0
    dropout_rate: float = 0.1
    tapped: bool = False

    def run(self, jobs: Sequence[Job]) -> None:
        """Send all slices of some jobs through the networks; a job alone goes as ever."""
        tap = Tap(self.bundle.networks[0]) if self.tapped else None
        with tap if tap is not None else nullcontext():
            for size in dict.fromkeys(job.size for job in jobs):
                alike = [job for job in jobs if job.size == size]

                def work(start: int, stop: int, alike: list[Job] = alike) -> None:
                    self._batch(_pieces(alike, start, stop), tap)

                in_batches(sum(job.n for job in alike), work, batch=self.batch)

    def _batch(self, pieces: Sequence[Piece], tap: Tap | None) -> None:
        for job, _, _ in pieces:
            if job.watch is not None:
                job.watch.restart()
        if tap is not None:
            tap.restart()
        images = [job.images(start, stop) for job, start, stop in pieces]
        lengths = [len(own) for own in images]
        watches = [job.watch for job, _, _ in pieces]
        means = self._probabilities(torch.cat(images), watches, lengths)
        if tap is not None:
            for (job, start, _), own in zip(pieces, tap.features().split(lengths), strict=True):
                job.features[start] = own
        for (job, start, stop), own in zip(pieces, means.split(lengths), strict=True):
            job.take(start, stop, own)

    def _probabilities(
        self, images: torch.Tensor, watches: Sequence[Watch | None], lengths: Sequence[int]
    ) -> torch.Tensor:
        """Return mean class probabilities (n, label, x, y) of all members and mirrorings.

        Images are those of `Grids.cut`, with as much around a slice as any member needs; every
        member sees as much of it as it was trained with. Watches are shown every member and
        mirroring, and draws of dropout. All of it stays on the bundle's device.
        """
        bundle = self.bundle
        offsets = torch.tensor(log_odds_of(bundle.about, bundle.labels), device=bundle.device)

        def forward(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
            low = self.precision != torch.float32
            with torch.autocast(bundle.device.type, dtype=self.precision, enabled=low):
                scores: torch.Tensor = network(x)
            return (scores.float() + offsets.view(1, -1, 1, 1)).softmax(dim=1)

        def show(name: str, scores: torch.Tensor) -> None:
            for watch, own in zip(watches, scores.split(list(lengths)), strict=True):
                if watch is not None:
                    watch.sample(name, own)

        inputs = [seen_by(images, arguments) for arguments in bundle.arguments]
        members = list(zip(bundle.networks, inputs, strict=True))
        first = [forward(network, x) for network, x in members]
        total = torch.stack(first).sum(dim=0) if len(first) > 1 else first[0].clone()
        rows, axes_of = self._mirrored(total / len(first))
        for member, ((network, x), plain) in enumerate(zip(members, first, strict=True)):
            show(f"member{member}", plain)
            for axes in axes_of:
                scores = plain
                if len(rows):  # What is not mirrored says the same again.
                    scores = plain.clone()
                    scores[rows] = forward(network, x[rows].flip(axes)).flip(axes)
                total = total + scores
                show(f"member{member}{_FLIP_NAMES[axes]}", scores)
            for draw in range(self.dropout_samples):
                with dropped(network, rate=self.dropout_rate, seed=draw):
                    scores = forward(network, x)
                show(f"member{member} dropout-{draw}", scores)
        return total / ((1 + len(axes_of)) * len(members))

    def _mirrored(self, plain: torch.Tensor) -> tuple[torch.Tensor, tuple[tuple[int, ...], ...]]:
        """Return which slices of a batch are mirrored, and how.

        A slice is doubtful by itself, whatever else is in its batch or its scan.

        Parameters
        ----------
        plain : tensor, shape (n, label, x, y)
            Mean probabilities of the members, not mirrored.
        """
        every = torch.arange(len(plain), device=plain.device)
        if self.flips == "doubtful":
            doubt = predictive_entropy(plain).sum(dim=(1, 2))
            return every[doubt > doubt_limit_of(self.bundle.about)], _FLIPS_IN_DOUBT
        return every, _FLIPS if self.flips else ()


def _pieces(jobs: Sequence[Job], start: int, stop: int) -> list[Piece]:
    """Return which slices of which jobs are `start` to `stop` of all of them in order."""
    pieces, first = [], 0
    for job in jobs:
        low, high = max(start - first, 0), min(stop - first, job.n)
        if low < high:
            pieces.append((job, low, high))
        first += job.n
    return pieces


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
