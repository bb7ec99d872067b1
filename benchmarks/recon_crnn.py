"""Public weights of the CRNN paper's code (Qin et al., IEEE TMI 38:280-290, 2019). For recon.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d

_ITERATIONS = 5


def public_crnn(path: Path) -> dict[str, Tensor]:
    """Read the weights: tensors alone, nothing is run."""
    return torch.load(path, map_location="cpu", weights_only=True)


def run_crnn(weights: dict[str, Tensor], kspace: object) -> NDArray[np.float32]:
    """Return magnitudes (x, y, t) by these weights from k-space of one coil."""
    data = np.moveaxis(kspace.data[0, :, :, 0], -1, 0)  # type: ignore[attr-defined]
    lines = torch.from_numpy(np.fft.ifftshift(data, axes=(1, 2)))
    mask = (lines != 0).any(dim=1, keepdim=True)
    start = torch.fft.ifft2(lines, norm="ortho")
    scale = start.abs().max()
    lines, image = lines / scale, start / scale

    def layer(name: str, features: Tensor) -> Tensor:
        return conv2d(features, weights[f"{name}.weight"], weights[f"{name}.bias"], padding="same")

    n_hidden = weights["conv1_x.weight"].shape[0]
    before = [torch.zeros(len(image), n_hidden, *image.shape[1:]) for _ in range(4)]
    with torch.inference_mode():
        for _ in range(_ITERATIONS):
            # The network sees images as they are, with the heart in the middle.
            seen = torch.fft.fftshift(image, dim=(1, 2))
            seen = torch.view_as_real(seen).movedim(-1, 1).contiguous()
            fixed = layer("bcrnn.CRNN_model.i2h", seen)
            fixed = fixed + layer("bcrnn.CRNN_model.ih2ih", before[0])
            found = torch.zeros_like(fixed)
            for order in (range(len(fixed)), reversed(range(len(fixed)))):
                hidden = torch.zeros_like(fixed[:1])
                for t in order:
                    hidden = (fixed[t] + layer("bcrnn.CRNN_model.h2h", hidden)).relu()
                    found[t] += hidden[0]
            after = [found]
            for k in (1, 2, 3):
                across = layer(f"conv{k}_h", before[k])
                after.append((layer(f"conv{k}_x", after[-1]) + across).relu())
            change = layer("conv4_x", after[-1])
            before = after
            moved = torch.complex(change[:, 0], change[:, 1])
            image = image + torch.fft.ifftshift(moved, dim=(1, 2))
            spectrum = torch.fft.fft2(image, norm="ortho")
            image = torch.fft.ifft2(torch.where(mask, lines, spectrum), norm="ortho")
    out = np.fft.fftshift((image.abs() * scale).numpy(), axes=(1, 2))
    return np.moveaxis(out, 0, -1)
