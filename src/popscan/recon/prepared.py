"""What every iterative method starts from: checked k-space as tensors, with coil maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from popscan.arrays.fourier import centred_ifft
from popscan.recon import coils
from popscan.recon.acquired import Acquired, acquired, as_scan
from popscan.recon.encoding import Encoding
from popscan.recon.maps import MapMethod, coil_maps
from popscan.recon.noise import prewhitened
from popscan.records import KSpace, Scan

#: Percentile of the magnitudes of the time-averaged image that becomes 1.
BRIGHT_PCT = 99.0


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice, ready to solve.

    Attributes
    ----------
    data : Tensor of complex64, shape (1, t, coil, x, y)
        K-space, or with whole readouts their images along x; divided by `scale`.
    mask : Tensor of float32, shape (1, t, x or 1, y)
        What was acquired.
    encoding
        The operator that belongs to both.
    scale
        Brightness of the slice: with it taken out, weights of priors mean the same everywhere.
    block
        Size of the centre that the coil maps come from; (0, 0) for one coil.
    over_time : Tensor of complex64, shape (1, 1, coil, x, y), or None
        Mean over time of all acquired lines where some are left out: what stands still is right in
        lines of the wrong phase, too.
    """

    data: Tensor
    mask: Tensor
    encoding: Encoding
    scale: float
    block: tuple[int, int]
    over_time: Tensor | None = None


#: Returns images (1, t, x, y) of one slice.
Solver = Callable[[Slice], Tensor]


def pick_device(name: str) -> torch.device:
    """Return the device for ``auto`` (a GPU where there is one) or a name of torch's."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def solved(
    kspace: KSpace,
    solve: Solver,
    *,
    info: Mapping[str, Any],
    maps: MapMethod = "espirit",
    calibration_width: int = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Reconstruct every slice that holds samples.

    Parameters
    ----------
    kspace
        What was acquired.
    solve
        From a slice to its images.
    info
        What ``meta["reconstruction"]`` says of the method.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        As for `pick_device`.

    Returns
    -------
    Scan
        Magnitudes; a slice without any sample is 0.

    Raises
    ------
    SubjectError
        As `popscan.recon.acquired.acquired`, ``no_calibration_lines``, and what `solve` raises.
    """
    used = acquired(kspace)
    if prewhiten:
        used = white(used)
    place = pick_device(device)
    _, n_x, n_y, n_z, n_t = used.data.shape
    magnitude = np.zeros((n_x, n_y, n_z, n_t), dtype=np.float32)
    empty, blocks = [], []
    for z in range(n_z):
        samples = np.ascontiguousarray(np.moveaxis(used.data[:, :, :, z], -1, 0))
        if not samples.any():
            empty.append(z)
            continue
        one = prepared(
            samples, maps=maps, calibration_width=calibration_width, device=place,
            for_maps=average_for_maps(used, z),
        )  # fmt: skip
        blocks.append(one.block)
        with torch.inference_mode():
            images = solve(one)[0].abs() * one.scale
        magnitude[:, :, z] = np.moveaxis(images.cpu().numpy(), 0, -1)
    about = {**info, "maps": maps, "prewhitened": prewhiten, "empty_slices": empty}
    if used.data.shape[0] > 1 and blocks:
        about["calibration_block"] = list(min(blocks))
    return as_scan(kspace, magnitude, used, about)


def white(used: Acquired) -> Acquired:
    """Return k-space with the noise of its coils decorrelated (see `popscan.recon.noise`)."""
    if used.for_maps is None:
        return replace(used, data=prewhitened(used.data))
    whole = prewhitened(used.for_maps)
    return replace(used, data=np.where(used.data.any(axis=0), whole, 0), for_maps=whole)


def average_for_maps(used: Acquired, z: int) -> NDArray[np.complex64] | None:
    """Return the k-space (coil, kx, ky) of a slice averaged over time, lines left out included.

    They may have left holes, and what stands still is right in lines of the wrong phase, too. None
    where no line was left out.
    """
    if used.for_maps is None:
        return None
    return coils.temporal_average(np.moveaxis(used.for_maps[:, :, :, z], -1, 0))


def prepared(
    samples: NDArray[np.complex64],
    *,
    maps: MapMethod,
    calibration_width: int,
    device: torch.device,
    for_maps: NDArray[np.complex64] | None = None,
) -> Slice:
    """Return a slice (t, coil, kx, ky) as tensors, scaled, with its coil maps.

    A single coil needs no map: its sensitivity is part of the image. Maps come from `for_maps`
    (coil, kx, ky) where given, else from the samples averaged over time.
    """
    average = coils.temporal_average(samples) if for_maps is None else for_maps
    block = (0, 0)
    if samples.shape[1] == 1:
        found = np.ones((1, *samples.shape[2:]), dtype=np.complex64)
    else:
        found, block = coil_maps(average, method=maps, width=calibration_width)
    mask: NDArray[np.bool_] = np.asarray(samples.any(axis=1))
    axes: tuple[int, ...] = (0, 1)
    if np.array_equal(mask.any(axis=1), mask.all(axis=1)):
        # Whole readouts: transform them once, and the problem falls apart into columns.
        samples, axes = centred_ifft(samples, axes=(2,)), (1,)
        mask = np.asarray(mask.any(axis=1, keepdims=True))
    combined = np.einsum("cxy,cxy->xy", found.conj(), centred_ifft(average, axes=(1, 2)))
    scale = max(float(np.percentile(np.abs(combined), BRIGHT_PCT)), 1e-12)
    sampled = torch.from_numpy(mask.astype(np.float32)).to(device)[None]
    data = torch.from_numpy(np.ascontiguousarray(samples / np.float32(scale))).to(device)[None]
    encoding = Encoding(torch.from_numpy(found).to(device)[None], sampled, axes=axes)
    still = None
    if for_maps is not None:
        mean = for_maps if axes == (0, 1) else centred_ifft(for_maps, axes=(1,))
        still = torch.from_numpy((mean / scale).astype(np.complex64)).to(device)[None, None]
    return Slice(
        data=data, mask=sampled, encoding=encoding, scale=scale, block=block, over_time=still
    )
