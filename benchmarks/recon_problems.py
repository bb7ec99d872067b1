"""What recon.py reconstructs: a real brain, and hearts that k-space is simulated from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.arrays.sampling import sampling_mask
from popscan.protocols.cine_sax.training.recon import around, faded
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.recon import coils
from popscan.recon.espirit import espirit_maps
from popscan.records import KSpace
from popscan.train.kspace import sweep_places
from popscan.train.sweeps import interpolated
from popscan.train.undersampling import Undersampling
from segmentation import acdc_cases

DATA = Path(os.environ.get("POPSCAN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
WIDTH = 24


@dataclass(frozen=True, kw_only=True)
class Problem:
    """K-space, its true maps' estimate, and what should come out."""

    kspace: KSpace
    maps: NDArray[np.complex64]
    reference: NDArray[np.float32]
    roi: NDArray[np.bool_]


def as_kspace(data: NDArray[np.complex64], mask: NDArray[np.bool_]) -> KSpace:
    """Wrap (coil, kx, ky, t) with lines (ky, t) as k-space of one slice."""
    masked = (data * mask[np.newaxis, np.newaxis]).astype(np.complex64)
    return KSpace(
        data=masked[:, :, :, np.newaxis], mask=mask, affine=np.eye(4),
        spacing_mm=(1.0, 1.0, 1.0), view="other",
    )  # fmt: skip


def estimated_maps(kspace: KSpace) -> NDArray[np.complex64]:
    data = np.moveaxis(kspace.data[:, :, :, 0], -1, 0)
    if data.shape[1] == 1:
        return np.ones((1, *data.shape[2:]), np.complex64)
    average = coils.temporal_average(np.ascontiguousarray(data))
    _, block = coils.low_resolution_images(average, width=WIDTH)
    return espirit_maps(coils.centre_of(average, block), data.shape[2:])[0]


def brain(data: NDArray[np.complex64], acceleration: int) -> Problem:
    mask = np.zeros((data.shape[2], 1), dtype=bool)
    mask[::acceleration] = True
    middle = data.shape[2] // 2
    mask[middle - WIDTH // 2 : middle + WIDTH // 2] = True
    reference = np.linalg.norm(centred_ifft(data, axes=(1, 2)), axis=0)[..., np.newaxis]
    kspace = as_kspace(data[..., np.newaxis], mask)
    head = reference[..., 0] > 0.05 * reference.max()
    return Problem(kspace=kspace, maps=estimated_maps(kspace), reference=reference, roi=head)


def hearts(
    data: Path, part: str, acceleration: int, n: int, *, n_frames: int, crop: int
) -> Iterator[Problem]:
    """Yield slices or cines of validation patients; the same for every method and run."""
    for k, case in enumerate(split_acdc(acdc_cases(data / "acdc"))[1][:n]):
        rng = np.random.default_rng(k)
        array = np.asarray(case.scan.array, np.float32)
        z = array.shape[2] // 2
        ends = array[:, :, z] / np.percentile(array[:, :, z], 99.5)
        roi = (case.labels.array[:, :, z] > 0).any(axis=-1)
        if crop:
            rows, columns = (around(roi.any(axis=1 - k), crop) for k in (0, 1))
            ends, roi = ends[rows, columns], roi[rows, columns]
            ends = ends * faded(ends.shape[:2])[..., np.newaxis]
        frames = ends[..., :1]
        if part.startswith("cines"):
            sweep = interpolated(ends[..., 0], ends[..., 1])
            how = Undersampling(cycle_frames=(n_frames, n_frames))
            place = sweep_places(n_frames, how, rng)
            low = np.minimum(place.astype(int), len(sweep) - 2)
            share = (place - low)[:, None, None].astype(np.float32)
            frames = np.moveaxis((1 - share) * sweep[low] + share * sweep[low + 1], 0, -1)
        n_coils = 1 if part in ("single", "cines-one") else 8
        shape = frames.shape[:2]
        maps = ring_maps(shape, coils=n_coils, rng=rng)[..., np.newaxis]
        turn = np.ones(shape) if part == "single" else smooth_phase(shape, rng=rng)
        full = centred_fft((maps * frames * turn[..., np.newaxis]).astype("c8"), axes=(1, 2))
        if part != "single":
            full = full + 0.01 * (rng.normal(size=full.shape) + 1j * rng.normal(size=full.shape))
        mask = sampling_mask(
            shape[1], frames.shape[2], acceleration=acceleration,
            acs_lines={"single": 8, "slices": 20, "cines": 10, "cines-one": 8}[part],
            pattern="lattice" if part == "cines" else "gaussian", rng=rng,
        )  # fmt: skip
        kspace = as_kspace(full, mask)
        yield Problem(kspace=kspace, maps=estimated_maps(kspace), reference=frames, roi=roi)
