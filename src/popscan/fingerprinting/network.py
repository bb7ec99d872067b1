"""A network that maps patches of fingerprints to T1 and T2, with or without channel attention.

Attention weighs the frames before the first convolution, by what is in the whole patch.

Soyak R, Navruz E, Ersoy EO, et al. Channel attention networks for robust MR fingerprinting
matching. IEEE Trans Biomed Eng 69:1398-1405, 2022. Hu J, Shen L, Sun G. Squeeze-and-excitation
networks. CVPR 2018.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from popscan.fingerprinting.dictionary import Dictionary
from popscan.records import PopscanError


class ChannelAttention(nn.Module):
    """Weights of frames between 0 and 1, from their mean and largest values over a patch.

    Parameters
    ----------
    n_frames
        Channels.
    reduction
        By how much the hidden layer is smaller.
    """

    def __init__(self, n_frames: int, *, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(n_frames // reduction, 1)
        self.layers = nn.Sequential(
            nn.Linear(n_frames, hidden), nn.ReLU(), nn.Linear(hidden, n_frames)
        )

    def weights(self, x: Tensor) -> Tensor:
        """Return (n, frames) weights of patches (n, frames, x, y)."""
        mean, largest = x.mean(dim=(2, 3)), x.abs().amax(dim=(2, 3))
        return torch.sigmoid(self.layers(mean) + self.layers(largest))

    def forward(self, x: Tensor) -> Tensor:
        """Return weighted patches (n, frames, x, y)."""
        return x * self.weights(x)[:, :, None, None]


class MapNetwork(nn.Module):
    """T1 and T2 of patches of aligned signals.

    Parameters
    ----------
    n_frames
        Of the sequence.
    t1_ms, t2_ms
        Ranges of what it can give.
    attention
        Whether frames are weighed.
    width
        Channels inside.
    """

    def __init__(
        self,
        n_frames: int,
        *,
        t1_ms: tuple[float, float],
        t2_ms: tuple[float, float],
        attention: bool = True,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.low: Tensor
        self.high: Tensor
        self.attention = ChannelAttention(n_frames) if attention else None
        self.layers = nn.Sequential(
            nn.Conv2d(n_frames, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2, 1),
        )
        logs = torch.tensor([[math.log(v) for v in pair] for pair in (t1_ms, t2_ms)])
        self.register_buffer("low", logs[:, :1, None])
        self.register_buffer("high", logs[:, 1:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return log T1 and log T2, (n, 2, x, y), of aligned signals (n, frames, x, y)."""
        x = x * math.sqrt(x.shape[1])
        inside = self.layers(x if self.attention is None else self.attention(x))
        return self.low + (self.high - self.low) * torch.sigmoid(inside)


def aligned(dictionary: Dictionary, signals: NDArray[np.complexfloating]) -> Tensor:
    """Return signals without phase and size: real, of length 1 over the frames.

    Parameters
    ----------
    dictionary
        Of the sequence; its largest singular vector defines the phase.
    signals : ndarray, shape (n, frames, x, y)
        Complex.

    Returns
    -------
    Tensor of float32, shape (n, frames, x, y)
        0 where a signal is 0.
    """
    given = np.asarray(signals)
    n_frames = dictionary.schedule.n_frames
    if given.ndim != 4 or given.shape[1] != n_frames:
        raise PopscanError(f"signals {given.shape}: (n, {n_frames}, x, y) are expected")
    first = np.einsum("nfxy,f->nxy", given, dictionary.basis[:, 0])
    size = np.linalg.norm(given, axis=1) * np.abs(first)
    turn = np.divide(first.conj(), size, out=np.zeros_like(first), where=size > 0)
    return torch.from_numpy((given * turn[:, None]).real.astype(np.float32))


def predicted_maps(
    network: MapNetwork, dictionary: Dictionary, signals: NDArray[np.complexfloating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return T1 and T2 in ms, each (n, x, y), of signals (n, frames, x, y); NaN for empty ones."""
    x = aligned(dictionary, signals)
    with torch.inference_mode():
        maps = network.eval()(x).exp().double().numpy()
    empty = (x == 0).all(dim=1).numpy()
    maps[np.broadcast_to(empty[:, None], maps.shape)] = np.nan
    return maps[:, 0], maps[:, 1]
