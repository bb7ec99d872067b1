"""Compressed sensing with wavelets: few coefficients explain an image, aliasing needs many.

Lustig M, Donoho D, Pauly JM. Sparse MRI. Magn Reson Med 58:1182-1195, 2007. Solved by FISTA
(Beck and Teboulle, SIAM J Imaging Sci 2:183-202, 2009).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from popscan.methods import Count, NotNegative
from popscan.recon.fista import fista
from popscan.recon.maps import MapMethod
from popscan.recon.prepared import Slice, solved
from popscan.records import KSpace, Scan

#: Low-pass filter of Daubechies' wavelet with two vanishing moments.
_LOW = tuple(
    (a + b * math.sqrt(3)) / (4 * math.sqrt(2)) for a, b in ((1, 1), (3, 1), (3, -1), (1, -1))
)
_HIGH = (_LOW[3], -_LOW[2], _LOW[1], -_LOW[0])
_LEVELS = 3


def cs_wavelet(
    kspace: KSpace,
    *,
    lam: NotNegative = 0.004,
    n_iterations: Count = 30,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
    seed: int = 0,
) -> Scan:
    """Minimise ``|E x - y|^2 / 2 + lam |W x|_1`` for each frame, W a wavelet transform.

    Parameters
    ----------
    kspace
        What was acquired; random sampling suits it best.
    lam
        Weight of the wavelet coefficients (of all levels' details), relative to the slice's
        brightest tissue.
    n_iterations
        Steps of FISTA; the wavelets' grid is shifted at random in each (cycle spinning).
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.
    seed
        Of the shifts.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`) and
        ``no_calibration_lines``.
    """

    def solve(one: Slice) -> Tensor:
        shifts = torch.randint(
            2**_LEVELS, (n_iterations, 2), generator=torch.Generator().manual_seed(seed)
        ).tolist()

        def shrink(image: Tensor, step: int) -> Tensor:
            return denoised(image, lam, shift=(shifts[step][0], shifts[step][1]))

        return fista(one.encoding.normal, one.encoding.adjoint(one.data), shrink,
                     n_iterations=n_iterations)  # fmt: skip

    info = {"method": "cs_wavelet", "lam": lam, "n_iterations": n_iterations}
    return solved(kspace, solve, info=info, maps=maps, calibration_width=calibration_width,
                  prewhiten=prewhiten, device=device)  # fmt: skip


def denoised(
    image: Tensor, threshold: float, *, shift: tuple[int, int] = (0, 0), levels: int = _LEVELS
) -> Tensor:
    """Return images (..., x, y) with their wavelet details moved towards 0 by `threshold`."""
    nx, ny = image.shape[-2:]
    side = 2**levels
    padded = torch.nn.functional.pad(image, (0, -ny % side, 0, -nx % side))
    moved = padded.roll(shift, dims=(-2, -1))
    bands = forward(moved, levels=levels)
    shrunk = inverse([bands[0], *(_soft(band, threshold) for band in bands[1:])])
    back = shrunk.roll((-shift[0], -shift[1]), dims=(-2, -1))
    return back[..., :nx, :ny]


def _soft(values: Tensor, threshold: float) -> Tensor:
    size = values.abs()
    return values * ((size - threshold).clamp(min=0) / size.clamp(min=1e-20))


def forward(image: Tensor, *, levels: int = _LEVELS) -> list[Tensor]:
    """Return the orthonormal, periodic wavelet transform of images (..., x, y).

    Parameters
    ----------
    image
        Sides are multiples of ``2**levels``.
    levels
        How often the approximation is split.

    Returns
    -------
    list of Tensor
        The coarsest approximation, then the details (three stacked in front of the axes x, y) of
        the coarsest level to the finest.
    """
    details: list[Tensor] = []
    for _ in range(levels):
        low, high = _split(image, -1)
        image, vertical = _split(low, -2)
        horizontal, diagonal = _split(high, -2)
        details.append(torch.stack([vertical, horizontal, diagonal], dim=-3))
    return [image, *reversed(details)]


def inverse(bands: list[Tensor]) -> Tensor:
    """Return the images of which `forward` gives `bands`: its inverse and its adjoint."""
    image = bands[0]
    for detail in bands[1:]:
        vertical, horizontal, diagonal = detail.unbind(dim=-3)
        image = _joined(_joined(image, vertical, -2), _joined(horizontal, diagonal, -2), -1)
    return image


def _split(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    even, odd = values.unflatten(axis, (-1, 2)).unbind(dim=axis)
    even2, odd2 = even.roll(-1, dims=axis), odd.roll(-1, dims=axis)
    low = _LOW[0] * even + _LOW[1] * odd + _LOW[2] * even2 + _LOW[3] * odd2
    high = _HIGH[0] * even + _HIGH[1] * odd + _HIGH[2] * even2 + _HIGH[3] * odd2
    return low, high


def _joined(low: Tensor, high: Tensor, axis: int) -> Tensor:
    low2, high2 = low.roll(1, dims=axis), high.roll(1, dims=axis)
    even = _LOW[0] * low + _HIGH[0] * high + _LOW[2] * low2 + _HIGH[2] * high2
    odd = _LOW[1] * low + _HIGH[1] * high + _LOW[3] * low2 + _HIGH[3] * high2
    stacked = torch.stack([even, odd], dim=axis)
    return stacked.flatten(axis - 1, axis)
