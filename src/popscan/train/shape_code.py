"""Shapes as codes: an autoencoder of label maps, and a loss in its code (ACNN).

The encoder has seen only anatomies that exist. Two segmentations that differ in a way that no
anatomy does are far apart in its code even where few pixels differ (Oktay et al. 2018, IEEE TMI,
doi:10.1109/TMI.2017.2743464).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from popscan.records import PopscanError
from popscan.train.augment import augment
from popscan.train.augmentation import Augmentation
from popscan.train.losses import dice_ce
from popscan.train.sampler import Sampler

#: Pixels along each side of a label map as the encoder sees it.
SIDE = 64


class ShapeCoder(torch.nn.Module):
    """Encoder and decoder of label maps (n, label, SIDE, SIDE).

    Parameters
    ----------
    n_labels
        Number of labels, background included.
    code
        Numbers in a code.
    width
        Features of the finest level.
    """

    def __init__(self, *, n_labels: int, code: int = 64, width: int = 16) -> None:
        super().__init__()
        widths = [n_labels, width, 2 * width, 4 * width]
        down: list[torch.nn.Module] = []
        for a, b in pairwise(widths):
            down += [torch.nn.Conv2d(a, b, 3, stride=2, padding=1), torch.nn.ELU()]
        self.low = (widths[-1], SIDE // 8, SIDE // 8)
        size = self.low[0] * self.low[1] * self.low[2]
        self.encode = torch.nn.Sequential(*down, torch.nn.Flatten(), torch.nn.Linear(size, code))
        up: list[torch.nn.Module] = []
        for a, b in zip(widths[:0:-1], [*widths[-2:0:-1], width], strict=True):
            up += [torch.nn.ConvTranspose2d(a, b, 2, stride=2), torch.nn.ELU()]
        self.spread = torch.nn.Linear(code, size)
        self.decode = torch.nn.Sequential(*up, torch.nn.Conv2d(width, n_labels, 3, padding=1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return logits of the label map that a map's code stands for."""
        logits: torch.Tensor = self.decode(self.spread(self.encode(maps)).view(-1, *self.low))
        return logits


def as_maps(probabilities: torch.Tensor) -> torch.Tensor:
    """Return probabilities (n, label, x, y) at the size that the encoder sees."""
    size = (SIDE, SIDE)
    return F.interpolate(probabilities, size=size, mode="bilinear", antialias=True)


def train_shape_coder(
    sampler: Sampler,
    path: Path,
    *,
    patch: int,
    n_labels: int,
    steps: int = 600,
    batch: int = 32,
    seed: int = 0,
    augmentation: Augmentation | None = None,
) -> float:
    """Train a coder on labels alone and write it; return the mean loss of its last tenth.

    Parameters
    ----------
    sampler
        Labelled slices; images are not looked at.
    path
        File of safetensors to write.
    patch
        Side of the training patch of the segmentation that it is for, in pixels.
    n_labels
        Number of labels, background included.
    steps, batch, seed
        Of this training.
    augmentation
        How labels are turned and stretched; None as in a training by default.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        coder = ShapeCoder(n_labels=n_labels)
    optimiser = torch.optim.AdamW(coder.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator, losses = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        images, labels = sampler.take(sampler.pick(batch, generator))
        how = augmentation or Augmentation()
        _, labels = augment(images, labels, how=how, patch=patch, generator=generator)
        maps = as_maps(F.one_hot(labels, n_labels).movedim(-1, 1).float())
        loss = dice_ce(coder(maps), maps.argmax(dim=1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    save_file(coder.state_dict(), path)
    tail = losses[-max(1, steps // 10) :]
    return sum(tail) / len(tail)


@lru_cache(maxsize=4)
def load_encoder(path: str) -> torch.nn.Module:
    """Return the encoder of a file that `train_shape_coder` wrote, fixed.

    Raises
    ------
    PopscanError
        If the file is absent, is no such file, or does not fit.
    """
    try:
        weights = load_file(path)
        coder = ShapeCoder(n_labels=weights["encode.0.weight"].shape[1])
        coder.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError, KeyError, IndexError) as error:
        raise PopscanError(f"{path}: not a readable shape coder ({error})") from error
    return coder.encode.eval().requires_grad_(False)


def code_distance(logits: torch.Tensor, labels: torch.Tensor, *, encoder: str) -> torch.Tensor:
    """Return the mean squared distance of the codes of a segmentation and of its truth.

    Parameters
    ----------
    logits, labels
        (n, label, x, y) and (n, x, y).
    encoder
        File of `train_shape_coder`.
    """
    network = load_encoder(encoder).to(logits.device)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()
    codes = [network(as_maps(maps)) for maps in (logits.float().softmax(dim=1), truth)]
    return F.mse_loss(codes[0], codes[1])
