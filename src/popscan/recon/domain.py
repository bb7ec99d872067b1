"""A network that learns the transform from k-space to the image, one axis at a time.

Schlemper J, Oksuz I, Clough JR, Duan J, King AP, Schnabel JA, Hajnal JV, Rueckert D. dAUTOMAP:
decomposing AUTOMAP to achieve scalability and enhance performance. arXiv:1909.10995, 2019. AUTOMAP
learns one matrix of all samples and all pixels; a matrix per axis holds as many numbers as the
image has pixels.

Differences from the paper: the matrices start as the inverse Fourier transform, and k-space of
fewer samples than a matrix has columns is padded with zeros, so that one network serves all sizes
up to its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from popscan.recon.encoding import Encoding, to_image, to_kspace
from popscan.recon.spacetime import SpaceTime, as_channels, as_images, smooth_phase_of

#: Aliasing is about so much smaller than the image.
_GAIN = 4.0


class DomainTransform(nn.Module):
    """Learned transforms along x and y, then a small network that refines the image.

    Parameters
    ----------
    sides
        Largest image (x, y).
    channels, layers, fold
        Of the refinement, as for `popscan.recon.spacetime.SpaceTime`.
    """

    takes_frames = True

    def __init__(
        self, *, sides: tuple[int, int], channels: int, layers: int = 5, fold: int = 2
    ) -> None:
        super().__init__()
        if len(sides) != 2 or min(sides) < 8:
            raise ValueError(f"sides {sides}: two, of at least 8 pixels")
        self.sides = (int(sides[0]), int(sides[1]))
        # What is learned is the difference to the inverse Fourier transform, real and imaginary.
        self.along_x = nn.Parameter(torch.zeros(2, self.sides[0], self.sides[0]))
        self.along_y = nn.Parameter(torch.zeros(2, self.sides[1], self.sides[1]))
        self.refine = SpaceTime(2, 2, channels=channels, layers=layers, fold=fold)

    def forward(
        self, data: Tensor, mask: Tensor, encoding: Encoding, over_time: Tensor | None = None
    ) -> Tensor:
        """Reconstruct frames of one coil; each frame alone.

        Parameters
        ----------
        data : Tensor of complex64, shape (n, t, 1, x, y)
            K-space, or with `encoding.axes` ``(1,)`` its images along x; at most `sides`.
        mask, over_time
            Not used: what was not acquired is 0.
        encoding
            Says which axes are to be transformed.

        Returns
        -------
        Tensor of complex64, shape (n, t, x, y)
        """
        own = data[:, :, 0]
        if encoding.axes == (1,):
            own = to_kspace(own, axes=(0,))
        shape = own.shape[-2:]
        padded = centred(own, self.sides)
        image = _matrix(self.along_x) @ padded @ _matrix(self.along_y).mT
        single = image.flatten(0, 1)[:, None]  # frames as examples: none sees another
        back = smooth_phase_of(single).conj()
        change = as_images(self.refine(as_channels(single * back)).float()) / _GAIN
        image = (single + change * back.conj())[:, 0]
        image = image.unflatten(0, own.shape[:2])
        return to_image(centred(to_kspace(image), shape))


def _matrix(change: Tensor) -> Tensor:
    """Return the learned transform: the inverse Fourier transform plus what was learned."""
    n = change.shape[-1]
    unit = torch.eye(n, dtype=torch.complex64, device=change.device)
    return to_image(unit, axes=(1,)).mT + torch.complex(change[0], change[1])


def centred(data: Tensor, shape: tuple[int, int] | torch.Size) -> Tensor:
    """Cut off or pad with zeros around the centre of k-space (..., x, y)."""
    for axis, wanted in zip((-2, -1), shape, strict=True):
        have = data.shape[axis]
        first = wanted // 2 - have // 2
        pad = [0, 0, 0, 0]
        pad[2 * (-1 - axis)], pad[2 * (-1 - axis) + 1] = first, wanted - have - first
        data = nn.functional.pad(data, pad)
    return data
